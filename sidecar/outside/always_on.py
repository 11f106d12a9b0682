"""VSS's file of always-on rules."""

from collections.abc import Sequence

import yaml
from pydantic import ValidationError

from sidecar.contract.body import issues_of
from sidecar.contract.realtime import AlwaysOnFile, AlwaysOnRule
from sidecar.errors import SettingsError
from sidecar.settings import RealtimeSettings, variable_of


def load_always_on(settings: RealtimeSettings) -> Sequence[AlwaysOnRule] | None:
    """Read the rules for every camera; None when they are switched off.

    Raises:
        SettingsError: names the file and what is wrong with it.
    """
    if not settings.always_on:
        return None
    path, variable = settings.always_on_rules, variable_of("realtime.always_on_rules")
    if path is None:
        raise SettingsError(f"realtime.always_on: set {variable} to a file of always-on rules.")
    try:
        return AlwaysOnFile.model_validate(yaml.safe_load(path.read_text("utf-8"))).always_on_rules
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {error}. Correct it or {variable}.") from error
    except ValidationError as error:
        wrong = "; ".join(f"{issue.field}: {issue.message}" for issue in issues_of(error))
        raise SettingsError(f"{path} is no file of always-on rules: {wrong}.") from error
