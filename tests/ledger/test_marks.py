"""What every ledger remembers for the filters."""

import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from filter_model import HISTORIES, SETTINGS, Model, Update
from hypothesis import HealthCheck, given, settings
from ledger_samples import T0, a_record, an_event

from sidecar.core.filters import Filters
from sidecar.core.identity import verdict_key
from sidecar.core.intake import Intake
from sidecar.errors import Overloaded
from sidecar.model import (
    Accepted,
    Drop,
    Dropped,
    EventKind,
    FilterRules,
    Limit,
    Mark,
    Offer,
    Outcome,
    VerifyEvent,
)
from sidecar.outside.ledger_redis import RedisLedger
from sidecar.outside.ledger_sqlite import SqliteLedger
from sidecar.outside.redis_store import RedisStore
from sidecar.outside.sqlite import Database
from sidecar.ports import Ledger
from sidecar.settings import FilterSettings, LedgerSettings
from sidecar.testing.fakes import FrozenClock

DEDUP: Final = FilterRules((Limit(Drop.DEDUP, 300),))
DELTA: Final = FilterRules((Limit(Drop.END_TIME_DELTA, 3600, 5),))
PROTECT: Final = FilterRules(protect_s=600)
_numbers = count()


def update(end_s: float = 0, cohort: str = "cohort", **changes: Any) -> VerifyEvent:
    """Build the event of a cohort that ends so many seconds after T0."""
    end = T0 + timedelta(seconds=end_s)
    facts = {"cohort": cohort, "end": end, "fingerprint": f"fingerprint of {cohort}", **changes}
    return an_event(verdict_key(cohort, end), **facts)


async def drop(ledger: Ledger, event: VerifyEvent, rules: FilterRules = DEDUP) -> Drop | None:
    dropped = (await ledger.accept(event, rules=rules)).dropped
    return dropped.by if dropped else None


async def test_an_update_in_the_same_group_is_dropped(ledger: Ledger) -> None:
    """The first of several offers is the mark of the cohort for those behind it."""
    events = (update(), update(1), update(1, "other"))
    answers = await ledger.accept_all([Offer(event, DEDUP) for event in events])
    dropped = [it.dropped.by if it.dropped else None for it in answers if isinstance(it, Accepted)]

    assert [None, Drop.DEDUP, None] == dropped


async def test_an_update_soon_after_an_accepted_event_is_dropped(
    ledger: Ledger, clock: FrozenClock
) -> None:
    """The answer tells which event it repeats, and nothing is stored."""
    await ledger.accept(update(), rules=DEDUP)
    clock.advance(12)
    answer = await ledger.accept(update(7), rules=DEDUP)

    key = update(7).key
    assert Accepted(key, is_new=False, dropped=Dropped(Drop.DEDUP, Mark(T0, T0))) == answer
    assert await ledger.backlog() == 1
    assert await ledger.lookup(key) is None


async def test_an_update_is_accepted_when_the_time_is_over(
    ledger: Ledger, clock: FrozenClock
) -> None:
    """The limit ends to the second, and starts anew with the event that is accepted then."""
    drops = [await drop(ledger, update())]
    for seconds in (299, 1, 299, 1):
        clock.advance(seconds)
        drops.append(await drop(ledger, update(clock.monotonic())))

    assert [None, Drop.DEDUP, None, Drop.DEDUP, None] == drops


async def test_an_end_that_moved_far_enough_is_accepted(ledger: Ledger, clock: FrozenClock) -> None:
    """Ends are compared with that of the latest accepted event, in both directions."""
    drops = []
    for end_s in (0, 4.999, 5, 9.999, 0.001, 0):
        clock.advance(1)
        drops.append(await drop(ledger, update(end_s), DELTA))

    assert [None, Drop.END_TIME_DELTA, None, Drop.END_TIME_DELTA, Drop.END_TIME_DELTA] == drops[:5]
    assert drops[5] is None


async def test_limits_are_tried_in_their_order(ledger: Ledger) -> None:
    """Of two limits that are broken the first one is named."""
    both = FilterRules((*DELTA.limits, *DEDUP.limits))
    await ledger.accept(update(), rules=both)

    assert await drop(ledger, update(1), both) is Drop.END_TIME_DELTA
    assert await drop(ledger, update(6), both) is Drop.DEDUP


async def test_the_same_event_is_known_and_never_dropped(
    ledger: Ledger, clock: FrozenClock
) -> None:
    """Delivered again while it waits, after its verdict, and after an update was accepted."""
    first = update()
    await ledger.accept(first, rules=DEDUP)
    waiting = await ledger.accept(first, rules=DEDUP)
    record = await ledger.commit(a_record(first.key), [])
    decided = await ledger.accept(first, rules=DEDUP)
    clock.advance(300)
    await ledger.accept(update(9), rules=DEDUP)
    later = await ledger.accept(first, rules=DEDUP)

    assert Accepted(first.key, is_new=False) == waiting
    assert [Accepted(first.key, is_new=False, verdict=record)] * 2 == [decided, later]


async def test_the_mark_outlives_the_verdict(ledger: Ledger) -> None:
    """An event counts for its updates from its acceptance on, whether it is decided or not."""
    await ledger.accept(update(), rules=DEDUP)
    await ledger.commit(a_record(update().key), [])

    assert await drop(ledger, update(7)) is Drop.DEDUP


async def test_cohorts_do_not_meddle_with_each_other(ledger: Ledger) -> None:
    """Not even when the name of one begins with that of the other."""
    await ledger.accept(update(cohort="vlm:gate"), rules=DEDUP)

    assert await drop(ledger, update(7, cohort="vlm:gate 2")) is None
    assert await drop(ledger, update(7, cohort="vlm:gat")) is None


async def test_a_refused_event_leaves_no_mark(ledger: Ledger) -> None:
    """What the full backlog refused is accepted when it is sent again, not dropped."""
    for number in range(5):
        await ledger.accept(an_event(f"key-{number}"))
    with pytest.raises(Overloaded):
        await ledger.accept(update(), rules=DEDUP)
    await ledger.commit(a_record("key-0"), [])

    assert (await ledger.accept(update(), rules=DEDUP)).is_new


async def test_a_dropped_event_leaves_no_mark(ledger: Ledger, clock: FrozenClock) -> None:
    """Updates that come faster than the limit do not put off the next verification."""
    await ledger.accept(update(), rules=DEDUP)
    clock.advance(200)
    await ledger.accept(update(1), rules=DEDUP)
    clock.advance(100)

    assert await drop(ledger, update(2)) is None


async def test_of_concurrent_updates_one_is_accepted(ledger: Ledger) -> None:
    """The check and the mark are one step."""
    answers = await asyncio.gather(
        *(ledger.accept(update(end_s), rules=DEDUP) for end_s in range(20))
    )

    assert [answer.is_new for answer in answers].count(True) == 1


async def test_a_clock_that_was_set_back_drops_for_no_longer_than_the_limit(
    ledger: Ledger, clock: FrozenClock
) -> None:
    """The event of the future is no reason; the one of a moment ago is."""
    await ledger.accept(update(), rules=DEDUP)
    clock.advance(-3600)
    after_the_jump = await drop(ledger, update(1))
    clock.advance(10)

    assert after_the_jump is None
    assert await drop(ledger, update(2)) is Drop.DEDUP


async def test_what_was_confirmed_is_skipped_for_a_while(
    ledger: Ledger, clock: FrozenClock
) -> None:
    """The verdict itself is the mark: it is there as soon as the verdict is."""
    first = update()
    await ledger.accept(first, rules=PROTECT)
    before = await drop(ledger, update(1), PROTECT)
    await ledger.commit(a_record(first.key, fingerprint=first.fingerprint), [])
    clock.advance(599)
    confirmed = await ledger.accept(update(2), rules=PROTECT)
    clock.advance(1)

    assert before is None
    assert Dropped(Drop.CONFIRMED, confirmed_at=T0) == confirmed.dropped
    assert await drop(ledger, update(2), PROTECT) is None


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.FAILED, Outcome.NONE])
async def test_only_confirmed_verdicts_protect(ledger: Ledger, outcome: Outcome) -> None:
    """Anything else may turn out otherwise next time, also after a confirmation."""
    for end_s, verdict in ((0, Outcome.CONFIRMED), (1, outcome)):
        event = update(end_s)
        await ledger.accept(event)
        await ledger.commit(a_record(event.key, fingerprint=event.fingerprint, outcome=verdict), [])

    assert await drop(ledger, update(2), PROTECT) is None


@settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(history=HISTORIES, chosen=SETTINGS)
async def test_every_history_is_filtered_as_vss_filters_it(
    ledger: Ledger, clock: FrozenClock, history: list[Update], chosen: FilterSettings
) -> None:
    """The ledger alone, without the copy in memory, agrees with an independent model."""
    model, run = Model(chosen), next(_numbers)
    for step in history:
        clock.advance(step.after_s)
        model.now += step.after_s
        event = Intake().read(step.raw(f"{run}-{step.sensor}"), EventKind.INCIDENT)
        filters = Filters(chosen, clock)
        rules = filters.rules_for(event)
        expected = model.submit(event.cohort, event.fingerprint, step)
        dropped = filters.check(event, rules)
        if dropped is None:
            answer = await ledger.accept(event, rules=rules)
            dropped = answer.dropped
            if answer.is_new:
                record = a_record(
                    event.key,
                    fingerprint=event.fingerprint,
                    outcome=Outcome(step.verdict),
                    decided_at=clock.now(),
                )
                await ledger.commit(record, [])
                model.decide(event.fingerprint, step.verdict)

        actual = dropped.by.value if dropped else "new" if answer.is_new else "known"
        assert expected == actual


async def test_marks_of_sqlite_survive_a_restart(tmp_path: Path, clock: FrozenClock) -> None:
    """The next process drops what this one would have dropped."""
    for end_s, expected in ((0, None), (1, Drop.DEDUP)):
        database = Database(tmp_path / "ledger.db")
        ledger = SqliteLedger(database, LedgerSettings(), clock)
        assert expected is await drop(ledger, update(end_s))
        await database.close()


async def test_a_ledger_of_schema_2_is_brought_up_to_date(
    tmp_path: Path, clock: FrozenClock
) -> None:
    """Verdicts that were decided before have no time of acceptance, and drop nothing."""
    path = tmp_path / "ledger.db"
    database = Database(path)
    ledger = SqliteLedger(database, LedgerSettings(), clock)
    await ledger.accept(update())
    await ledger.commit(a_record(update().key), [])
    await database.write(lambda db: db.execute("ALTER TABLE verdicts DROP COLUMN accepted_at"))
    await database.write(lambda db: db.execute("PRAGMA user_version = 2"))
    await database.close()
    database = Database(path)
    ledger = SqliteLedger(database, LedgerSettings(), clock)

    assert (await ledger.accept(update(), rules=DEDUP)).verdict is not None
    assert await drop(ledger, update(1)) is None
    await database.close()


@pytest.fixture
async def replicas(
    store: RedisStore, clock: FrozenClock
) -> AsyncGenerator[tuple[RedisLedger, RedisLedger]]:
    pair = tuple(RedisLedger(store, LedgerSettings(), clock) for _ in range(2))
    yield pair[0], pair[1]
    for ledger in pair:
        await ledger.close()


async def test_replicas_share_the_marks_in_redis(
    replicas: tuple[RedisLedger, RedisLedger],
) -> None:
    """What one has accepted the other drops."""
    first, second = replicas
    await first.accept(update(), rules=DEDUP)

    assert await drop(second, update(1)) is Drop.DEDUP


async def test_redis_forgets_marks_by_itself(
    replicas: tuple[RedisLedger, RedisLedger], store: RedisStore
) -> None:
    """The key of a cohort lives about as long as its longest limit."""
    await replicas[0].accept(update(), rules=FilterRules((*DELTA.limits, *DEDUP.limits)))
    lifetime_ms = await store._client.pttl("{sidecar}:mark:cohort")

    assert 3_590_000 < lifetime_ms <= 3_600_001
