"""Scheduler, places and adaptive limit together, on a virtual clock, before a batching server."""

import math
import random
from collections import Counter
from dataclasses import dataclass, field

import pytest
from batching_server import BatchingServer, Curve, hard_knee, soft_knee
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger_samples import an_event

from sidecar.core.limits import AdaptiveLimit, Ticket
from sidecar.core.scheduling import Scheduler
from sidecar.core.slots import Slots
from sidecar.model import VerifyEvent
from sidecar.settings import SchedulingSettings
from sidecar.testing.fakes import FrozenClock

TOKENS = 2000.0
"""Of one clip."""


class Following(Slots):
    """As many places as a limit says."""

    def __init__(self, limit: AdaptiveLimit) -> None:
        super().__init__(limit.value)
        self._limit = limit

    @property
    def total(self) -> int:
        return self._limit.value


@dataclass
class Hour:
    """Cameras, a line, and a server; time passes in jumps.

    Attributes:
        ends: how events ended; `overrun` are those that the verification's own deadline ended.
        overruns: events that were begun after their deadline.
        idle: steps at which a place was free and somebody waited.
        in_server_s: how long each verified event was at the server.
        worked_s: time in which the server had something to do.
    """

    server: BatchingServer
    limit: AdaptiveLimit
    scheduling: SchedulingSettings = field(default_factory=SchedulingSettings)
    ends: Counter[str] = field(default_factory=Counter)
    done_by: Counter[str] = field(default_factory=Counter)
    in_server_s: list[float] = field(default_factory=list)
    levels: list[int] = field(default_factory=list)
    overruns: int = 0
    idle: int = 0
    longest_line: int = 0

    def __post_init__(self) -> None:
        self.clock = FrozenClock()
        self.places = Following(self.limit)
        self.scheduler = Scheduler(self.scheduling, self.clock, self.places, lambda _: 1.0)
        self._busy: dict[int, tuple[VerifyEvent, float, float, Ticket]] = {}

    def run(self, arrivals: list[tuple[float, str]]) -> int:
        """Let events come, in the order of their time; returns how many came."""
        for number, (at, sensor) in enumerate(arrivals):
            self._finish_until(at)
            self._advance(at)
            event = an_event(f"{sensor}/{at}/{number}", sensor_id=sensor)
            self.ends["shed"] += self.scheduler.put(event) is not None
            self._begin()
        self._finish_until(math.inf)
        return len(arrivals)

    def _finish_until(self, until_s: float) -> None:
        while self.server.in_flight and self.server.next_end_s() <= until_s:
            in_flight = self.server.in_flight
            event, since, expires, ticket = self._busy.pop(self.server.end())
            self._advance(self.server.clock_s)
            seconds = self.server.clock_s - since
            self.limit.succeed(ticket, seconds, TOKENS, in_flight)
            self.scheduler.done(event, seconds)
            self.places.give_back()
            is_late = self.server.clock_s > expires
            self.ends["overrun" if is_late else "done"] += 1
            self.done_by[event.sensor_id] += not is_late
            self.in_server_s.append(seconds)
            self.levels.append(self.limit.value)
            self._begin()

    def _begin(self) -> None:
        self.ends["late"] += sum(1 for _ in self.scheduler.take_late())
        while self.places.free > 0 and (taken := self.scheduler.take()):
            event, expires, _ = taken
            now = self.clock.monotonic()
            self.overruns += expires < now
            self.places.take(1)
            ticket = self.limit.begin(self.server.in_flight + 1)
            number = self.server.begin(TOKENS)
            assert number is not None
            self._busy[number] = (event, now, expires, ticket)
        self.idle += self.places.free > 0 and len(self.scheduler) > 0
        self.longest_line = max(self.longest_line, len(self.scheduler))

    def _advance(self, to_s: float) -> None:
        self.server.run_until(max(to_s, self.server.clock_s))
        self.clock.advance(max(0.0, to_s - self.clock.monotonic()))


def _arrivals(cameras: int, a_minute: float, seconds: float, seed: int) -> list[tuple[float, str]]:
    chance, found = random.Random(seed), []
    for camera in range(cameras):
        at = chance.expovariate(a_minute / 60)
        while at < seconds:
            found.append((at, f"camera-{camera}"))
            at += chance.expovariate(a_minute / 60)
    return sorted(found)


def _hour(curve: Curve, seed: int = 1, **scheduling: float) -> Hour:
    server, limit = BatchingServer(curve, seed), AdaptiveLimit(64)
    return Hour(server, limit, SchedulingSettings(**scheduling))  # type: ignore[arg-type]


def test_an_hour_of_two_hundred_cameras_before_a_server_that_can_do_it() -> None:
    """At 75 % load everything is done in time, and few requests are ever at the server."""
    hour = _hour(hard_knee(best=20 * TOKENS, knee=8))
    came = hour.run(_arrivals(200, 4.5, 3600, seed=1))

    assert {"done": came, "shed": 0, "late": 0} == dict(hour.ends)
    assert (0, 0) == (hour.overruns, hour.idle)
    assert sorted(hour.in_server_s)[int(0.95 * came)] < 2.0


@pytest.mark.parametrize(
    "curve", [hard_knee(10 * TOKENS, 8), soft_knee(10 * TOKENS, 1)], ids=["hard", "soft"]
)
@pytest.mark.parametrize("deadline_s", [10.0, 30.0])
def test_three_times_more_than_it_can_do(curve: Curve, deadline_s: float) -> None:
    """It does 90 % of what it can, the rest ends visibly, and cameras share evenly."""
    hour = _hour(curve, deadline_s=deadline_s)
    came = hour.run(_arrivals(200, 9.0, 600, seed=2))
    best = 600 * curve(64) / TOKENS

    assert came == hour.ends.total()
    assert hour.ends["done"] >= 0.9 * best
    assert hour.ends["overrun"] < 0.01 * came
    assert hour.ends["late"] < 0.2 * came
    assert (0, 0) == (hour.overruns, hour.idle)
    assert hour.longest_line < 2 * 30 * curve(64) / TOKENS
    served = sorted(hour.done_by[f"camera-{camera}"] for camera in range(200))
    assert served[0] > 0.3 * served[-1]


def test_requests_wait_here_and_not_at_the_server() -> None:
    """As much is done as with 64 at a time, and each is there for a fraction of the time."""
    arrivals = _arrivals(100, 9.0, 900, seed=3)
    found = []
    for limit in (AdaptiveLimit(64), AdaptiveLimit(64, is_fixed=True)):
        settings = SchedulingSettings(deadline_s=30)
        hour = Hour(BatchingServer(hard_knee(5 * TOKENS, 4), 3), limit, settings)
        hour.run(arrivals)
        tail = hour.in_server_s[len(hour.in_server_s) // 4 :]
        found.append((hour.ends["done"], sum(tail) / len(tail)))
    (adaptive, adaptive_s), (fixed, fixed_s) = found

    assert adaptive >= 0.95 * fixed
    assert adaptive_s < fixed_s / 2


def test_a_server_that_loses_half_of_what_it_could_do() -> None:
    """What it can still do is done, and nothing is lost count of."""
    hour = _hour(hard_knee(10 * TOKENS, 8), deadline_s=30.0)
    came = hour.run(_arrivals(100, 9.0, 900, seed=4))
    before = hour.ends["done"]
    hour.server.curve = hard_knee(5 * TOKENS, 4)
    start = hour.server.clock_s
    later = [(start + at, sensor) for at, sensor in _arrivals(100, 9.0, 900, seed=5)]
    came += hour.run(later)

    assert came == hour.ends.total()
    assert hour.ends["done"] - before >= 0.9 * 900 * 5
    assert 0 == hour.overruns


@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["come", "come", "take", "done", "pass", "limit"]),
            st.integers(0, 5),
            st.floats(0.0, 20.0),
        ),
        max_size=150,
    ),
    max_queued=st.integers(1, 20),
    deadline_s=st.floats(0.5, 60.0),
    shed=st.booleans(),
)
@settings(deadline=None)
def test_every_event_ends_once_under_any_interleaving(
    steps: list[tuple[str, int, float]], max_queued: int, deadline_s: float, shed: bool
) -> None:
    """Taken in time, late or shed; the line is bounded, and a free place does not idle.

    The line is filled as the dispatcher fills it, and places come and go as a limit would have it.
    """
    clock, total = FrozenClock(), [3]

    class Changing(Slots):
        @property
        def total(self) -> int:
            return total[0]

    places = Changing(3)
    options = SchedulingSettings(max_queued=max_queued, deadline_s=deadline_s, shed=shed)
    scheduler = Scheduler(options, clock, places, lambda _: 1.0)
    came = 0
    ends: Counter[str] = Counter()
    busy: list[VerifyEvent] = []
    for what, number, seconds in steps:
        if what == "come" and scheduler.room > 0:
            came += 1
            event = an_event(f"event-{came}", sensor_id=f"camera-{number}")
            ends["shed"] += scheduler.put(event) is not None
        elif what == "take":
            ends["late"] += sum(1 for _ in scheduler.take_late())
            waited_for = len(scheduler)
            while places.free > 0 and (taken := scheduler.take()):
                event, expires, _ = taken
                assert expires > clock.monotonic()
                busy.append(event)
                places.take(1)
            assert places.free <= 0 or len(scheduler) == 0
            assert len(scheduler) <= waited_for
        elif what == "done" and busy:
            scheduler.done(busy.pop(), seconds)
            places.give_back()
            ends["done"] += 1
        elif what == "pass":
            clock.advance(seconds)
        elif what == "limit":
            total[0] = number + 1
        assert len(scheduler) <= max_queued
        assert came == ends["shed"] + ends["late"] + ends["done"] + len(busy) + len(scheduler)


@given(
    sensors=st.integers(2, 12),
    priority=st.integers(0, 9),
    urgent=st.integers(0, 9),
    service_s=st.floats(0.1, 5.0),
)
@settings(deadline=None, max_examples=60)
def test_nobody_starves(sensors: int, priority: int, urgent: int, service_s: float) -> None:
    """Though another event comes for each that is served, however urgent, a waiting one is served.

    It takes no longer than it takes to age to their urgency, and a turn of all sensors then.
    """
    ageing_s = 10.0
    clock, places = FrozenClock(), Slots(1)
    options = SchedulingSettings(
        ageing_s=ageing_s,
        deadline_s=1e6,
        priorities={"rival": urgent, "waiting": priority},
    )
    scheduler = Scheduler(options, clock, places, lambda _: 1.0)
    for number in range(sensors):
        scheduler.put(an_event(f"first-{number}", sensor_id=f"s{number}", category="rival"))
    scheduler.put(an_event("waiting", sensor_id="quiet", category="waiting"))
    turns = 0
    while (taken := scheduler.take()) is not None and taken[0].key != "waiting":
        turns += 1
        clock.advance(service_s)
        rival = an_event(f"r{turns}", sensor_id=f"s{turns % sensors}", category="rival")
        scheduler.put(rival)
        line_s = (sensors + 2) * service_s
        assert clock.monotonic() <= ageing_s * (max(0, priority - urgent) + 2) + 3 * line_s
