"""Who is next: deficit round robin over sensors, within priorities that age. No I/O.

One camera that floods the service makes only its own events wait: every sensor with something to
do gets the same share of the work, measured by cost (Shreedhar and Varghese, «Efficient Fair
Queuing using Deficit Round Robin», 1995). Priorities are strict, but whoever waits for long counts
as more urgent, so that nobody starves.
"""

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Waiting(Generic[T]):
    """Something that waits for its turn.

    Attributes:
        item: what waits.
        sensor: whose turn it takes.
        cost: how much work it is, in any unit, above 0.
        priority: 0 is the most urgent.
        since: when it began to wait, in monotonic seconds; not before what was pushed earlier.
        expires: when it is too late for it, in monotonic seconds.
    """

    item: T
    sensor: str
    cost: float
    priority: int
    since: float
    expires: float


@dataclass(slots=True)
class _Line(Generic[T]):
    """What waits of one sensor, and what it may still spend in this turn."""

    members: deque[Waiting[T]] = field(default_factory=deque)
    cost: float = 0.0
    deficit: float = 0.0
    has_turn: bool = False


class _Ring(Generic[T]):
    """The sensors of one priority, in the order of their turns."""

    def __init__(self) -> None:
        self.lines: OrderedDict[str, _Line[T]] = OrderedDict()
        self.cost = 0.0

    def push(self, waiting: Waiting[T]) -> None:
        line = self.lines.setdefault(waiting.sensor, _Line())
        line.members.append(waiting)
        self._charge(line, waiting.cost)

    def oldest(self) -> float:
        """Return since when somebody waits here."""
        return min(line.members[0].since for line in self.lines.values())

    def pop(self, quantum: float) -> Waiting[T]:
        """Take out the next one; `quantum` is no less than what anybody costs."""
        while True:
            sensor, line = next(iter(self.lines.items()))
            if not line.has_turn:
                line.has_turn = True
                line.deficit += quantum
            if line.deficit >= line.members[0].cost:
                taken = line.members.popleft()
                line.deficit -= taken.cost
                self._charge(line, -taken.cost)
                self._drop_if_empty(sensor, line)
                return taken
            line.has_turn = False
            self.lines.move_to_end(sensor)

    def remove(self, waiting: Waiting[T]) -> None:
        line = self.lines[waiting.sensor]
        line.members.remove(waiting)
        self._charge(line, -waiting.cost)
        self._drop_if_empty(waiting.sensor, line)

    def _charge(self, line: _Line[T], cost: float) -> None:
        line.cost += cost
        self.cost += cost

    def _drop_if_empty(self, sensor: str, line: _Line[T]) -> None:
        if not line.members:
            del self.lines[sensor]  # and its deficit: whoever is idle saves nothing up


class FairQueue(Generic[T]):
    """Holds what waits. For one event loop.

    Args:
        ageing_s: after waiting so long, somebody counts as one priority more urgent.
    """

    def __init__(self, ageing_s: float) -> None:
        self._ageing_s = ageing_s
        self._rings: dict[int, _Ring[T]] = {}
        self._held: set[Waiting[T]] = set()
        self._by_expiry: list[tuple[float, int, Waiting[T]]] = []
        self._numbers = count()
        self._dearest = 0.0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def next_expiry(self) -> float | None:
        """When it is too late for the first one, in monotonic seconds."""
        self._tidy()
        return self._by_expiry[0][0] if self._by_expiry else None

    def push(self, waiting: Waiting[T]) -> None:
        """Add one at the end of its sensor's line."""
        self._rings.setdefault(waiting.priority, _Ring()).push(waiting)
        self._held.add(waiting)
        self._dearest = max(self._dearest, waiting.cost)
        heapq.heappush(self._by_expiry, (waiting.expires, next(self._numbers), waiting))

    def pop(self, now: float) -> Waiting[T] | None:
        """Take out the one whose turn it is; None when nobody waits."""
        if not self._held:
            return None
        priority = self._most_urgent(now)
        taken = self._rings[priority].pop(self._dearest)
        self._forget(taken)
        return taken

    def pop_expired(self, now: float) -> Iterator[Waiting[T]]:
        """Take out those for whom it is too late."""
        while (first := self.next_expiry) is not None and first <= now:
            late = heapq.heappop(self._by_expiry)[2]
            self._rings[late.priority].remove(late)
            self._forget(late)
            yield late

    def cost_ahead(self, waiting: Waiting[T]) -> float:
        """Return how much work comes before somebody's turn if it joined now, more or less.

        That is its own line, as much for every other sensor of its priority that has several
        waiting and so will not run dry, the single ones of the others, and all that is more urgent.
        """
        urgent = sum(ring.cost for at, ring in self._rings.items() if at < waiting.priority)
        ring = self._rings.get(waiting.priority)
        if ring is None:
            return urgent
        own = ring.lines.get(waiting.sensor)
        before = own.cost if own else 0.0
        others = (
            before + waiting.cost
            if len(line.members) > 1
            else min(line.cost, before + waiting.cost)
            for sensor, line in ring.lines.items()
            if sensor != waiting.sensor
        )
        return urgent + before + sum(others)

    def longest_lines(self, most: int) -> Sequence[tuple[str, int]]:
        """Return the sensors with the most that waits, and how much each has."""
        waiting: Counter[str] = Counter()
        for ring in self._rings.values():
            for sensor, line in ring.lines.items():
                waiting[sensor] += len(line.members)
        return waiting.most_common(most)

    def _most_urgent(self, now: float) -> int:
        if len(self._rings) == 1:
            return next(iter(self._rings))
        aged = {
            at: at - (now - ring.oldest()) // self._ageing_s for at, ring in self._rings.items()
        }
        return min(aged, key=lambda at: (aged[at], at))

    def _forget(self, waiting: Waiting[T]) -> None:
        self._held.remove(waiting)
        if not self._rings[waiting.priority].lines:
            del self._rings[waiting.priority]
        if len(self._by_expiry) > 2 * len(self._held) + 64:
            self._by_expiry = [entry for entry in self._by_expiry if entry[2] in self._held]
            heapq.heapify(self._by_expiry)

    def _tidy(self) -> None:
        """Drop those at the top who wait no more."""
        while self._by_expiry and self._by_expiry[0][2] not in self._held:
            heapq.heappop(self._by_expiry)
