"""From VSS's `alert_agent` and `logging` to the use case, the media and the logs."""

from typing import Final

from sidecar.vss.rules import Draft, Values

AGENT: Final = "alert_agent"
DEFAULT_WORKERS: Final = 10
_PRIVATE: Final = (
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "::1/128",
    "fc00::/7",
)
"""Private networks; link-local ones are left out, as clouds answer there with credentials."""
_LEVELS: Final = {
    "debug": "debug",
    "info": "info",
    "warning": "warning",
    "warn": "warning",
    "error": "error",
    "critical": "error",
    "fatal": "error",
}


def shape_media(values: Values, draft: Draft) -> None:
    """Say where the clip of an event comes from, and what may be fetched."""
    key = f"{AGENT}.vst_pass_through_mode"
    passes = values.flag(key)
    draft.put("vst.ignore_event_media", not passes, key)
    enabled = f"{AGENT}.media_download.enabled"
    if passes and not values.flag(enabled):
        draft.warn(enabled, "is false, and info.media_urls are looked at all the same.")
    key = f"{AGENT}.media_download.allow_private_urls"
    if values.flag(key):
        draft.put("media.allowed_networks", _PRIVATE, key)
    key = "ALERT_REVIEW_MEDIA_BASE_DIR"
    if values.has(key):
        draft.put("media.allowed_roots", [values.text(key)], key)


def shape_workers(values: Values, draft: Draft) -> None:
    """Bound the verifications at the same time, as VSS bounds its calls of the model."""
    at_once, key = workers_of(values)
    processes = values.whole(f"{AGENT}.processes", 1)
    if processes > 1:
        draft.note(
            f"{AGENT}.processes",
            f"one process does the work of {processes}; for more cores start replicas.",
        )
    draft.put("verify.max_in_flight", at_once * processes, key)


def workers_of(values: Values) -> tuple[int, str]:
    """Return how many calls one process of VSS makes at the same time, and the key that says so."""
    keys = (
        f"{AGENT}.async_io.max_vlm_concurrent",
        f"{AGENT}.async_dispatch_workers",
        f"{AGENT}.num_workers",
    )
    key = next((key for key in keys if values.has(key)), keys[-1])
    return values.whole(key, DEFAULT_WORKERS), key


def shape_log(values: Values, draft: Draft) -> None:
    """Set the level of the logs."""
    key = "logging.level"
    level = values.text(key).strip().lower()
    if level in _LEVELS:
        draft.put("log.level", _LEVELS[level], key)
    elif level:
        draft.refuse(key, f"{level!r} is unknown; write one of {', '.join(_LEVELS)}.")
