"""When an event is worked on: deadlines, fair shares, and what is not begun because it is too late.

Pure but for the clock. `work.dispatch` moves events from the ledger in here and out of here to
work.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sidecar.core.fair_queue import FairQueue, Waiting
from sidecar.core.slots import Slots
from sidecar.errors import DeadlineExpired, ShedByLoad, VerificationError
from sidecar.model import SamplePlan, VerifyEvent
from sidecar.ports import Clock
from sidecar.settings import SchedulingSettings

_SAMPLES: Final = 20
"""Events that must have ended before anything is concluded from how long they took."""
_SMOOTHING: Final = 0.05
"""Weight of the latest event in the mean of how long one takes."""
_SPREADS: Final = 2.0
"""Mean deviations above the mean that nearly every event stays below."""
_MOST_EXCESS: Final = 10.0
"""Waits that are longer than expected by more than this tell of an outage, not of the load."""


@dataclass(frozen=True, slots=True)
class Queued:
    """An event in line.

    Attributes:
        expected_s: how long it was expected to wait when it came; 0 when that was not known.
    """

    event: VerifyEvent
    expected_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Refused:
    """An event that is not looked at, and why."""

    event: VerifyEvent
    error: VerificationError


def cost_of(event: VerifyEvent, plan: SamplePlan) -> float:
    """Estimate how much work an event is: the frames that its clip has under a plan."""
    seconds = max((event.end - event.timestamp).total_seconds(), 0.0)
    return max(1.0, min(seconds * plan.fps, float(plan.max_frames)))


class Scheduler:
    """Puts events in line, and tells who is next and for whom it is too late.

    Args:
        settings: deadlines and priorities.
        clock: its monotonic time.
        places: tell how many events are worked on at the same time.
        cost_of: how much work an event is, in any unit.
    """

    def __init__(
        self,
        settings: SchedulingSettings,
        clock: Clock,
        places: Slots,
        cost_of: Callable[[VerifyEvent], float],
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._places = places
        self._cost_of = cost_of
        self._queue = FairQueue[Queued](settings.ageing_s)
        self._keys: set[str] = set()
        self._seconds_per_cost = 0.0
        self._seconds = 0.0
        self._spread_s = 0.0
        self._samples = 0
        self._excess = 1.0

    def __len__(self) -> int:
        return len(self._queue)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    @property
    def room(self) -> int:
        """How many more events may be put in line."""
        return self._settings.max_queued - len(self._queue)

    def longest_lines(self, most: int) -> Sequence[tuple[str, int]]:
        """Return the sensors with the most events in line, and how many each has."""
        return self._queue.longest_lines(most)

    def expiry_of(self, event: VerifyEvent) -> float:
        """Return when it is too late for an event that comes now, in monotonic seconds."""
        deadlines, category = self._settings.deadlines, event.category.lower()
        return self._clock.monotonic() + deadlines.get(category, self._settings.deadline_s)

    def put(self, event: VerifyEvent) -> Refused | None:
        """Put an event in line; one that could not be done in time is refused instead."""
        now = self._clock.monotonic()
        waiting = Waiting(
            item=Queued(event),
            sensor=event.sensor_id,
            cost=self._cost_of(event),
            priority=self._priority_of(event),
            since=now,
            expires=self.expiry_of(event),
        )
        wait_s = self._expected_s(self._queue.cost_ahead(waiting))
        needed_s = wait_s * self._excess + self._own_s
        if self._sheds and now + needed_s > waiting.expires:
            return Refused(event, _shed(needed_s, waiting.expires - now))
        self._queue.push(replace(waiting, item=Queued(event, wait_s)))
        self._keys.add(event.key)
        return None

    def take(self) -> tuple[VerifyEvent, float, float] | None:
        """Take out the next event, with when it expires and how many seconds it has waited."""
        now = self._clock.monotonic()
        waiting = self._queue.pop(now)
        if waiting is None:
            return None
        event, waited_s = waiting.item.event, now - waiting.since
        self._keys.discard(event.key)
        self._compare(waiting.item.expected_s, waited_s)
        return event, waiting.expires, waited_s

    def take_late(self) -> Iterator[Refused]:
        """Take out the events for which it is too late, or would be by the time they were done."""
        now = self._clock.monotonic()
        own_s = self._own_s if self._sheds and self._places.taken > 0 else 0.0
        for waiting in self._queue.pop_expired(now + own_s):
            event, left_s = waiting.item.event, waiting.expires - now
            self._keys.discard(event.key)
            waited_s = min(now, waiting.expires) - waiting.since
            self._compare(waiting.item.expected_s, waited_s)
            yield Refused(event, _shed(own_s, left_s) if left_s > 0 else _late(waited_s))

    def wait_s(self, longest_s: float) -> float:
        """Return how long nothing becomes too late, `longest_s` at most."""
        expiry = self._queue.next_expiry
        if expiry is None:
            return longest_s
        return max(0.0, min(longest_s, expiry - self._clock.monotonic()))

    def done(self, event: VerifyEvent, seconds: float) -> None:
        """Learn from an event that was worked on, and whose place is still taken, how fast it goes.

        What is kept is the time of the event by how many were worked on with it: that stays the
        same when their number changes, as far as more of them only take longer.
        """
        at_once = max(self._places.taken, self._places.total)
        pace = seconds / self._cost_of(event) / at_once
        self._samples += 1
        weight = max(_SMOOTHING, 1 / self._samples)
        self._seconds_per_cost += weight * (pace - self._seconds_per_cost)
        if self._samples > 1:
            self._spread_s += weight * (abs(seconds - self._seconds) - self._spread_s)
        self._seconds += weight * (seconds - self._seconds)

    @property
    def _sheds(self) -> bool:
        """Whether events are refused that would be late; with nothing to do, one is tried anyway.

        Else what was learnt while a server was slow would refuse every event for ever.
        """
        is_idle = self._places.taken <= 0 and not self._queue
        return self._settings.shed and not is_idle

    @property
    def _own_s(self) -> float:
        """How long nearly every event takes, once it is begun; 0 when that is unknown."""
        if self._samples < _SAMPLES:
            return 0.0
        return self._seconds + _SPREADS * self._spread_s

    def _expected_s(self, cost: float) -> float:
        """Return how long so much work takes when every place is taken; 0 when that is unknown."""
        if self._samples < _SAMPLES:
            return 0.0
        return cost * self._seconds_per_cost

    def _compare(self, expected_s: float, waited_s: float) -> None:
        """Learn how much longer events wait than was expected: others still come before them."""
        if expected_s > 0:
            ratio = min(max(waited_s / expected_s, 1.0), _MOST_EXCESS)
            self._excess += _SMOOTHING * (ratio - self._excess)

    def _priority_of(self, event: VerifyEvent) -> int:
        return self._settings.priorities.get(event.category.lower(), self._settings.priority)


def _late(waited_s: float) -> DeadlineExpired:
    return DeadlineExpired(
        f"It waited for {waited_s:.0f} s and was not begun in time: more comes in than the model's "
        "server can do."
    )


def _shed(needed_s: float, left_s: float) -> ShedByLoad:
    return ShedByLoad(
        f"It would take about {needed_s:.0f} s until this event is decided, and {left_s:.0f} s are "
        "allowed: more comes in than the model's server can do."
    )
