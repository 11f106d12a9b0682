"""Takes accepted events up, a bounded number at a time, and sees each to its end."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

import structlog

from sidecar.contract.enrich import record_of
from sidecar.core.bell import Bell
from sidecar.core.feed import Feed
from sidecar.core.intake import Intake
from sidecar.core.verify import Verifier
from sidecar.errors import Poisoned, StoreUnavailable, UnexpectedFailure, row_of
from sidecar.model import StoredEvent, Verdict
from sidecar.ports import Ledger, Meter

STORE_RETRY_S: Final = 1.0
IDLE_S: Final = 5.0

_log = structlog.get_logger()


class Dispatcher:
    """The only place that takes events from the ledger and puts verdicts into it.

    Args:
        sinks: names of the sinks that every verdict goes to.
        submitted: rung when there may be work.
        feed: takes each verdict after its commit.
        to_deliver: called after each commit.
        max_in_flight: verifications at the same time.
        max_attempts: an event that was taken up more often ends as poisoned.
    """

    def __init__(
        self,
        ledger: Ledger,
        intake: Intake,
        verifier: Verifier,
        meter: Meter,
        *,
        sinks: Sequence[str],
        submitted: Bell,
        feed: Feed,
        to_deliver: Callable[[], None],
        max_in_flight: int,
        max_attempts: int,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._verifier = verifier
        self._meter = meter
        self._sinks = sinks
        self._submitted = submitted
        self._feed = feed
        self._to_deliver = to_deliver
        self._max_in_flight = max_in_flight
        self._max_attempts = max_attempts
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """How many events are being verified."""
        return len(self._tasks)

    async def run(self) -> None:
        """Work until cancelled. Events in flight go on; see `stop`."""
        while True:
            news = self._submitted.listen()
            claimed = await self._claim()
            for stored in claimed:
                task = asyncio.create_task(self._decide(stored))
                self._tasks.add(task)
                task.add_done_callback(self._forget)
            if not claimed:
                await news.wait(IDLE_S)

    async def stop(self, grace_s: float) -> None:
        """Let events in flight end for `grace_s`; hand the rest back to the ledger undecided."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _claim(self) -> Sequence[StoredEvent]:
        free = self._max_in_flight - len(self._tasks)
        if free <= 0:
            return ()
        try:
            return await self._ledger.claim(free)
        except StoreUnavailable as error:
            _log.error("ledger_unavailable", detail=error.detail)
            await asyncio.sleep(STORE_RETRY_S)
            return ()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._submitted.ring()
        if not task.cancelled() and (error := task.exception()):
            _log.error("verdict_lost_until_restart", exc_info=error)

    async def _decide(self, stored: StoredEvent) -> None:
        try:
            verdict = await self._verdict_on(stored)
        except asyncio.CancelledError:
            await self._ledger.release(stored.key)
            raise
        await self._commit(verdict)

    async def _verdict_on(self, stored: StoredEvent) -> Verdict:
        event = self._intake.restore(stored)
        if stored.attempt > self._max_attempts:
            times = stored.attempt - 1
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
