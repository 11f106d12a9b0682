"""Between the messages of `vlm_sidecar.v1` and the values that the service works on. Pure."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from google.protobuf.timestamp_pb2 import Timestamp

from sidecar.contract.arms import ArmChoiceRequest
from sidecar.contract.body import parse_json_object, validate
from sidecar.contract.bridge import is_bridge_alert
from sidecar.contract.nvschema import from_message
from sidecar.core.arms import ArmState
from sidecar.core.intake import kind_of
from sidecar.core.vitals import Breaker
from sidecar.errors import InvalidRequest, Issue, RequestError, row_of
from sidecar.model import (
    MAX_SEQ,
    EventKind,
    Frame,
    Outcome,
    StoredEvent,
    VerdictFilter,
    VerdictRecord,
)
from sidecar.pb.v1 import verifier_pb2 as pb
from sidecar.policy import ArmChoice, write_policy

MAX_JSON_DEPTH: Final = 32

_KINDS: Final = {
    EventKind.INCIDENT: pb.EVENT_KIND_INCIDENT,
    EventKind.ALERT: pb.EVENT_KIND_ALERT,
}
_OUTCOMES: Final = {
    Outcome.CONFIRMED: pb.OUTCOME_CONFIRMED,
    Outcome.REJECTED: pb.OUTCOME_REJECTED,
    Outcome.FAILED: pb.OUTCOME_FAILED,
    Outcome.NONE: pb.OUTCOME_DESCRIBED,
}
_WANTED: Final = {message: outcome for outcome, message in _OUTCOMES.items()}


def read_event(event: pb.Event) -> tuple[dict[str, Any], EventKind]:
    """Read an event as the JSON object that POST /api/v1/incidents or /alerts takes.

    A URL beside the event becomes `info.media_urls`; inline media are left to the caller.

    Raises:
        InvalidRequest: there is no event, or it cannot be read.
        MalformedPayload: an NvSchema message cannot be written as JSON.
    """
    raw, kind = _content(event)
    if event.WhichOneof("media") == "url":
        raw = with_media(raw, "media_urls", [event.url])
    return raw, kind


def _content(event: pb.Event) -> tuple[dict[str, Any], EventKind]:
    match event.WhichOneof("content"):
        case "fields":
            return _from_fields(event.fields), EventKind.INCIDENT
        case "incident":
            return from_message(event.incident), EventKind.INCIDENT
        case "behavior":
            return from_message(event.behavior), EventKind.ALERT
        case "json":
            raw = parse_json_object(event.json, MAX_JSON_DEPTH)
            return raw, kind_of(raw)
        case "review_alert":
            return _review_alert(event.review_alert), EventKind.ALERT
    raise _invalid(
        "event", "missing", "Set one of fields, incident, behavior, json and review_alert."
    )


def _review_alert(body: bytes) -> dict[str, Any]:
    raw = parse_json_object(body, MAX_JSON_DEPTH)
    if not is_bridge_alert(raw):
        raise _invalid(
            "event.review_alert", "value_error", "Send what POST /reviewAlert takes, or `json`."
        )
    return raw


def with_media(raw: Mapping[str, Any], name: str, media: object) -> dict[str, Any]:
    """Return the event with its media named in `info`.

    Raises:
        InvalidRequest: it names media already.
    """
    given = raw.get("info")
    info = dict(given) if isinstance(given, Mapping) else {}
    is_named = info.get("media_urls") or info.get("video_path") or raw.get("videoPath")
    if is_named or is_bridge_alert(raw):
        raise _invalid(
            "event.media",
            "media_given_twice",
            "The event names media itself; leave out one of the two.",
        )
    return {**raw, "info": {**info, name: media}}


def read_frames(frames: pb.Frames) -> tuple[Frame, ...]:
    """Read inline pictures."""
    return tuple(
        Frame(frame.offset.seconds + frame.offset.nanos / 1e9, frame.jpeg)
        for frame in frames.frames
    )


def read_filter(request: pb.WatchVerdictsRequest) -> VerdictFilter:
    """Read which verdicts to follow.

    Raises:
        InvalidRequest: a time lies outside of the calendar, or there is no such outcome.
    """
    if request.outcome and request.outcome not in _WANTED:
        raise _invalid("outcome", "enum", f"There is no outcome {request.outcome}.")
    return VerdictFilter(
        request.sensor_id,
        request.category,
        _WANTED.get(request.outcome),
        _moment("since", request.since) if request.HasField("since") else None,
        _moment("until", request.until) if request.HasField("until") else None,
    )


def read_after(request: pb.WatchVerdictsRequest) -> int | None:
    """Read the resume token; None starts with the next verdict.

    Raises:
        InvalidRequest: no verdict ever had it.
    """
    if not request.HasField("after"):
        return None
    if request.after > MAX_SEQ:
        raise _invalid("after", "less_than_equal", "Send the `seq` of a verdict, or leave it out.")
    return request.after


def write_verdict(record: VerdictRecord) -> pb.Verdict:
    """Write a verdict; what only its document holds is taken from there."""
    info = _info_of(record.document)
    verdict = pb.Verdict(
        id=record.id,
        verdict_key=record.key,
        fingerprint=record.fingerprint,
        kind=_KINDS[record.kind],
        sensor_id=record.sensor_id,
        category=record.category,
        seq=record.seq,
        outcome=_OUTCOMES[record.outcome],
        reason=record.reason,
        status=info.get("verificationResponseStatus", ""),
        reasoning=info.get("reasoning", ""),
        description=info.get("description", ""),
        arm=record.arm,
        model=info.get("sidecarModel", ""),
        confidence=_number(info, "sidecarConfidence"),
        frames_asked=_whole(info, "sidecarFramesAsked"),
        frames_seen=_whole(info, "sidecarFramesSeen"),
        document_json=_dump(record.document),
    )
    verdict.timestamp.FromDatetime(record.timestamp)
    verdict.decided_at.FromDatetime(record.decided_at)
    verdict.latency.FromMilliseconds(_whole(info, "sidecarLatencyMs") or 0)
    return verdict


def _info_of(document: Mapping[str, Any]) -> Mapping[str, str]:
    """Return `info`, or as much of it as the `result` of an alert of VSS 2.4 tells."""
    info, result = document.get("info"), document.get("result")
    if isinstance(info, Mapping) or not isinstance(result, Mapping):
        return info if isinstance(info, Mapping) else {}
    facts = {
        "verificationResponseStatus": result.get("error_string") or "OK",
        "reasoning": result.get("reasoning"),
        "description": result.get("description"),
        "sidecarModel": result.get("reviewed_by"),
    }
    return {name: str(value) for name, value in facts.items() if value}


def write_pending(stored: StoredEvent) -> pb.PendingEvent:
    """Write an event that waits for its verdict."""
    identity = str(stored.raw.get("id") or stored.key)
    return pb.PendingEvent(id=identity, verdict_key=stored.key, kind=_KINDS[stored.kind])


def write_refusal(error: RequestError) -> pb.Refusal:
    """Write why an event of a stream was not accepted."""
    row = row_of(error)
    issues = error.issues if isinstance(error, InvalidRequest) else ()
    violations = [
        pb.FieldViolation(field=issue.field, rule=issue.type, message=issue.message)
        for issue in issues
    ]
    return pb.Refusal(
        code=row.grpc,
        reason=row.reason,
        message=error.detail,
        retryable=row.retryable,
        violations=violations,
    )


def _from_fields(fields: pb.EventFields) -> dict[str, Any]:
    """Write typed fields as an incident; what is not set is left out."""
    end = fields.end if fields.HasField("end") else fields.timestamp
    given = {
        "id": fields.id,
        "sensorId": fields.sensor_id,
        "category": fields.category,
        "timestamp": _written("timestamp", fields.timestamp, is_set=fields.HasField("timestamp")),
        "end": _written("end", end, is_set=fields.HasField("timestamp")),
        "objectIds": list(fields.object_ids),
        "place": {"name": fields.place} if fields.place else None,
        "info": dict(fields.info),
    }
    return {name: value for name, value in given.items() if value}


def _written(name: str, moment: Timestamp, *, is_set: bool) -> str:
    try:
        return moment.ToJsonString() if is_set else ""
    except ValueError as error:
        raise _invalid(name, "timestamp_invalid", f"{error}.") from error


def _moment(name: str, moment: Timestamp) -> datetime:
    try:
        return moment.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise _invalid(name, "timestamp_invalid", f"{error}.") from error


def _number(info: Mapping[str, str], key: str) -> float | None:
    return float(info[key]) if info.get(key) else None


def _whole(info: Mapping[str, str], key: str) -> int | None:
    return int(info[key]) if info.get(key) else None


def _dump(document: Mapping[str, Any]) -> bytes:
    return orjson.dumps(dict(document))


def _invalid(field: str, rule: str, message: str) -> InvalidRequest:
    return InvalidRequest((Issue(field, rule, message),))


def read_arm_choice(request: pb.SetArmsRequest) -> ArmChoiceRequest:
    """Read what shall be in force.

    Raises:
        InvalidRequest: names every wrong field.
    """
    asked: dict[str, Any] = {"reason": request.reason, "force": request.force}
    which = request.WhichOneof("choice")
    if which == "policy_json":
        asked["policy"] = parse_json_object(request.policy_json.encode(), MAX_JSON_DEPTH)
    elif which is not None:
        asked[which] = getattr(request, which)
    if request.HasField("version"):
        asked["version"] = request.version
    return validate(ArmChoiceRequest, asked)


def write_arm_choice(choice: ArmChoice) -> pb.ArmChoice:
    """Write what is in force."""
    written = pb.ArmChoice(
        version=choice.version,
        primary=choice.policy.sole or "",
        policy_json=orjson.dumps(write_policy(choice.policy)).decode(),
        actor=choice.actor,
        reason=choice.reason,
    )
    written.chosen_at.FromDatetime(choice.chosen_at)
    return written


def write_arm(state: ArmState) -> pb.Arm:
    """Write how an arm is."""
    written = pb.Arm(
        name=state.name,
        adapter=state.adapter,
        is_primary=state.is_lead,
        model=state.model,
        problem=state.problem,
        answers=state.answers,
        is_shadow=state.is_shadow,
        endpoints=(
            pb.Endpoint(
                url=it.place,
                in_flight=it.in_flight,
                waiting=it.waiting,
                limit=it.limit,
                left_out=it.breaker is Breaker.OPEN,
                problem=it.trouble,
            )
            for it in state.endpoints
        ),
    )
    if state.typical_s is not None:
        written.typical.FromTimedelta(timedelta(seconds=state.typical_s))
    return written
