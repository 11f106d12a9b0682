"""Who an event is: VSS's document `Id` and the key under which it is decided once."""

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from sidecar.model import EventKind, Origin

_HMAC_KEY: Final = b"HMAC"
_AGAIN: Final = ":again:"
_INCIDENT_FIELDS: Final = (
    ("[info][primaryObjectId]", ("info", "primaryObjectId")),
    ("category", ("category",)),
    ("sensorId", ("sensorId",)),
)
_ALERT_FIELDS: Final = (
    ("[analyticsModule][id]", ("analyticsModule", "id")),
    ("[object][id]", ("object", "id")),
    ("[place][name]", ("place", "name")),
    ("[sensor][id]", ("sensor", "id")),
)


def iso_ms(moment: datetime) -> str:
    """Write a time as VSS does: UTC, three digits of milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def fingerprint(kind: EventKind, raw: Mapping[str, Any], timestamp: datetime) -> str:
    """Compute the document `Id`: hex HMAC-SHA1 of Logstash's fingerprint string.

    `end` and the object ids are not part of it, so the updates of one incident share it.
    Source: services/alert, mdx/utils/elastic_ready.py, and the Logstash pipeline of VSS.
    """
    fields = _INCIDENT_FIELDS if kind is EventKind.INCIDENT else _ALERT_FIELDS
    parts = [(name, text(value_at(raw, path))) for name, path in fields]
    parts = [(name, value) for name, value in parts if value]
    parts.append(("timestamp", iso_ms(timestamp)))
    joined = "".join(f"|{name}|{value}" for name, value in parts) + "|"
    return hmac.new(_HMAC_KEY, joined.encode(), "sha1").hexdigest()


def verdict_key(cohort: str, end: datetime) -> str:
    """Compute the key of a pipeline event: its cohort and its end.

    Two events with one key are the same question, which is answered once. An update that moved the
    end is another one, about another clip; whether it is asked is up to `core.filters`.
    """
    return f"{cohort}:{iso_ms(end)}"


def cohort_key(kind: EventKind, raw: Mapping[str, Any], timestamp: datetime) -> str:
    """Compute what the updates of an event share: VSS's dedup key (clients/dedup_state.py).

    It is the form without `end`. An incident whose objects or completeness changed is another
    cohort. Unlike VSS, an incident without objects keeps its sensor and category in the key, so
    that two cameras never share one.
    """
    module = text(value_at(raw, ("analyticsModule", "id")))
    objects = raw.get("objectIds") or []
    when = iso_ms(timestamp)
    if kind is EventKind.ALERT and not objects:
        sensor, thing = text(value_at(raw, ("sensor", "id"))), text(value_at(raw, ("object", "id")))
        return _join("anomaly", when, (sensor, thing, module))
    sensor = text(raw.get("sensorId") or value_at(raw, ("sensor", "id"))).lower()
    digest = _short_digest(",".join(sorted(map(str, objects))).encode())
    category = text(raw.get("category")).lower()
    tail = (digest, category, module.lower(), str(is_complete(raw)).lower())
    return _join(f"vlm:{_escape(sensor)}", when, tail)


def is_complete(raw: Mapping[str, Any]) -> bool:
    """Tell whether an event says that it is over, by VSS's reading of `info.isComplete`."""
    return text(value_at(raw, ("info", "isComplete"))) in {"true", "True", "TRUE"}


def request_key(origin: Origin, identity: str, body: bytes) -> str:
    """Compute the key of a request that is no pipeline event: the same body is the same question.

    Args:
        origin: what it is for.
        identity: the submitted id.
        body: JSON with its keys in order.
    """
    return _join(origin, _short_digest(body), (identity,))


def again_key(key: str) -> str:
    """Compute the key under which an event is decided once more, though its own is decided."""
    first, number = _times(key)
    return f"{first}{_AGAIN}{number + 1}"


def superseded_key(key: str) -> str:
    """Return the key of the verdict that an event is to replace; "" for an event's first one."""
    first, number = _times(key)
    return f"{first}{_AGAIN}{number - 1}" if number > 1 else first if number else ""


def origin_of(key: str) -> Origin:
    """Tell from its key what an event was submitted for."""
    head = key.partition(":")[0]
    return Origin(head) if head in {Origin.ON_DEMAND, Origin.REVIEW} else Origin.PIPELINE


def value_at(raw: Mapping[str, Any], path: tuple[str, ...]) -> object:
    """Return what lies at a path of an event; None when there is nothing."""
    node: object = raw
    for name in path:
        node = node.get(name) if isinstance(node, Mapping) else None
    return node


def text(value: object) -> str:
    """Write a scalar of an event as a string; None is ""."""
    return "" if value is None else str(value)


def _times(key: str) -> tuple[str, int]:
    """Return the first key of an event, and how often it was to be decided again.

    No other key ends like that: the last part is a time, or a name whose colons are escaped.
    """
    first, mark, number = key.rpartition(_AGAIN)
    return (first, int(number)) if mark and number.isdecimal() else (key, 0)


def _short_digest(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()[:16]


def _join(head: str, middle: str, tail: Iterable[str]) -> str:
    return ":".join((head, middle, *map(_escape, tail)))


def _escape(part: str) -> str:
    """Keep the parts apart when one holds the separator."""
    return part.replace("%", "%25").replace(":", "%3A")
