"""Retries, backoff and measurements around a model's server."""

from collections.abc import Sequence

import pytest

from sidecar.core.backoff import backoff
from sidecar.core.layers import MeteredVlm, RetryingVlm
from sidecar.dialect import FrameControl, ReasoningField, ServerDialect, StructuredForm
from sidecar.errors import VlmError, VlmRefused, VlmServerError, VlmTimeout, VlmUnreachable
from sidecar.model import ChatReply, ChatRequest, Evidence, EvidenceForm, MediaType
from sidecar.testing.fakes import FrozenClock, NullMeter

REQUEST = ChatRequest({}, Evidence(EvidenceForm.URL, MediaType.VIDEO))
REPLY = ChatReply("yes")
DIALECT = ServerDialect(
    server="vllm",
    version="",
    models=("m",),
    ready_path="/health",
    takes_video=True,
    max_images=1,
    loader_fps=None,
    frames=FrameControl.NONE,
    media_options=False,
    structured=StructuredForm.NONE,
    thinking_switch=False,
    reasoning=ReasoningField.INLINE,
    content_is_null=False,
    logprobs=False,
)


class Time(FrozenClock):
    """A clock that sleeping moves."""

    def __init__(self) -> None:
        super().__init__()
        self.pauses: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.advance(seconds)


class FlakyVlm:
    """Fails in the given ways, one second each, then answers."""

    def __init__(self, time: Time, failures: Sequence[VlmError]) -> None:
        self.time = time
        self.failures = list(failures)
        self.timeouts: list[float] = []
        self.is_closed = False
        self.stale: ServerDialect | None = None

    async def model(self) -> str:
        return "m"

    async def dialect(self, *, stale: ServerDialect | None = None) -> ServerDialect | None:
        self.stale = stale
        return DIALECT

    async def complete(self, request: ChatRequest, timeout_s: float) -> ChatReply:
        assert request is REQUEST
        self.timeouts.append(timeout_s)
        self.time.advance(1)
        if self.failures:
            raise self.failures.pop(0)
        return REPLY

    async def ping(self) -> str:
        return "pong"

    async def close(self) -> None:
        self.is_closed = True


class CallMeter(NullMeter):
    """Remembers the calls that were measured."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float, bool]] = []

    def called_vlm(self, arm: str, seconds: float, *, ok: bool) -> None:
        self.calls.append((arm, seconds, ok))


def build(
    failures: Sequence[VlmError], retries: int, reconnect_s: float = 0
) -> tuple[RetryingVlm, FlakyVlm, Time]:
    time = Time()
    flaky = FlakyVlm(time, failures)
    return (
        RetryingVlm(flaky, retries, reconnect_s, time, sleep=time.sleep, jitter=lambda: 1.0),
        flaky,
        time,
    )


async def test_retryable_failures_are_repeated():
    """A failure that may pass is tried again, after pauses that double."""
    vlm, flaky, time = build([VlmUnreachable("a"), VlmServerError("b")], retries=2)

    reply = await vlm.complete(REQUEST, 60)

    assert reply == REPLY
    assert time.pauses == [0.5, 1.0]
    assert flaky.timeouts == [60, 58.5, 56.5]


async def test_last_failure_is_raised():
    """When the retries are used up the last failure counts."""
    vlm, flaky, _ = build([VlmUnreachable("a"), VlmTimeout("b"), VlmTimeout("c")], retries=1)

    with pytest.raises(VlmTimeout, match="b"):
        await vlm.complete(REQUEST, 60)

    assert len(flaky.timeouts) == 2


async def test_a_server_that_is_away_is_waited_for():
    """It may restart: more requests than the retries allow, for as long as the settings say."""
    vlm, flaky, time = build([VlmUnreachable("a")] * 5, retries=1, reconnect_s=30)

    assert await vlm.complete(REQUEST, 60) == REPLY
    assert time.pauses == [0.5, 1.0, 2.0, 4.0, 8.0]
    assert len(flaky.timeouts) == 6


async def test_the_wait_for_a_server_ends():
    """A server that does not come back fails the request, long before its deadline."""
    vlm, _, time = build([VlmUnreachable("a")] * 99, retries=1, reconnect_s=30)

    with pytest.raises(VlmUnreachable):
        await vlm.complete(REQUEST, 600)

    assert sum(time.pauses) <= 30


async def test_the_wait_begins_when_the_server_goes_away():
    """What was spent on other failures before does not count."""
    failures = [VlmTimeout("a"), *[VlmUnreachable("b")] * 3]
    vlm, _, time = build(failures, retries=1, reconnect_s=10)

    assert await vlm.complete(REQUEST, 60) == REPLY
    assert time.pauses == [0.5, 1.0, 2.0, 4.0]


async def test_refusals_are_not_repeated():
    """A request that the server refused is not sent again."""
    vlm, flaky, _ = build([VlmRefused("a")], retries=5)

    with pytest.raises(VlmRefused):
        await vlm.complete(REQUEST, 60)

    assert len(flaky.timeouts) == 1


async def test_retries_stay_within_the_time():
    """No pause is begun that would end after the deadline."""
    vlm, flaky, time = build([VlmServerError("a")] * 9, retries=9)

    with pytest.raises(VlmServerError):
        await vlm.complete(REQUEST, 3)

    assert time.pauses == [0.5]
    assert len(flaky.timeouts) == 2


async def test_layers_pass_everything_else_on():
    """Model, ping and close reach the innermost backend."""
    vlm, flaky, time = build([], retries=1)
    metered = MeteredVlm(vlm, CallMeter(), "reason2", time)

    model, ping = await metered.model(), await metered.ping()
    await metered.close()

    assert (model, ping, flaky.is_closed) == ("m", "pong", True)


async def test_layers_pass_the_very_dialect_on():
    """What is stale is told by identity, so no layer may copy it."""
    vlm, flaky, time = build([], retries=1)
    metered = MeteredVlm(vlm, CallMeter(), "reason2", time)

    found = await metered.dialect(stale=DIALECT)

    assert found is DIALECT
    assert flaky.stale is DIALECT


async def test_each_call_is_measured():
    """Successes and failures are reported with their duration."""
    time = Time()
    meter = CallMeter()
    vlm = MeteredVlm(FlakyVlm(time, [VlmTimeout("a")]), meter, "reason2", time)

    with pytest.raises(VlmTimeout):
        await vlm.complete(REQUEST, 60)
    await vlm.complete(REQUEST, 60)

    assert meter.calls == [("reason2", 1.0, False), ("reason2", 1.0, True)]


@pytest.mark.parametrize(
    ("attempt", "expected"), [(1, 0.25), (2, 0.5), (3, 1.0), (10, 4.0), (10_000, 4.0)]
)
def test_backoff_doubles_up_to_its_cap(attempt, expected):
    """Half of the jitter gives half of the doubling, capped bound."""
    assert backoff(attempt, 0.5, 8.0, lambda: 0.5) == expected


def test_backoff_has_full_jitter():
    """The pause can be anything from nothing up to the bound."""
    pauses = [backoff(3, 0.5, 60.0) for _ in range(500)]

    assert min(pauses) < 0.3
    assert max(pauses) > 1.7
    assert max(pauses) <= 2.0
