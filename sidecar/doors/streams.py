"""The Redis Streams door: entries are acknowledged once their events are safe.

Entries that a dead member of the group left unacknowledged are taken over; entries that were
trimmed before they were safe are lost, and are counted and logged as such.
"""

import asyncio
import os
import socket
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from sidecar.doors.records import RecordIntake
from sidecar.model import EventKind, Record
from sidecar.ports import Clock
from sidecar.settings import GroupSettings, variable_of

BATCH: Final = 500
BLOCK_MS: Final = 500
RETRY_S: Final = 1.0
CANCEL_EVERY_S: Final = 0.5
ACKNOWLEDGE_EVERY_S: Final = 1.0
"""How long safe entries wait for others that were read with them."""
FORGET_AFTER_S: Final = 3600.0
"""How long a member that holds nothing must have been silent to be forgotten."""

_BODY_FIELDS: Final = (b"value", b"data", b"payload", b"metadata")
"""Where VSS's envelopes carry the event, in the order in which VSS looks."""
# Redis counts what it added and what the group read. What is gone beyond that was trimmed unread;
# it then counts as read, so that nobody reports it again.
_COUNT_UNREAD: Final = """
local function facts(flat)
  local named = {}
  for i = 1, #flat, 2 do named[flat[i]] = flat[i + 1] end
  return named
end
local about = facts(redis.call('XINFO', 'STREAM', KEYS[1]))
local gone = about['entries-added'] - about['length']
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = facts(flat)
  local read = group['entries-read']
  if group['name'] == ARGV[1] and read and gone > read then
    local last = group['last-delivered-id']
    redis.call('XGROUP', 'SETID', KEYS[1], ARGV[1], last, 'ENTRIESREAD', gone)
    return gone - read
  end
end
return 0
"""
# Members have the name of a process, so that they grow more with every start. Redis forgets what a
# member has pending together with it, so that looking and forgetting have to be one step.
_FORGET_MEMBERS: Final = """
local gone = 0
for _, flat in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local named = {}
  for i = 1, #flat, 2 do named[flat[i]] = flat[i + 1] end
  if named['pending'] == 0 and named['idle'] > tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], named['name'])
    gone = gone + 1
  end
end
return gone
"""
_STOPPED: Final = "It does not run."
_log = structlog.get_logger()

Fields: TypeAlias = Mapping[bytes, bytes]
Entry: TypeAlias = tuple[bytes, Fields]


@dataclass(frozen=True, slots=True)
class _Stream:
    name: str
    kind: EventKind


class StreamsDoor:
    """Reads events from streams as a member of a consumer group.

    Works with Redis 6.2; entries that were trimmed before anybody read them are counted with 7.0
    and newer, which tell how many there were, and safe entries can be deleted with 8.2 and newer.

    Args:
        redis: a client with protocol 2; the door closes it.
        settings: which streams, and as which group.
        intake: takes the entries.
        clock: tells how long an entry was on its way.
    """

    def __init__(
        self, redis: Redis, settings: GroupSettings, intake: RecordIntake, clock: Clock
    ) -> None:
        self._redis = redis
        self._settings = settings
        self._intake = intake
        self._clock = clock
        self._group = settings.group
        self._name = f"{settings.consumer or socket.gethostname()}-{os.getpid()}"
        self._streams = tuple(_Stream(name, kind) for name, kind in settings.kinds.items())
        self._unread: dict[Any, Any] = {stream.name: ">" for stream in self._streams}
        self._start_at = settings.start_at
        self._counts_unread = self._deletes = False
        self._reading_problem = self._sweeping_problem = _STOPPED

    async def run(self) -> None:
        """Read until cancelled; a server that is away is waited for."""
        tasks = {
            asyncio.create_task(self._keep_reading()),
            asyncio.create_task(self._keep_sweeping()),
        }
        try:
            ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:  # only by a defect
                task.result()
        finally:
            self._reading_problem = _STOPPED
            await _cancel(tasks)

    async def ping(self) -> str:
        """Return "" when the door can read, else what is wrong."""
        problem = self._reading_problem or self._sweeping_problem
        if not problem:
            return self._intake.problem
        return (
            f"The Redis Streams door cannot read: {problem} "
            f"Start Redis, or correct {variable_of(f'{self._settings.section}.url')}."
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()

    @property
    def _claim_after_ms(self) -> int:
        return round(self._settings.claim_after_s * 1000)

    async def _keep_reading(self) -> None:
        """Read, and begin anew after trouble: nothing that was read is forgotten by Redis."""
        while True:
            try:
                await self._read()
            except (RedisError, OSError) as error:
                problem, self._reading_problem = self._reading_problem, _explain(error)
                if self._reading_problem != problem:
                    _log.warning("streams_unavailable", detail=self._reading_problem)
                await asyncio.sleep(RETRY_S)

    async def _keep_sweeping(self) -> None:
        self._sweeping_problem = ""
        while True:
            await asyncio.sleep(self._settings.sweep_s)
            try:
                await self._sweep()
            except (RedisError, OSError) as error:
                self._sweeping_problem = _explain(error)
            else:
                self._sweeping_problem = ""

    async def _read(self) -> None:
        """Join the group and read on, without end."""
        for stream in self._streams:
            await self._join(stream)
        self._deletes = await self._can_delete()
        self._start_at = "earliest"  # a group that is missing from now on was lost with its data
        for stream in self._streams:
            await self._recover(stream, 0, self._name)  # answers that did not arrive
        while True:
            found = await self._next()
            self._reading_problem = ""
            await asyncio.gather(
                *(self._take(it, found.get(it.name.encode(), ())) for it in self._streams)
            )

    async def _join(self, stream: _Stream) -> None:
        """Make the group when it is missing, and the stream with it."""
        name = stream.name
        exists = await self._redis.exists(name)
        about: dict[str, Any] = await self._redis.xinfo_stream(name) if exists else {}
        added, first, read = about.get("entries-added"), b"0", None
        if added is not None:
            read = added - about["length"]
        if about and self._start_at == "latest":
            first, read = about["last-generated-id"], added
        try:
            await self._redis.xgroup_create(
                name, self._group, first, mkstream=True, entries_read=read
            )
            _log.info("streams_group_made", stream=name, start=first.decode())
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise
        self._counts_unread = "entries-added" in await self._redis.xinfo_stream(name)

    async def _can_delete(self) -> bool:
        """Tell whether safe entries are to be deleted, and the server can do it."""
        if not self._settings.delete_safe:
            return False
        # as one word, as the client library cannot read the answer for an unknown command
        (known,) = await cast("Any", self._redis).execute_command("COMMAND INFO", "XACKDEL")
        if not known:
            advice = "Deleting needs Redis 8.2. Trim the streams where they are written."
            _log.warning("streams_keep_safe_entries", advice=advice)
        return bool(known)

    async def _next(self) -> Mapping[bytes, Sequence[Entry]]:
        """Return the next entries of the streams, by stream; wait a moment when there are none."""
        counted = self._streams if self._counts_unread else ()
        async with self._redis.pipeline(transaction=True) as transaction:
            for stream in counted:
                transaction.eval(_COUNT_UNREAD, 1, stream.name, self._group)
            transaction.xreadgroup(self._group, self._name, self._unread, count=BATCH)
            *lost, found = await transaction.execute()
        for stream, entries in zip(counted, lost, strict=True):
            self._lose(stream, entries)
        if not found:
            found = await self._redis.xreadgroup(
                self._group, self._name, self._unread, count=BATCH, block=BLOCK_MS
            )
        return dict(found)

    async def _take(self, stream: _Stream, entries: Iterable[Entry]) -> None:
        """See entries to a safe place and acknowledge them; keep them while they wait for room."""
        tasks = {
            asyncio.create_task(self._intake.take(self._record(stream, *entry))): entry[0]
            for entry in entries
        }
        hold_every_s = self._settings.claim_after_s / 3
        hold_at = self._clock.monotonic() + hold_every_s
        try:
            while tasks:
                await asyncio.wait(tasks, timeout=min(ACKNOWLEDGE_EVERY_S, hold_every_s))
                await self._acknowledge(stream, _take_done(tasks))
                if self._clock.monotonic() >= hold_at:
                    hold_at += hold_every_s
                    await self._hold(stream, list(tasks.values()))
        except asyncio.CancelledError:
            await self._acknowledge(stream, _take_done(tasks))
            for task in tasks:
                task.cancel()
            await self._hand_back(stream, list(tasks.values()))
            raise

    async def _acknowledge(self, stream: _Stream, identities: Sequence[bytes]) -> None:
        """Tell Redis that entries are safe; those it does not hear of come again and are known."""
        if not identities:
            return
        try:
            if self._deletes:
                name, group = stream.name, self._group
                await self._redis.xackdel(name, group, *identities, ref_policy="ACKED")
            else:
                await self._redis.xack(stream.name, self._group, *identities)
        except (RedisError, OSError) as error:
            _log.warning("streams_not_acknowledged", stream=stream.name, detail=_explain(error))

    async def _hold(self, stream: _Stream, identities: Sequence[bytes]) -> None:
        """Keep entries that wait for room from being taken over: they are not dead."""
        if not identities:
            return
        detail = self._intake.obstacle or self._intake.problem
        _log.warning("streams_paused", stream=stream.name, open=len(identities), detail=detail)
        try:
            await self._redis.xclaim(
                stream.name, self._group, self._name, 0, list(identities), justid=True
            )
        except (RedisError, OSError) as error:
            _log.warning("streams_not_held", stream=stream.name, detail=_explain(error))

    async def _hand_back(self, stream: _Stream, identities: Sequence[bytes]) -> None:
        """Let others take over at once what this member has no time for any more.

        The entries become as old as those of the dead, on every version of Redis (8.8 has XNACK).
        """
        if not identities:
            return
        entries: list[Any] = list(identities)
        with suppress(RedisError, OSError):  # then they wait for `claim_after_s`
            await self._redis.xclaim(
                *(stream.name, self._group, self._name, 0, entries),
                idle=self._claim_after_ms,
                justid=True,
            )

    async def _sweep(self) -> None:
        """Take over what was read and not stored for too long, and forget who is long gone."""
        for stream in self._streams:
            await self._recover(stream, self._claim_after_ms)
            facts = (stream.name, self._group, round(FORGET_AFTER_S * 1000))
            await self._redis.eval(_FORGET_MEMBERS, 1, *facts)

    async def _recover(self, stream: _Stream, idle_ms: int, consumer: str | None = None) -> None:
        """Take over pending entries that are idle for so long, of one consumer or of all."""
        start = "-"
        while True:
            pending = await self._redis.xpending_range(
                stream.name, self._group, start, "+", BATCH, consumer, idle_ms or None
            )
            if not pending:
                return
            delivered = {
                cast("bytes", one["message_id"]): cast("int", one["times_delivered"])
                for one in pending
            }
            await self._take_over(stream, delivered, idle_ms)
            start = f"({list(delivered)[-1].decode()}"

    async def _take_over(
        self, stream: _Stream, delivered: Mapping[bytes, int], idle_ms: int
    ) -> None:
        """Take entries that somebody read before.

        One of them may be what kills its reader. So entries that were taken over before are taken
        one by one: then only the culprit is delivered again and again.
        """
        gone = await self._trimmed(stream, list(delivered))
        once = [it for it, times in delivered.items() if it not in gone and times <= 1]
        await self._take(stream, await self._claim(stream, once, idle_ms))
        for identity in (it for it, times in delivered.items() if it not in gone and times > 1):
            entries = await self._claim(stream, [identity], idle_ms)
            if delivered[identity] < self._settings.max_deliveries:
                await self._take(stream, entries)
            else:
                await self._give_up(stream, entries, delivered[identity])

    async def _claim(
        self, stream: _Stream, identities: Sequence[bytes], idle_ms: int
    ) -> Sequence[Entry]:
        """Make entries ours, and count one more delivery; others may have been quicker."""
        if not identities:
            return ()
        claimed = await self._redis.xclaim(
            stream.name, self._group, self._name, idle_ms, list(identities)
        )
        return [entry for entry in cast("Sequence[Entry]", claimed) if entry[1]]

    async def _give_up(self, stream: _Stream, entries: Sequence[Entry], times: int) -> None:
        for entry in entries:
            cause = f"It was delivered {times} times and never stored."
            await self._intake.give_up(self._record(stream, *entry), cause)
            await self._acknowledge(stream, [entry[0]])

    async def _trimmed(self, stream: _Stream, identities: Sequence[bytes]) -> set[bytes]:
        """Find entries that were trimmed after they were delivered, and count them as lost."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            for identity in identities:
                pipeline.xrange(stream.name, identity, identity)
            found = await pipeline.execute()
        gone = [it for it, entries in zip(identities, found, strict=True) if not entries]
        if gone:
            # of several members that see it, only one gets it acknowledged
            lost = await self._redis.xack(stream.name, self._group, *gone)
            self._lose(stream, lost)
        return set(gone)

    def _lose(self, stream: _Stream, entries: int) -> None:
        if entries:
            cause = "They were trimmed before they were stored. Raise MAXLEN, or add replicas."
            self._intake.lose(stream.name, entries, cause)

    def _record(self, stream: _Stream, identity: bytes, fields: Fields) -> Record:
        published_s = int(identity.partition(b"-")[0]) / 1000
        return Record(
            kind=stream.kind,
            value=next((fields[name] for name in _BODY_FIELDS if fields.get(name)), b""),
            origin=f"{stream.name}@{identity.decode()}",
            key=fields.get(b"key"),
            extra=tuple((k.decode(errors="surrogateescape"), v) for k, v in fields.items()),
            lag_s=max(0.0, self._clock.now().timestamp() - published_s),
        )


def _take_done(tasks: dict[asyncio.Task[None], bytes]) -> list[bytes]:
    """Remove the tasks that are done, and return the entries that they were about."""
    return [tasks.pop(task) for task in list(tasks) if task.done()]


async def _cancel(tasks: set[asyncio.Task[None]]) -> None:
    """End tasks; again and again, as `asyncio.wait_for` of Python 3.11 can swallow it in redis-py.

    https://github.com/python/cpython/issues/86296
    """
    while tasks:
        for task in tasks:
            task.cancel()
        _, tasks = await asyncio.wait(tasks, timeout=CANCEL_EVERY_S)


def _explain(error: Exception) -> str:
    return f"{str(error) or type(error).__name__}."
