import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from sidecar.pb.nv import ext_pb2 as _ext_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class EventKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVENT_KIND_UNSPECIFIED: _ClassVar[EventKind]
    EVENT_KIND_INCIDENT: _ClassVar[EventKind]
    EVENT_KIND_ALERT: _ClassVar[EventKind]

class Outcome(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    OUTCOME_UNSPECIFIED: _ClassVar[Outcome]
    OUTCOME_CONFIRMED: _ClassVar[Outcome]
    OUTCOME_REJECTED: _ClassVar[Outcome]
    OUTCOME_FAILED: _ClassVar[Outcome]
    OUTCOME_DESCRIBED: _ClassVar[Outcome]
EVENT_KIND_UNSPECIFIED: EventKind
EVENT_KIND_INCIDENT: EventKind
EVENT_KIND_ALERT: EventKind
OUTCOME_UNSPECIFIED: Outcome
OUTCOME_CONFIRMED: Outcome
OUTCOME_REJECTED: Outcome
OUTCOME_FAILED: Outcome
OUTCOME_DESCRIBED: Outcome

class Event(_message.Message):
    __slots__ = ("fields", "incident", "behavior", "json", "review_alert", "frames", "clip", "url")
    FIELDS_FIELD_NUMBER: _ClassVar[int]
    INCIDENT_FIELD_NUMBER: _ClassVar[int]
    BEHAVIOR_FIELD_NUMBER: _ClassVar[int]
    JSON_FIELD_NUMBER: _ClassVar[int]
    REVIEW_ALERT_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    CLIP_FIELD_NUMBER: _ClassVar[int]
    URL_FIELD_NUMBER: _ClassVar[int]
    fields: EventFields
    incident: _ext_pb2.Incident
    behavior: _ext_pb2.Behavior
    json: bytes
    review_alert: bytes
    frames: Frames
    clip: bytes
    url: str
    def __init__(self, fields: _Optional[_Union[EventFields, _Mapping]] = ..., incident: _Optional[_Union[_ext_pb2.Incident, _Mapping]] = ..., behavior: _Optional[_Union[_ext_pb2.Behavior, _Mapping]] = ..., json: _Optional[bytes] = ..., review_alert: _Optional[bytes] = ..., frames: _Optional[_Union[Frames, _Mapping]] = ..., clip: _Optional[bytes] = ..., url: _Optional[str] = ...) -> None: ...

class EventFields(_message.Message):
    __slots__ = ("id", "sensor_id", "category", "timestamp", "end", "object_ids", "place", "info")
    class InfoEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ID_FIELD_NUMBER: _ClassVar[int]
    SENSOR_ID_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    OBJECT_IDS_FIELD_NUMBER: _ClassVar[int]
    PLACE_FIELD_NUMBER: _ClassVar[int]
    INFO_FIELD_NUMBER: _ClassVar[int]
    id: str
    sensor_id: str
    category: str
    timestamp: _timestamp_pb2.Timestamp
    end: _timestamp_pb2.Timestamp
    object_ids: _containers.RepeatedScalarFieldContainer[str]
    place: str
    info: _containers.ScalarMap[str, str]
    def __init__(self, id: _Optional[str] = ..., sensor_id: _Optional[str] = ..., category: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., object_ids: _Optional[_Iterable[str]] = ..., place: _Optional[str] = ..., info: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Frames(_message.Message):
    __slots__ = ("frames",)
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    frames: _containers.RepeatedCompositeFieldContainer[Frame]
    def __init__(self, frames: _Optional[_Iterable[_Union[Frame, _Mapping]]] = ...) -> None: ...

class Frame(_message.Message):
    __slots__ = ("jpeg", "offset")
    JPEG_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    jpeg: bytes
    offset: _duration_pb2.Duration
    def __init__(self, jpeg: _Optional[bytes] = ..., offset: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class VerifyRequest(_message.Message):
    __slots__ = ("event", "dry_run")
    EVENT_FIELD_NUMBER: _ClassVar[int]
    DRY_RUN_FIELD_NUMBER: _ClassVar[int]
    event: Event
    dry_run: bool
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ..., dry_run: _Optional[bool] = ...) -> None: ...

class VerifyResponse(_message.Message):
    __slots__ = ("verdict", "dropped")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    dropped: str
    def __init__(self, verdict: _Optional[_Union[Verdict, _Mapping]] = ..., dropped: _Optional[str] = ...) -> None: ...

class SubmitRequest(_message.Message):
    __slots__ = ("event",)
    EVENT_FIELD_NUMBER: _ClassVar[int]
    event: Event
    def __init__(self, event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class SubmitResponse(_message.Message):
    __slots__ = ("receipt",)
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    receipt: Receipt
    def __init__(self, receipt: _Optional[_Union[Receipt, _Mapping]] = ...) -> None: ...

class Receipt(_message.Message):
    __slots__ = ("id", "verdict_key", "dropped")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_KEY_FIELD_NUMBER: _ClassVar[int]
    DROPPED_FIELD_NUMBER: _ClassVar[int]
    id: str
    verdict_key: str
    dropped: str
    def __init__(self, id: _Optional[str] = ..., verdict_key: _Optional[str] = ..., dropped: _Optional[str] = ...) -> None: ...

class SubmitStreamRequest(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[StreamedEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[StreamedEvent, _Mapping]]] = ...) -> None: ...

class StreamedEvent(_message.Message):
    __slots__ = ("sequence", "event")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    event: Event
    def __init__(self, sequence: _Optional[int] = ..., event: _Optional[_Union[Event, _Mapping]] = ...) -> None: ...

class SubmitStreamResponse(_message.Message):
    __slots__ = ("acks",)
    ACKS_FIELD_NUMBER: _ClassVar[int]
    acks: _containers.RepeatedCompositeFieldContainer[Ack]
    def __init__(self, acks: _Optional[_Iterable[_Union[Ack, _Mapping]]] = ...) -> None: ...

class Ack(_message.Message):
    __slots__ = ("sequence", "receipt", "refusal")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    REFUSAL_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    receipt: Receipt
    refusal: Refusal
    def __init__(self, sequence: _Optional[int] = ..., receipt: _Optional[_Union[Receipt, _Mapping]] = ..., refusal: _Optional[_Union[Refusal, _Mapping]] = ...) -> None: ...

class Refusal(_message.Message):
    __slots__ = ("code", "reason", "message", "retryable", "violations")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    RETRYABLE_FIELD_NUMBER: _ClassVar[int]
    VIOLATIONS_FIELD_NUMBER: _ClassVar[int]
    code: str
    reason: str
    message: str
    retryable: bool
    violations: _containers.RepeatedCompositeFieldContainer[FieldViolation]
    def __init__(self, code: _Optional[str] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., retryable: _Optional[bool] = ..., violations: _Optional[_Iterable[_Union[FieldViolation, _Mapping]]] = ...) -> None: ...

class FieldViolation(_message.Message):
    __slots__ = ("field", "rule", "message")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    field: str
    rule: str
    message: str
    def __init__(self, field: _Optional[str] = ..., rule: _Optional[str] = ..., message: _Optional[str] = ...) -> None: ...

class WatchVerdictsRequest(_message.Message):
    __slots__ = ("sensor_id", "category", "outcome", "since", "until", "after")
    SENSOR_ID_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    SINCE_FIELD_NUMBER: _ClassVar[int]
    UNTIL_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    sensor_id: str
    category: str
    outcome: Outcome
    since: _timestamp_pb2.Timestamp
    until: _timestamp_pb2.Timestamp
    after: int
    def __init__(self, sensor_id: _Optional[str] = ..., category: _Optional[str] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., since: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., after: _Optional[int] = ...) -> None: ...

class WatchVerdictsResponse(_message.Message):
    __slots__ = ("verdict",)
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    def __init__(self, verdict: _Optional[_Union[Verdict, _Mapping]] = ...) -> None: ...

class GetVerdictRequest(_message.Message):
    __slots__ = ("id",)
    ID_FIELD_NUMBER: _ClassVar[int]
    id: str
    def __init__(self, id: _Optional[str] = ...) -> None: ...

class GetVerdictResponse(_message.Message):
    __slots__ = ("verdict", "pending")
    VERDICT_FIELD_NUMBER: _ClassVar[int]
    PENDING_FIELD_NUMBER: _ClassVar[int]
    verdict: Verdict
    pending: PendingEvent
    def __init__(self, verdict: _Optional[_Union[Verdict, _Mapping]] = ..., pending: _Optional[_Union[PendingEvent, _Mapping]] = ...) -> None: ...

class PendingEvent(_message.Message):
    __slots__ = ("id", "verdict_key", "kind")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_KEY_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    id: str
    verdict_key: str
    kind: EventKind
    def __init__(self, id: _Optional[str] = ..., verdict_key: _Optional[str] = ..., kind: _Optional[_Union[EventKind, str]] = ...) -> None: ...

class Verdict(_message.Message):
    __slots__ = ("id", "verdict_key", "fingerprint", "kind", "sensor_id", "category", "timestamp", "decided_at", "seq", "outcome", "reason", "status", "reasoning", "description", "confidence", "arm", "model", "frames_asked", "frames_seen", "latency", "document_json")
    ID_FIELD_NUMBER: _ClassVar[int]
    VERDICT_KEY_FIELD_NUMBER: _ClassVar[int]
    FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    SENSOR_ID_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    DECIDED_AT_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASONING_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    CONFIDENCE_FIELD_NUMBER: _ClassVar[int]
    ARM_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FRAMES_ASKED_FIELD_NUMBER: _ClassVar[int]
    FRAMES_SEEN_FIELD_NUMBER: _ClassVar[int]
    LATENCY_FIELD_NUMBER: _ClassVar[int]
    DOCUMENT_JSON_FIELD_NUMBER: _ClassVar[int]
    id: str
    verdict_key: str
    fingerprint: str
    kind: EventKind
    sensor_id: str
    category: str
    timestamp: _timestamp_pb2.Timestamp
    decided_at: _timestamp_pb2.Timestamp
    seq: int
    outcome: Outcome
    reason: str
    status: str
    reasoning: str
    description: str
    confidence: float
    arm: str
    model: str
    frames_asked: int
    frames_seen: int
    latency: _duration_pb2.Duration
    document_json: bytes
    def __init__(self, id: _Optional[str] = ..., verdict_key: _Optional[str] = ..., fingerprint: _Optional[str] = ..., kind: _Optional[_Union[EventKind, str]] = ..., sensor_id: _Optional[str] = ..., category: _Optional[str] = ..., timestamp: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., decided_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., seq: _Optional[int] = ..., outcome: _Optional[_Union[Outcome, str]] = ..., reason: _Optional[str] = ..., status: _Optional[str] = ..., reasoning: _Optional[str] = ..., description: _Optional[str] = ..., confidence: _Optional[float] = ..., arm: _Optional[str] = ..., model: _Optional[str] = ..., frames_asked: _Optional[int] = ..., frames_seen: _Optional[int] = ..., latency: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., document_json: _Optional[bytes] = ...) -> None: ...

class ListArmsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListArmsResponse(_message.Message):
    __slots__ = ("arms", "choice")
    ARMS_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    arms: _containers.RepeatedCompositeFieldContainer[Arm]
    choice: ArmChoice
    def __init__(self, arms: _Optional[_Iterable[_Union[Arm, _Mapping]]] = ..., choice: _Optional[_Union[ArmChoice, _Mapping]] = ...) -> None: ...

class SetArmsRequest(_message.Message):
    __slots__ = ("primary", "policy_json", "restore", "reason", "version", "force")
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    POLICY_JSON_FIELD_NUMBER: _ClassVar[int]
    RESTORE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FORCE_FIELD_NUMBER: _ClassVar[int]
    primary: str
    policy_json: str
    restore: int
    reason: str
    version: int
    force: bool
    def __init__(self, primary: _Optional[str] = ..., policy_json: _Optional[str] = ..., restore: _Optional[int] = ..., reason: _Optional[str] = ..., version: _Optional[int] = ..., force: _Optional[bool] = ...) -> None: ...

class SetArmsResponse(_message.Message):
    __slots__ = ("choice",)
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    choice: ArmChoice
    def __init__(self, choice: _Optional[_Union[ArmChoice, _Mapping]] = ...) -> None: ...

class ArmChoice(_message.Message):
    __slots__ = ("version", "primary", "policy_json", "actor", "reason", "chosen_at")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PRIMARY_FIELD_NUMBER: _ClassVar[int]
    POLICY_JSON_FIELD_NUMBER: _ClassVar[int]
    ACTOR_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_AT_FIELD_NUMBER: _ClassVar[int]
    version: int
    primary: str
    policy_json: str
    actor: str
    reason: str
    chosen_at: _timestamp_pb2.Timestamp
    def __init__(self, version: _Optional[int] = ..., primary: _Optional[str] = ..., policy_json: _Optional[str] = ..., actor: _Optional[str] = ..., reason: _Optional[str] = ..., chosen_at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class Arm(_message.Message):
    __slots__ = ("name", "adapter", "is_primary", "model", "problem", "answers", "is_shadow", "typical", "endpoints")
    NAME_FIELD_NUMBER: _ClassVar[int]
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    IS_PRIMARY_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    IS_SHADOW_FIELD_NUMBER: _ClassVar[int]
    TYPICAL_FIELD_NUMBER: _ClassVar[int]
    ENDPOINTS_FIELD_NUMBER: _ClassVar[int]
    name: str
    adapter: str
    is_primary: bool
    model: str
    problem: str
    answers: bool
    is_shadow: bool
    typical: _duration_pb2.Duration
    endpoints: _containers.RepeatedCompositeFieldContainer[Endpoint]
    def __init__(self, name: _Optional[str] = ..., adapter: _Optional[str] = ..., is_primary: _Optional[bool] = ..., model: _Optional[str] = ..., problem: _Optional[str] = ..., answers: _Optional[bool] = ..., is_shadow: _Optional[bool] = ..., typical: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., endpoints: _Optional[_Iterable[_Union[Endpoint, _Mapping]]] = ...) -> None: ...

class Endpoint(_message.Message):
    __slots__ = ("url", "in_flight", "left_out", "problem", "limit", "waiting")
    URL_FIELD_NUMBER: _ClassVar[int]
    IN_FLIGHT_FIELD_NUMBER: _ClassVar[int]
    LEFT_OUT_FIELD_NUMBER: _ClassVar[int]
    PROBLEM_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    WAITING_FIELD_NUMBER: _ClassVar[int]
    url: str
    in_flight: int
    left_out: bool
    problem: str
    limit: int
    waiting: int
    def __init__(self, url: _Optional[str] = ..., in_flight: _Optional[int] = ..., left_out: _Optional[bool] = ..., problem: _Optional[str] = ..., limit: _Optional[int] = ..., waiting: _Optional[int] = ...) -> None: ...
