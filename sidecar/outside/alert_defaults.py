"""Reads VSS 2.4's `alert_request_defaults.yaml`: what fills in what an alert leaves out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from sidecar.contract.bridge import DEFAULTS, read_alert
from sidecar.errors import InvalidRequest, SettingsError

SETTING: Final = "bridge.request_defaults"
_PLAIN: Final[Mapping[str, Any]] = {
    "id": "defaults",
    "@timestamp": "2026-01-31T08:00:00Z",
    "sensor_id": "defaults",
    "video_path": "defaults",
    "alert": {
        "severity": "LOW",
        "status": "REVIEW_PENDING",
        "type": "defaults",
        "description": "defaults",
    },
    "event": {"type": "defaults", "description": "defaults"},
}
"""An alert that leaves out all it may."""


def load_alert_defaults(path: Path | None) -> Mapping[str, Any]:
    """Return the defaults of a file, or those that VSS ships.

    Of the file, `vss_params` and `request_defaults` count. The rest tells VSS how to check alerts.

    Raises:
        SettingsError: it cannot be read, or an alert with these defaults would be refused.
    """
    if path is None:
        return DEFAULTS
    try:
        document = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{SETTING}: {path} cannot be read: {error}.") from error
    if not isinstance(document, Mapping) or not isinstance(document.get("vss_params"), Mapping):
        raise SettingsError(f"{SETTING}: {path} has no section vss_params.")
    others = document.get("request_defaults")
    defaults = {
        **(others if isinstance(others, Mapping) else {}),
        "vss_params": document["vss_params"],
    }
    try:
        read_alert(_PLAIN, defaults)
    except InvalidRequest as error:
        wrong = "; ".join(f"{issue.field}: {issue.message}" for issue in error.issues)
        raise SettingsError(f"{SETTING}: {path}: {wrong}") from error
    return defaults
