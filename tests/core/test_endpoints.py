"""Several servers of one arm: load goes where there is room, and away from what fails."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest
from dialect_samples import VLLM

from sidecar.core.endpoints import Endpoints
from sidecar.core.limits import AdaptiveLimit
from sidecar.core.vitals import Breaker, EndpointVitals, Vitals
from sidecar.dialect import FrameControl, ServerDialect
from sidecar.errors import (
    VlmBusy,
    VlmError,
    VlmInvalidPayload,
    VlmRefused,
    VlmServerError,
    VlmTimeout,
    VlmUnreachable,
)
from sidecar.model import ChatReply, ChatRequest, Evidence, EvidenceForm, MediaType
from sidecar.testing.fakes import FrozenClock

REQUEST = ChatRequest({}, Evidence(EvidenceForm.URL, MediaType.VIDEO), dialect=VLLM)
OTHER = replace(VLLM, frames=FrameControl.MEDIA_IO_KWARGS)


@dataclass
class Server:
    """A server that does what it is told.

    Attributes:
        trouble: what every question ends with; None answers.
        sick: what every completion ends with, while pings and questions are answered.
        gate: completions wait for it.
        asked_again: dialects that were given as stale.
    """

    name: str
    clock: FrozenClock
    speaks: ServerDialect = VLLM
    trouble: VlmError | None = None
    sick: VlmError | None = None
    gate: asyncio.Event | None = None
    seconds: float = 0.0
    asked: int = 0
    asked_again: list[ServerDialect] = field(default_factory=list)

    async def model(self) -> str:
        self._answer()
        return self.speaks.models[0]

    async def dialect(self, *, stale: ServerDialect | None = None) -> ServerDialect | None:
        self._answer()
        if stale is not None:
            self.asked_again.append(stale)
        return self.speaks

    async def complete(self, request: ChatRequest, timeout_s: float) -> ChatReply:
        del request, timeout_s
        self.asked += 1
        if self.gate is not None:
            await self.gate.wait()
        self.clock.advance(self.seconds)
        self._answer()
        if self.sick is not None:
            raise self.sick
        return ChatReply(self.name)

    async def ping(self) -> str:
        return f"{self.name} is away." if self.trouble else ""

    async def close(self) -> None:
        """Nothing to release."""

    def _answer(self) -> None:
        if self.trouble is not None:
            raise self.trouble


class Waits:
    """Sleeps that end when they are told to.

    Attributes:
        begun: how long each was to last.
    """

    def __init__(self) -> None:
        self.begun: list[float] = []
        self._ends: list[asyncio.Event] = []

    async def sleep(self, seconds: float) -> None:
        self.begun.append(seconds)
        self._ends.append(asyncio.Event())
        await self._ends[-1].wait()

    async def end(self, number: int) -> None:
        """Let the sleep of that number end, once it has begun."""
        await until(lambda: len(self.begun) >= number)
        self._ends[number - 1].set()


async def until(condition: Callable[[], bool]) -> None:
    """Let the others go on until something is so."""
    while not condition():
        await asyncio.sleep(0)


@dataclass
class Group:
    """Servers behind one backend."""

    endpoints: Endpoints
    servers: list[Server]
    vitals: Vitals
    waits: Waits

    async def ask(self, times: int = 1, request: ChatRequest = REQUEST) -> Counter[str]:
        """Ask one after the other; counts the answers and errors by name."""
        outcome: Counter[str] = Counter()
        for _ in range(times):
            try:
                outcome[(await self.endpoints.complete(request, 10.0)).content or ""] += 1
            except VlmError as error:
                outcome[type(error).__name__] += 1
        return outcome

    @property
    def breakers(self) -> list[Breaker]:
        return [it.breaker for it in self.vitals.endpoints]


@asynccontextmanager
async def group(count: int = 2, limit: int = 64) -> AsyncGenerator[Group]:
    clock, waits = FrozenClock(), Waits()
    servers = [Server(f"s{number}", clock) for number in range(count)]
    vitals = Vitals([EndpointVitals(server.name) for server in servers])
    limits = [AdaptiveLimit(limit) for _ in servers]
    endpoints = Endpoints("arm", servers, vitals, clock, limits, sleep=waits.sleep)
    try:
        yield Group(endpoints, servers, vitals, waits)
    finally:
        await endpoints.close()


async def test_the_server_with_the_fewest_requests_is_asked() -> None:
    """However they came about: of ten at the same time each of two gets five."""
    async with group() as it:
        gate = asyncio.Event()
        for server in it.servers:
            server.gate = gate
        asked = [asyncio.create_task(it.ask()) for _ in range(10)]
        await until(lambda: sum(server.asked for server in it.servers) == 10)
        loads = [vitals.in_flight for vitals in it.vitals.endpoints]
        gate.set()
        await asyncio.gather(*asked)

        assert [5, 5] == loads
        assert [0, 0] == [vitals.in_flight for vitals in it.vitals.endpoints]


async def test_an_unreachable_server_costs_no_request() -> None:
    """The next one is asked at once."""
    async with group() as it:
        it.servers[0].sick = VlmUnreachable("gone")

        assert Counter(s1=20) == await it.ask(20)


@pytest.mark.parametrize("trouble", [VlmUnreachable("gone"), VlmServerError("broken")])
async def test_a_server_that_fails_in_a_row_is_left_out(trouble: VlmError) -> None:
    """After three failures it gets nothing more, and its trouble is told."""
    async with group() as it:
        it.servers[0].sick = trouble
        await it.ask(40)
        seen = it.servers[0].asked
        await it.ask(20)

        assert (3, 3) == (seen, it.servers[0].asked)
        assert [Breaker.OPEN, Breaker.CLOSED] == it.breakers
        assert trouble.detail == it.vitals.endpoints[0].trouble
        assert not it.vitals.is_down


@pytest.mark.parametrize("answer", [VlmBusy("429"), VlmRefused("400"), VlmInvalidPayload("422")])
async def test_a_server_that_refuses_works(answer: VlmError) -> None:
    """What it says is the answer to the request."""
    async with group(1) as it:
        it.servers[0].sick = answer

        assert Counter({type(answer).__name__: 9}) == await it.ask(9)
        assert [Breaker.CLOSED] == it.breakers


async def test_a_server_returns_by_a_ping_and_one_completion() -> None:
    """While the first completion is on its way the others go elsewhere."""
    async with group() as it:
        it.servers[0].trouble = VlmUnreachable("gone")
        await it.ask(20)
        await it.waits.end(1)
        await until(lambda: len(it.waits.begun) == 2)
        still_out = it.breakers[0]
        it.servers[0].trouble = None
        await it.waits.end(2)
        await until(lambda: it.breakers[0] is Breaker.TRIAL)
        gate = it.servers[0].gate = it.servers[1].gate = asyncio.Event()
        asked = [asyncio.create_task(it.ask()) for _ in range(6)]
        await until(lambda: sum(vitals.in_flight for vitals in it.vitals.endpoints) == 6)
        loads = [vitals.in_flight for vitals in it.vitals.endpoints]
        gate.set()
        await asyncio.gather(*asked)

        assert Breaker.OPEN is still_out
        assert [1, 5] == loads
        assert [2.0, 4.0] == it.waits.begun
        assert [Breaker.CLOSED, Breaker.CLOSED] == it.breakers


async def test_a_server_that_fails_its_trial_waits_longer() -> None:
    """One that answers pings and completes nothing costs fewer and fewer requests."""
    async with group() as it:
        it.servers[0].sick = VlmServerError("broken")
        await it.ask(40)
        for number in range(1, 4):
            await it.waits.end(number)
            await until(lambda: it.breakers[0] is Breaker.TRIAL)
            await it.ask(20)
        await until(lambda: len(it.waits.begun) == 4)

        assert 6 == it.servers[0].asked
        assert [2.0, 4.0, 8.0, 16.0] == it.waits.begun


async def test_when_no_server_works_they_are_tried_all_the_same() -> None:
    """There is nowhere else to go, and one that works again is seen at once."""
    async with group() as it:
        for server in it.servers:
            server.trouble = VlmUnreachable("gone")
        await it.ask(5)
        was_down = it.vitals.is_down
        it.servers[1].trouble = None

        assert was_down
        assert Counter(s1=1) == await it.ask()
        assert not it.vitals.is_down


async def test_a_request_goes_where_its_dialect_is_spoken() -> None:
    """Servers of one arm may run with different options."""
    async with group() as it:
        it.servers[1].speaks = OTHER

        assert Counter(s0=9) == await it.ask(9)
        assert Counter(s1=9) == await it.ask(9, replace(REQUEST, dialect=OTHER))


async def test_a_dialect_that_nobody_speaks_any_more_is_refused_and_asked_anew() -> None:
    """The refusal makes the caller ask, and gets it what is spoken now."""
    async with group() as it:
        for server in it.servers:
            server.speaks = OTHER
        refused = await it.ask()
        found = await it.endpoints.dialect(stale=VLLM)

        assert Counter(VlmRefused=1) == refused
        assert OTHER == found


async def test_every_server_of_a_stale_dialect_is_asked_again() -> None:
    """Which of them was restarted with other options is not known."""
    async with group(1) as it:
        await it.endpoints.dialect(stale=VLLM)

        assert [VLLM] == it.servers[0].asked_again


async def test_a_server_with_another_model_is_not_asked() -> None:
    """Its answers would be published under the wrong name."""
    async with group() as it:
        it.servers[1].speaks = replace(VLLM, models=("another",))
        model, spoken = await it.endpoints.model(), await it.endpoints.dialect()

        assert ("the-model", VLLM) == (model, spoken)
        assert Counter(s0=9) == await it.ask(9)


async def test_the_group_works_while_one_server_does() -> None:
    """And tells what is wrong when none does."""
    async with group() as it:
        it.servers[0].trouble = VlmUnreachable("gone")
        one = await it.endpoints.ping(), await it.endpoints.model()
        it.servers[1].trouble = VlmUnreachable("gone")
        none = await it.endpoints.ping()

        assert ("", "the-model") == one
        assert "s0 is away. s1 is away." == none
        with pytest.raises(VlmUnreachable):
            await it.endpoints.model()


async def test_what_is_typical_covers_nearly_every_completion() -> None:
    """It follows a server that gets slower or faster."""
    async with group(1) as it:
        typical = []
        for seconds in (1.0, 5.0, 0.5):
            it.servers[0].seconds = seconds
            await it.ask(60)
            typical.append(it.vitals.typical_s or 0.0)

        assert typical == pytest.approx([1.0, 5.0, 0.5], rel=0.1)


async def test_a_server_that_never_answers_is_left_out_by_those_who_give_up() -> None:
    """A deadline that ends before the request's own time still tells that the server is slow."""
    async with group(1) as it:
        it.servers[0].gate = asyncio.Event()
        for _ in range(3):
            asked = asyncio.create_task(it.ask())
            await until(lambda: it.vitals.endpoints[0].in_flight == 1)
            it.servers[0].clock.advance(6.0)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

        assert it.vitals.is_down
        assert 0 == it.vitals.endpoints[0].in_flight


async def test_a_caller_who_leaves_early_says_nothing_about_the_server() -> None:
    """A client that hangs up after a second is no failure."""
    async with group(1) as it:
        it.servers[0].gate = asyncio.Event()
        for _ in range(5):
            asked = asyncio.create_task(it.ask())
            await until(lambda: it.vitals.endpoints[0].in_flight == 1)
            it.servers[0].clock.advance(1.0)
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)

        assert [Breaker.CLOSED] == it.breakers


async def test_more_than_a_server_turns_into_throughput_waits_here() -> None:
    """Places at two servers are taken evenly, and the rest stands in line."""
    async with group(limit=3) as it:
        gate = asyncio.Event()
        for server in it.servers:
            server.gate = gate
        asked = [asyncio.create_task(it.ask()) for _ in range(10)]
        await until(lambda: it.vitals.waiting == 4)
        levels = [(vitals.in_flight, vitals.waiting) for vitals in it.vitals.endpoints]
        gate.set()
        answers = await asyncio.gather(*asked)

        assert [(3, 2), (3, 2)] == levels
        assert Counter(s0=5, s1=5) == sum(answers, Counter())
        assert (6, 0, 0) == (it.vitals.limit, it.vitals.in_flight, it.vitals.waiting)


async def test_a_request_that_finds_no_place_in_time_is_told_so() -> None:
    """That is no failure of the server, which has never seen it."""
    async with group(count=1, limit=1) as it:
        gate = it.servers[0].gate = asyncio.Event()
        first = asyncio.create_task(it.ask())
        await until(lambda: it.vitals.in_flight == 1)
        with pytest.raises(VlmBusy, match="is answering 1 other requests"):
            await it.endpoints.complete(REQUEST, 0.001)
        gate.set()
        await first

        assert 1 == it.servers[0].asked
        assert 0 == it.vitals.endpoints[0].failures


async def test_those_in_line_at_a_server_that_breaks_go_to_another() -> None:
    """The first two get the places of those that failed before; the others wait no longer."""
    async with group(limit=3) as it:
        gates = [asyncio.Event(), asyncio.Event()]
        for server, gate in zip(it.servers, gates, strict=True):
            server.gate = gate
        asked = [asyncio.create_task(it.ask()) for _ in range(14)]
        await until(lambda: it.vitals.waiting == 8)
        it.servers[0].sick = VlmServerError("broken")
        gates[0].set()
        await until(lambda: it.breakers[0] is Breaker.OPEN)
        await until(lambda: it.vitals.endpoints[1].waiting == 6)
        gates[1].set()
        answers = await asyncio.gather(*asked)

        assert Counter(VlmServerError=5, s1=9) == sum(answers, Counter())


@pytest.mark.parametrize(
    "error", [VlmBusy("429"), VlmServerError("503", is_full=True), VlmTimeout("late")]
)
async def test_a_server_that_has_too_much_to_do_is_asked_less(error: VlmError) -> None:
    """It says so, or lets the time pass."""
    async with group(count=1) as it:
        before = it.vitals.limit
        it.servers[0].sick = error
        await it.ask()

        assert it.vitals.limit < before


async def test_a_server_that_fails_otherwise_is_asked_as_much_as_before() -> None:
    """Less of the same would not help."""
    async with group(count=1) as it:
        before = it.vitals.limit
        it.servers[0].sick = VlmServerError("a bug")
        await it.ask(3)

        assert before == it.vitals.limit
