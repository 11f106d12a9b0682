"""What every store of comparisons does, whatever it is made of."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from ledger_samples import T0

from sidecar.compared import ArmAnswer, ComparedEvent, ComparedFilter, Label, Role
from sidecar.model import Outcome
from sidecar.outside.comparisons import SqliteComparisons, build_query
from sidecar.outside.comparisons_redis import RedisComparisons
from sidecar.outside.redis_store import RedisStore
from sidecar.outside.sqlite import Database
from sidecar.ports import Comparisons
from sidecar.testing.fakes import FrozenClock

ANY = ComparedFilter()
FAR_PAST = T0 - timedelta(days=1000)


def said(key: str, arm: str, outcome: Outcome = Outcome.CONFIRMED) -> ArmAnswer:
    """What an arm says, with every field set."""
    return ArmAnswer(
        key=key,
        arm=arm,
        model=f"nvidia/{arm}",
        adapter="generic",
        role=Role.SHADOW,
        outcome=outcome,
        decided_at=T0 + timedelta(microseconds=1),
        latency_ms=812,
        reason="",
        is_published=True,
        confidence=0.875,
        prompt_tokens=2231,
        completion_tokens=4,
        frames_asked=20,
        frames_seen=None,
        prompt_version=3,
        text="はい",
    )


def event(number: int, *arms: str, **changes: object) -> ComparedEvent:
    """An event and what arms said about it."""
    key = f"key-{number}"
    found = ComparedEvent(
        key=key,
        id=f"event {number}",
        sensor_id=f"camera-{number % 2}",
        category=f"category {number % 3}",
        timestamp=T0 + timedelta(seconds=number),
        answers=tuple(said(key, arm) for arm in arms or ("a", "b")),
    )
    return replace(found, **changes)


def label(number: int, truth: bool | None = True, note: str = "") -> Label:
    return Label(f"key-{number}", truth, "me", T0, note)


@pytest.fixture
def sqlite_comparisons(db: Database, clock: FrozenClock) -> Comparisons:
    return SqliteComparisons(db, clock)


@pytest.fixture
def redis_comparisons(store: RedisStore, clock: FrozenClock) -> Comparisons:
    return RedisComparisons(store, clock)


@pytest.fixture(params=["sqlite", "redis"])
def comparisons(request: pytest.FixtureRequest) -> Comparisons:
    found: Comparisons = request.getfixturevalue(f"{request.param}_comparisons")
    return found


async def keys(comparisons: Comparisons, wanted: ComparedFilter = ANY) -> list[str]:
    return [it.key for it in await comparisons.events(wanted, limit=100)]


async def test_an_event_comes_back_with_all_that_was_said(comparisons: Comparisons) -> None:
    """Every field of every answer, in the order of being asked."""
    stored = event(1, "b", "a", "c")
    await comparisons.record([stored])
    found = await comparisons.find("key-1")

    assert found is not None
    assert stored == replace(found, position=0)
    assert found.position > 0
    assert await comparisons.find("key-2") is None
    assert "" == await comparisons.ping()


async def test_a_later_answer_joins_and_a_newer_one_replaces(comparisons: Comparisons) -> None:
    """A shadow comes after the verdict; a replayed arm is taken at its latest word."""
    newer = said("key-1", "a", Outcome.REJECTED)
    await comparisons.record([event(1, "a")])
    await comparisons.record([event(1, "shadow")])
    await comparisons.record([event(1, answers=(newer,))])
    found = await comparisons.find("key-1")

    assert found is not None
    assert [("a", "rejected"), ("shadow", "confirmed")] == [
        (it.arm, it.outcome) for it in found.answers
    ]


async def test_pages_begin_with_the_latest_and_miss_nothing(comparisons: Comparisons) -> None:
    """Whatever the size of the page."""
    await comparisons.record([event(number) for number in range(7)])
    seen, before = [], None
    while page := await comparisons.events(ANY, limit=3, before=before):
        seen += [it.key for it in page]
        before = page[-1].position

    assert [f"key-{number}" for number in reversed(range(7))] == seen


@pytest.mark.parametrize(
    ("wanted", "numbers"),
    [
        (ComparedFilter(sensor_id="camera-1"), [5, 3, 1]),
        (ComparedFilter(category="category 2"), [5, 2]),
        (ComparedFilter(sensor_id="camera-1", category="category 2"), [5]),
        (ComparedFilter(since=T0 + timedelta(seconds=4)), [5, 4]),
        (ComparedFilter(until=T0 + timedelta(seconds=1)), [1, 0]),
        (
            ComparedFilter(
                since=T0 + timedelta(seconds=2),
                until=T0 + timedelta(seconds=4),
                sensor_id="camera-0",
            ),
            [4, 2],
        ),
        (ComparedFilter(arms=("a", "b")), [4, 2, 0]),
        (ComparedFilter(arms=("c",), sensor_id="camera-1"), [5, 3, 1]),
        (ComparedFilter(arms=("a", "nobody")), []),
        (ComparedFilter(labelled=True), [3, 0]),
        (ComparedFilter(labelled=False, arms=("b",)), [4, 2]),
        (ComparedFilter(sensor_id="elsewhere"), []),
    ],
)
async def test_events_are_found_by_what_they_are(
    comparisons: Comparisons, wanted: ComparedFilter, numbers: list[int]
) -> None:
    """By time, sensor, category, pair of arms, and whether they are labelled."""
    arms = {0: ("a", "b"), 1: ("a", "c")}
    await comparisons.record([event(number, *arms[number % 2]) for number in range(6)])
    await comparisons.label([(event(number), label(number)) for number in (0, 3)])

    assert [f"key-{number}" for number in numbers] == await keys(comparisons, wanted)


async def test_the_last_label_counts_and_all_are_kept(comparisons: Comparisons) -> None:
    """Also the one that says that it cannot be told."""
    await comparisons.record([event(1)])
    labels = [label(1, True), label(1, False, "いいえ"), label(1, None, "dark")]
    for one in labels:
        await comparisons.label([(event(1), one)])
    found = await comparisons.find("key-1")

    assert found is not None
    assert labels[-1] == found.label
    assert labels == list(await comparisons.labels_of("key-1"))
    assert [] == list(await comparisons.labels_of("key-2"))


async def test_a_label_brings_an_event_that_was_not_compared(comparisons: Comparisons) -> None:
    """With what its arm said; of one that is there nothing changes."""
    await comparisons.record([event(1, "a", "b")])
    await comparisons.label([(event(1, "c"), label(1)), (event(2, "a"), label(2))])
    answers = {
        it.key: [answer.arm for answer in it.answers]
        for it in await comparisons.events(ANY, limit=9)
    }

    assert {"key-1": ["a", "b"], "key-2": ["a"]} == answers


DISPUTED = ComparedFilter(disputed=True)


def disputed(number: int, **changes: object) -> ComparedEvent:
    """An event on which two arms differ."""
    key = f"key-{number}"
    answers = (said(key, "a"), said(key, "b", Outcome.REJECTED))
    return event(number, answers=answers, **changes)


async def test_a_label_that_is_taken_back_counts_no_more(comparisons: Comparisons) -> None:
    """The one before it counts again; both stay in the history, with who took it back."""
    first, second = label(1, True), replace(label(1, False), labelled_at=T0 + timedelta(seconds=1))
    await comparisons.label([(event(1), first), (event(1), second)])
    later = T0 + timedelta(minutes=1)
    taken = await comparisons.withdraw(second, "me", later)
    again = await comparisons.withdraw(second, "me", later)
    found = await comparisons.find("key-1")
    last = await comparisons.withdraw(first, "me", later)
    bare = await comparisons.find("key-1")
    history = await comparisons.labels_of("key-1")

    assert (True, False, True) == (taken, again, last)
    assert found is not None
    assert bare is not None
    assert (first, None) == (found.label, bare.label)
    assert [replace(it, withdrawn_by="me", withdrawn_at=later) for it in (first, second)] == history
    assert ["key-1"] == await keys(comparisons, ComparedFilter(labelled=False))
    assert 1 == await comparisons.trim(keep=0, stored_before=FAR_PAST)


async def test_disputed_events_are_those_that_arms_differ_on(comparisons: Comparisons) -> None:
    """Not those where one did not answer; by sensor and category, the latest first, in pages."""
    failed = said("key-9", "b", Outcome.FAILED)
    await comparisons.record([disputed(number) for number in range(6)])
    await comparisons.record([event(8), event(9, answers=(said("key-9", "a"), failed))])
    pages = [
        await comparisons.events(DISPUTED, limit=4),
        await comparisons.events(replace(DISPUTED, sensor_id="camera-1"), limit=9),
        await comparisons.events(replace(DISPUTED, category="category 2"), limit=9),
        await comparisons.events(
            replace(DISPUTED, category="category 2", sensor_id="camera-0"), limit=9
        ),
    ]
    rest = await comparisons.events(DISPUTED, limit=4, before=pages[0][-1].position)

    numbers = [[int(it.key.removeprefix("key-")) for it in page] for page in (*pages, rest)]
    assert [[5, 4, 3, 2], [5, 3, 1], [5, 2], [2], [1, 0]] == numbers
    assert 6 == await comparisons.disputes()
    assert ["a", "b"] == [it.arm for it in pages[0][0].answers]


async def test_a_label_ends_a_dispute_and_taking_it_back_opens_it_again(
    comparisons: Comparisons,
) -> None:
    """So does an arm that changes its mind."""
    await comparisons.record([event(1, "a"), disputed(2)])
    before = await keys(comparisons, DISPUTED)
    await comparisons.record([event(1, answers=(said("key-1", "b", Outcome.REJECTED),))])
    await comparisons.label([(disputed(2), label(2))])
    joined = await keys(comparisons, DISPUTED)
    await comparisons.record([event(1, answers=(said("key-1", "b"),))])
    await comparisons.withdraw(label(2), "me", T0)
    after = await keys(comparisons, DISPUTED)
    await comparisons.trim(keep=0, stored_before=FAR_PAST)

    assert (["key-2"], ["key-1"], ["key-2"]) == (before, joined, after)
    assert 0 == await comparisons.disputes()


async def test_the_oldest_are_forgotten_beyond_a_number(comparisons: Comparisons) -> None:
    """But not what somebody labelled."""
    await comparisons.record([event(number) for number in range(10)])
    await comparisons.label([(event(2), label(2))])
    forgotten = await comparisons.trim(keep=4, stored_before=FAR_PAST)
    again = await comparisons.trim(keep=4, stored_before=FAR_PAST)

    assert (5, 0) == (forgotten, again)
    assert ["key-9", "key-8", "key-7", "key-6", "key-2"] == await keys(comparisons)
    assert ["key-8", "key-6", "key-2"] == await keys(comparisons, ComparedFilter("camera-0"))
    assert await comparisons.find("key-0") is None


async def test_what_is_too_old_is_forgotten(comparisons: Comparisons, clock: FrozenClock) -> None:
    """By the time when it was stored."""
    await comparisons.record([event(1), event(2)])
    clock.advance(3600)
    await comparisons.record([event(3)])
    forgotten = await comparisons.trim(keep=100, stored_before=clock.now())

    assert (2, ["key-3"]) == (forgotten, await keys(comparisons))


async def test_many_labelled_events_do_not_keep_others(comparisons: Comparisons) -> None:
    """However many stand before them."""
    await comparisons.record([event(number) for number in range(1200)])
    await comparisons.label([(event(number), label(number)) for number in range(600)])
    forgotten = 0
    while some := await comparisons.trim(keep=0, stored_before=FAR_PAST):
        forgotten += some

    assert 600 == forgotten
    assert not await keys(comparisons, ComparedFilter(labelled=False))


async def test_answers_that_come_together_are_all_kept(comparisons: Comparisons) -> None:
    """Several arms about one event at the same time."""
    arms = [f"arm-{number}" for number in range(20)]
    await asyncio.gather(*(comparisons.record([event(1, arm)]) for arm in arms))
    found = await comparisons.find("key-1")

    assert found is not None
    assert sorted(arms) == sorted(answer.arm for answer in found.answers)


async def test_comparisons_survive_a_restart(tmp_path: Path, clock: FrozenClock) -> None:
    """Answers and labels are there when the file is opened again."""
    database = Database(tmp_path / "ledger.db")
    before = SqliteComparisons(database, clock)
    await before.record([event(1)])
    await before.label([(event(1), label(1))])
    await database.close()
    again = Database(tmp_path / "ledger.db")
    found = await SqliteComparisons(again, clock).find("key-1")
    await again.close()

    assert found is not None
    assert (("a", "b"), label(1)) == (tuple(it.arm for it in found.answers), found.label)


@pytest.mark.parametrize(
    ("wanted", "index"),
    [
        (DISPUTED, "SEARCH disputes USING INTEGER PRIMARY KEY (rowid<?)"),
        (
            replace(DISPUTED, sensor_id="s", category="c"),
            "SEARCH disputes USING COVERING INDEX disputes_by_sensor (sensor_id=? AND position<?)",
        ),
        (
            replace(DISPUTED, category="c"),
            "SEARCH disputes USING COVERING INDEX disputes_by_category (category=? AND position<?)",
        ),
    ],
)
async def test_disputed_events_are_found_by_an_index(
    db: Database, wanted: ComparedFilter, index: str
) -> None:
    """However many events there are without a dispute, and nothing is sorted."""
    sql, values = build_query(wanted, 10)
    explain = f"EXPLAIN QUERY PLAN {sql}"
    plan = await db.read(lambda c: [row["detail"] for row in c.execute(explain, (*values, 5))])

    assert [index, "SEARCH compared USING INTEGER PRIMARY KEY (rowid=?)"] == plan


async def test_a_file_from_before_labels_could_be_taken_back_goes_on_working(
    tmp_path: Path, clock: FrozenClock
) -> None:
    """Its labels count, and its disputes are found."""
    path = tmp_path / "ledger.db"
    database = Database(path)
    before = SqliteComparisons(database, clock)
    await before.record([disputed(1), disputed(2), event(3)])
    await before.label([(disputed(2), label(2))])
    await database.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(
            "DROP TABLE disputes; ALTER TABLE labels DROP COLUMN withdrawn_by;"
            "ALTER TABLE labels DROP COLUMN withdrawn_at; PRAGMA user_version = 5;"
        )
    database = Database(path)
    after = SqliteComparisons(database, clock)
    found = await keys(after, DISPUTED)
    taken_back = await after.withdraw(label(2), "me", T0)
    reopened = await keys(after, DISPUTED)
    await database.close()

    assert (["key-1"], True, ["key-2", "key-1"]) == (found, taken_back, reopened)
