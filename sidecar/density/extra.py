"""What the extra `density` brings."""

from importlib.util import find_spec
from typing import Final

from sidecar.errors import SettingsError

_MODULES: Final = {
    "hdrh": "hdrhistogram",
    "scipy": "scipy",
    "matplotlib": "matplotlib",
    "jinja2": "jinja2",
}


def require_extra() -> None:
    """Make sure that it is installed, before something that needs it is imported.

    Raises:
        SettingsError: says how to install it.
    """
    missing = [name for module, name in _MODULES.items() if find_spec(module) is None]
    if missing:
        raise SettingsError(
            f"Density runs need {', '.join(missing)}, which is not installed: "
            "pip install 'vss-vlm-sidecar[density]'"
        )
