"""The line in which events wait: fair to sensors, strict in priorities, and never stuck."""

from collections import Counter
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.fair_queue import FairQueue, Waiting

NEVER = 1e9


def _waiting(
    item: int = 0,
    sensor: str = "camera",
    *,
    cost: float = 1.0,
    priority: int = 5,
    since: float = 0.0,
    expires: float = NEVER,
) -> Waiting[int]:
    return Waiting(item, sensor, cost, priority, since, expires)


def _drain(queue: FairQueue[int], now: float = 0.0) -> list[Waiting[int]]:
    taken = []
    while (one := queue.pop(now)) is not None:
        taken.append(one)
    return taken


def test_an_empty_line_has_nobody() -> None:
    """Nothing is taken out of nothing, and nothing expires."""
    queue = FairQueue[int](30)

    assert (None, [], None) == (queue.pop(0), list(queue.pop_expired(NEVER)), queue.next_expiry)


def test_one_sensor_is_served_in_order() -> None:
    """Events of one sensor keep the order in which they came, whatever they cost."""
    queue = FairQueue[int](30)
    for number, cost in enumerate([3, 1, 7, 1, 2]):
        queue.push(_waiting(number, cost=cost))

    assert [0, 1, 2, 3, 4] == [one.item for one in _drain(queue)]


def test_a_flood_of_one_sensor_delays_the_others_by_its_share_only() -> None:
    """With a hundred events before it, another sensor's first one is the second to be served."""
    queue = FairQueue[int](30)
    for number in range(100):
        queue.push(_waiting(number, "noisy"))
    queue.push(_waiting(100, "quiet"))

    assert 100 in [one.item for one in _drain(queue)[:2]]


def test_cheap_events_get_as_much_work_as_dear_ones() -> None:
    """Shares are shares of cost: three cheap events are served for each that costs three."""
    queue = FairQueue[int](30)
    for number in range(300):
        queue.push(_waiting(number, "short clips", cost=1))
        queue.push(_waiting(number, "long clips", cost=3))
    served = Counter(one.sensor for one in _drain(queue)[:200])

    assert served["short clips"] == pytest.approx(150, abs=3)


def test_urgent_events_come_first() -> None:
    """A more urgent event overtakes all that are less urgent."""
    queue = FairQueue[int](30)
    queue.push(_waiting(0, "a", priority=5))
    queue.push(_waiting(1, "b", priority=9))
    queue.push(_waiting(2, "c", priority=0))

    assert [2, 0, 1] == [one.item for one in _drain(queue)]


def test_what_waits_for_long_becomes_as_urgent_as_the_rest() -> None:
    """Four steps of ageing lift an event over one that is four steps more urgent and new."""
    queue = FairQueue[int](ageing_s=30)
    queue.push(_waiting(0, "old", priority=9, since=0))
    queue.push(_waiting(1, "new", priority=5, since=100))

    assert 1 == FairQueue[int].pop(queue, 100).item  # type: ignore[union-attr]
    queue.push(_waiting(2, "new", priority=5, since=160))
    assert 0 == queue.pop(160).item  # type: ignore[union-attr]


def test_late_ones_are_taken_out_wherever_they_stand() -> None:
    """Expiry follows the time, not the order, and the rest is still served."""
    queue = FairQueue[int](30)
    for number, expires in enumerate([30, 10, 20, 40]):
        queue.push(_waiting(number, f"camera-{number % 2}", expires=expires))

    assert 10 == queue.next_expiry
    assert [1, 2] == [one.item for one in queue.pop_expired(20)]
    assert {0, 3} == {one.item for one in _drain(queue)}


def test_the_estimate_counts_the_own_line_and_as_much_of_every_other() -> None:
    """A flood elsewhere counts as much as the own line, urgent events whole, others not."""
    queue = FairQueue[int](30)
    for number in range(50):
        queue.push(_waiting(number, "noisy"))
    queue.push(_waiting(50, "own"))
    queue.push(_waiting(51, "urgent", priority=0, cost=4))
    queue.push(_waiting(52, "idle", priority=9, cost=9))

    assert 4 + 1 + 2 == queue.cost_ahead(_waiting(53, "own"))
    assert 4 + 1 + 1 == queue.cost_ahead(_waiting(54, "new"))
    assert 4 == queue.cost_ahead(_waiting(55, "urgent", priority=0))


@dataclass(frozen=True)
class _Step:
    sensor: str
    cost: float
    priority: int
    lifetime: float
    pause: float
    pops: int


_STEPS = st.lists(
    st.builds(
        _Step,
        sensor=st.sampled_from("abcde"),
        cost=st.floats(0.1, 50),
        priority=st.integers(0, 9),
        lifetime=st.floats(0, 100),
        pause=st.floats(0, 20),
        pops=st.integers(0, 3),
    ),
    max_size=60,
)


@given(steps=_STEPS)
def test_whoever_comes_leaves_exactly_once(steps: list[_Step]) -> None:
    """Served or late, under any order of coming and going, and a line with members never idles."""
    queue, now = FairQueue[int](7), 0.0
    served: list[int] = []
    late: list[int] = []
    for number, step in enumerate(steps):
        now += step.pause
        queue.push(
            _waiting(
                number,
                step.sensor,
                cost=step.cost,
                priority=step.priority,
                since=now,
                expires=now + step.lifetime,
            )
        )
        late += [one.item for one in queue.pop_expired(now)]
        for _ in range(step.pops):
            one = queue.pop(now)
            assert (one is None) == (len(served) + len(late) == number + 1)
            served += [] if one is None else [one.item]
    served += [one.item for one in _drain(queue, now)]

    assert sorted(served + late) == list(range(len(steps)))
    assert 0 == len(queue)


@given(
    costs=st.lists(st.floats(0.5, 10), min_size=2, max_size=40),
    others=st.lists(st.floats(0.5, 10), min_size=2, max_size=40),
)
def test_two_busy_sensors_never_drift_apart(costs: list[float], others: list[float]) -> None:
    """While both have something waiting, their served cost differs by two quanta at most."""
    queue = FairQueue[int](30)
    for number, cost in enumerate(costs):
        queue.push(_waiting(number, "a", cost=cost))
    for number, cost in enumerate(others):
        queue.push(_waiting(number, "b", cost=cost))
    left = {"a": len(costs), "b": len(others)}
    spent = {"a": 0.0, "b": 0.0}
    quantum = max(*costs, *others)
    while all(left.values()):
        one = queue.pop(0)
        assert one is not None
        left[one.sensor] -= 1
        spent[one.sensor] += one.cost
        assert abs(spent["a"] - spent["b"]) <= 2 * quantum + 1e-6


def test_the_longest_lines_are_told() -> None:
    """By sensor, over all priorities."""
    queue = FairQueue[int](30)
    for sensor, priority in (("a", 5), ("b", 5), ("b", 1), ("c", 5), ("b", 5), ("c", 2)):
        queue.push(_waiting(sensor=sensor, priority=priority))

    assert [("b", 3), ("c", 2)] == list(queue.longest_lines(2))
