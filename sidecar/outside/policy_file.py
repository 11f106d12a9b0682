"""The policy that the settings name: in themselves, in a file, or one that comes with us."""

from collections.abc import Collection
from pathlib import Path
from typing import Final

import yaml
from pydantic import ValidationError

from sidecar.errors import SettingsError
from sidecar.policy import Policy
from sidecar.settings import AbSettings

SHIPPED: Final = Path(__file__).parents[1] / "policies"
"""The folder of the policies that come with the sidecar."""


def load_policy(settings: AbSettings, arms: Collection[str]) -> Policy:
    """Return the policy of the settings; `ab.primary` alone is one arm for everything.

    Args:
        settings: which one.
        arms: the names that it may use.

    Raises:
        SettingsError: it cannot be read, is wrong, or names an arm that is not there.
    """
    if settings.policy_file:
        where, policy = settings.policy_file, read_policy_file(settings.policy_file)
    elif settings.policy is not None:
        where, policy = "ab.policy", settings.policy
    else:
        where, policy = "ab.primary", Policy.only(settings.primary)
    unknown = policy.unknown_arms(arms)
    if unknown:
        known = ", ".join(sorted(arms))
        path, arm = unknown[0]
        place = where if where == "ab.primary" else f"{where}, {path}"
        raise SettingsError(f"{place}: there is no arm {arm!r}; known: {known}.")
    return policy


def read_policy_file(name: str) -> Policy:
    """Read a YAML file, or the policy of that name that comes with the sidecar.

    Raises:
        SettingsError: there is no such file, or it is no policy.
    """
    shipped = SHIPPED / f"{name}.yaml"
    path = shipped if shipped.is_file() else Path(name)
    try:
        return Policy.model_validate(yaml.safe_load(path.read_text("utf-8")))
    except OSError as error:
        known = ", ".join(sorted(it.stem for it in SHIPPED.glob("*.yaml")))
        raise SettingsError(
            f"ab.policy_file: {name} cannot be read ({error.strerror}). Name a YAML file, or one "
            f"that comes with the sidecar: {known}."
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"ab.policy_file: {name} is not YAML: {error}.") from error
    except ValidationError as error:
        raise SettingsError(f"ab.policy_file: {name}: {explain(error)}.") from error


def explain(error: ValidationError) -> str:
    """Say what is wrong where."""
    found = error.errors(include_url=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, it['loc'])) or 'the file'}: {it['msg']}" for it in found)
