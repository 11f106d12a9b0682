"""The servers of one arm as one backend: the least busy one is asked, a broken one is not.

None is asked more at the same time than it turns into throughput.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from contextlib import suppress
from typing import Final, TypeVar

import structlog

from sidecar.core.limits import AdaptiveLimit, Gate, Ticket
from sidecar.core.vitals import Breaker, EndpointVitals, Vitals
from sidecar.dialect import ServerDialect
from sidecar.errors import (
    VlmBusy,
    VlmError,
    VlmRefused,
    VlmServerError,
    VlmTimeout,
    VlmUnreachable,
)
from sidecar.model import ChatReply, ChatRequest
from sidecar.ports import Clock, VlmBackend

T = TypeVar("T")

_FAULTS: Final = (VlmUnreachable, VlmServerError, VlmTimeout)
"""Failures of a server. One that is busy or refuses a request works."""
_OPEN_S: Final = 2.0
_OPEN_MAX_S: Final = 60.0
_PATIENCE_S: Final = 5.0
"""A request that was given up after so long, or after several times what is typical, was slow."""
_PATIENCE: Final = 4.0

Endpoint = tuple[VlmBackend, EndpointVitals, Gate]

_log = structlog.get_logger()


class Endpoints:
    """Completes chats at one of several servers. Implements `ports.VlmBackend`.

    A request goes to the server with the fewest in flight among those that work, as a share of what
    each turns into throughput; where that is reached, requests wait here in line. After failures in
    a row a server gets no more; it is pinged with growing pauses, and when it answers, single
    requests show whether it completes chats again. When no server works, they are tried all the
    same: the caller has nowhere else to go.

    Servers may differ in their dialects. A request goes only where the dialect that it was written
    for is spoken. One that serves another model than the first server is not asked.

    Args:
        arm: its name, for texts.
        backends: the servers.
        vitals: what is known of them, in the same order; kept up to date here.
        clock: times the completions.
        limits: of the servers, in the same order.
        sleep: waits before a ping.
    """

    def __init__(
        self,
        arm: str,
        backends: Sequence[VlmBackend],
        vitals: Vitals,
        clock: Clock,
        limits: Sequence[AdaptiveLimit],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._arm = arm
        self._vitals = vitals
        gates = [Gate(*it) for it in zip(vitals.endpoints, limits, strict=True)]
        self._endpoints = list(zip(backends, vitals.endpoints, gates, strict=True))
        self._clock = clock
        self._sleep = sleep
        self._revivals: set[asyncio.Task[None]] = set()

    async def model(self) -> str:
        """Return the id to put into requests: what the first server that tells serves.

        Raises:
            VlmError: none does.
        """
        by_health = sorted(self._endpoints, key=lambda it: _is_left_out(it[1]))
        return await self._from_any(by_health, lambda backend: backend.model())

    async def dialect(self, *, stale: ServerDialect | None = None) -> ServerDialect | None:
        """Return what the server accepts that would be asked now.

        Args:
            stale: every server of this dialect is asked again.

        Raises:
            VlmError: none tells.
        """
        wanted = await self.model() if len(self._endpoints) > 1 else ""

        async def tell(backend: VlmBackend) -> ServerDialect | None:
            known = await backend.dialect()
            if stale is not None and known == stale:
                known = await backend.dialect(stale=known)
            self._vitals_of(backend).dialect = known
            if wanted and known is not None and wanted not in known.models:
                served = ", ".join(known.models)
                raise VlmRefused(f"it serves {served}, and other servers of the arm {wanted}")
            return known

        return await self._from_any(self._in_order(), tell)

    async def complete(self, request: ChatRequest, timeout_s: float) -> ChatReply:
        """Complete one chat; when a server cannot be reached the next one is asked at once.

        Raises:
            VlmBusy: no server had time for it.
            VlmError: that of the last server, or none speaks the request's dialect any more.
        """
        deadline = self._clock.monotonic() + timeout_s
        tried: list[EndpointVitals] = []
        while True:
            endpoint = await self._pick(request, tried)
            ticket = await self._enter(endpoint, deadline - self._clock.monotonic())
            if ticket is None:
                continue
            tried.append(endpoint[1])
            try:
                left_s = deadline - self._clock.monotonic()
                return await self._complete_at(endpoint, ticket, request, left_s)
            except VlmUnreachable:
                if len(tried) == len(self._endpoints):
                    raise

    async def ping(self) -> str:
        """Return "" when one of the servers works now, else what is wrong with them."""
        problems = await asyncio.gather(*(backend.ping() for backend, *_ in self._endpoints))
        return "" if "" in problems else " ".join(dict.fromkeys(problems))

    async def close(self) -> None:
        """Close the connections to all of them."""
        for task in self._revivals:
            task.cancel()
        await asyncio.gather(*self._revivals, return_exceptions=True)
        for backend, *_ in self._endpoints:
            await backend.close()

    async def _pick(self, request: ChatRequest, tried: Collection[EndpointVitals]) -> Endpoint:
        """Choose a server that the request was written for."""
        if len(self._endpoints) == 1:
            return self._endpoints[0]
        trouble: VlmError = VlmRefused(
            f"No server of arm {self._arm} takes what the request was written for any more"
        )
        for endpoint in self._in_order():
            backend, vitals, _ = endpoint
            if any(vitals is it for it in tried):
                continue
            try:
                if request.dialect is None or await backend.dialect() == request.dialect:
                    return endpoint
            except VlmError as error:
                self._fail(endpoint, error)
                trouble = error
        raise trouble

    async def _enter(self, endpoint: Endpoint, within_s: float) -> Ticket | None:
        """Wait for a place at a server; None when another one should be looked for."""
        _, vitals, gate = endpoint
        try:
            async with asyncio.timeout(within_s):
                return await gate.enter()
        except TimeoutError:
            raise VlmBusy(
                f"The server at {vitals.place} is answering {vitals.in_flight} other requests, and "
                f"none of them ended in time ({within_s:.1f} s)"
            ) from None

    async def _complete_at(
        self, endpoint: Endpoint, ticket: Ticket, request: ChatRequest, timeout_s: float
    ) -> ChatReply:
        """Complete a chat at a server that let it in."""
        backend, vitals, gate = endpoint
        begun = self._clock.monotonic()
        try:
            reply = await backend.complete(request, timeout_s)
            gate.answered(ticket, self._clock.monotonic() - begun, reply)
        except _FAULTS as error:
            is_load = isinstance(error, VlmTimeout) or _is_full(error)
            (gate.refused if is_load else gate.lost)(ticket)
            self._fail(endpoint, error)
            raise
        except VlmError as error:
            (gate.refused if isinstance(error, VlmBusy) else gate.lost)(ticket)
            vitals.succeeded()
            raise
        except asyncio.CancelledError:
            self._give_up(endpoint, ticket, self._clock.monotonic() - begun)
            raise
        finally:
            gate.leave()
        vitals.succeeded()
        seconds = self._clock.monotonic() - begun
        self._vitals.took(seconds)
        vitals.latest_s.append(seconds)
        return reply

    def _give_up(self, endpoint: Endpoint, ticket: Ticket, seconds: float) -> None:
        """Take note of a request whose caller waited no longer."""
        gate = endpoint[2]
        if seconds < max(_PATIENCE_S, _PATIENCE * (self._vitals.typical_s or 0.0)):
            gate.lost(ticket)
            return
        gate.refused(ticket)
        self._fail(endpoint, VlmTimeout(f"given up after {seconds:.1f} s"))

    async def _from_any(
        self, endpoints: Iterable[Endpoint], ask: Callable[[VlmBackend], Awaitable[T]]
    ) -> T:
        trouble: VlmError | None = None
        for endpoint in endpoints:
            try:
                return await ask(endpoint[0])
            except VlmError as error:
                self._fail(endpoint, error)
                trouble = error
        assert trouble is not None
        raise trouble

    def _vitals_of(self, backend: VlmBackend) -> EndpointVitals:
        return next(vitals for it, vitals, _ in self._endpoints if it is backend)

    def _in_order(self) -> list[Endpoint]:
        """Return the servers, the one to ask first."""
        shuffled = random.sample(self._endpoints, len(self._endpoints))
        return sorted(shuffled, key=lambda it: (_is_left_out(it[1]), _load(it[1])))

    def _fail(self, endpoint: Endpoint, error: VlmError) -> None:
        backend, vitals, gate = endpoint
        if not vitals.failed(error.detail):
            return
        gate.send_away()
        _log.warning("endpoint_failing", arm=self._arm, endpoint=vitals.place, detail=error.detail)
        task = asyncio.create_task(self._revive(backend, vitals))
        self._revivals.add(task)
        task.add_done_callback(self._revivals.discard)

    async def _revive(self, backend: VlmBackend, vitals: EndpointVitals) -> None:
        """Ping a server that was left out until it answers or was seen to work."""
        pause_s = min(_OPEN_S * 2.0 ** (vitals.openings - 1), _OPEN_MAX_S)
        while vitals.breaker is Breaker.OPEN:
            await self._sleep(pause_s)
            with suppress(VlmError):
                if not await backend.ping():
                    vitals.try_again()
            pause_s = min(pause_s * 2, _OPEN_MAX_S)
        _log.info("endpoint_asked_again", arm=self._arm, endpoint=vitals.place)


def _is_full(error: VlmError) -> bool:
    return isinstance(error, VlmServerError) and error.is_full


def _load(vitals: EndpointVitals) -> float:
    """Return how much a server has to do, as a share of what it turns into throughput."""
    return (vitals.in_flight + vitals.waiting) / vitals.limit


def _is_left_out(vitals: EndpointVitals) -> bool:
    if vitals.breaker is Breaker.TRIAL:
        return vitals.in_flight > 0
    return vitals.breaker is Breaker.OPEN
