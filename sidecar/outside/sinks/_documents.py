"""What the sinks write: the published document in the form that the readers of each expect."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pydantic_core import PydanticCustomError

from sidecar.contract.event import parse_timestamp
from sidecar.core.identity import iso_ms, text, value_at
from sidecar.model import EventKind, VerdictRecord

_DROPPED: Final = frozenset({"embeddings", "kafka", "message", "@timestamp", "@version"})
_TRACKS: Final = ("locations", "smoothLocations")
_END_BITS: Final = 42
_DELAY_BITS: Final = 21


def search_document(record: VerdictRecord) -> dict[str, Any]:
    """Build the document that VSS's Alert Bridge would index.

    Times are UTC with three digits of milliseconds, what Kafka and Logstash add and embeddings are
    left out, and the tracks of alerts are GeoJSON (services/alert, sink_elastic.py). `Id`, `end`
    and `place` are always there, because the schema of video-analytics-api requires them.
    """
    document = {key: item for key, item in record.document.items() if key not in _DROPPED}
    document["Id"] = record.fingerprint
    document["timestamp"] = iso_ms(record.timestamp)
    document["end"] = iso_ms(end_of(record))
    document.setdefault("place", {"name": ""})
    if isinstance(document.get("object"), Mapping):
        document["object"] = _without_embeddings(document["object"])
    if record.kind is EventKind.ALERT:
        tracks = {name: document[name] for name in _TRACKS if name in document}
        document.update({name: _geo_json(track) for name, track in tracks.items()})
    return document


def end_of(record: VerdictRecord) -> datetime:
    """Return when the event ended; its timestamp when it does not tell."""
    try:
        return parse_timestamp(record.document.get("end"))
    except PydanticCustomError:
        return record.timestamp


def version_of(record: VerdictRecord) -> int:
    """Number the state of a document, so that an older one never replaces a newer one.

    The updates of an incident share the `Id` and differ in `end`: the later `end` is newer, and of
    one `end` the later decision, to the second and up to 24 days after it. Both are facts of the
    event, so ledgers that do not know each other, or were begun anew, agree; and the number is
    larger than any that Elasticsearch itself counts to. Fits into 63 bits.
    """
    end = end_of(record)
    end_ms = _within(int(end.timestamp() * 1000), _END_BITS)
    delay_s = _within(int((record.decided_at - end).total_seconds()), _DELAY_BITS)
    return end_ms << _DELAY_BITS | delay_s


def day_of(record: VerdictRecord) -> str:
    """Return the UTC day of the event as `YYYY-MM-DD`."""
    return record.timestamp.astimezone(UTC).date().isoformat()


def first_text(record: VerdictRecord, *paths: str) -> str:
    """Return the first value that is not empty at these dotted paths of the document."""
    found = (text(value_at(record.document, tuple(path.split(".")))) for path in paths)
    return next(filter(None, found), "")


def _within(number: int, bits: int) -> int:
    return min(max(number, 0), (1 << bits) - 1)


def _without_embeddings(thing: Mapping[str, Any]) -> dict[str, Any]:
    box = thing.get("bbox3d")
    if not isinstance(box, Mapping):
        return dict(thing)
    return {**thing, "bbox3d": {key: item for key, item in box.items() if key != "embeddings"}}


def _geo_json(track: object) -> object:
    """Turn `{"type": "linestring", "coordinates": [{"point": [..]}]}` into GeoJSON."""
    if not isinstance(track, Mapping):
        return track
    points = track.get("coordinates") or ()
    flat = [point["point"] if isinstance(point, Mapping) else point for point in points]
    kind = "LineString" if track.get("type") == "linestring" else track.get("type")
    return {**track, "type": kind, "coordinates": flat}
