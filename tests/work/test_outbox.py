"""Delivering verdicts: order, retries, dead letters, and a ledger that is away for a moment."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ledger_samples import a_record, until

from sidecar.errors import DeliveryError, DeliveryRefused, StoreUnavailable
from sidecar.model import OutboxEntry
from sidecar.outside.clock import SystemClock
from sidecar.outside.ledger_sqlite import SqliteLedger
from sidecar.outside.sqlite import Database
from sidecar.settings import LedgerSettings, SinkSettings
from sidecar.testing.fakes import FrozenClock, MemorySink, NullMeter
from sidecar.work.outbox import Outbox

QUICK = SinkSettings(max_attempts=3, backoff_s=0.01, backoff_max_s=0.02)


class SlowSink(MemorySink):
    """Takes an entry only when the gate is open, and notes how many wait at once."""

    def __init__(self, name: str = "slow") -> None:
        super().__init__(name)
        self.gate = asyncio.Event()
        self.publishing = 0
        self.most_publishing = 0

    async def publish(self, entry: OutboxEntry) -> None:
        self.publishing += 1
        self.most_publishing = max(self.most_publishing, self.publishing)
        await self.gate.wait()
        self.publishing -= 1
        await super().publish(entry)


class FullDiskLedger(SqliteLedger):
    """Cannot be used for the first `outages` calls of each kind."""

    outages = 1

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.calls = {"due": 0, "mark_sent": 0}

    async def due(self, *facts: Any, **bounds: Any) -> Sequence[OutboxEntry]:
        self._fail("due")
        return await super().due(*facts, **bounds)

    async def mark_sent(self, entries: Sequence[OutboxEntry]) -> None:
        self._fail("mark_sent")
        await super().mark_sent(entries)

    def _fail(self, call: str) -> None:
        self.calls[call] += 1
        if self.calls[call] <= self.outages:
            raise StoreUnavailable("The disk is full.")


class LateLedger(SqliteLedger):
    """Answers `due` some time after it looked."""

    async def due(self, *facts: Any, **bounds: Any) -> Sequence[OutboxEntry]:
        entries = await super().due(*facts, **bounds)
        await asyncio.sleep(0.05)
        return entries


class CountingMeter(NullMeter):
    def __init__(self) -> None:
        self.deliveries: list[tuple[str, bool]] = []

    def delivered(self, sink: str, *, ok: bool) -> None:
        self.deliveries.append((sink, ok))


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
async def db(tmp_path: Path) -> AsyncGenerator[Database]:
    database = Database(tmp_path / "ledger.db")
    yield database
    await database.close()


@pytest.fixture
def ledger(db: Database, clock: FrozenClock) -> SqliteLedger:
    return SqliteLedger(db, LedgerSettings(), clock)


def outbox_of(
    ledger: SqliteLedger,
    clock: FrozenClock,
    *sinks: MemorySink,
    settings: SinkSettings = QUICK,
) -> Outbox:
    return Outbox(ledger, sinks, settings, clock, NullMeter())


async def decide(ledger: SqliteLedger, keys: Sequence[str], *sinks: str, **changes: Any) -> None:
    for key in keys:
        await ledger.commit(a_record(key, **changes), sinks)


@asynccontextmanager
async def running(outbox: Outbox) -> AsyncGenerator[None]:
    task = asyncio.create_task(outbox.run())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def keys_of(sink: MemorySink) -> list[str]:
    return [entry.record.key for entry in sink.taken]


async def test_every_verdict_reaches_every_sink_once(
    ledger: SqliteLedger, clock: FrozenClock
) -> None:
    """After a drain all sinks have all verdicts, and the outbox is empty."""
    keys = [f"{number:03}" for number in range(200)]
    await decide(ledger, keys, "one", "two")
    one, two = MemorySink("one"), MemorySink("two")
    is_done = await outbox_of(ledger, clock, one, two).drain(10)

    assert is_done
    assert sorted(keys_of(one)) == sorted(keys_of(two)) == keys
    assert await ledger.due("one", clock.now(), 10) == []


async def test_an_outbox_without_sinks_runs_on(ledger: SqliteLedger, clock: FrozenClock) -> None:
    """It has nothing to do, which is no reason to end."""
    task = asyncio.create_task(outbox_of(ledger, clock).run())
    done, _ = await asyncio.wait([task], timeout=0.1)
    task.cancel()

    assert not done


async def test_notify_delivers_at_once(
    ledger: SqliteLedger, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A verdict that is committed while the outbox waits does not wait for the next look."""
    monkeypatch.setattr("sidecar.work.outbox.IDLE_S", 3600.0)
    sink = MemorySink()
    outbox = outbox_of(ledger, clock, sink)
    async with running(outbox), asyncio.timeout(30):
        await asyncio.sleep(0.05)
        await decide(ledger, ["a"], "memory")
        outbox.notify()
        await until(lambda: keys_of(sink) == ["a"])


async def test_entries_are_found_without_notify(ledger: SqliteLedger, clock: FrozenClock) -> None:
    """Entries that another process scheduled are delivered within about a second."""
    sink = MemorySink()
    async with running(outbox_of(ledger, clock, sink)), asyncio.timeout(3):
        await asyncio.sleep(0.05)
        await decide(ledger, ["a"], "memory")
        await until(lambda: keys_of(sink) == ["a"])


async def test_failed_delivery_is_tried_again_after_the_backoff(
    ledger: SqliteLedger, clock: FrozenClock
) -> None:
    """Not before its time, and then with the count and text of the failure."""
    await decide(ledger, ["a"], "memory")
    sink = MemorySink(failures=[DeliveryError("connection refused")])
    outbox = outbox_of(ledger, clock, sink)
    await outbox.drain(5)
    before = keys_of(sink)
    clock.advance(0.02)
    await outbox.drain(5)

    assert before == []
    assert [(e.attempts, e.last_error) for e in sink.taken] == [(1, "connection refused")]


async def test_a_clock_that_is_set_back_delays_no_retry(
    ledger: SqliteLedger, clock: FrozenClock
) -> None:
    """What failed while the clock was an hour ahead does not wait for that hour to come again."""
    clock.advance(3600)
    await decide(ledger, ["a"], "memory")
    sink = MemorySink(failures=[DeliveryError("connection refused")])
    outbox = outbox_of(ledger, clock, sink)
    await outbox.drain(5)
    before = keys_of(sink)
    clock.advance(-3600)
    await outbox.drain(5)

    assert ([], ["a"]) == (before, keys_of(sink))


async def test_retries_run_by_themselves(
    ledger: SqliteLedger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The running outbox wakes for a retry, not only when it looks round for work."""
    monkeypatch.setattr("sidecar.work.outbox.IDLE_S", 3600.0)
    await decide(ledger, ["a"], "memory")
    sink = MemorySink(failures=[DeliveryError("down"), DeliveryError("down")])
    outbox = Outbox(ledger, [sink], QUICK, SystemClock(), NullMeter())
    async with running(outbox):
        await until(lambda: bool(sink.taken), timeout_s=30)

    assert len(sink.refused) == 2


async def test_entry_is_given_up_after_the_last_attempt(
    ledger: SqliteLedger, clock: FrozenClock
) -> None:
    """After `max_attempts` failures it is a dead letter with the latest error."""
    await decide(ledger, ["a"], "memory")
    sink = MemorySink(failures=[DeliveryError(f"down {n}") for n in range(3)])
    outbox = outbox_of(ledger, clock, sink)
    for _ in range(5):
        await outbox.drain(5)
        clock.advance(0.02)

    (dead,) = await ledger.dead_letters(limit=10)
    assert (dead.attempts, dead.last_error, sink.taken) == (3, "down 2", [])


async def test_refused_entry_is_given_up_at_once(ledger: SqliteLedger, clock: FrozenClock) -> None:
    """A sink that never will take it is not asked again; the next entry is delivered."""
    await decide(ledger, ["a", "b"], "memory", fingerprint="incident")
    sink = MemorySink(failures=[DeliveryRefused("410 Gone")])
    await outbox_of(ledger, clock, sink).drain(5)

    assert [entry.record.key for entry in await ledger.dead_letters(limit=10)] == ["a"]
    assert keys_of(sink) == ["b"]


async def test_defect_of_a_sink_is_a_failed_delivery(
    ledger: SqliteLedger, clock: FrozenClock
) -> None:
    """Any exception counts as an attempt and is named; the outbox goes on."""
    await decide(ledger, ["a", "b"], "memory")
    sink = MemorySink(failures=[ZeroDivisionError("oops")])
    outbox = outbox_of(ledger, clock, sink)
    await outbox.drain(5)
    clock.advance(0.02)
    await outbox.drain(5)

    assert sorted(keys_of(sink)) == ["a", "b"]
    assert [e.last_error for e in sink.taken if e.attempts] == ["ZeroDivisionError: oops"]


async def test_slow_sink_delays_only_itself(ledger: SqliteLedger, clock: FrozenClock) -> None:
    """While one sink hangs with a few entries in flight, the other gets everything."""
    await decide(ledger, [f"{number:03}" for number in range(50)], "slow", "memory")
    slow, quick = SlowSink(), MemorySink()
    async with running(outbox_of(ledger, clock, slow, quick)):
        await until(lambda: len(quick.taken) == 50)

        assert slow.taken == []
        assert slow.publishing == slow.most_publishing == slow.most_at_once
        slow.gate.set()
        await until(lambda: len(slow.taken) == 50)


async def test_late_answer_of_the_ledger_delivers_nothing_twice(
    db: Database, clock: FrozenClock
) -> None:
    """An entry that was delivered while the ledger answered is not taken for a new one."""
    ledger = LateLedger(db, LedgerSettings(), clock)
    await decide(ledger, ["a"], "slow")
    slow = SlowSink()
    outbox = outbox_of(ledger, clock, slow)
    async with running(outbox):
        await until(lambda: slow.publishing == 1)
        await asyncio.sleep(0.02)
        slow.gate.set()
        outbox.notify()
        await asyncio.sleep(0.3)

    assert keys_of(slow) == ["a"]


async def test_drain_delivers_what_became_due_while_the_ledger_answered(
    db: Database, clock: FrozenClock
) -> None:
    """The second update of an incident is not left behind when the first ends during a look."""

    class Sink(MemorySink):
        async def publish(self, entry: OutboxEntry) -> None:
            await asyncio.sleep(0.02 if entry.record.key == "first update" else 0)
            await super().publish(entry)

    ledger = LateLedger(db, LedgerSettings(), clock)
    await decide(ledger, ["other"], "memory")
    await decide(ledger, ["first update", "second update"], "memory", fingerprint="incident")
    sink = Sink()
    await outbox_of(ledger, clock, sink).drain(5)

    assert keys_of(sink) == ["other", "first update", "second update"]


async def test_updates_of_one_incident_stay_in_order(
    ledger: SqliteLedger, clock: FrozenClock
) -> None:
    """Concurrency and retries do not let a newer update overtake an older one."""
    for number in range(40):
        await decide(ledger, [f"{number:02}"], "memory", fingerprint=f"incident {number % 4}")
    failures = [DeliveryError("flaky") for _ in range(6)]
    sink = MemorySink(failures=failures)
    outbox = outbox_of(ledger, clock, sink, settings=SinkSettings(backoff_s=0.01))
    while len(sink.taken) < 40:
        await outbox.drain(5)
        clock.advance(60)

    lines = [[key for key in keys_of(sink) if int(key) % 4 == line] for line in range(4)]
    assert lines == [sorted(line) for line in lines]


async def test_drain_gives_up_when_the_time_is_over(
    ledger: SqliteLedger, clock: FrozenClock
) -> None:
    """A hanging sink cannot stop the shutdown; its entry is kept for the next start."""
    await decide(ledger, ["a"], "slow")
    slow = SlowSink()
    is_done = await outbox_of(ledger, clock, slow).drain(0.05)

    assert not is_done
    assert len(await ledger.due("slow", clock.now(), 10)) == 1


async def test_drain_after_a_cancelled_run_delivers_the_rest(
    ledger: SqliteLedger, clock: FrozenClock
) -> None:
    """What was in flight when the outbox stopped is delivered, not forgotten."""
    keys = [f"{number:02}" for number in range(20)]
    await decide(ledger, keys, "slow")
    slow = SlowSink()
    outbox = outbox_of(ledger, clock, slow)
    async with running(outbox):
        await until(lambda: slow.publishing == slow.most_at_once)
    slow.gate.set()
    is_done = await outbox.drain(5)

    assert is_done
    assert sorted(keys_of(slow)) == keys


async def test_full_disk_does_not_end_the_deliveries(db: Database, clock: FrozenClock) -> None:
    """The outbox waits for the ledger, and does not deliver the same entry again meanwhile."""
    ledger = FullDiskLedger(db, LedgerSettings(), clock)
    await decide(ledger, ["a"], "memory")
    sink = MemorySink()
    is_done = await outbox_of(ledger, clock, sink).drain(10)

    assert is_done
    assert keys_of(sink) == ["a"]
    assert ledger.calls["mark_sent"] == 2
    assert await ledger.due("memory", clock.now(), 10) == []


async def test_deliveries_are_counted(ledger: SqliteLedger, clock: FrozenClock) -> None:
    """The meter hears of each success and each failure."""
    await decide(ledger, ["a"], "memory")
    meter = CountingMeter()
    sink = MemorySink(failures=[DeliveryError("down")])
    outbox = Outbox(ledger, [sink], QUICK, clock, meter)
    await outbox.drain(5)
    clock.advance(0.02)
    await outbox.drain(5)

    assert meter.deliveries == [("memory", False), ("memory", True)]
