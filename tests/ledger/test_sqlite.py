"""What is special about the ledger in SQLite: group commit, durability, locks, plans."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from ledger_samples import T0, a_record, an_event, take

from sidecar.errors import SettingsError, StoreUnavailable
from sidecar.model import Outcome, VerdictFilter
from sidecar.outside.ledger_sqlite import (
    COUNT_DEAD,
    COUNT_WAITING,
    SELECT_DEAD,
    SELECT_DELIVERIES,
    SqliteLedger,
    build_query,
)
from sidecar.outside.sqlite import (
    SCHEMA_VERSION,
    Database,
    from_microseconds,
    to_microseconds,
)
from sidecar.settings import LedgerSettings
from sidecar.testing.fakes import FrozenClock

PROGRAM = Path(__file__).with_name("accept_forever.py")


@asynccontextmanager
async def open_ledger(path: Path) -> AsyncGenerator[SqliteLedger]:
    db = Database(path)
    yield SqliteLedger(db, LedgerSettings(), FrozenClock())
    await db.close()


def insert(name: str) -> Callable[[sqlite3.Connection], object]:
    return lambda db: db.execute("INSERT INTO identities VALUES (?, 1, 0)", (name,))


@asynccontextmanager
async def writer_is_busy(db: Database) -> AsyncGenerator[asyncio.Task[None]]:
    """Hold the writing thread inside a transaction, so that what comes now has to queue."""
    is_running, may_go = threading.Event(), threading.Event()

    def occupy(_: sqlite3.Connection) -> None:
        is_running.set()
        may_go.wait(10)

    task = asyncio.create_task(db.write(occupy))
    await asyncio.to_thread(is_running.wait, 10)
    try:
        yield task
        await asyncio.sleep(0)
    finally:
        may_go.set()


def queue_inserts(db: Database, count: int) -> list[asyncio.Task[object]]:
    return [asyncio.create_task(db.write(insert(f"{n}"))) for n in range(count)]


async def names(db: Database) -> Sequence[str]:
    sql = "SELECT identity FROM identities ORDER BY identity"
    return await db.read(lambda connection: [row[0] for row in connection.execute(sql)])


async def test_waiting_writes_share_one_commit(db: Database) -> None:
    """While the writer is busy, further writes queue up and are committed together."""
    commits: list[str] = []

    def note_commits(connection: sqlite3.Connection) -> None:
        connection.set_trace_callback(lambda sql: commits.append(sql) if sql == "COMMIT" else None)

    await db.write(note_commits)
    commits.clear()
    async with writer_is_busy(db) as busy:
        tasks = queue_inserts(db, 100)
    await asyncio.gather(busy, *tasks)

    assert len(commits) == 2
    assert len(await names(db)) == 100


async def test_result_comes_after_the_commit(tmp_path: Path, db: Database) -> None:
    """When a write returns, another connection already sees it."""
    await db.write(insert("mine"))
    other = sqlite3.connect(tmp_path / "ledger.db")
    seen = other.execute("SELECT count(*) FROM identities").fetchone()
    other.close()

    assert seen == (1,)


async def test_commits_wait_for_the_disk(db: Database) -> None:
    """A kill cannot show it, so the setting is checked: WAL with a sync at every commit."""
    pragmas = ("journal_mode", "synchronous", "foreign_keys")
    values = await db.write(
        lambda c: [c.execute(f"PRAGMA {name}").fetchone()[0] for name in pragmas]
    )

    assert values == ["wal", 2, 1]


async def test_failing_write_undoes_only_itself(db: Database) -> None:
    """Its neighbours in the same commit stay; its caller gets the exception as it was raised."""

    def fail(connection: sqlite3.Connection) -> None:
        insert("undone")(connection)
        raise KeyError("mine")

    results = await asyncio.gather(
        db.write(insert("before")),
        db.write(fail),
        db.write(insert("after")),
        return_exceptions=True,
    )

    assert isinstance(results[1], KeyError)
    assert await names(db) == ["after", "before"]


async def test_failing_commit_fails_every_write_of_the_group(db: Database) -> None:
    """Nobody is told of success when COMMIT fails, and the next group works again."""

    def break_commit(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA defer_foreign_keys = ON")
        connection.execute(
            "INSERT INTO outbox (seq, sink, fingerprint, next_at) VALUES (99, '', '', 0)"
        )

    async with writer_is_busy(db):
        tasks = [
            asyncio.create_task(db.write(insert("lost"))),
            asyncio.create_task(db.write(break_commit)),
        ]
    results = await asyncio.gather(*tasks, return_exceptions=True)
    await db.write(insert("next"))

    assert [type(result) for result in results] == [sqlite3.IntegrityError] * 2
    assert await names(db) == ["next"]


async def test_cancelled_caller_does_not_disturb_the_group(db: Database) -> None:
    """The others of the group get their answers, and the writer goes on."""
    async with writer_is_busy(db) as busy:
        tasks = queue_inserts(db, 3)
        await asyncio.sleep(0)
        busy.cancel()
        tasks[1].cancel()
    results = await asyncio.gather(busy, *tasks, return_exceptions=True)

    cancelled = [isinstance(result, asyncio.CancelledError) for result in results]
    assert cancelled == [True, False, True, False]
    assert await names(db) == ["0", "1", "2"]


async def test_close_finishes_what_was_begun(tmp_path: Path) -> None:
    """Writes that wait are committed before the file is released; later ones are refused."""
    db = Database(tmp_path / "ledger.db")
    tasks = queue_inserts(db, 600)
    await asyncio.sleep(0)
    await asyncio.gather(db.close(), *tasks)
    await db.close()

    with pytest.raises(StoreUnavailable, match="closed"):
        await db.write(insert("late"))
    with pytest.raises(StoreUnavailable, match="closed"):
        await names(db)
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        assert len(await names(ledger._db)) == 600


async def test_disk_full_is_explained_and_passes(tmp_path: Path) -> None:
    """A full disk refuses events with advice; once there is room the ledger goes on."""
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        await ledger.accept(an_event("before"))
        pages = await ledger._db.write(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        await ledger._db.write(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 8}"))
        big = {"text": "x" * 100_000}
        with pytest.raises(StoreUnavailable, match=r"disk is full\. Make room"):
            await ledger.accept(an_event("big", raw=big))
        await ledger._db.write(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 1000}"))
        await ledger.accept(an_event("big", raw=big))

        assert [event.key for event in await take(ledger, 10)] == ["before", "big"]


async def test_disk_full_inside_a_group_fails_no_neighbour_silently(tmp_path: Path) -> None:
    """Of a group that meets a full disk, exactly those events are there that were confirmed."""
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        pages = await ledger._db.write(lambda db: db.execute("PRAGMA page_count").fetchone()[0])
        await ledger._db.write(lambda db: db.execute(f"PRAGMA max_page_count = {pages + 8}"))
        raws = [{"text": "x" * size} for size in (10, 100_000, 10)]
        results = await asyncio.gather(
            *(ledger.accept(an_event(f"{n}", raw=raw)) for n, raw in enumerate(raws)),
            return_exceptions=True,
        )

        confirmed = [f"{n}" for n, r in enumerate(results) if not isinstance(r, StoreUnavailable)]
        assert [event.key for event in await take(ledger, 10)] == confirmed
        assert "1" not in confirmed


async def test_second_process_is_refused(tmp_path: Path) -> None:
    """Two services on one ledger would verify everything twice, so the second does not start."""
    path = tmp_path / "ledger.db"
    process = _start(path, 0)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        with pytest.raises(SettingsError, match=r"Another sidecar works with .* Stop it"):
            Database(path)
    finally:
        process.kill()
        process.communicate()
    await Database(path).close()


async def test_visitor_may_open_a_ledger_in_use(tmp_path: Path) -> None:
    """A command without the lock reads and writes beside the service."""
    async with open_ledger(tmp_path / "ledger.db") as ledger:
        record = await ledger.commit(a_record(), ["sink"])
        visitor = Database(tmp_path / "ledger.db", exclusive=False)
        seen = SqliteLedger(visitor, LedgerSettings(), FrozenClock())
        found = await seen.lookup("key-1")
        entries = await seen.due("sink", T0, 10)
        await seen.mark_sent(entries)
        await visitor.close()

        assert found == record
        assert await ledger.due("sink", T0, 10) == []


def test_visitor_needs_an_existing_ledger(tmp_path: Path) -> None:
    """A command about a ledger that is not there says so and makes none."""
    with pytest.raises(SettingsError, match="There is no ledger at"):
        Database(tmp_path / "ledger.db", exclusive=False)

    assert list(tmp_path.iterdir()) == []


async def test_ledger_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    """A newer schema is not touched, and the error tells both versions."""
    path = tmp_path / "ledger.db"
    await Database(path).close()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(
        SettingsError, match=f"newer sidecar: it has schema 99, this one knows {SCHEMA_VERSION}"
    ):
        Database(path)


async def test_file_that_is_no_database_is_explained(tmp_path: Path) -> None:
    """A wrong path is named together with what to do."""
    path = tmp_path / "ledger.db"
    path.write_bytes(b"hello " * 1000)

    with pytest.raises(StoreUnavailable, match=r"not a SQLite database\. Set SIDECAR_LEDGER__PATH"):
        Database(path)


async def test_folder_that_cannot_be_made_is_explained(tmp_path: Path) -> None:
    """A path below a file is a wrong setting."""
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match="SIDECAR_LEDGER__PATH"):
        Database(tmp_path / "file" / "ledger.db")


async def test_claims_of_a_dead_process_are_reset(tmp_path: Path) -> None:
    """After a restart the events are undecided again, and the lost attempt stays counted."""
    path = tmp_path / "ledger.db"
    async with open_ledger(path) as ledger:
        await ledger.accept(an_event("a"))
        await ledger.accept(an_event("b"))
        await take(ledger, 1)
    async with open_ledger(path) as ledger:
        before = await take(ledger, 10)
        count = await ledger.recover()
        after = await take(ledger, 10)

    assert [(event.key, event.attempt) for event in before] == [("b", 1)]
    assert count == 2
    assert [(event.key, event.attempt) for event in after] == [("a", 2), ("b", 2)]


async def test_ping_tells_what_is_wrong(tmp_path: Path) -> None:
    """A ledger that cannot be written is not ready."""
    db = Database(tmp_path / "ledger.db")
    await db.close()

    assert "closed" in await SqliteLedger(db, LedgerSettings(), FrozenClock()).ping()


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (VerdictFilter(), "USING INTEGER PRIMARY KEY (rowid<?)"),
        (VerdictFilter(sensor_id="s"), "verdicts_by_sensor (sensor_id=? AND seq<?)"),
        (
            VerdictFilter(sensor_id="s", category="c", outcome=Outcome.FAILED, since=T0, until=T0),
            "verdicts_by_sensor (sensor_id=? AND seq<?)",
        ),
        (
            VerdictFilter(category="c", outcome=Outcome.FAILED, until=T0),
            "verdicts_by_category (category=? AND seq<?)",
        ),
        (VerdictFilter(outcome=Outcome.FAILED), "verdicts_by_outcome (outcome=? AND seq<?)"),
        (VerdictFilter(since=T0), "verdicts_by_time (timestamp>?)"),
        (
            VerdictFilter(since=T0, until=T0),
            "verdicts_by_time (timestamp>? AND timestamp<?)",
        ),
    ],
)
async def test_queries_search_an_index(db: Database, wanted: VerdictFilter, index: str) -> None:
    """No list reads the whole table or a document that it does not return."""
    sql, values = build_query(wanted, {"seq < ?": 10}, "DESC")
    explain = f"EXPLAIN QUERY PLAN {sql}"
    plan = await db.read(lambda c: [row["detail"] for row in c.execute(explain, (*values, 5))])

    steps = [step for step in plan if step.startswith(("SEARCH", "SCAN"))]
    assert steps[0].startswith("SEARCH verdicts USING INTEGER PRIMARY KEY")
    assert index in steps[1]
    assert not any(step.startswith("SCAN verdicts") for step in steps)
    if wanted != VerdictFilter():
        assert "COVERING INDEX" in steps[1]


@pytest.mark.parametrize(
    ("sql", "values", "step"),
    [
        (SELECT_DEAD, (7, 5), "SEARCH outbox USING INDEX outbox_dead (id>?)"),
        (SELECT_DELIVERIES, (7,), "SEARCH outbox USING INDEX outbox_of_verdict (seq=?)"),
        (COUNT_DEAD, (), "SCAN outbox USING INDEX outbox_dead"),
        (COUNT_WAITING, (), "SCAN outbox USING INDEX outbox_due"),
    ],
)
async def test_deliveries_are_found_by_an_index(
    db: Database, sql: str, values: tuple[int, ...], step: str
) -> None:
    """However many others there are, and nothing is sorted."""
    explain = f"EXPLAIN QUERY PLAN {sql}"
    plan = await db.read(lambda c: [row["detail"] for row in c.execute(explain, values)])

    assert step == plan[0]
    assert not any("SCAN" in it or "TEMP B-TREE" in it for it in plan[1:])


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 1, 31, 8, 0, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        datetime(2026, 1, 31, 8, tzinfo=timezone(timedelta(hours=9))),
    ],
)
def test_times_keep_every_microsecond(moment: datetime) -> None:
    """A time comes back equal, whatever zone it was given in."""
    assert from_microseconds(to_microseconds(moment)) == moment


def _start(path: Path, cycle: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parents[1])}
    return subprocess.Popen(
        [sys.executable, PROGRAM, path, f"{cycle}"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _printed_until_killed(path: Path, cycle: int, pause_s: float) -> list[str]:
    """Run the program, kill it after its first line and a pause, and return its whole lines."""
    process = _start(path, cycle)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(pause_s)
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    # A line without its end was cut by the kill; its key may be there or not.
    return [
        line.strip() for line in [first, *rest.splitlines(keepends=True)] if line.endswith("\n")
    ]


async def test_no_accepted_event_is_lost_by_sigkill(tmp_path: Path) -> None:
    """Every key that was printed after accept returned is there after 20 kills at odd moments."""
    chance = random.Random(20260131)
    path = tmp_path / "ledger.db"
    printed: list[str] = []
    for cycle in range(20):
        printed += _printed_until_killed(path, cycle, chance.uniform(0, 0.1))
    db = Database(path)
    stored = await db.read(lambda c: {row[0] for row in c.execute("SELECT key FROM events")})
    intact = await db.read(lambda c: c.execute("PRAGMA integrity_check").fetchone()[0])
    await db.close()

    assert len(printed) > 20
    assert set(printed) - stored == set()
    assert intact == "ok"
