"""The only writer of the `info` block: from a verdict to the document that VSS publishes.

Keys, value rules and additions are those of the Alert Bridge (services/alert,
schemas/vlm_responses.py, enhance_alert_with_vlm.py, handlers/direct_media_handler.py). What we
add carries the prefix `sidecar`; there are no dots in names, because Elasticsearch and Logstash
read them as paths.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any, Final

import orjson

from sidecar.errors import MediaRoute, row_of
from sidecar.model import (
    Answer,
    ArmAnswer,
    Clip,
    EventKind,
    Evidence,
    Interval,
    MediaType,
    Outcome,
    Verdict,
    VerdictRecord,
    VerifyEvent,
)

REASONING_LIMIT: Final = 10_000
"""VSS's video-analytics-api refuses longer strings in `info`."""
TEXT_LIMIT: Final = 2_000
"""Characters of one text inside of a list."""
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
    if verdict.prompt and (told := verdict.prompt.descriptions.get(verdict.outcome.value)):
        module = event.raw.get("analyticsModule")
        given_module = module if isinstance(module, Mapping) else {}
        document["analyticsModule"] = {**given_module, "description": told}
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
        document=document_of(verdict),
    )


def document_of(verdict: Verdict) -> Mapping[str, Any]:
    """Return what is published: the enriched event, unless the verdict brings its own document."""
    return enrich(verdict) if verdict.document is None else verdict.document


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
    extra = verdict.finding.extra if verdict.finding else {}
    optional = {**_pictures(verdict), **{key: _cut(text) for key, text in extra.items()}}
    return {**optional, **info, **answer, **_provenance(verdict), **_forms(verdict)}


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
    if verdict.notes:
        facts["sidecarNotes"] = ",".join(verdict.notes)
    if verdict.rule:
        facts["sidecarRule"] = verdict.rule
    if verdict.stages:
        facts["sidecarStages"] = orjson.dumps(verdict.stages).decode()
    if verdict.shared_with:
        facts["sidecarSharedWith"] = verdict.shared_with
    if verdict.event.supersedes:
        facts["sidecarSupersedes"] = verdict.event.supersedes
    return {**facts, **_reason(verdict), **_answers(verdict.answers), **_arms(verdict)}


def _reason(verdict: Verdict) -> dict[str, str]:
    """Name the failure, and explain it where VSS's own words for it do not."""
    error = verdict.error
    if error is None:
        return {}
    row = row_of(error)
    status = row.worded(error, verdict.event.media.route).status
    detail = {} if error.detail in status else {"sidecarDetail": _cut(error.detail)}
    return {"sidecarReason": row.reason, **detail}


def _answers(answers: Sequence[Answer]) -> dict[str, str]:
    """Record what the model said; the last answer is the one to keep when there is no room."""
    if not answers:
        return {}
    newest_first = [_as_json(_recorded(answer)) for answer in reversed(answers)]
    return _joined("sidecarAnswers", len(answers), _fitting(newest_first)[::-1])


def _arms(verdict: Verdict) -> dict[str, str]:
    """Tell what each arm said, and which were left out, where there was more than one."""
    if len(verdict.heard) + len(verdict.left_out) < 2:  # noqa: PLR2004 - more than one
        return {}
    said = (_as_json(_heard(answer)) for answer in verdict.heard)
    left_out = (_as_json({"arm": arm, "leftOut": reason}) for arm, reason in verdict.left_out)
    return _list("sidecarArms", (*said, *left_out))


def _heard(answer: ArmAnswer) -> dict[str, Any]:
    return {
        "arm": answer.arm,
        "role": answer.role,
        "verdict": answer.outcome,
        "reason": answer.reason,
        "confidence": None if answer.confidence is None else round(answer.confidence, 4),
        "latencyMs": answer.latency_ms,
    }


def _recorded(answer: Answer) -> dict[str, Any]:
    return {
        "text": _cut(answer.text, TEXT_LIMIT),
        "reasoning": _cut(answer.reasoning, TEXT_LIMIT),
        "finishReason": answer.finish_reason,
        "promptTokens": answer.prompt_tokens,
        "completionTokens": answer.completion_tokens,
        "reason": answer.reason,
    }


def _forms(verdict: Verdict) -> dict[str, str]:
    """Write what an answer of a richer form lists: what happens when, and what is where."""
    finding, evidence = verdict.finding, verdict.evidence
    written: dict[str, str] = {}
    if finding is None:
        return written
    if finding.timeline is not None:
        start = begin_of_clip(verdict.event, verdict.clip)
        events = (_as_json(_event(interval, start)) for interval in finding.timeline)
        written |= _list("sidecarEvents", events)
    if finding.boxes is not None:
        boxes = (("box", (b.x1, b.y1, b.x2, b.y2), b.label, b.is_clipped) for b in finding.boxes)
        written |= _list("sidecarBoxes", (_as_json(_place(*box, evidence)) for box in boxes))
    if finding.points is not None:
        points = (("point", (p.x, p.y), p.label, p.is_clipped) for p in finding.points)
        written |= _list("sidecarPoints", (_as_json(_place(*point, evidence)) for point in points))
    return written


def begin_of_clip(event: VerifyEvent, clip: Clip | None) -> datetime | None:
    """Tell when the clip begins; of a recorder's clip only the recorder's client knows."""
    if clip is not None and clip.start is not None:
        return clip.start
    is_recorded = event.media.route is MediaRoute.RECORDER
    return None if is_recorded else event.timestamp


def _event(interval: Interval, clip_start: datetime | None) -> dict[str, Any]:
    times = {"start": interval.start_s, "end": interval.end_s}
    shown: dict[str, Any] = {name: round(time, 3) for name, time in times.items()}
    if clip_start is not None:
        # A model may name times that no calendar has.
        with suppress(OverflowError, ValueError):
            shown |= {f"{name}Time": _iso(clip_start, time) for name, time in times.items()}
    return {**shown, "caption": _cut(interval.caption, TEXT_LIMIT)}


def _place(
    kind: str, place: Sequence[float], label: str, is_clipped: bool, evidence: Evidence | None
) -> dict[str, Any]:
    """Write x and y by turns: as shares of the picture, and in pixels where its size is known."""
    shown = {"label": _cut(label, TEXT_LIMIT), kind: [round(share, 4) for share in place]}
    if evidence is not None and evidence.source_width and evidence.source_height:
        sizes = (evidence.source_width, evidence.source_height) * (len(place) // 2)
        shown["pixels"] = [round(share * size) for share, size in zip(place, sizes, strict=True)]
    return {**shown, "clipped": True} if is_clipped else shown


def _list(key: str, entries: Iterable[str]) -> dict[str, str]:
    texts = list(entries)
    return _joined(key, len(texts), _fitting(texts))


def _joined(key: str, total: int, kept: Sequence[str]) -> dict[str, str]:
    """Join JSON texts to a list, and say how many were dropped where there is no room for all."""
    dropped = total - len(kept)
    return {
        key: f"[{','.join(kept)}]",
        **({f"{key}Dropped": str(dropped)} if dropped else {}),
    }


def _fitting(texts: Sequence[str]) -> list[str]:
    """Return as many of the first texts as VSS's readers take in one list."""
    ends = accumulate(len(text) + 1 for text in texts)
    return [text for text, end in zip(texts, ends, strict=True) if end < REASONING_LIMIT]


def _as_json(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value).decode()


def _iso(clip_start: datetime, seconds: float) -> str:
    moment = (clip_start + timedelta(seconds=seconds)).astimezone(UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _cut(text: str, limit: int = REASONING_LIMIT) -> str:
    """Shorten to what VSS's readers take, with a mark that says so."""
    if len(text) <= limit:
        return text
    return text[: limit - len(CUT_MARK)] + CUT_MARK
