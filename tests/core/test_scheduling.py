"""Deadlines, fair shares and shedding, on a clock that only moves when told to."""

import heapq
import random
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta

from ledger_samples import an_event

from sidecar.core.scheduling import Refused, Scheduler, cost_of
from sidecar.core.slots import Slots
from sidecar.errors import DeadlineExpired, ShedByLoad
from sidecar.model import EvidenceForm, SamplePlan, VerifyEvent
from sidecar.settings import SchedulingSettings
from sidecar.testing.fakes import FrozenClock

PLAN = SamplePlan(EvidenceForm.VIDEO, fps=2, max_frames=20, max_pixels=10**6)


def _event(key: str, sensor: str = "camera", category: str = "collision") -> VerifyEvent:
    return an_event(key, sensor_id=sensor, category=category)


def _scheduler(clock: FrozenClock, places: int = 1, **settings: object) -> Scheduler:
    return Scheduler(SchedulingSettings(**settings), clock, Slots(places), lambda _: 1.0)


def _learn(scheduler: Scheduler, seconds: float) -> None:
    for number in range(20):
        scheduler.done(an_event(f"learnt-{number}"), seconds)


def test_the_cost_of_an_event_is_its_frames() -> None:
    """A longer clip costs more, as far as the plan shows more of it."""
    event = an_event()
    lasting = [
        replace(event, end=event.timestamp + timedelta(seconds=seconds))
        for seconds in (-5, 0, 3, 10, 100)
    ]

    assert [1, 1, 6, 20, 20] == [cost_of(one, PLAN) for one in lasting]


def test_events_leave_with_their_deadline_and_their_wait() -> None:
    """The deadline is the category's, else the general one; names count in any case."""
    clock = FrozenClock()
    scheduler = _scheduler(clock, deadline_s=100, deadlines={"Collision": 30})
    scheduler.put(_event("a", category="COLLISION"))
    scheduler.put(_event("b", "other", category="smoke"))
    clock.advance(4)

    taken = [scheduler.take(), scheduler.take()]
    assert [("a", 30.0, 4.0), ("b", 100.0, 4.0)] == [
        (event.key, expires, waited) for event, expires, waited in filter(None, taken)
    ]
    assert scheduler.take() is None


def test_an_event_that_waited_too_long_is_refused() -> None:
    """It ends as deadline_expired at its deadline, not before, and leaves the line."""
    clock = FrozenClock()
    scheduler = _scheduler(clock, deadline_s=10)
    scheduler.put(_event("a"))
    assert 10 == scheduler.wait_s(60)
    clock.advance(9.9)
    assert [] == list(scheduler.take_late())
    clock.advance(0.2)

    (refused,) = scheduler.take_late()
    assert isinstance(refused.error, DeadlineExpired)
    assert "waited for 10 s" in refused.error.detail
    assert ("a" not in scheduler, 0, None) == (True, len(scheduler), scheduler.take())


def test_nothing_is_shed_before_it_is_known_how_long_events_take() -> None:
    """A service that has just started takes whatever comes."""
    scheduler = _scheduler(FrozenClock(), deadline_s=1)

    assert not any(scheduler.put(_event(f"{number}")) for number in range(100))


def test_what_cannot_be_done_in_time_is_refused_at_once() -> None:
    """With 2 s for an event, two places and 10 s for each, the tenth of a sensor is too many.

    It would be begun after 9 s and take 2.
    """
    scheduler = _scheduler(FrozenClock(), places=2, deadline_s=10)
    _learn(scheduler, 2.0)
    refused = [scheduler.put(_event(f"{number}")) for number in range(12)]

    assert [None] * 9 == refused[:9]
    assert all(isinstance(it, Refused) and isinstance(it.error, ShedByLoad) for it in refused[9:])
    assert "about 11 s until this event is decided, and 10 s are allowed" in (
        refused[9].error.detail if refused[9] else ""
    )
    assert scheduler.put(_event("quiet", "another camera")) is None


def test_an_event_that_would_not_be_done_in_time_is_not_begun() -> None:
    """Once less is left than nearly every event takes, its place goes to one that can be done."""
    clock, places = FrozenClock(), Slots(1)
    scheduler = Scheduler(SchedulingSettings(deadline_s=10), clock, places, lambda _: 1.0)
    places.take()
    scheduler.put(_event("a"))
    _learn(scheduler, 2.0)
    clock.advance(7.9)
    assert [] == list(scheduler.take_late())
    clock.advance(0.2)

    (refused,) = scheduler.take_late()
    assert isinstance(refused.error, ShedByLoad)
    assert "about 2 s until this event is decided, and 2 s are allowed" in refused.error.detail


def test_an_idle_service_tries_one_event_whatever_it_has_learnt() -> None:
    """A server that was slow for a while would else never be asked again."""
    clock, places = FrozenClock(), Slots(2)
    scheduler = Scheduler(SchedulingSettings(deadline_s=10), clock, places, lambda _: 1.0)
    _learn(scheduler, 60.0)
    first, second = scheduler.put(_event("a")), scheduler.put(_event("b"))
    assert first is None
    assert isinstance(second, Refused)
    assert [] == list(scheduler.take_late())

    assert scheduler.take() is not None
    places.take(1)
    assert isinstance(scheduler.put(_event("c")), Refused)
    for number in range(200):
        scheduler.done(_event(f"fast-{number}"), 0.5)
    assert scheduler.put(_event("d")) is None


def test_the_estimate_follows_the_number_of_places() -> None:
    """Events that took 4 s while four were worked on come out one a second, whatever they are."""
    clock, places = FrozenClock(), Slots(4)
    scheduler = Scheduler(SchedulingSettings(deadline_s=30), clock, places, lambda _: 1.0)
    places.take()
    _learn(scheduler, 4.0)
    accepted = sum(scheduler.put(_event(f"{number}")) is None for number in range(40))

    assert 27 == accepted


def test_shedding_can_be_switched_off() -> None:
    """Then everything waits for its deadline."""
    scheduler = _scheduler(FrozenClock(), deadline_s=1, shed=False)
    _learn(scheduler, 60.0)

    assert not any(scheduler.put(_event(f"{number}")) for number in range(100))


@dataclass
class Simulation:
    """A model with `places` at once, cameras, and time that passes in jumps."""

    seconds: float
    rates: dict[str, float]
    places: int
    service_s: float
    settings: SchedulingSettings
    ends: Counter[str] = field(default_factory=Counter)
    waits: dict[str, list[float]] = field(default_factory=dict)
    overruns: int = 0
    longest_line: int = 0
    idle_with_work: int = 0

    def run(self, seed: int) -> int:
        """Return how many events came."""
        chance, clock = random.Random(seed), FrozenClock()
        scheduler = Scheduler(self.settings, clock, Slots(self.places), lambda _: 1.0)
        arrivals = self._arrivals(chance)
        busy: list[tuple[float, int, str]] = []
        deadlines: dict[str, float] = {}
        begun: dict[str, tuple[float, VerifyEvent]] = {}
        for number, (at, sensor) in enumerate(arrivals):
            while busy and busy[0][0] <= at:
                self._finish(heapq.heappop(busy), clock, scheduler, begun, deadlines)
                self._begin(clock, scheduler, busy, begun, chance)
            clock.advance(at - clock.monotonic())
            self._expire(scheduler)
            event = _event(f"{sensor}/{number}", sensor)
            deadlines[event.key] = scheduler.expiry_of(event)
            self.ends["shed"] += scheduler.put(event) is not None
            self._begin(clock, scheduler, busy, begun, chance)
            self.longest_line = max(self.longest_line, len(scheduler))
        while busy:
            self._finish(heapq.heappop(busy), clock, scheduler, begun, deadlines)
            self._begin(clock, scheduler, busy, begun, chance)
        return len(arrivals)

    def _arrivals(self, chance: random.Random) -> list[tuple[float, str]]:
        found = []
        for sensor, rate in self.rates.items():
            at = chance.expovariate(rate)
            while at < self.seconds:
                found.append((at, sensor))
                at += chance.expovariate(rate)
        return sorted(found)

    def _begin(self, clock, scheduler, busy, begun, chance) -> None:  # type: ignore[no-untyped-def]
        self._expire(scheduler)
        while len(busy) < self.places and (taken := scheduler.take()):
            event, _, waited = taken
            now = clock.monotonic()
            self.waits.setdefault(event.sensor_id, []).append(waited)
            begun[event.key] = (now, event)
            took = self.service_s * chance.uniform(0.7, 1.3)
            heapq.heappush(busy, (now + took, len(begun), event.key))
        self.idle_with_work += len(busy) < self.places and len(scheduler) > 0

    def _finish(self, done, clock, scheduler, begun, deadlines) -> None:  # type: ignore[no-untyped-def]
        at, _, key = done
        clock.advance(max(0.0, at - clock.monotonic()))
        since, event = begun.pop(key)
        scheduler.done(event, at - since)
        self.ends["done"] += 1
        self.overruns += at > deadlines[key]

    def _expire(self, scheduler: Scheduler) -> None:
        self.ends["late"] += sum(1 for _ in scheduler.take_late())

    def slowest(self, sensor: str) -> float:
        """Return the 95th percentile of a sensor's waits."""
        waits = sorted(self.waits[sensor])
        return waits[int(0.95 * (len(waits) - 1))]


def _cameras(number: int, per_minute: float) -> dict[str, float]:
    return {f"camera-{one}": per_minute / 60 for one in range(number)}


def test_an_hour_of_two_hundred_cameras_within_capacity() -> None:
    """At 80 % load everything is done in time, nothing is refused, and no place idles."""
    simulation = Simulation(
        3600, _cameras(200, 4.5), places=8, service_s=0.427, settings=SchedulingSettings()
    )
    arrived = simulation.run(seed=1)

    assert {"done": arrived, "shed": 0, "late": 0} == dict(simulation.ends)
    assert (0, 0) == (simulation.overruns, simulation.idle_with_work)


def test_three_times_more_than_can_be_done() -> None:
    """All that can be done is done, the rest ends at once, the line is bounded, all accounted."""
    settings = SchedulingSettings(deadline_s=30)
    simulation = Simulation(
        1800, _cameras(200, 13.5), places=8, service_s=0.5333, settings=settings
    )
    arrived = simulation.run(seed=2)
    capacity = 1800 * 8 / 0.5333

    assert arrived == sum(simulation.ends.values())
    assert simulation.ends["done"] >= 0.97 * capacity
    assert simulation.ends["late"] < 0.01 * arrived
    assert simulation.overruns < 0.01 * arrived
    assert simulation.longest_line < 30 * 8 / 0.5333 * 1.5


def test_one_camera_at_a_hundred_times_the_rate() -> None:
    """The others wait hardly longer than without it."""
    cameras, settings = _cameras(50, 4.5), SchedulingSettings(deadline_s=30)
    alone = Simulation(1800, cameras, places=4, service_s=0.5, settings=settings)
    alone.run(seed=3)
    flooded = Simulation(
        1800, {**cameras, "noisy": 450 / 60}, places=4, service_s=0.5, settings=settings
    )
    flooded.run(seed=3)

    worst = max(flooded.slowest(camera) for camera in cameras)
    assert worst < max(alone.slowest(camera) for camera in cameras) + 2 * 0.5
    assert flooded.ends["shed"] > 0
