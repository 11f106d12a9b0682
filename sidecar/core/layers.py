"""Wrappers around a model's server: each is a VlmBackend itself, so they stack in any order."""

import asyncio
import math
import random
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import count
from typing import Final, TypeVar

from sidecar.core.backoff import backoff
from sidecar.dialect import ServerDialect
from sidecar.errors import VlmError, VlmUnreachable, row_of
from sidecar.model import ChatReply, ChatRequest
from sidecar.ports import Clock, Meter, VlmBackend

T = TypeVar("T")

_BACKOFF_S: Final = 0.5  # the pause of VSS's Alert Bridge between two requests
_BACKOFF_MAX_S: Final = 8.0


class Layer:
    """A backend that passes everything on to another."""

    def __init__(self, backend: VlmBackend) -> None:
        self._backend = backend

    async def model(self) -> str:
        """Return the id to put into requests."""
        return await self._backend.model()

    async def dialect(self, *, stale: ServerDialect | None = None) -> ServerDialect | None:
        """Return what the server accepts, asked again when `stale` is what is known."""
        return await self._backend.dialect(stale=stale)

    async def complete(self, request: ChatRequest, timeout_s: float) -> ChatReply:
        """Complete one chat within `timeout_s`."""
        return await self._backend.complete(request, timeout_s)

    async def ping(self) -> str:
        """Return "" when the backend can work now, else what is wrong."""
        return await self._backend.ping()

    async def close(self) -> None:
        """Release what the backend holds."""
        await self._backend.close()


class RetryingVlm(Layer):
    """Repeats requests that failed in a way which may pass (`retryable` in the error table).

    Args:
        backend: what to call.
        retries: further requests after the first.
        reconnect_s: how long a server that cannot be reached is waited for, beyond the retries.
        clock: measures the time that is left.
        sleep: waits between two requests.
        jitter: gives a number in [0, 1) for the backoff.
    """

    def __init__(
        self,
        backend: VlmBackend,
        retries: int,
        reconnect_s: float,
        clock: Clock,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        super().__init__(backend)
        self._retries = retries
        self._reconnect_s = reconnect_s
        self._clock = clock
        self._sleep = sleep
        self._jitter = jitter

    async def model(self) -> str:
        """Return the id to put into requests; waits for a server that is away."""
        return await self._repeated(lambda _: self._backend.model(), math.inf)

    async def dialect(self, *, stale: ServerDialect | None = None) -> ServerDialect | None:
        """Return what the server accepts; waits for a server that is away."""
        return await self._repeated(lambda _: self._backend.dialect(stale=stale), math.inf)

    async def complete(self, request: ChatRequest, timeout_s: float) -> ChatReply:
        """Complete one chat; all requests and pauses together stay within `timeout_s`.

        Raises:
            VlmError: that of the last request.
        """
        return await self._repeated(partial(self._backend.complete, request), timeout_s)

    async def _repeated(self, ask: Callable[[float], Awaitable[T]], timeout_s: float) -> T:
        """Ask until there is an answer, or an error that is final; tells `ask` the time left."""
        deadline = self._clock.monotonic() + timeout_s
        give_up = math.inf
        for attempt in count(1):
            try:
                return await ask(deadline - self._clock.monotonic())
            except VlmError as error:
                now = self._clock.monotonic()
                pause_s = backoff(attempt, _BACKOFF_S, _BACKOFF_MAX_S, self._jitter)
                is_away = isinstance(error, VlmUnreachable)
                give_up = min(give_up, now + self._reconnect_s) if is_away else math.inf
                may_pass = attempt <= self._retries and row_of(error).retryable
                may_return = is_away and now + pause_s <= give_up
                if now + pause_s >= deadline or not (may_pass or may_return):
                    raise
            await self._sleep(pause_s)
        raise AssertionError  # count() does not end


class MeteredVlm(Layer):
    """Counts and times each request.

    Args:
        backend: what to call.
        meter: is told about every request that succeeded or failed, not about cancelled ones.
        arm: label of the measurements.
        clock: measures the duration.
    """

    def __init__(self, backend: VlmBackend, meter: Meter, arm: str, clock: Clock) -> None:
        super().__init__(backend)
        self._meter = meter
        self._arm = arm
        self._clock = clock

    async def complete(self, request: ChatRequest, timeout_s: float) -> ChatReply:
        """Complete one chat and report how long it took."""
        started = self._clock.monotonic()
        try:
            reply = await self._backend.complete(request, timeout_s)
        except VlmError:
            self._report(started, ok=False)
            raise
        self._report(started, ok=True)
        return reply

    def _report(self, started: float, *, ok: bool) -> None:
        self._meter.called_vlm(self._arm, self._clock.monotonic() - started, ok=ok)
