"""The limit of a server is found by what it does, and requests wait for a place in their order."""

import asyncio
import random
from collections import Counter, deque
from collections.abc import Callable

import pytest
from batching_server import BatchingServer, Curve, Drive, falling, hard_knee, soft_knee
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.limits import AdaptiveLimit, Gate, Ticket, cost_of
from sidecar.core.vitals import EndpointVitals
from sidecar.model import ChatReply

BEST = 10_000.0
"""Tokens a second of the servers here."""
SEEDS = range(3)


def _mixed(chance: random.Random) -> float:
    """Draw how many tokens a request has: short clips, usual ones, long ones."""
    return chance.choice([500.0, 2000.0, 2000.0, 8000.0])


def _drive(curve: Curve, seed: int, limit: AdaptiveLimit | None = None, **server: float) -> Drive:
    limit = limit or AdaptiveLimit(64)
    return Drive(BatchingServer(curve, seed, **server), limit, _mixed)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("knee", [1, 2, 4, 8, 16, 32, 100])
def test_it_finds_at_least_95_percent_of_what_a_server_can_do(knee: int, seed: int) -> None:
    """Wherever the knee lies and although requests differ; above the hard cap it stays there."""
    curve = hard_knee(BEST, knee)
    drive = _drive(curve, seed)
    drive.run(1500)

    assert drive.run(3000) >= 0.95 * curve(64)
    assert drive.most <= 64


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("knee", [1, 4, 8])
def test_it_does_not_keep_a_server_full_of_requests_that_only_wait(knee: int, seed: int) -> None:
    """In the mean it is nearer to the knee than to the cap, by far."""
    drive = _drive(hard_knee(BEST, knee), seed)
    drive.run(1500)
    drive.levels.clear()
    drive.run(4000)

    assert sum(drive.levels) / len(drive.levels) < knee + 16


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize(
    "noise", [{"spread": 0.6}, {"stall": 0.02}, {"spread": 0.6, "stall": 0.01}], ids=str
)
def test_noise_does_not_make_it_collapse(noise: dict[str, float], seed: int) -> None:
    """Work that differs by 60 %, and stalls of ten times the usual, cost at most a twentieth."""
    curve = hard_knee(BEST, 8)
    drive, most = _drive(curve, seed, **noise), AdaptiveLimit(64, is_fixed=True)
    drive.run(1500)

    assert drive.run(4000) >= 0.95 * _drive(curve, seed, most, **noise).run(4000)
    assert min(drive.levels) >= 3


@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_without_a_sharp_knee_is_used_nearly_as_well(seed: int) -> None:
    """Where each further request adds a little, it stops when that is within the noise."""
    curve = soft_knee(BEST, 2)
    drive = _drive(curve, seed)
    drive.run(1500)

    assert drive.run(4000) >= 0.88 * curve(64)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_server_that_too_many_requests_slow_down_is_spared(seed: int) -> None:
    """Without a limit below the cap it would do a tenth."""
    curve = falling(BEST, 8, loss=0.2)
    drive = _drive(curve, seed)
    drive.run(1500)

    assert drive.run(3000) >= 0.9 * BEST
    assert _drive(curve, seed, AdaptiveLimit(64, is_fixed=True)).run(1000) < 0.2 * BEST


@pytest.mark.parametrize(("before", "after"), [(4, 32), (32, 4)])
def test_it_follows_a_server_that_changes(before: int, after: int) -> None:
    """A second GPU, or another tenant on it: soon as much is asked as it can do then."""
    drive = _drive(hard_knee(BEST * before / 8, before), seed=1)
    drive.run(3000)
    drive.server.curve = hard_knee(BEST * after / 8, after)
    drive.run(3000)

    assert drive.run(3000) >= 0.93 * BEST * after / 8


@pytest.mark.parametrize("refuses_above", [1, 3, 10])
def test_refusals_cut_the_limit_and_it_comes_back(refuses_above: int) -> None:
    """It works just below what the server takes, of which most is used, and refusals are rare."""
    curve = hard_knee(BEST, 32)
    drive = _drive(curve, seed=1, refuses_above=refuses_above)
    drive.run(500)
    drive.levels.clear()
    throughput = drive.run(3000)

    assert throughput >= 0.75 * curve(refuses_above)
    assert max(drive.levels) <= refuses_above + 1


def test_a_burst_of_refusals_counts_once() -> None:
    """All eight began together; they say one thing."""
    limit = AdaptiveLimit(64)
    tickets = [limit.begin(number) for number in range(1, 9)]
    for ticket in tickets:
        limit.refuse(ticket)

    assert 5 == limit.value


def test_a_timeout_counts_although_the_limit_has_moved_since() -> None:
    """What takes a minute to fail began at an earlier level."""
    limit = AdaptiveLimit(64)
    late = limit.begin(1)
    for _ in range(30):
        limit.succeed(limit.begin(limit.value), 1.0, 1.0, limit.value)
    before = limit.value
    limit.refuse(late)

    assert limit.value < before


def test_without_demand_nothing_is_concluded() -> None:
    """Single requests are quick, which says nothing about many."""
    limit = AdaptiveLimit(64)
    for _ in range(1000):
        limit.succeed(limit.begin(1), 0.1, 1.0, 1)

    assert (8, {}) == (limit.value, dict(limit.throughputs))


def test_a_fixed_limit_stays() -> None:
    """Whatever happens."""
    limit = AdaptiveLimit(16, is_fixed=True)
    for _ in range(200):
        limit.succeed(limit.begin(16), 1.0, 1.0, 16)
    limit.refuse(limit.begin(16))

    assert 16 == limit.value


@given(
    most=st.integers(1, 300),
    steps=st.lists(
        st.tuples(
            st.sampled_from(["begin", "begin", "succeed", "succeed", "refuse", "lose"]),
            st.floats(0.0, 1e6),
            st.floats(1.0, 1e6),
        ),
        max_size=300,
    ),
)
@settings(max_examples=150, deadline=None)
def test_it_stays_between_one_and_the_cap(most: int, steps: list[tuple[str, float, float]]) -> None:
    """Whatever is reported to it, in any order, at any speed."""
    limit, open_ones = AdaptiveLimit(most), deque[Ticket]()
    for what, seconds, cost in steps:
        if what == "begin" or not open_ones:
            open_ones.append(limit.begin(max(limit.value, len(open_ones) + 1)))
        elif what == "succeed":
            limit.succeed(open_ones.popleft(), seconds, cost, len(open_ones) + 1)
        else:
            (limit.refuse if what == "refuse" else limit.lose)(open_ones.popleft())
        assert 1 <= limit.value <= most


def test_work_is_counted_in_tokens() -> None:
    """Those of the answer are dearer; a server that counts none gets 1 for each request."""
    replies = [ChatReply("yes"), ChatReply("yes", prompt_tokens=2000, completion_tokens=10)]

    assert [1.0, 2080.0] == [cost_of(reply) for reply in replies]


def _gate(places: int) -> tuple[Gate, EndpointVitals]:
    vitals = EndpointVitals("here")
    return Gate(vitals, AdaptiveLimit(places, is_fixed=True)), vitals


async def _let_others_go_on() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_requests_get_their_places_in_the_order_of_their_coming() -> None:
    """No more than the limit are let through, and nobody overtakes."""
    gate, vitals = _gate(2)
    order: list[int] = []

    async def come(number: int) -> None:
        await gate.enter()
        order.append(number)

    tasks = [asyncio.create_task(come(number)) for number in range(5)]
    await _let_others_go_on()
    levels = (vitals.in_flight, vitals.waiting, vitals.limit)
    while vitals.in_flight:
        gate.leave()
        await _let_others_go_on()
    await asyncio.gather(*tasks)

    assert (2, 3, 2) == levels
    assert list(range(5)) == order
    assert (0, 0) == (vitals.in_flight, vitals.waiting)


async def test_those_who_wait_can_be_sent_away() -> None:
    """They look for another server."""
    gate, vitals = _gate(1)
    await gate.enter()
    waiting = [asyncio.create_task(gate.enter()) for _ in range(3)]
    await _let_others_go_on()
    gate.send_away()

    assert [None] * 3 == await asyncio.gather(*waiting)
    assert (1, 0) == (vitals.in_flight, vitals.waiting)


@given(
    places=st.integers(1, 4),
    steps=st.lists(
        st.sampled_from(["come", "come", "leave", "cancel", "away", "run"]), max_size=60
    ),
    seed=st.integers(0, 2**16),
)
@settings(max_examples=100, deadline=None)
def test_no_place_is_lost_or_given_twice(places: int, steps: list[str], seed: int) -> None:
    """Under any interleaving of arrivals, ends, cancellations and failures of the server."""
    asyncio.run(_interleave(places, steps, random.Random(seed)))


async def _interleave(places: int, steps: list[str], chance: random.Random) -> None:
    gate, vitals = _gate(places)
    held: list[asyncio.Event] = []
    ends: Counter[str] = Counter()

    async def come() -> None:
        if await gate.enter() is None:
            ends["away"] += 1
            return
        over = asyncio.Event()
        held.append(over)
        try:
            await over.wait()
            ends["served"] += 1
        finally:
            gate.leave()

    tasks: list[asyncio.Task[None]] = []
    actions: dict[str, Callable[[], object]] = {
        "come": lambda: tasks.append(asyncio.create_task(come())),
        "leave": lambda: held and held.pop().set(),
        "cancel": lambda: tasks and chance.choice(tasks).cancel(),
        "away": gate.send_away,
    }
    for step in steps:
        if step == "run":
            await asyncio.sleep(0)
        else:
            actions[step]()
        assert 0 <= vitals.in_flight <= places
    while not all(task.done() for task in tasks):
        while held:
            held.pop().set()
        await asyncio.sleep(0)
    cancelled = sum(task.cancelled() for task in tasks)

    assert (0, 0) == (vitals.in_flight, vitals.waiting)
    assert len(tasks) == ends["served"] + ends["away"] + cancelled
