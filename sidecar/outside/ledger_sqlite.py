"""The ledger of one machine, in SQLite. `schema.sql` describes its tables."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from sqlite3 import Connection, Row
from typing import Final, TypeVar

import orjson

from sidecar.audit import Attribution
from sidecar.errors import Overloaded, StoreUnavailable
from sidecar.model import (
    NO_RULES,
    Accepted,
    FilterRules,
    Journey,
    Offer,
    OutboxEntry,
    OutboxLevels,
    StoredEvent,
    VerdictFilter,
    VerdictRecord,
    VerifyEvent,
)
from sidecar.outside.accepting import Acceptor, names_of, read_verdict, remember
from sidecar.outside.audit import insert_entry, replayed
from sidecar.outside.ledger_rows import (
    NEVER,
    dump,
    to_delivery,
    to_entry,
    to_event,
    to_record,
    to_row,
)
from sidecar.outside.sqlite import Database, from_microseconds, to_microseconds
from sidecar.ports import Clock
from sidecar.settings import LedgerSettings

T = TypeVar("T")

_CLAIM: Final = """
    UPDATE events SET claimed = 1, attempts = attempts + 1
    WHERE position IN (
        SELECT position FROM events WHERE claimed = 0 AND key IN (SELECT value FROM json_each(?)))
    RETURNING position, key, kind, origin, raw, attempts
"""
_SELECT_WAITING: Final = """
    SELECT position, key, kind, origin, raw, attempts
    FROM events INDEXED BY events_unclaimed
    WHERE claimed = 0 AND position > ? ORDER BY position LIMIT ?
"""
_INSERT_VERDICT: Final = """
    INSERT INTO verdicts (key, id, fingerprint, kind, sensor_id, category, outcome, reason, arm,
        timestamp, decided_at, document, accepted_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,
        coalesce((SELECT accepted_at FROM events WHERE key = ?), 0))
    ON CONFLICT (key) DO NOTHING RETURNING seq
"""
# An entry stands behind the other entries of its fingerprint that still have to be delivered.
# It is due since 1970: a clock that is set back must not delay what was never tried.
_INSERT_DELIVERY: Final = """
    INSERT INTO outbox (seq, sink, fingerprint, next_at, behind)
    VALUES (:seq, :sink, :fingerprint, 0, EXISTS (
        SELECT 1 FROM outbox INDEXED BY outbox_line
        WHERE sink = :sink AND fingerprint = :fingerprint AND dead = 0))
"""
_REVIVE_DELIVERY: Final = """
    UPDATE outbox SET dead = 0, attempts = 0, next_at = :now, behind = EXISTS (
        SELECT 1 FROM outbox AS other INDEXED BY outbox_line
        WHERE other.sink = outbox.sink AND other.fingerprint = outbox.fingerprint
            AND other.dead = 0)
    WHERE id = :id AND dead = 1
"""
_ADVANCE_LINE: Final = """
    UPDATE outbox SET behind = 0 WHERE behind = 1 AND id = (
        SELECT id FROM outbox INDEXED BY outbox_line
        WHERE sink = ? AND fingerprint = ? AND dead = 0 ORDER BY id LIMIT 1)
"""
_SELECT_DUE: Final = """
    WITH ready (id) AS (
        SELECT * FROM (
            SELECT id FROM outbox INDEXED BY outbox_due
            WHERE sink = :sink AND dead = 0 AND behind = 0 AND next_at <= :now
                AND id NOT IN (SELECT value FROM json_each(:skip))
            ORDER BY next_at, id LIMIT :limit)
        UNION ALL
        SELECT * FROM (
            SELECT id FROM outbox INDEXED BY outbox_due
            WHERE sink = :sink AND dead = 0 AND behind = 0 AND next_at > :horizon
                AND id NOT IN (SELECT value FROM json_each(:skip))
            ORDER BY next_at, id LIMIT :limit))
    SELECT outbox.id AS delivery, sink, attempts, last_error, verdicts.*
    FROM ready CROSS JOIN outbox USING (id) CROSS JOIN verdicts USING (seq)
    ORDER BY next_at, outbox.id LIMIT :limit
"""
SELECT_DELIVERIES: Final = """
    SELECT sink, attempts, last_error, dead FROM outbox INDEXED BY outbox_of_verdict
    WHERE seq = ? ORDER BY id
"""
COUNT_WAITING: Final = """
    SELECT sink, count(*) AS entries FROM outbox INDEXED BY outbox_due
    WHERE dead = 0 AND behind = 0 GROUP BY sink
"""
COUNT_DEAD: Final = "SELECT count(*) FROM outbox INDEXED BY outbox_dead WHERE dead = 1"
SELECT_DEAD: Final = """
    SELECT outbox.id AS delivery, sink, attempts, last_error, verdicts.*
    FROM outbox INDEXED BY outbox_dead CROSS JOIN verdicts USING (seq)
    WHERE dead = 1 AND outbox.id > ? ORDER BY outbox.id LIMIT ?
"""


class SqliteLedger:
    """Fulfils `ports.Ledger` for one process. The database belongs to whoever opened it."""

    def __init__(self, db: Database, settings: LedgerSettings, clock: Clock) -> None:
        self._db = db
        self._acceptor = Acceptor(settings.max_backlog)
        self._clock = clock

    async def ping(self) -> str:
        """Return "" when the file can be written now, else what is wrong."""
        try:
            await self._db.write(lambda db: db.execute("UPDATE backlog SET events = events"))
        except StoreUnavailable as error:
            return error.detail
        return ""

    async def close(self) -> None:
        """Do nothing: there is nothing here to release."""

    async def risks(self) -> Sequence[str]:
        """Return nothing: every write is synced to the disk."""
        return ()

    async def recover(self) -> int:
        """Put back what a dead process had claimed; the attempts stay counted.

        Call it once, before the first `claim`.

        Returns:
            How many events were put back.
        """
        sql = "UPDATE events SET claimed = 0 WHERE claimed = 1"
        return await self._db.write(lambda db: db.execute(sql).rowcount)

    async def accept(
        self, event: VerifyEvent, *, claim: bool = False, rules: FilterRules = NO_RULES
    ) -> Accepted:
        """Store an event, or find that its key is known; its id is remembered either way."""
        [answer] = await self.accept_all([Offer(event, rules, claim)])
        if isinstance(answer, Overloaded):
            raise answer
        return answer

    async def accept_all(self, offers: Sequence[Offer]) -> Sequence[Accepted | Overloaded]:
        """Do for each what `accept` does, in one transaction."""
        rows = [(offer, dump(offer.event.raw)) for offer in offers]
        return await self._db.write(partial(self._acceptor.accept, rows, self._now()))

    async def waiting(self, *, after: int, limit: int) -> Sequence[StoredEvent]:
        """List undecided events that nobody works on."""
        rows = await self._db.read(
            lambda db: db.execute(_SELECT_WAITING, (after, limit)).fetchall()
        )
        return [to_event(row) for row in rows]

    async def claim(self, keys: Sequence[str]) -> Sequence[StoredEvent]:
        """Take up undecided events. Cancelled, it may leave events claimed until `recover`."""
        wanted = orjson.dumps(list(keys)).decode()
        rows = await self._db.write(
            lambda db: db.execute(_CLAIM, (wanted,)).fetchall(), durable=False
        )
        return [to_event(row) for row in sorted(rows, key=lambda row: int(row["position"]))]

    async def release(self, key: str) -> None:
        """Put a claimed event back undecided, without counting the attempt."""
        sql = "UPDATE events SET claimed = 0, attempts = attempts - 1 WHERE key = ? AND claimed = 1"
        await self._db.write(lambda db: db.execute(sql, (key,)), durable=False)

    async def commit(self, record: VerdictRecord, sinks: Sequence[str]) -> VerdictRecord | None:
        """Store a verdict and its outbox entries in one transaction; None when decided before."""
        row = to_row(record)
        seq = await self._db.write(partial(_commit, record, row, sinks))
        return None if seq is None else replace(record, seq=seq)

    async def lookup(self, identity: str) -> VerdictRecord | StoredEvent | None:
        """Find what a name stands for: the latest decided, else the latest accepted."""
        return await self._db.read(partial(_lookup, identity))

    async def query(
        self, wanted: VerdictFilter, *, limit: int, before: int | None = None
    ) -> Sequence[VerdictRecord]:
        """List verdicts, newest first, with `seq` below `before`."""
        bound = {} if before is None else {"seq < ?": before}
        sql, values = build_query(wanted, bound, "DESC")
        return await self._db.read(_fetch(sql, (*values, limit), to_record))

    async def since(
        self, wanted: VerdictFilter, *, after: int, limit: int
    ) -> Sequence[VerdictRecord]:
        """List verdicts, oldest first, with `seq` above `after`."""
        sql, values = build_query(wanted, {"seq > ?": after}, "ASC")
        return await self._db.read(_fetch(sql, (*values, limit), to_record))

    async def last_seq(self) -> int:
        """Return the `seq` of the newest verdict; 0 when there is none."""
        return await self._number("SELECT coalesce(max(seq), 0) FROM verdicts")

    async def journey(self, seq: int) -> Journey:
        """Tell of the event of a verdict when it was accepted, and how its deliveries fare."""
        return await self._db.read(partial(_journey, seq))

    async def backlog(self) -> int:
        """Return how many accepted events are undecided."""
        return await self._number("SELECT events FROM backlog")

    async def due(
        self,
        sink: str,
        now: datetime,
        limit: int,
        *,
        horizon: datetime | None = None,
        skip: Collection[int] = (),
    ) -> Sequence[OutboxEntry]:
        """List deliveries whose time has come, oldest first, one at a time per fingerprint."""
        values: dict[str, str | int | bytes] = {
            "sink": sink,
            "now": to_microseconds(now),
            "horizon": to_microseconds(horizon) if horizon else NEVER,
            "limit": limit,
            "skip": dump(sorted(skip)).decode(),
        }
        return await self._db.read(_fetch(_SELECT_DUE, values, to_entry))

    async def mark_sent(self, entries: Sequence[OutboxEntry]) -> None:
        """Forget deliveries that succeeded; the next of their fingerprints become due."""
        await self._db.write(partial(_forget, entries), durable=False)

    async def mark_failed(self, entry: OutboxEntry, error: str, retry_at: datetime | None) -> None:
        """Schedule the next delivery, or make the entry a dead letter when `retry_at` is None."""
        next_at = None if retry_at is None else to_microseconds(retry_at)
        await self._db.write(partial(_fail, entry, error, next_at))

    async def dead_letters(self, *, limit: int, after: int = 0) -> Sequence[OutboxEntry]:
        """List deliveries that were given up, oldest first, with an id above `after`."""
        return await self._db.read(_fetch(SELECT_DEAD, (after, limit), to_entry))

    async def outbox_levels(self) -> OutboxLevels:
        """Return how much is to be delivered, and how much was given up."""
        return await self._db.read(_levels)

    async def replay(self, ids: Sequence[int] | None, by: Attribution | None = None) -> int:
        """Schedule dead letters again, with all their attempts. Returns how many."""
        return await self._db.write(partial(_revive, ids, by, self._now()))

    def _now(self) -> int:
        return to_microseconds(self._clock.now())

    async def _number(self, sql: str) -> int:
        return await self._db.read(lambda db: int(db.execute(sql).fetchone()[0]))


def build_query(
    wanted: VerdictFilter, bound: dict[str, int], order: str
) -> tuple[str, Sequence[str | int]]:
    """Write the SELECT that lists verdicts; its last parameter, the limit, is left to the caller.

    The inner SELECT finds the rows in one index without reading documents. The index is named,
    so that the plan does not depend on statistics.
    """
    terms: dict[str, str | int] = {**bound}
    terms |= _filter_terms(wanted)
    index = next((index for term, index in _INDEXES.items() if term in terms), "")
    sql = f"""
        SELECT * FROM verdicts WHERE seq IN (
            SELECT seq FROM verdicts {index} WHERE {" AND ".join(terms) or "TRUE"}
            ORDER BY seq {order} LIMIT ?)
        ORDER BY seq {order}
    """  # noqa: S608 - put together from constants of this module
    return sql, tuple(terms.values())


_INDEXES: Final = {
    "sensor_id = ?": "INDEXED BY verdicts_by_sensor",
    "category = ?": "INDEXED BY verdicts_by_category",
    "outcome = ?": "INDEXED BY verdicts_by_outcome",
    "timestamp >= ?": "INDEXED BY verdicts_by_time",
    "timestamp <= ?": "INDEXED BY verdicts_by_time",
}
"""Which index serves a query that has a term; the first that fits is taken."""


def _filter_terms(wanted: VerdictFilter) -> dict[str, str | int]:
    terms: dict[str, str | int] = {}
    if wanted.sensor_id:
        terms["sensor_id = ?"] = wanted.sensor_id
    if wanted.category:
        terms["category = ?"] = wanted.category
    if wanted.outcome is not None:
        terms["outcome = ?"] = wanted.outcome
    if wanted.since is not None:
        terms["timestamp >= ?"] = to_microseconds(wanted.since)
    if wanted.until is not None:
        terms["timestamp <= ?"] = to_microseconds(wanted.until)
    return terms


def _fetch(
    sql: str,
    values: Sequence[str | int] | Mapping[str, str | int | bytes],
    convert: Callable[[Row], T],
) -> Callable[[Connection], list[T]]:
    return lambda db: [convert(row) for row in db.execute(sql, values)]


def _lookup(identity: str, db: Connection) -> VerdictRecord | StoredEvent | None:
    found = db.execute(
        "SELECT seq, position FROM identities WHERE identity = ?"
        " ORDER BY seq DESC, position DESC LIMIT 1",
        (identity,),
    ).fetchone()
    if found is None:
        return None
    if found["seq"]:
        return read_verdict(db, found["seq"])
    return to_event(
        db.execute("SELECT * FROM events WHERE position = ?", (found["position"],)).fetchone()
    )


def _journey(seq: int, db: Connection) -> Journey:
    row = db.execute("SELECT accepted_at FROM verdicts WHERE seq = ?", (seq,)).fetchone()
    accepted_at = from_microseconds(row["accepted_at"]) if row and row["accepted_at"] else None
    return Journey(
        accepted_at, tuple(to_delivery(it) for it in db.execute(SELECT_DELIVERIES, (seq,)))
    )


def _levels(db: Connection) -> OutboxLevels:
    waiting = {row["sink"]: row["entries"] for row in db.execute(COUNT_WAITING)}
    return OutboxLevels(waiting, int(db.execute(COUNT_DEAD).fetchone()[0]))


def _commit(
    record: VerdictRecord,
    row: Sequence[str | int | bytes],
    sinks: Sequence[str],
    db: Connection,
) -> int | None:
    inserted = db.execute(_INSERT_VERDICT, (*row, record.key)).fetchone()
    if inserted is None:
        return None
    seq = int(inserted["seq"])
    db.execute(
        "UPDATE identities SET seq = ?, position = 0"
        " WHERE seq = 0 AND position = (SELECT position FROM events WHERE key = ?)",
        (seq, record.key),
    )
    db.execute("DELETE FROM events WHERE key = ?", (record.key,))
    remember(db, names_of(record, seq=seq))
    shared = {"seq": seq, "fingerprint": _line(record)}
    db.executemany(_INSERT_DELIVERY, [{**shared, "sink": sink} for sink in sinks])
    return seq


def _forget(entries: Sequence[OutboxEntry], db: Connection) -> None:
    db.executemany("DELETE FROM outbox WHERE id = ?", [(entry.id,) for entry in entries])
    _advance(db, entries)


def _fail(entry: OutboxEntry, error: str, next_at: int | None, db: Connection) -> None:
    db.execute(
        "UPDATE outbox SET attempts = attempts + 1, last_error = ?, dead = ?,"
        " next_at = coalesce(?, next_at) WHERE id = ?",
        (error, next_at is None, next_at, entry.id),
    )
    _advance(db, [entry])


def _advance(db: Connection, entries: Sequence[OutboxEntry]) -> None:
    """Let the next entry of each fingerprint go, when the one before it is gone."""
    db.executemany(_ADVANCE_LINE, [(entry.sink, _line(entry.record)) for entry in entries])


def _line(record: VerdictRecord) -> str:
    return record.fingerprint or record.key


def _revive(ids: Sequence[int] | None, by: Attribution | None, now: int, db: Connection) -> int:
    if ids is None:
        dead = db.execute("SELECT id FROM outbox WHERE dead = 1 ORDER BY id").fetchall()
        ids = [row["id"] for row in dead]
    count = db.executemany(_REVIVE_DELIVERY, [{"id": i, "now": now} for i in ids]).rowcount
    if by is not None and ids:
        insert_entry(replayed(by, ids, now), db)
    return count
