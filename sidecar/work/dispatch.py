"""Takes accepted events up, a bounded number at a time, and sees each to its end."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from sidecar.contract.enrich import record_of
from sidecar.core.bell import Bell
from sidecar.core.feed import Feed
from sidecar.core.intake import Intake
from sidecar.core.slots import Slots
from sidecar.core.tracing import UNTRACED
from sidecar.core.verify import Verifier
from sidecar.errors import Poisoned, StoreUnavailable, UnexpectedFailure, row_of
from sidecar.model import StoredEvent, Verdict, VerifyEvent
from sidecar.ports import Ledger, Meter, Tracer

STORE_RETRY_S: Final = 1.0
IDLE_S: Final = 5.0

_log = structlog.get_logger()


class Dispatcher:
    """The only place that takes events from the ledger and puts verdicts into it.

    Args:
        sinks: names of the sinks that every verdict goes to.
        slots: places for events being verified.
        submitted: rung when an accepted event waits to be claimed.
        feed: takes each verdict after its commit.
        to_deliver: called after each commit.
        max_attempts: an event that was taken up more often ends as poisoned.
        tracer: measures each verification.
    """

    def __init__(
        self,
        ledger: Ledger,
        intake: Intake,
        verifier: Verifier,
        meter: Meter,
        *,
        sinks: Sequence[str],
        slots: Slots,
        submitted: Bell,
        feed: Feed,
        to_deliver: Callable[[], None],
        max_attempts: int,
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._verifier = verifier
        self._meter = meter
        self._sinks = sinks
        self._slots = slots
        self._submitted = submitted
        self._feed = feed
        self._to_deliver = to_deliver
        self._max_attempts = max_attempts
        self._tracer = tracer
        self._tasks: set[asyncio.Task[None]] = set()
        self._more_may_wait = True

    async def run(self) -> None:
        """Claim what waits, until cancelled. Events in flight go on; see `stop`."""
        while True:
            news = self._submitted.listen()
            free = self._slots.take()
            claimed = await self._claim(free) if free else ()
            self._slots.give_back(free - len(claimed))
            for stored in claimed:
                self.begin(self._intake.restore(stored))
            self._more_may_wait = len(claimed) == free
            if not claimed:
                await news.wait(IDLE_S)

    def begin(self, event: VerifyEvent) -> None:
        """Start the verification of a claimed event, whose place is taken."""
        task = asyncio.create_task(self._decide(event))
        self._tasks.add(task)
        task.add_done_callback(self._end)

    async def stop(self, grace_s: float) -> None:
        """Let events in flight end for `grace_s`; hand the rest back to the ledger undecided."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _claim(self, limit: int) -> Sequence[StoredEvent]:
        try:
            return await self._ledger.claim(limit)
        except StoreUnavailable as error:
            _log.error("ledger_unavailable", detail=error.detail)
            await asyncio.sleep(STORE_RETRY_S)
            return ()

    def _end(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._slots.give_back()
        if self._more_may_wait:
            self._submitted.ring()
        if not task.cancelled() and (error := task.exception()):
            _log.error("verdict_lost_until_restart", exc_info=error)

    async def _decide(self, event: VerifyEvent) -> None:
        with self._tracer.resume("verify", event.key, sensor=event.sensor_id):
            try:
                verdict = await self._verdict_on(event)
            except asyncio.CancelledError:
                await self._ledger.release(event.key)
                raise
            await self._commit(verdict)

    async def _verdict_on(self, event: VerifyEvent) -> Verdict:
        if event.attempt > self._max_attempts:
            times = event.attempt - 1
            return self._verifier.failed(
                event, Poisoned(f"Poisoned: the event stopped the service {times} times")
            )
        try:
            return await self._verifier.verify(event)
        except Exception as error:
            _log.exception("unexpected_failure", key=event.key)
            cause = f"{type(error).__name__}: {str(error)[:150]}"
            return self._verifier.failed(event, UnexpectedFailure(cause))

    async def _commit(self, verdict: Verdict) -> None:
        record = record_of(verdict)
        while True:
            try:
                committed = await self._ledger.commit(record, self._sinks)
                break
            except StoreUnavailable as error:
                _log.error("verdict_waits_for_ledger", key=record.key, detail=error.detail)
                await asyncio.sleep(STORE_RETRY_S)
        if committed is None:
            return
        metric = row_of(verdict.error).metric if verdict.error else ""
        self._meter.decided(record.outcome.value, metric, verdict.latency_ms / 1000)
        self._feed.add(committed)
        self._to_deliver()
        _log.info(
            "verdict",
            id=record.id,
            key=record.key,
            verdict=record.outcome.value,
            reason=record.reason,
            arm=record.arm,
            latency_ms=verdict.latency_ms,
        )
