"""Between what the ledgers store and values of the model: rows in SQLite, JSON in Redis."""

from collections.abc import Sequence
from sqlite3 import Row
from typing import Any, Final

import orjson

from sidecar.errors import Overloaded
from sidecar.model import (
    Delivery,
    DeliveryState,
    EventKind,
    Journey,
    Origin,
    OutboxEntry,
    Outcome,
    StoredEvent,
    VerdictRecord,
)
from sidecar.outside.sqlite import from_microseconds, to_microseconds

NEVER: Final = 2**53
"""A time, in microseconds, that lies behind all others; Redis keeps times as doubles."""


def dump(document: Any) -> bytes:
    """Write JSON; read-only mappings are written as objects."""
    return orjson.dumps(document, default=dict)


def to_row(record: VerdictRecord) -> Sequence[str | int | bytes]:
    """Write a verdict in the order of its columns, without `seq`."""
    return (
        record.key,
        record.id,
        record.fingerprint,
        record.kind,
        record.sensor_id,
        record.category,
        record.outcome,
        record.reason,
        record.arm,
        to_microseconds(record.timestamp),
        to_microseconds(record.decided_at),
        dump(record.document),
    )


def to_record(row: Row) -> VerdictRecord:
    """Read a row of `verdicts`."""
    return VerdictRecord(
        key=row["key"],
        id=row["id"],
        fingerprint=row["fingerprint"],
        kind=EventKind(row["kind"]),
        sensor_id=row["sensor_id"],
        category=row["category"],
        outcome=Outcome(row["outcome"]),
        reason=row["reason"],
        arm=row["arm"],
        timestamp=from_microseconds(row["timestamp"]),
        decided_at=from_microseconds(row["decided_at"]),
        document=orjson.loads(row["document"]),
        seq=row["seq"],
    )


def to_event(row: Row) -> StoredEvent:
    """Read a row of `events`."""
    return StoredEvent(
        key=row["key"],
        kind=EventKind(row["kind"]),
        origin=Origin(row["origin"]),
        raw=orjson.loads(row["raw"]),
        attempt=max(row["attempts"], 1),
        position=row["position"],
    )


def to_entry(row: Row) -> OutboxEntry:
    """Read a row of `outbox` joined with its verdict; its own id is called `delivery`."""
    return OutboxEntry(
        id=row["delivery"],
        sink=row["sink"],
        record=to_record(row),
        attempts=row["attempts"],
        last_error=row["last_error"],
    )


def to_delivery(row: Row) -> Delivery:
    """Read how a delivery fares."""
    state = DeliveryState.DEAD if row["dead"] else DeliveryState.WAITING
    return Delivery(row["sink"], state, row["attempts"], row["last_error"])


def to_journey(found: Sequence[Any]) -> Journey:
    """Read what Redis tells of an event: when it was accepted, and its deliveries."""
    accepted_at, *rows = found
    deliveries = [
        Delivery(sink.decode(), DeliveryState(state.decode()), int(attempts), error.decode())
        for sink, state, attempts, error in rows
    ]
    known = from_microseconds(int(accepted_at)) if accepted_at else None
    return Journey(known, tuple(deliveries))


def dump_record(record: VerdictRecord) -> bytes:
    """Write a verdict as JSON, without `seq`."""
    return dump(
        {
            "key": record.key,
            "id": record.id,
            "fingerprint": record.fingerprint,
            "kind": record.kind,
            "sensor_id": record.sensor_id,
            "category": record.category,
            "outcome": record.outcome,
            "reason": record.reason,
            "arm": record.arm,
            "timestamp": to_microseconds(record.timestamp),
            "decided_at": to_microseconds(record.decided_at),
            "document": record.document,
        }
    )


def load_record(blob: bytes, seq: int) -> VerdictRecord:
    """Read what `dump_record` wrote."""
    fields = orjson.loads(blob)
    fields["kind"] = EventKind(fields["kind"])
    fields["outcome"] = Outcome(fields["outcome"])
    fields["timestamp"] = from_microseconds(fields["timestamp"])
    fields["decided_at"] = from_microseconds(fields["decided_at"])
    return VerdictRecord(**fields, seq=seq)


def overloaded(waiting: int, limit: int) -> Overloaded:
    """Refuse an event for which there is no room."""
    return Overloaded(
        f"{waiting} events wait for verification and at most {limit} may. Send again in a moment; "
        "if this lasts, add a model server or raise SIDECAR_LEDGER__MAX_BACKLOG."
    )


def to_stored_event(fields: Sequence[bytes]) -> StoredEvent:
    """Read an undecided event as Redis tells it."""
    key, kind, origin, raw, attempts, position = fields
    return StoredEvent(
        key=key.decode(),
        kind=EventKind(kind.decode()),
        origin=Origin(origin.decode()),
        raw=orjson.loads(raw),
        attempt=max(int(attempts), 1),
        position=int(position),
    )


def to_outbox_entry(row: Sequence[bytes]) -> OutboxEntry:
    """Read a delivery as Redis tells it."""
    sink, attempts, error, _, seq, record, number = row
    return OutboxEntry(
        id=int(number),
        sink=sink.decode(),
        record=load_record(record, int(seq)),
        attempts=int(attempts),
        last_error=error.decode(),
    )
