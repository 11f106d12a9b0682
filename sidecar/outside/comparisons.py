"""What arms said about the same events, and people about them, in the ledger's file."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from sqlite3 import Connection, Row
from typing import Final

from pydantic import TypeAdapter

from sidecar.compared import ComparedEvent, ComparedFilter, Label
from sidecar.errors import StoreUnavailable
from sidecar.model import ArmAnswer
from sidecar.outside.sqlite import Database, from_microseconds, to_microseconds
from sidecar.ports import Clock

ANSWER: Final = TypeAdapter(ArmAnswer)
TRIM_BATCH: Final = 500
"""Events that are forgotten at a time, so that others get their turn."""

_INSERT_EVENT: Final = """
    INSERT INTO compared (key, id, sensor_id, category, timestamp, stored_at)
    VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING
"""
_INSERT_ANSWER: Final = """
    INSERT INTO arm_answers (key, arm, place, answer)
    VALUES (:key, :arm, (SELECT count(*) FROM arm_answers WHERE key = :key), :answer)
    ON CONFLICT (key, arm) DO UPDATE SET answer = excluded.answer
"""
_INSERT_LABEL: Final = """
    INSERT INTO labels (key, truth, labeller, labelled_at, note) VALUES (?, ?, ?, ?, ?)
"""
_LABELS: Final = "SELECT * FROM labels WHERE key = ? ORDER BY number"
_ANSWERS: Final = "SELECT answer FROM arm_answers WHERE key = ? ORDER BY place"
_LATEST_LABEL: Final = (
    "SELECT * FROM labels WHERE key = ? AND withdrawn_at = 0 ORDER BY number DESC LIMIT 1"
)
_HAS_LABEL: Final = (
    "EXISTS (SELECT 1 FROM labels WHERE labels.key = compared.key AND withdrawn_at = 0)"
)
_WITHDRAW: Final = "UPDATE labels SET withdrawn_by = ?, withdrawn_at = ? WHERE number = ?"
_OUTCOME: Final = "CAST(answer AS TEXT) ->> '$.outcome'"
_IS_DISPUTED: Final = f"""
    (SELECT count(DISTINCT {_OUTCOME}) FROM arm_answers
     WHERE arm_answers.key = compared.key AND {_OUTCOME} IN ('confirmed', 'rejected')) > 1
    AND NOT {_HAS_LABEL}
"""  # noqa: S608 - put together from constants of this module
_ADD_DISPUTE: Final = f"""
    INSERT OR IGNORE INTO disputes SELECT position, key, sensor_id, category FROM compared
    WHERE key = :key AND {_IS_DISPUTED}
"""  # noqa: S608 - same
_END_DISPUTE: Final = f"""
    DELETE FROM disputes WHERE key = :key
        AND NOT EXISTS (SELECT 1 FROM compared WHERE key = :key AND {_IS_DISPUTED})
"""  # noqa: S608 - same
_HAS_ANSWER: Final = (
    "EXISTS (SELECT 1 FROM arm_answers WHERE arm_answers.key = compared.key AND arm = ?)"
)
_SUPERFLUOUS: Final = f"""
    SELECT key FROM compared
    WHERE position <= max(
            (SELECT coalesce(max(position), 0) FROM compared) - :keep,
            coalesce((SELECT position FROM compared WHERE stored_at < :before
                      ORDER BY stored_at DESC, position DESC LIMIT 1), 0))
        AND NOT {_HAS_LABEL}
    ORDER BY position LIMIT :batch
"""  # noqa: S608 - put together from constants of this module
_INDEXES: Final = {
    "sensor_id = ?": "INDEXED BY compared_by_sensor",
    "category = ?": "INDEXED BY compared_by_category",
}
_DISPUTE_INDEXES: Final = {
    "disputes.sensor_id = ?": "INDEXED BY disputes_by_sensor",
    "disputes.category = ?": "INDEXED BY disputes_by_category",
}


class SqliteComparisons:
    """Fulfils `ports.Comparisons`. The database belongs to whoever opened it."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    async def ping(self) -> str:
        """Return "" when the file can be read now, else what is wrong."""
        try:
            await self._db.read(lambda db: db.execute("SELECT 1 FROM compared LIMIT 1"))
        except StoreUnavailable as error:
            return error.detail
        return ""

    async def close(self) -> None:
        """Do nothing: there is nothing here to release."""

    async def record(self, events: Sequence[ComparedEvent]) -> None:
        """Store answers; a newer one of the same arm replaces the old."""
        await self._db.write(partial(_record, events, self._now()), durable=False)

    async def label(self, labels: Sequence[tuple[ComparedEvent, Label]]) -> None:
        """Store labels, and events that are not there yet."""
        await self._db.write(partial(_label, labels, self._now()))

    async def withdraw(self, label: Label, by: str, at: datetime) -> bool:
        """Take a label back, if it still counts."""
        return await self._db.write(partial(_withdraw, label, by, to_microseconds(at)))

    async def find(self, key: str) -> ComparedEvent | None:
        """Return an event with all answers, or None."""
        return await self._db.read(partial(_find, key))

    async def labels_of(self, key: str) -> Sequence[Label]:
        """Return every label of an event, oldest first."""
        return await self._db.read(lambda db: [_to_label(it) for it in db.execute(_LABELS, (key,))])

    async def disputes(self) -> int:
        """Return how many events are disputed."""
        sql = "SELECT count(*) FROM disputes"
        return await self._db.read(lambda db: int(db.execute(sql).fetchone()[0]))

    async def events(
        self, wanted: ComparedFilter, *, limit: int, before: int | None = None
    ) -> Sequence[ComparedEvent]:
        """List events, the latest stored first, with a position below `before`."""
        sql, values = build_query(wanted, before)
        return await self._db.read(
            lambda db: [_to_event(row, db) for row in db.execute(sql, (*values, limit)).fetchall()]
        )

    async def trim(self, *, keep: int, stored_before: datetime) -> int:
        """Forget some of the oldest events beyond `keep` or stored before a time."""
        bounds = {"keep": keep, "before": to_microseconds(stored_before), "batch": TRIM_BATCH}
        return await self._db.write(partial(_trim, bounds), durable=False)

    def _now(self) -> int:
        return to_microseconds(self._clock.now())


def build_query(wanted: ComparedFilter, before: int | None) -> tuple[str, Sequence[str | int]]:
    """Write the SELECT; its last parameter, the limit, is left to the caller."""
    first, indexes = ("disputes", _DISPUTE_INDEXES) if wanted.disputed else ("compared", _INDEXES)
    at = "disputes." if wanted.disputed else ""
    terms: dict[str, str | int | None] = {
        f"{at}position < ?": before,
        f"{at}sensor_id = ?": wanted.sensor_id or None,
        f"{at}category = ?": wanted.category or None,
        "timestamp >= ?": None if wanted.since is None else to_microseconds(wanted.since),
        "timestamp <= ?": None if wanted.until is None else to_microseconds(wanted.until),
    }
    kept = {term: value for term, value in terms.items() if value is not None}
    index = next((index for term, index in indexes.items() if term in kept), "")
    where = [*kept, *(_HAS_ANSWER for _ in wanted.arms)]
    if wanted.labelled is not None:
        where.append(_HAS_LABEL if wanted.labelled else f"NOT {_HAS_LABEL}")
    joined = "CROSS JOIN compared USING (position)" if wanted.disputed else ""
    sql = (
        f"SELECT compared.* FROM {first} {index} {joined} "  # noqa: S608
        f"WHERE {' AND '.join(where) or 'TRUE'} ORDER BY {at}position DESC LIMIT ?"
    )
    return sql, (*kept.values(), *wanted.arms)


def _record(events: Iterable[ComparedEvent], now: int, db: Connection) -> None:
    for event in events:
        facts = (event.key, event.id, event.sensor_id, event.category)
        db.execute(_INSERT_EVENT, (*facts, to_microseconds(event.timestamp), now))
        for answer in event.answers:
            written = {"key": event.key, "arm": answer.arm, "answer": ANSWER.dump_json(answer)}
            db.execute(_INSERT_ANSWER, written)
        _settle(event.key, db)


def _label(labels: Sequence[tuple[ComparedEvent, Label]], now: int, db: Connection) -> None:
    for event, label in labels:
        if _find(event.key, db) is None:
            _record([event], now, db)
        at = to_microseconds(label.labelled_at)
        db.execute(_INSERT_LABEL, (label.key, label.truth, label.labeller, at, label.note))
        _settle(label.key, db)


def _withdraw(label: Label, by: str, at: int, db: Connection) -> bool:
    row = db.execute(_LATEST_LABEL, (label.key,)).fetchone()
    if row is None or _to_label(row) != label:
        return False
    db.execute(_WITHDRAW, (by, at, row["number"]))
    _settle(label.key, db)
    return True


def _settle(key: str, db: Connection) -> None:
    """Note whether an event is disputed now."""
    db.execute(_ADD_DISPUTE, {"key": key})
    db.execute(_END_DISPUTE, {"key": key})


def _find(key: str, db: Connection) -> ComparedEvent | None:
    row = db.execute("SELECT * FROM compared WHERE key = ?", (key,)).fetchone()
    return None if row is None else _to_event(row, db)


def _trim(bounds: dict[str, int], db: Connection) -> int:
    keys = [(row["key"],) for row in db.execute(_SUPERFLUOUS, bounds)]
    db.executemany("DELETE FROM compared WHERE key = ?", keys)
    for table in ("arm_answers", "disputes", "labels"):
        db.executemany(f"DELETE FROM {table} WHERE key = ?", keys)  # noqa: S608 - from above
    return len(keys)


def _to_event(row: Row, db: Connection) -> ComparedEvent:
    key = (row["key"],)
    label = db.execute(_LATEST_LABEL, key).fetchone()
    return ComparedEvent(
        key=row["key"],
        id=row["id"],
        sensor_id=row["sensor_id"],
        category=row["category"],
        timestamp=from_microseconds(row["timestamp"]),
        answers=tuple(ANSWER.validate_json(it["answer"]) for it in db.execute(_ANSWERS, key)),
        label=None if label is None else _to_label(label),
        position=row["position"],
    )


def _to_label(row: Row) -> Label:
    return Label(
        key=row["key"],
        truth=None if row["truth"] is None else bool(row["truth"]),
        labeller=row["labeller"],
        labelled_at=from_microseconds(row["labelled_at"]),
        note=row["note"],
        withdrawn_by=row["withdrawn_by"],
        withdrawn_at=from_microseconds(row["withdrawn_at"]) if row["withdrawn_at"] else None,
    )
