"""What the extra `ab` brings."""

from importlib.util import find_spec
from typing import Final

from sidecar.errors import SettingsError

_MODULES: Final = ("scipy", "statsmodels", "matplotlib", "jinja2")


def require_extra() -> None:
    """Make sure that it is installed, before something that needs it is imported.

    Raises:
        SettingsError: says how to install it.
    """
    problem = explain_extra()
    if problem:
        raise SettingsError(problem)


def explain_extra() -> str:
    """Return "" when it is installed, else what is missing and how to get it."""
    missing = [name for name in _MODULES if find_spec(name) is None]
    if not missing:
        return ""
    return (
        f"Statistics and reports need {', '.join(missing)}, which is not installed: "
        "pip install 'vss-vlm-sidecar[ab]'"
    )
