"""The ledger that several replicas share, in Redis. `ledger.lua` describes its keys."""

import asyncio
import uuid
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from itertools import count
from typing import Any, Final

import orjson
import structlog

from sidecar.audit import Attribution
from sidecar.errors import RequestError, StoreUnavailable
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
from sidecar.outside.audit import dump_entry, replayed
from sidecar.outside.ledger_rows import (
    NEVER,
    dump,
    dump_record,
    load_record,
    overloaded,
    to_journey,
    to_outbox_entry,
    to_stored_event,
)
from sidecar.outside.marks import pack_rules, unpack_drop
from sidecar.outside.redis_store import Argument, RedisStore
from sidecar.outside.sqlite import to_microseconds
from sidecar.ports import Clock
from sidecar.settings import LedgerSettings

BEAT_S: Final = 0.5
"""How often a lease is renewed and others are looked at; more often when leases are short."""
GRACE_BEATS: Final = 2
"""How long a lease must have been seen to be over before its replica counts as dead. Redis may have
been away itself: then all leases are over, and the living need a beat to renew theirs."""
LATE_S: Final = 120.0
"""How long a call that nobody waits for any more may be on its way: Linux lets at most as much time
pass before it sends a packet again (`TCP_RTO_MAX`)."""

_SCAN: Final = 500
_REPLAY_BATCH: Final = 500
_ANY_OUTCOME: Final = "*"

_log = structlog.get_logger()


class RedisLedger:
    """Fulfils `ports.Ledger` for every replica that works on the same keys.

    What a replica takes up, events and deliveries, is its own while its lease lasts. A task renews
    the lease all the time; it starts with the first thing that is taken up, and `close` ends it.
    What a dead replica held is free for the others at most `lease_s` + 2 s after its end. One that
    was only frozen loses what it held as well; then whoever commits first decides, and the other
    commit changes nothing. Leases are measured by the clock of Redis.

    Args:
        store: belongs to whoever made it.
        lease_s: longer than a replica is ever stopped, by its scheduler or by a slow network.
        on_news: called about every `BEAT_S` while events wait to be claimed or when verdicts were
            committed, by whatever replica.
    """

    def __init__(
        self,
        store: RedisStore,
        settings: LedgerSettings,
        clock: Clock,
        *,
        lease_s: float = 30.0,
        on_news: Callable[[], None] | None = None,
    ) -> None:
        self._store = store
        self._max_backlog = settings.max_backlog
        self._clock = clock
        self._lease_ms = int(lease_s * 1000)
        self._beat_s = min(BEAT_S, lease_s / 4)
        self._on_news = on_news
        self._me = uuid.uuid4().hex
        self._heart: asyncio.Task[None] | None = None
        self._has_lease = False
        self._last_seq = 0
        self._tickets = count(1)
        self._lost_tickets: dict[str, float | None] = {}
        self._unsure_commits: set[str] = set()

    async def ping(self) -> str:
        """Return "" when Redis can be written now, else what is wrong."""
        return await self._store.ping()

    async def close(self) -> None:
        """Hand back what this replica holds, at once instead of when its lease is over."""
        if self._heart is None:
            return
        self._heart.cancel()
        with suppress(asyncio.CancelledError):
            await self._heart
        self._heart = None
        with suppress(StoreUnavailable):
            await self._store.write("leave", self._me)

    async def risks(self) -> Sequence[str]:
        """Tell what the server would lose."""
        return await self._store.risks()

    async def recover(self) -> int:
        """Check the server, take up a lease, and put back what dead replicas had claimed.

        Call it once, before the first `claim`. Replicas that died within the last lease are found
        later, by the task that renews the lease.

        Returns:
            How many events were put back.

        Raises:
            SettingsError: the server cannot do what the settings ask for.
        """
        await self._store.check()
        recovered = await self._beat()
        self._start_heart()
        return recovered

    async def accept(
        self, event: VerifyEvent, *, claim: bool = False, rules: FilterRules = NO_RULES
    ) -> Accepted:
        """Store an event, or find that its key is known; its id is remembered either way."""
        packed = pack_rules(event, rules, to_microseconds(self._clock.now()))
        names, facts = (event.key, event.id, event.fingerprint), (event.kind, event.origin)
        call = ("accept", *names, *facts, dump(event.raw), packed, self._max_backlog)
        if claim:
            answer = await self._take(*call)
        else:
            answer = await self._store.write(*call, "", 0, "")
        match answer:
            case [b"dropped", *why]:
                return Accepted(event.key, is_new=False, dropped=unpack_drop(why))
            case [b"decided", seq, record]:
                return Accepted(event.key, is_new=False, verdict=load_record(record, seq))
            case [b"full", waiting]:
                raise overloaded(waiting, self._max_backlog)
        return Accepted(event.key, is_new=answer == [b"new"])

    async def accept_all(self, offers: Sequence[Offer]) -> Sequence[Accepted | RequestError]:
        """Do for each what `accept` does; Redis syncs what comes together at once."""
        return await asyncio.gather(*map(self._answer, offers))

    async def waiting(self, *, after: int, limit: int) -> Sequence[StoredEvent]:
        """List undecided events that nobody works on."""
        return [
            to_stored_event(fields) for fields in await self._store.read("waiting", after, limit)
        ]

    async def claim(self, keys: Sequence[str]) -> Sequence[StoredEvent]:
        """Take up undecided events. Cancelled, it gives them back within a beat."""
        wanted = orjson.dumps(list(keys)).decode()
        return [to_stored_event(fields) for fields in await self._take("claim", wanted)]

    async def release(self, key: str) -> None:
        """Put an event that this replica holds back undecided, without counting the attempt."""
        await self._store.write("release", key, self._me)

    async def commit(self, record: VerdictRecord, sinks: Sequence[str]) -> VerdictRecord | None:
        """Store a verdict and its outbox entries in one script; None when decided before.

        A commit that is repeated because its answer got lost returns the record, as the first one
        should have.
        """
        try:
            is_first, seq, *by = await self._store.write("commit", *self._verdict(record), *sinks)
        except (StoreUnavailable, asyncio.CancelledError):
            self._unsure_commits.add(record.key)
            raise
        was_unsure = record.key in self._unsure_commits
        self._unsure_commits.discard(record.key)
        is_mine = bool(is_first) or (was_unsure and by == [self._me.encode()])
        return replace(record, seq=seq) if is_mine else None

    async def lookup(self, identity: str) -> VerdictRecord | StoredEvent | None:
        """Find what a name stands for: the latest decided, else the latest accepted."""
        match await self._store.read("lookup", identity):
            case [int(seq), record]:
                return load_record(record, seq)
            case []:
                return None
            case fields:
                return to_stored_event(fields)

    async def query(
        self, wanted: VerdictFilter, *, limit: int, before: int | None = None
    ) -> Sequence[VerdictRecord]:
        """List verdicts, newest first, with `seq` below `before`.

        One index is walked, that of the sensor, category or outcome; the other criteria are
        compared with what it holds. With times alone all verdicts are walked.
        """
        bound = NEVER if before is None else before - 1
        return await self._list(wanted, "down", bound, limit)

    async def since(
        self, wanted: VerdictFilter, *, after: int, limit: int
    ) -> Sequence[VerdictRecord]:
        """List verdicts, oldest first, with `seq` above `after`."""
        return await self._list(wanted, "up", after + 1, limit)

    async def last_seq(self) -> int:
        """Return the `seq` of the newest verdict; 0 when there is none."""
        return int(await self._store.read("last_seq"))

    async def journey(self, seq: int) -> Journey:
        """Tell of the event of a verdict when it was accepted, and how its deliveries fare."""
        return to_journey(await self._store.read("journey", seq))

    async def backlog(self) -> int:
        """Return how many accepted events are undecided."""
        return int(await self._store.read("backlog"))

    async def due(
        self,
        sink: str,
        now: datetime,
        limit: int,
        *,
        horizon: datetime | None = None,
        skip: Collection[int] = (),
    ) -> Sequence[OutboxEntry]:
        """List deliveries whose time has come, oldest first, one at a time per fingerprint.

        They are this replica's to deliver from now on, and are listed again until they are marked.
        """
        self._start_heart()
        latest = to_microseconds(horizon) if horizon else NEVER
        facts = (sink, to_microseconds(now), latest, limit, self._me, self._lease_ms)
        rows = await self._store.write("due", *facts, *map(_entry_id, skip))
        return [to_outbox_entry(row) for row in sorted(rows, key=lambda row: (int(row[3]), row[6]))]

    async def mark_sent(self, entries: Sequence[OutboxEntry]) -> None:
        """Forget deliveries that succeeded; the next of their fingerprints become due."""
        await self._store.write("mark_sent", self._me, *(_entry_id(entry.id) for entry in entries))

    async def mark_failed(self, entry: OutboxEntry, error: str, retry_at: datetime | None) -> None:
        """Schedule the next delivery, or make the entry a dead letter when `retry_at` is None.

        Nothing changes when the entry went over to another replica meanwhile.
        """
        next_at = "" if retry_at is None else to_microseconds(retry_at)
        await self._store.write("mark_failed", self._me, _entry_id(entry.id), error, next_at)

    async def dead_letters(self, *, limit: int, after: int = 0) -> Sequence[OutboxEntry]:
        """List deliveries that were given up, oldest first, with an id above `after`."""
        rows = await self._store.read("dead_letters", after, limit)
        return [to_outbox_entry(row) for row in rows]

    async def outbox_levels(self) -> OutboxLevels:
        """Return how much is to be delivered, and how much was given up."""
        dead, *pairs = await self._store.read("outbox_levels")
        counts = zip(pairs[::2], pairs[1::2], strict=True)
        return OutboxLevels({sink.decode(): int(count) for sink, count in counts if count}, dead)

    async def replay(self, ids: Sequence[int] | None, by: Attribution | None = None) -> int:
        """Schedule dead letters again, with all their attempts. Returns how many.

        Not so many at once that other replicas would wait; each part is recorded for itself.
        """
        if ids is None:
            ids = [int(entry) for entry in await self._store.read("dead_ids")]
        now, revived = to_microseconds(self._clock.now()), 0
        for start in range(0, len(ids), _REPLAY_BATCH):
            batch = ids[start : start + _REPLAY_BATCH]
            entry = b"" if by is None else dump_entry(replayed(by, batch, now))
            revived += await self._store.write("replay", now, entry, *map(_entry_id, batch))
        return revived

    async def _answer(self, offer: Offer) -> Accepted | RequestError:
        try:
            return await self.accept(offer.event, claim=offer.claim, rules=offer.rules)
        except RequestError as error:  # of one; what was claimed for the others has to be known
            return error

    async def _take(self, operation: str, *arguments: Argument) -> Any:
        """Run an operation that claims events; give them back when its answer does not arrive."""
        self._start_heart()
        ticket = f"{next(self._tickets)}"
        try:
            return await self._store.write(operation, *arguments, self._me, self._lease_ms, ticket)
        except (StoreUnavailable, asyncio.CancelledError):
            self._lost_tickets[ticket] = None
            raise

    async def _list(
        self, wanted: VerdictFilter, direction: str, bound: int, limit: int
    ) -> Sequence[VerdictRecord]:
        terms = _terms(wanted)
        found: list[VerdictRecord] = []
        while bound and len(found) < limit:
            facts = (_index(wanted), direction, bound, limit - len(found), _SCAN)
            last, *pairs = await self._store.read("list", *facts, *terms)
            found += [
                load_record(record, seq)
                for seq, record in zip(pairs[::2], pairs[1::2], strict=True)
            ]
            if not last:
                break
            bound = last - 1 if direction == "down" else last + 1
        return found

    def _verdict(self, record: VerdictRecord) -> tuple[Argument, ...]:
        return (
            record.key,
            record.id,
            record.fingerprint,
            record.sensor_id,
            record.category,
            record.outcome,
            to_microseconds(record.timestamp),
            dump_record(record),
            to_microseconds(record.decided_at),
            self._me,
        )

    def _start_heart(self) -> None:
        if self._heart is None:
            self._heart = asyncio.create_task(self._keep_lease())

    async def _keep_lease(self) -> None:
        is_away = False
        while True:
            try:
                await self._beat()
                await self._disown()
            except StoreUnavailable as error:
                if not is_away:
                    _log.warning("lease_not_renewed", detail=error.detail)
                is_away = True
            else:
                is_away = False
            await asyncio.sleep(self._beat_s)

    async def _beat(self) -> int:
        """Renew the lease and take from the dead; returns how many events became free."""
        facts = (self._me, self._lease_ms, int(GRACE_BEATS * self._beat_s * 1000))
        is_new, freed, waiting, seq = await self._store.write("beat", *facts)
        if is_new and self._has_lease:
            _log.warning("lease_lost", advice="Its events went over to other replicas.")
        if freed:
            _log.info("taken_over", events=freed)
        self._has_lease = True
        is_news = waiting > 0 or seq > self._last_seq
        self._last_seq = seq
        if is_news and self._on_news is not None:
            self._on_news()
        return int(freed)

    async def _disown(self) -> None:
        """Give back what was claimed by calls whose answers got lost.

        Such a call may reach the server later than this one, so it is repeated for `LATE_S`.
        """
        if not self._lost_tickets:
            return
        ends = dict(self._lost_tickets)
        await self._store.write("disown", self._me, *ends)
        now = self._clock.monotonic()
        for ticket, end in ends.items():
            if end is None:
                self._lost_tickets[ticket] = now + LATE_S
            elif end < now:
                del self._lost_tickets[ticket]


def _entry_id(number: int) -> str:
    """Write an id as Redis keeps it, so that ids of one moment sort in their order."""
    return f"{number:016d}"


def _index(wanted: VerdictFilter) -> str:
    """Name the index to walk, the narrowest first; "" walks all verdicts."""
    if wanted.sensor_id:
        return f"sensor:{wanted.sensor_id}"
    if wanted.category:
        return f"category:{wanted.category}"
    return "" if wanted.outcome is None else f"outcome:{wanted.outcome}"


def _terms(wanted: VerdictFilter) -> tuple[Argument, ...]:
    return (
        wanted.sensor_id,
        wanted.category,
        _ANY_OUTCOME if wanted.outcome is None else wanted.outcome,
        "" if wanted.since is None else to_microseconds(wanted.since),
        "" if wanted.until is None else to_microseconds(wanted.until),
    )
