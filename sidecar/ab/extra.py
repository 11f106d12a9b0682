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
    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"Statistics and reports need {', '.join(missing)}, which is not installed: "
            "pip install 'vss-vlm-sidecar[ab]'"
        )
