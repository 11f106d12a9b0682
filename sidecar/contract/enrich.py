"""The only writer of the `info` block: from a verdict to the document that VSS publishes.

Keys, value rules and additions are those of the Alert Bridge (services/alert,
schemas/vlm_responses.py, enhance_alert_with_vlm.py, handlers/direct_media_handler.py). What we
add carries the prefix `sidecar`; there are no dots in names, because Elasticsearch and Logstash
read them as paths.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from sidecar.errors import MediaRoute, row_of
from sidecar.model import EventKind, MediaType, Outcome, Verdict, VerdictRecord

REASONING_LIMIT: Final = 10_000
"""VSS's video-analytics-api refuses longer strings in `info`."""
CUT_MARK: Final = " [cut]"
DOCUMENT_TYPES: Final = {
    EventKind.INCIDENT: "mdx-vlm-incidents",
    EventKind.ALERT: "mdx-vlm-alerts",
}


def enrich(verdict: Verdict) -> dict[str, Any]:
    """Build the published document: the event as it came, plus `Id`, `type` and the answer.

    Every value of `info` is a string: lists and objects as compact JSON, null as "", other
    scalars as Python's `str()` writes them, which is what VSS does.
    """
    event = verdict.event
    document = dict(event.raw)
    document["Id"] = event.fingerprint
    document.setdefault("type", DOCUMENT_TYPES[event.kind])
    if event.kind is EventKind.ALERT:
        document.update(_alert_fields(verdict))
    if verdict.prompt and verdict.prompt.output_category:
        document["category"] = verdict.prompt.output_category
    given = event.raw.get("info")
    document["info"] = _info(verdict, given if isinstance(given, Mapping) else {})
    return document


def record_of(verdict: Verdict) -> VerdictRecord:
    """Build what the ledger keeps of a verdict."""
    event = verdict.event
    return VerdictRecord(
        key=event.key,
        id=event.id,
        fingerprint=event.fingerprint,
        kind=event.kind,
        sensor_id=event.sensor_id,
        category=event.category,
        outcome=verdict.outcome,
        reason=row_of(verdict.error).reason if verdict.error else "",
        arm=verdict.arm,
        timestamp=event.timestamp,
        decided_at=verdict.decided_at,
        document=enrich(verdict),
    )


def as_text(value: object) -> str:
    """Write an `info` value as a string."""
    if value is None:
        return ""
    if isinstance(value, dict | list):
        return orjson.dumps(value).decode()
    return str(value)


def _alert_fields(verdict: Verdict) -> dict[str, Any]:
    """Flatten a behaviour as VSS does, and list which fields were added (utils/event_utils.py)."""
    event = verdict.event
    fields = {
        "sensorId": event.sensor_id,
        "category": event.category,
        "objectIds": list(event.object_ids),
        "notification_type": "alert",
    }
    added = {name: value for name, value in fields.items() if name not in event.raw}
    return {**added, "_normalized_added_fields": sorted(added)}


def _info(verdict: Verdict, given: Mapping[str, Any]) -> dict[str, str]:
    info = {key: as_text(value) for key, value in given.items()}
    if verdict.error:
        answer = _failure(verdict)
    elif verdict.freestyle:
        answer = _description(verdict)
    else:
        answer = _answer(verdict)
    optional = {**_pictures(verdict), **(verdict.finding.extra if verdict.finding else {})}
    return {**optional, **info, **answer, **_provenance(verdict)}


def _answer(verdict: Verdict) -> dict[str, str]:
    assert verdict.finding is not None
    written = {
        "reasoning": verdict.finding.reasoning,
        "verdict": verdict.outcome.value,
        "description": verdict.finding.description,
    }
    kept = {key: _cut(value) for key, value in written.items() if value is not None}
    return {**kept, **_status(200, "OK"), "videoSource": _source(verdict)}


def _description(verdict: Verdict) -> dict[str, str]:
    """Word the direct-media answer that carries no verdict: the key `verdict` is absent."""
    assert verdict.finding is not None
    reasoning = _cut(verdict.finding.description or "")
    return {"reasoning": reasoning, **_status(200, "OK"), "videoSource": ""}


def _failure(verdict: Verdict) -> dict[str, str]:
    assert verdict.error is not None
    row = row_of(verdict.error)
    wording = row.worded(verdict.error, verdict.event.media.route)
    assert row.source is not None
    return {
        "verdict": Outcome.FAILED.value,
        **_status(wording.code, _cut(wording.status.strip())),
        "errorSource": row.source.value,
        "videoSource": _source(verdict),
    }


def _status(code: int, status: str) -> dict[str, str]:
    return {"verificationResponseCode": str(code), "verificationResponseStatus": status}


def _source(verdict: Verdict) -> str:
    return verdict.clip.source if verdict.clip else ""


def _pictures(verdict: Verdict) -> dict[str, str]:
    """Tell how many of the named pictures were looked at (direct media; existing keys win)."""
    event, clip = verdict.event, verdict.clip
    if event.media.route is not MediaRoute.DIRECT or clip is None:
        return {}
    urls = orjson.dumps(list(event.media.refs)).decode()
    if clip.type is MediaType.VIDEO:
        return {"media_type": "video", "media_urls": urls}
    seen = max(len(clip.paths), len(clip.urls))
    return {
        "media_type": "image" if seen == 1 else "images",
        "media_urls": urls,
        "images_processed": str(seen),
        "images_total": str(clip.total),
    }


def _provenance(verdict: Verdict) -> dict[str, str]:
    finding, prompt = verdict.finding, verdict.prompt
    confidence = finding.confidence if finding else None
    facts = {
        "sidecarArm": verdict.arm,
        "sidecarModel": verdict.model,
        "sidecarAdapter": verdict.adapter,
        "sidecarPromptVersion": f"{prompt.alert_type}@{prompt.version}" if prompt else "",
        "sidecarConfidence": "" if confidence is None else f"{confidence:.4f}",
        "sidecarFramesAsked": as_text(verdict.frames_asked),
        "sidecarFramesSeen": as_text(verdict.frames_seen),
        "sidecarLatencyMs": str(verdict.latency_ms),
        "sidecarAttempt": str(verdict.event.attempt),
        "sidecarVerdictKey": verdict.event.key,
    }
    if verdict.error:
        facts["sidecarReason"] = row_of(verdict.error).reason
    return facts


def _cut(text: str) -> str:
    """Shorten to what VSS's readers take, with a mark that says so."""
    if len(text) <= REASONING_LIMIT:
        return text
    return text[: REASONING_LIMIT - len(CUT_MARK)] + CUT_MARK
