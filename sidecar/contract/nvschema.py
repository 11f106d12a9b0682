"""Between NvSchema protobuf (package `nv`) and the JSON objects that the service works on.

The only user of `sidecar.pb`. The mapping is that of the Alert Bridge (services/alert,
utils/schema_util.py): a message becomes its canonical protobuf JSON with defaults written out; on
the way back an incident keeps every field that nv.Incident has, a behaviour those that VSS maps.
What we add to it: a value of the wrong type costs that one field instead of the whole verdict.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

from google.protobuf.json_format import ParseDict, ParseError, SerializeToJsonError
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from sidecar.contract.enrich import as_text
from sidecar.contract.event import parse_timestamp
from sidecar.contract.protojson import to_json_object
from sidecar.errors import InvalidRequest, Issue, MalformedPayload
from sidecar.model import EventKind
from sidecar.pb.nv.ext_pb2 import Behavior, Incident

PROTOBUF: Final = "application/x-protobuf"
"""The content type by which VSS's HTTP routes know a serialized message."""
UNMAPPED: Final = "sidecarUnmapped"
"""Key of `info` that names the fields whose values the schema cannot hold."""

_REQUIRED: Final = ("sensorId", "timestamp", "end", "category")
_TIMES: Final = ("timestamp", "end")
_EPOCH: Final = "1970-01-01T00:00:00Z"
_INCIDENT_FIELDS: Final = frozenset(Incident.DESCRIPTOR.fields_by_name) - {"info"}
_BEHAVIOR_FIELDS: Final = (
    "id",
    "edges",
    "distance",
    "speed",
    "speedOverTime",
    "timeInterval",
    "bearing",
    "direction",
    "length",
    "locations",
    "smoothLocations",
    "videoPath",
)
"""What VSS copies from a behaviour as it is."""


def from_protobuf(body: bytes, kind: EventKind) -> dict[str, Any]:
    """Read a serialized nv.Incident, or nv.Behavior for an alert, as the JSON object that VSS sees.

    Scalars, lists and maps are always there, with their defaults; messages only when set. Times are
    RFC 3339 in UTC with 0, 3, 6 or 9 decimals. Fields that the schema does not know are dropped.

    Raises:
        MalformedPayload: the bytes are not such a message.
        InvalidRequest: an incident lacks a field that VSS requires (issues `missing`).
    """
    message = Incident() if kind is EventKind.INCIDENT else Behavior()
    try:
        message.ParseFromString(body)
    except DecodeError as error:
        raise _malformed(message, error) from error
    return from_message(message)


def from_message(message: Incident | Behavior) -> dict[str, Any]:
    """Read a message as `from_protobuf` reads its bytes.

    Raises:
        MalformedPayload: a value cannot be written as JSON.
        InvalidRequest: an incident lacks a field that VSS requires (issues `missing`).
    """
    try:
        raw = to_json_object(message)
    except (ValueError, SerializeToJsonError) as error:
        raise _malformed(message, error) from error
    return _complete(raw) if isinstance(message, Incident) else _without_unset_times(raw)


def to_protobuf(document: Mapping[str, Any], kind: EventKind) -> bytes:
    """Write a published document as a serialized nv.Incident, or nv.Behavior for an alert.

    What the schema has no field for is lost, as in VSS: `Id` and `type`, and of an incident `id`.
    `info` carries the answer and its provenance; its values become strings. A known field with a
    value that does not fit is left out and named in `info.sidecarUnmapped`. The bytes of equal
    documents are equal.
    """
    info = _texts(document.get("info"))
    if kind is EventKind.INCIDENT:
        message: Incident | Behavior = Incident(info=info)
        mapped = _map_incident(document)
    else:
        message = Behavior(info=info)
        mapped = _map_behavior(document)
    try:
        ParseDict(mapped, message, ignore_unknown_fields=True)
    except ParseError:
        _fill_what_fits(message, mapped)
    return message.SerializeToString(deterministic=True)


def _malformed(message: Message, error: Exception) -> MalformedPayload:
    name = message.DESCRIPTOR.full_name
    return MalformedPayload(f"Invalid Protobuf payload: {error}. Send a serialized {name}.")


def _complete(raw: dict[str, Any]) -> dict[str, Any]:
    """Refuse an incident as VSS does: in proto3 a string that is empty was not sent."""
    missing = [name for name in _REQUIRED if not raw.get(name)]
    if missing:
        raise InvalidRequest(tuple(Issue(name, "missing", "Field required") for name in missing))
    return raw


def _without_unset_times(raw: dict[str, Any]) -> dict[str, Any]:
    """Leave out a behaviour's times at the epoch: VSS's encoder writes that for none."""
    return {key: it for key, it in raw.items() if not (key in _TIMES and it == _EPOCH)}


def _map_incident(document: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name in _INCIDENT_FIELDS}


def _map_behavior(document: Mapping[str, Any]) -> dict[str, Any]:
    module = _picked(document.get("analyticsModule"), "id", "info")
    sensor = _picked(document.get("sensor"), "id")
    dropped = {"dropped": str(document.get("dropped", False))}
    embeddings = document.get("embeddings")
    return {
        **{name: document[name] for name in _BEHAVIOR_FIELDS if document.get(name)},
        **{name: document.get(name) or _EPOCH for name in _TIMES},
        "place": _picked(document.get("place"), "name"),
        "sensor": {"id": sensor.get("id") or document.get("sensorId")},
        "analyticsModule": {**module, "info": {**dropped, **_texts(module.get("info"))}},
        "object": _picked(document.get("object"), "id", "type", "confidence"),
        "embeddings": [
            _picked(it, "vector") for it in (embeddings if isinstance(embeddings, list) else [])
        ],
    }


def _fill_what_fits(message: Incident | Behavior, mapped: Mapping[str, Any]) -> None:
    """Set the fields one by one, and name those in `info` that could not be set."""
    unmapped = []
    for name, value in mapped.items():
        message.ClearField(name)
        written = _rfc3339(value) if name in _TIMES else value
        try:
            ParseDict({name: written}, message, ignore_unknown_fields=True)
        except ParseError:
            message.ClearField(name)
            unmapped.append(name)
    if unmapped:
        message.info[UNMAPPED] = ",".join(sorted(unmapped))


def _picked(value: object, *names: str) -> dict[str, Any]:
    given = value if isinstance(value, Mapping) else {}
    return {name: given[name] for name in names if name in given}


def _texts(info: object) -> dict[str, str]:
    given = info if isinstance(info, Mapping) else {}
    return {key: as_text(value) for key, value in given.items()}


def _rfc3339(value: Any) -> Any:
    """Write a time that our doors take, such as one with a space for `T`, as protobuf takes it."""
    with suppress(ValueError):
        Timestamp().FromJsonString(value)
        return value  # as it is, with its nanoseconds
    with suppress(ValueError):
        return parse_timestamp(value).isoformat()
    return value
