"""Which events are dropped, and what the copy of the marks in memory answers."""

import asyncio
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from filter_model import HISTORIES, SETTINGS, Model, Update
from hypothesis import given, settings
from ledger_samples import T0, a_record
from payloads import COLLISION, ON_DEMAND
from storing_service import Storing, storing

from sidecar.core.filters import Filters, first_broken
from sidecar.core.identity import iso_ms
from sidecar.core.intake import Intake
from sidecar.model import (
    NO_RULES,
    Accepted,
    Drop,
    Dropped,
    EventKind,
    Limit,
    Mark,
    Outcome,
    VerifyEvent,
)
from sidecar.settings import FilterSettings
from sidecar.testing.fakes import FrozenClock

EVERYTHING: Final = {
    "end_time_in_dedup_key_categories": ["Fall"],
    "end_time_delta": {"enabled": True},
    "rate_limit": {"enabled": True},
    "protect_confirmed": {"enabled": True},
}


def event(kind: EventKind = EventKind.INCIDENT, **changes: Any) -> VerifyEvent:
    return Intake().read({**COLLISION, "end": iso_ms(T0), **changes}, kind)


def filters(**chosen: Any) -> Filters:
    return Filters(FilterSettings.model_validate(chosen), FrozenClock())


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ["end_time_delta", "dedup"]),
        ({"category": " FALL "}, ["end_time_delta", "rate_limit"]),
        ({"objectIds": []}, ["dedup"]),
        ({"objectIds": [], "category": "fall"}, ["dedup"]),
    ],
)
def test_the_filters_of_an_event_follow_vss(changes: dict[str, Any], expected: list[str]) -> None:
    """Ends count for events with objects; listed categories have no dedup without the end."""
    rules = filters(**EVERYTHING).rules_for(event(**changes))

    assert expected == [limit.drop.value for limit in rules.limits]
    assert 600 == rules.protect_s


def test_vss_defaults_are_dedup_alone() -> None:
    """300 s, whatever the end."""
    rules = filters().rules_for(event())

    assert (Limit(Drop.DEDUP, 300.0),) == rules.limits
    assert 0 == rules.protect_s


def test_on_demand_requests_are_never_filtered() -> None:
    """Who asks gets an answer."""
    request = Intake().read_on_demand(ON_DEMAND, T0)
    chosen = filters(**EVERYTHING, verify_only_finished_events=True)

    assert chosen.rules_for(request) is NO_RULES
    assert chosen.check(request, NO_RULES) is None


@pytest.mark.parametrize("complete", ["true", "True", "TRUE"])
def test_finished_events_are_recognised_as_in_vss(complete: str) -> None:
    """These spellings, no others."""
    chosen = filters(verify_only_finished_events=True)
    finished, going_on = event(info={"isComplete": complete}), event(info={"isComplete": "yes"})

    assert chosen.check(finished, chosen.rules_for(finished)) is None
    assert Dropped(Drop.UNFINISHED) == chosen.check(going_on, chosen.rules_for(going_on))


@pytest.mark.parametrize(
    ("age_s", "moved_s", "expected"),
    [
        (0, 0, "near"),
        (9.9, 4.9, "near"),
        (9.9, -4.9, "near"),
        (9.9, 5, "any"),
        (10, 0, "any"),
        (19.9, 60, "any"),
        (20, 0, None),
        (-19.9, 60, "any"),
        (-20, 0, None),
    ],
)
def test_a_limit_holds_below_its_bounds(age_s: float, moved_s: float, expected: str) -> None:
    """As in VSS the bounds themselves are free; time counts in both directions."""
    limits = {"near": Limit(Drop.END_TIME_DELTA, 10, 5), "any": Limit(Drop.DEDUP, 20)}
    broken = first_broken(
        list(limits.values()),
        T0 + timedelta(seconds=moved_s),
        Mark(T0, T0),
        T0 + timedelta(seconds=age_s),
    )

    assert limits.get(expected) is broken


def test_a_clear_repetition_is_answered_from_memory() -> None:
    """Only what the ledger may know is left to it: the end that was accepted."""
    chosen, first, later = filters(), event(), event(end=iso_ms(T0 + timedelta(seconds=9)))
    rules = chosen.rules_for(first)
    chosen.learn(first, rules, Accepted(first.key, is_new=True))

    assert chosen.check(first, rules) is None
    assert Dropped(Drop.DEDUP, Mark(T0, T0)) == chosen.check(later, rules)


def test_memory_learns_from_what_the_ledger_drops() -> None:
    """After a restart the ledger is asked once for each event that goes on."""
    chosen, update = filters(), event(end=iso_ms(T0 + timedelta(seconds=9)))
    rules, dropped = chosen.rules_for(update), Dropped(Drop.DEDUP, Mark(T0, T0))
    chosen.learn(update, rules, Accepted(update.key, is_new=False, dropped=dropped))

    assert dropped == chosen.check(update, rules)


def test_memory_is_bounded() -> None:
    """Of many events the ones that were accepted last are remembered."""
    chosen = Filters(FilterSettings(), FrozenClock(), max_marks=10)
    for number in range(100):
        one = event(sensorId=f"camera-{number}")
        chosen.learn(one, chosen.rules_for(one), Accepted(one.key, is_new=True))

    assert 10 == len(chosen._marks)
    late = event(sensorId="camera-99", end=iso_ms(T0 + timedelta(seconds=1)))
    assert chosen.check(late, chosen.rules_for(late)) is not None


@pytest.mark.parametrize(
    ("dropped", "expected"),
    [
        (
            Dropped(Drop.DEDUP, Mark(T0, T0)),
            "filter dedup: the same event was accepted 12 s ago",
        ),
        (
            Dropped(Drop.CONFIRMED, confirmed_at=T0 + timedelta(seconds=30)),
            "filter confirmed: it was confirmed 0 s ago",
        ),
        (
            Dropped(Drop.UNFINISHED),
            "filter unfinished: `info.isComplete` is not true",
        ),
    ],
)
def test_the_reason_is_told(dropped: Dropped, expected: str) -> None:
    """In words, with the time since; a time in the future is now."""
    clock = FrozenClock(T0 + timedelta(seconds=12))

    assert expected == Filters(FilterSettings(), clock).explain(dropped)


async def _play(
    service: Storing, clock: FrozenClock, model: Model, history: list[Update]
) -> tuple[list[str], list[str]]:
    """Submit a history to service and model; return what was verified or dropped by each."""
    expected, actual = [], []
    for step in history:
        clock.advance(step.after_s)
        model.now += step.after_s
        stored = service.meter.counts["stored"]
        submission = await service.service.submit(step.raw(step.sensor), EventKind.INCIDENT)
        taken = submission.event
        foreseen = model.submit(taken.cohort, taken.fingerprint, step)
        is_new = service.meter.counts["stored"] > stored
        if is_new:
            outcome = Outcome(step.verdict)
            record = a_record(
                taken.key, fingerprint=taken.fingerprint, outcome=outcome, decided_at=clock.now()
            )
            await service.ledger.commit(record, [])
            model.decide(taken.fingerprint, step.verdict)
        dropped_by = submission.dropped.removeprefix("filter ").partition(":")[0]
        # Memory may drop what the ledger would know; neither is verified.
        expected.append(foreseen)
        actual.append("new" if is_new else "known" if foreseen == "known" else dropped_by)
    return expected, actual


@settings(max_examples=40, deadline=None, derandomize=True)
@given(history=HISTORIES, chosen=SETTINGS)
def test_every_history_is_filtered_as_vss_filters_it(
    history: list[Update], chosen: FilterSettings
) -> None:
    """With the copy in memory as without: an independent model foresees every drop."""

    async def check() -> None:
        clock = FrozenClock()
        with tempfile.TemporaryDirectory() as folder:
            async with storing(Path(folder), filters=chosen, clock=clock) as service:
                expected, actual = await _play(service, clock, Model(chosen), history)
        assert expected == actual

    asyncio.run(check())
