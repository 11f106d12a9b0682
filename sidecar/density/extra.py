"""What the extra `density` brings."""

from importlib.util import find_spec
from typing import Final

from sidecar.errors import SettingsError

_MODULES: Final = ("scipy", "matplotlib", "jinja2")
"""hdrhistogram is used where it is there: it has no wheel for aarch64."""


def require_extra() -> None:
    """Make sure that it is installed, before something that needs it is imported.

    Raises:
        SettingsError: says how to install it.
    """
    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        raise SettingsError(
            f"Density runs need {', '.join(missing)}, which is not installed: "
            "pip install 'vss-vlm-sidecar[density]'"
        )
