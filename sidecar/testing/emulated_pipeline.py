"""Cameras, a policy and an emulated server in virtual time: what a load does to a board.

The policies are the incumbent's as it is documented, and the sidecar's own scheduler.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final, Protocol

from sidecar.core.scheduling import Scheduler
from sidecar.core.slots import Slots
from sidecar.errors import MediaRoute
from sidecar.model import EventKind, MediaRequest, Origin, VerifyEvent
from sidecar.settings import SchedulingSettings
from sidecar.testing.emulator import Emulator, Job, Speed
from sidecar.testing.fakes import FrozenClock

_EPOCH: Final = datetime(2026, 1, 1, tzinfo=UTC)
_PATIENCE_S: Final = 1e-6


class End(StrEnum):
    """How an event ended."""

    VERDICT = "verdict"
    TIMED_OUT = "timed_out"
    LATE = "deadline_expired"
    SHED = "overloaded"


@dataclass(frozen=True, slots=True)
class Ended:
    """An event that has come to its end; times in seconds.

    Attributes:
        came: when the camera raised it.
        begun: when the model's server was asked first; NaN when it never was.
        at: when it ended.
    """

    sensor: str
    came: float
    begun: float
    at: float
    end: End

    @property
    def seconds(self) -> float:
        """From the event to its end."""
        return self.at - self.came


@dataclass(slots=True, eq=False)
class _Event:
    number: int
    sensor: str
    came: float
    begun: float = math.nan
    asked: float = math.nan
    tries: int = 0


class Policy(Protocol):
    """Decides who is asked about next, and for how long."""

    def put(self, now: float, event: _Event) -> End | None:
        """Take in an event, or say how it ends instead."""
        ...

    def take(self, now: float) -> tuple[_Event, float] | None:
        """Return the next event to ask about, and until when its answer may come."""
        ...

    def late(self, now: float) -> Sequence[_Event]:
        """Return the events that are given up in line."""
        ...

    def wake_at(self) -> float:
        """Return when `late` should be asked next; infinite when it need not be."""
        ...

    def answered(self, now: float, event: _Event, *, in_time: bool) -> bool:
        """Learn how a question ended; tells whether the event is to be asked about again."""
        ...

    def waiting(self) -> int:
        """Return how many events stand in line."""
        ...


class StaticPolicy:
    """First come, first served, with a fixed number in flight: VSS's documented policy.

    Args:
        in_flight: questions at the same time.
        timeout_s: for each.
        tries: for each event.
    """

    def __init__(self, in_flight: int, timeout_s: float = math.inf, tries: int = 1) -> None:
        self._free = in_flight
        self._timeout_s = timeout_s
        self._tries = tries
        self._line: deque[_Event] = deque()

    def put(self, now: float, event: _Event) -> End | None:
        """Stand in line, however long it is."""
        del now
        self._line.append(event)
        return None

    def take(self, now: float) -> tuple[_Event, float] | None:
        """Return the first one in line when a place is free."""
        if not self._line or not self._free:
            return None
        self._free -= 1
        return self._line.popleft(), now + self._timeout_s

    def late(self, now: float) -> Sequence[_Event]:
        """Nobody is given up in line."""
        del now
        return ()

    def wake_at(self) -> float:
        """Never."""
        return math.inf

    def answered(self, now: float, event: _Event, *, in_time: bool) -> bool:
        """Ask once more after a timeout, from the end of the line."""
        del now
        self._free += 1
        if in_time or event.tries >= self._tries:
            return False
        self._line.appendleft(event)
        return True

    def waiting(self) -> int:
        """Return how many stand in line."""
        return len(self._line)


class SchedulerPolicy:
    """The sidecar's own: deadlines, fair shares, and shedding before the model is asked.

    Args:
        settings: of the scheduler.
        in_flight: questions at the same time.
    """

    def __init__(self, settings: SchedulingSettings, in_flight: int) -> None:
        self._clock = FrozenClock()
        self._free = in_flight
        self._scheduler = Scheduler(settings, self._clock, Slots(in_flight), lambda _: 1.0)
        self._events: dict[str, _Event] = {}
        self._verified: dict[int, VerifyEvent] = {}

    def put(self, now: float, event: _Event) -> End | None:
        """Stand in line unless it would be too late by then."""
        self._move(now)
        verify = replace(_TEMPLATE, key=str(event.number), sensor_id=event.sensor)
        if self._scheduler.put(verify) is not None:
            return End.SHED
        self._events[verify.key] = event
        return None

    def take(self, now: float) -> tuple[_Event, float] | None:
        """Return the one whose turn it is, with its deadline."""
        self._move(now)
        if not self._free or (taken := self._scheduler.take()) is None:
            return None
        verify, expires, _ = taken
        self._free -= 1
        event = self._events.pop(verify.key)
        self._verified[event.number] = verify
        return event, expires

    def late(self, now: float) -> Sequence[_Event]:
        """Return those whose deadline has passed in line."""
        self._move(now)
        return [self._events.pop(it.event.key) for it in self._scheduler.take_late()]

    def wake_at(self) -> float:
        """Return when the next one in line is too late."""
        return self._clock.monotonic() + self._scheduler.wait_s(math.inf)

    def answered(self, now: float, event: _Event, *, in_time: bool) -> bool:
        """Learn how long it took; there is no second try after the deadline."""
        del in_time
        self._move(now)
        self._free += 1
        self._scheduler.done(self._verified.pop(event.number), now - event.asked)
        return False

    def waiting(self) -> int:
        """Return how many stand in line."""
        return len(self._scheduler)

    def _move(self, now: float) -> None:
        self._clock.advance(max(0.0, now - self._clock.monotonic()))


@dataclass(slots=True)
class Run:
    """What came out.

    Attributes:
        ended: every event that ended, in that order.
        came: how many events there were.
        waiting: how many stood in line or were being asked about at the end.
        longest_line: at any time.
        gpu_s: seconds that the GPU worked.
        seconds: of the run.
    """

    ended: list[Ended] = field(default_factory=list)
    came: int = 0
    waiting: int = 0
    longest_line: int = 0
    gpu_s: float = 0.0
    seconds: float = 0.0

    def verdicts(self, since: float = 0.0) -> list[Ended]:
        """Return the events that got a verdict, of those that came after `since`."""
        return [it for it in self.ended if it.end is End.VERDICT and it.came >= since]

    def count(self, end: End) -> int:
        """Return how many events ended so."""
        return sum(it.end is end for it in self.ended)


def run_pipeline(
    speed: Speed,
    job: Callable[[int], Job],
    policy: Policy,
    arrivals: Sequence[tuple[float, str]],
    *,
    beside_model_s: float = 0.0,
    until: float = math.inf,
) -> Run:
    """Let events come and end.

    Args:
        speed: of the model's server.
        job: what the n-th event asks of it.
        policy: who is next.
        arrivals: seconds and cameras, in order.
        beside_model_s: that an event takes before it stands in line.
        until: when to stop; events that have not ended then are counted in `waiting`.
    """
    run = _Pipeline(speed, job, policy)
    for number, (came, sensor) in enumerate(arrivals):
        if came + beside_model_s > until:
            break
        run.until(came + beside_model_s)
        run.offer(_Event(number, sensor, came))
    run.until(until)
    return run.result(until)


def steady_cameras(
    streams: int, per_minute: float, seconds: float, spread: float = 1.0
) -> list[tuple[float, str]]:
    """Return events of cameras that each raise one at equal intervals.

    Args:
        streams: cameras.
        per_minute: events of each.
        seconds: of the whole load.
        spread: 0 when all raise them at the same moment, 1 when they are spread over the interval.
    """
    period = 60 / per_minute
    found = [
        (spread * period * one / streams + turn * period, f"camera-{one}")
        for turn in range(math.ceil(seconds / period))
        for one in range(streams)
    ]
    return sorted(it for it in found if it[0] < seconds)


def random_cameras(
    streams: int, per_minute: float, seconds: float, seed: int
) -> list[tuple[float, str]]:
    """Return events of cameras that each raise them at random, independently (Poisson)."""
    chance, found = random.Random(seed), []  # noqa: S311 - a load is no secret
    for one in range(streams):
        at = chance.expovariate(per_minute / 60)
        while at < seconds:
            found.append((at, f"camera-{one}"))
            at += chance.expovariate(per_minute / 60)
    return sorted(found)


class _Pipeline:
    def __init__(self, speed: Speed, job: Callable[[int], Job], policy: Policy) -> None:
        self._emulator = Emulator(speed)
        self._job = job
        self._policy = policy
        self._asked: dict[str, _Event] = {}
        self._timeouts: list[tuple[float, str]] = []
        self._asks = 0
        self._run = Run()

    def until(self, to: float) -> None:
        """Let everything happen that does so before `to`."""
        while (at := self._next_at()) <= to and at < math.inf:
            for finished in self._emulator.advance(at):
                event = self._asked.pop(finished.key)
                self._policy.answered(at, event, in_time=True)
                self._end(event, at, End.VERDICT)
            self._time_out(at)
            for event in self._policy.late(at + _PATIENCE_S):
                self._end(event, at, End.LATE)
            self._ask(at)
        if to < math.inf:
            for finished in self._emulator.advance(to):
                raise AssertionError(f"{finished.key} ended between two moments.")

    def offer(self, event: _Event) -> None:
        """Let an event come now."""
        now = self._emulator.now
        self._run.came += 1
        end = self._policy.put(now, event)
        if end is not None:
            self._end(event, now, end)
        self._ask(now)
        self._run.longest_line = max(self._run.longest_line, self._policy.waiting())

    def result(self, until: float) -> Run:
        """Return what came out."""
        self._run.waiting = self._policy.waiting() + len(self._asked)
        self._run.gpu_s = self._emulator.gpu_s
        last = max((it.at for it in self._run.ended), default=0.0)
        self._run.seconds = until if until < math.inf else last
        return self._run

    def _next_at(self) -> float:
        at = self._emulator.next_at()
        self._forget_timeouts()
        timeout = self._timeouts[0][0] if self._timeouts else math.inf
        return min(math.inf if at is None else at, timeout, self._policy.wake_at())

    def _ask(self, now: float) -> None:
        while (taken := self._policy.take(now)) is not None:
            event, deadline = taken
            self._asks += 1
            event.tries += 1
            event.asked = now
            event.begun = now if math.isnan(event.begun) else event.begun
            key = f"{event.number}/{self._asks}"
            self._asked[key] = event
            self._emulator.submit(key, self._job(event.number))
            if deadline < math.inf:
                heapq.heappush(self._timeouts, (deadline, key))

    def _time_out(self, now: float) -> None:
        """Hang up on the questions whose time is over."""
        self._forget_timeouts()
        while self._timeouts and self._timeouts[0][0] <= now:
            key = heapq.heappop(self._timeouts)[1]
            event = self._asked.pop(key)
            self._emulator.cancel(key)
            if not self._policy.answered(now, event, in_time=False):
                self._end(event, now, End.TIMED_OUT)
            self._forget_timeouts()

    def _forget_timeouts(self) -> None:
        while self._timeouts and self._timeouts[0][1] not in self._asked:
            heapq.heappop(self._timeouts)

    def _end(self, event: _Event, now: float, end: End) -> None:
        self._run.ended.append(Ended(event.sensor, event.came, event.begun, now, end))


_TEMPLATE: Final = VerifyEvent(
    key="",
    id="",
    fingerprint="",
    kind=EventKind.INCIDENT,
    origin=Origin.PIPELINE,
    raw={},
    sensor_id="",
    category="collision",
    timestamp=_EPOCH,
    end=_EPOCH,
    media=MediaRequest(MediaRoute.RECORDER),
)
