"""VSS's `config.yml`, `alert_type_config.json` and environment as settings of the sidecar.

Every key is honoured, refused, or listed with the reason why it does nothing (`keys.KEYS`,
`environment.VARIABLES`, `alert_types.ALERT_TYPE_KEYS`). Nothing is dropped in silence.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import yaml

from sidecar.errors import SettingsError
from sidecar.model import ModelProfile
from sidecar.vss.advice import find_dangers
from sidecar.vss.alert_types import find_unused
from sidecar.vss.arm import shape_answers, shape_arm
from sidecar.vss.bridge import is_bridge, names_model, names_sink, shape_bridge
from sidecar.vss.environment import shape_environment
from sidecar.vss.keys import KEYS
from sidecar.vss.reading import read_keys
from sidecar.vss.rules import Draft, Remark, Sets, Values
from sidecar.vss.service import shape_log, shape_media, shape_workers
from sidecar.vss.substitution import substitute
from sidecar.vss.transport import shape_doors, shape_sinks, shape_webhook

ALERT_TYPES: Final = "alert_type_config_file"


@dataclass(frozen=True, slots=True)
class VssConfig:
    """A configuration of VSS in the sidecar's terms.

    Attributes:
        path: of the `config.yml`.
        settings: sections of the sidecar's settings, nested.
        origins: the key or variable that each setting came from, by its dotted name.
        remarks: errors first, then warnings, then notes.
        unset: variables that `config.yml` uses and that are not set.
    """

    path: Path
    settings: Mapping[str, Any]
    origins: Mapping[str, str]
    remarks: Sequence[Remark]
    unset: Sequence[str]


def map_config(
    document: Mapping[str, Any],
    environment: Mapping[str, str],
    families: Mapping[str, ModelProfile],
) -> Draft:
    """Translate a configuration. Pure.

    Args:
        document: `config.yml` after substitution and YAML.
        environment: of the process.
        families: the profiles of the adapters that the arm could have, by their names.
    """
    draft = Draft()
    values = read_keys(document, draft)
    _set_directly(values, draft)
    if names_model(values):
        shape_arm(values, families, draft)
        draft.remarks += find_dangers(values)
    shape_answers(values, draft)
    if is_bridge(values):
        shape_bridge(values, environment, draft)
    else:
        shape_doors(values, draft)
    if names_sink(values):
        shape_sinks(values, draft)
    shape_webhook(values, draft)
    shape_media(values, draft)
    shape_workers(values, draft)
    shape_log(values, draft)
    shape_environment(environment, draft)
    return draft


def read_vss_config(
    path: Path, environment: Mapping[str, str], families: Mapping[str, ModelProfile]
) -> VssConfig:
    """Read a configuration and the alert types that it names.

    Raises:
        SettingsError: a file cannot be read, or is not of the form.
    """
    text, unset = substitute(_read(path), environment)
    draft = map_config(_parse(text, path), environment, families)
    draft.remarks += [*unset, *_find_alert_types(draft, path)]
    order = ("error", "warning", "note")
    remarks = sorted(draft.remarks, key=lambda remark: order.index(remark.severity))
    names = list(dict.fromkeys(remark.key for remark in unset))
    return VssConfig(path, draft.settings, draft.origins, remarks, names)


def _set_directly(values: Values, draft: Draft) -> None:
    for key, rule in KEYS.items():
        if not isinstance(rule, Sets):
            continue
        if not values.has(key):
            if rule.absent is not None:
                draft.put(rule.setting, rule.absent, f"{key}, by VSS's default")
            continue
        value = values.by_key[key]
        draft.put(rule.setting, value if rule.factor is None else value * rule.factor, key)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"VSS's configuration cannot be read: {path}: {error}.") from error


def _parse(text: str, path: Path) -> Mapping[str, Any]:
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise SettingsError(f"{path} is not valid YAML: {error}.") from error
    if not isinstance(document, Mapping):
        raise SettingsError(f"{path} holds no sections such as vlm and kafka.")
    return document


def _find_alert_types(draft: Draft, config: Path) -> Sequence[Remark]:
    """Find the file of alert types where VSS looks, else beside its configuration."""
    prompts = draft.settings["prompts"]
    name = Path(prompts.pop("alert_type_config"))
    places = [Path.cwd() / name, config.parent / name]
    found = next((place for place in places if place.is_file()), None)
    if found is not None:
        draft.put("prompts.alert_type_config", found, ALERT_TYPES)
        return list(find_unused(_parse_json(found)))
    looked = " and ".join(dict.fromkeys(map(str, places)))
    if draft.origins["prompts.alert_type_config"] == ALERT_TYPES:
        return [Remark("error", ALERT_TYPES, f"there is no such file; looked for {looked}.")]
    text = f"is missing and there is no {looked}: the alert types of the sidecar are used."
    return [Remark("warning", ALERT_TYPES, text)]


def _parse_json(path: Path) -> Mapping[str, Any]:
    """Read the file as far as it goes; the prompt book tells what is wrong with it."""
    try:
        document = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return document if isinstance(document, Mapping) else {}
