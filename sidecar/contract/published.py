"""From a published document back to the event: the inverse of `contract.enrich`."""

from collections.abc import Mapping
from typing import Any, Final

_WRITTEN: Final = (
    *("reasoning", "verdict", "description", "videoSource", "errorSource"),
    *("verificationResponseCode", "verificationResponseStatus"),
)
"""Keys of `info` that a verdict adds, besides those that begin with `sidecar`."""


def original(document: Mapping[str, Any]) -> dict[str, Any]:
    """Undo what a verdict added to an event; an event without a verdict stays as it is."""
    info = document.get("info")
    if not isinstance(info, Mapping) or "sidecarVerdictKey" not in info:
        return dict(document)
    kept = {
        key: value
        for key, value in info.items()
        if key not in _WRITTEN and not key.startswith("sidecar")
    }
    added = {"Id", *document.get("_normalized_added_fields", ()), "_normalized_added_fields"}
    raw = {key: value for key, value in document.items() if key not in added}
    alert_type = str(info.get("sidecarPromptVersion", "")).rpartition("@")[0]
    if alert_type and "category" in raw:
        raw["category"] = alert_type  # the published one may be the alert type's output category
    return {**raw, "info": kept}
