"""Takes accepted events up, a bounded number at a time, and sees each to its end."""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import replace
from typing import Any, Final

import structlog

from sidecar.contract.enrich import record_of
from sidecar.core.bell import Bell
from sidecar.core.feed import Feed
from sidecar.core.intake import Intake
from sidecar.core.places import Places
from sidecar.core.scheduling import Refused, Scheduler
from sidecar.core.tracing import UNTRACED
from sidecar.core.verify import Look, Verifies
from sidecar.errors import (
    Poisoned,
    StoreUnavailable,
    UnexpectedFailure,
    VerificationError,
    row_of,
)
from sidecar.model import StoredEvent, VerifyEvent
from sidecar.ports import Clock, Ledger, Meter, Tracer
from sidecar.redaction import redact

STORE_RETRY_S: Final = 1.0
IDLE_S: Final = 5.0
LOOK: Final = 256
"""Events that are put in line at a time."""

_log = structlog.get_logger()


class Dispatcher:
    """The only place that takes events from the ledger and puts verdicts into it.

    Args:
        scheduler: tells who is next.
        sinks_of: names the sinks that the verdict on an event goes to.
        slots: places for events being verified.
        submitted: rung when an accepted event waits to be claimed.
        feed: takes each verdict after its commit.
        to_deliver: called after each commit.
        aside: takes what a committed verdict leaves to do; must return at once.
        max_attempts: an event that was taken up more often ends as poisoned.
        tracer: measures each verification.
    """

    def __init__(
        self,
        ledger: Ledger,
        intake: Intake,
        verifier: Verifies,
        meter: Meter,
        scheduler: Scheduler,
        clock: Clock,
        *,
        sinks_of: Callable[[VerifyEvent], Sequence[str]],
        slots: Places,
        submitted: Bell,
        feed: Feed,
        to_deliver: Callable[[], None],
        aside: Callable[[Look], None],
        max_attempts: int,
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._ledger = ledger
        self._intake = intake
        self._verifier = verifier
        self._meter = meter
        self._scheduler = scheduler
        self._clock = clock
        self._sinks_of = sinks_of
        self._slots = slots
        self._submitted = submitted
        self._feed = feed
        self._to_deliver = to_deliver
        self._aside = aside
        self._max_attempts = max_attempts
        self._tracer = tracer
        self._tasks: set[asyncio.Task[None]] = set()
        self._seen = 0
        self._more_may_wait = True
        self._own_rings = 0
        self._news = 0
        self._looked_at = clock.monotonic()

    @property
    def has_line(self) -> bool:
        """Whether events wait for a place, so that a new one has to stand in line."""
        return self._more_may_wait or len(self._scheduler) > 0

    @property
    def queued(self) -> int:
        """How many events stand in line here."""
        return len(self._scheduler)

    def longest_lines(self, most: int) -> Sequence[tuple[str, int]]:
        """Return the sensors with the most events in line here, and how many each has."""
        return self._scheduler.longest_lines(most)

    async def run(self) -> None:
        """Take up what waits, until cancelled. Events in flight go on; see `stop`."""
        while True:
            news = self._submitted.listen()
            try:
                found = await self._look()
                found |= await self._refuse(list(self._scheduler.take_late()))
                found |= await self._take_up()
            except StoreUnavailable as error:
                _log.error("ledger_unavailable", detail=error.detail)
                self.look_again()  # for those that had left the line
                await asyncio.sleep(STORE_RETRY_S)
                continue
            if not found:
                await news.wait(self._scheduler.wait_s(IDLE_S))

    def begin(self, event: VerifyEvent, expires: float | None = None) -> None:
        """Start the verification of a claimed event, whose place is taken.

        Args:
            event: what to verify.
            expires: when it is too late for it; None when it has just come.
        """
        if expires is None:
            expires = self._scheduler.expiry_of(event)
        self._start(self._decide(event, expires), self._end)

    def look_again(self) -> None:
        """Look at the whole ledger: events that were given back have places before the last."""
        self._seen = 0
        self._more_may_wait = True
        self._submitted.ring()

    async def stop(self, grace_s: float) -> None:
        """Let events in flight end for `grace_s`; hand the rest back to the ledger undecided."""
        if not self._tasks:
            return
        _, late = await asyncio.wait(self._tasks, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)

    async def _look(self) -> bool:
        """Put events in line that the ledger has; tells whether there may be more.

        Without news the ledger is asked only now and then: a place that was freed brings none.
        """
        news, now = self._submitted.rings - self._own_rings, self._clock.monotonic()
        if not self._more_may_wait and news == self._news and now < self._looked_at + IDLE_S:
            return False
        limit = min(LOOK, self._scheduler.room)
        if limit <= 0 or (limit < LOOK < len(self._scheduler)):
            return False  # the line is long enough; it is filled up again in larger steps
        self._news, self._looked_at = news, now
        stored = await self._ledger.waiting(after=self._seen, limit=limit)
        self._more_may_wait = len(stored) == limit
        refused = [refusal for one in stored if (refusal := self._put(one))]
        await self._refuse(refused)
        if stored:
            self._seen = stored[-1].position
        return self._more_may_wait

    def _put(self, stored: StoredEvent) -> Refused | None:
        """Put an event in line that is not there yet; one that cannot be read is refused."""
        if stored.key in self._scheduler:
            return None
        try:
            event = self._intake.restore(stored)
        except Exception as error:
            _log.exception("event_unreadable", key=stored.key)
            return Refused(self._intake.salvage(stored), _unexpected(error))
        return self._scheduler.put(event)

    async def _take_up(self) -> bool:
        """Begin with as many events as there are places; tells whether there were any."""
        free = self._slots.take()
        chosen: dict[str, tuple[VerifyEvent, float]] = {}
        try:
            while len(chosen) < free and (taken := self._scheduler.take()):
                event, expires, waited_s = taken
                chosen[event.key] = (event, expires)
                self._meter.begun(waited_s)
            claimed = await self._claim(chosen)
        except BaseException:
            self._slots.give_back(free)
            raise
        self._slots.give_back(free - len(claimed))
        for stored in claimed:
            event, expires = chosen[stored.key]
            self.begin(replace(event, attempt=stored.attempt), expires)
        return bool(chosen)

    async def _refuse(self, refused: Collection[Refused]) -> bool:
        """Decide events that are not looked at; tells whether there were any."""
        by_key = {it.event.key: it for it in refused}
        for stored in await self._claim(by_key):
            one = by_key[stored.key]
            look = self._failed(replace(one.event, attempt=stored.attempt), one.error)
            self._start(self._commit_or_say_why(look), self._forget)
        return bool(by_key)

    async def _claim(self, keys: Collection[str]) -> Sequence[StoredEvent]:
        """Claim events; those that another replica has taken are left out."""
        return await self._ledger.claim(list(keys)) if keys else ()

    def _start(
        self, work: Coroutine[Any, Any, None], end: Callable[[asyncio.Task[None]], None]
    ) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(end)

    def _end(self, task: asyncio.Task[None]) -> None:
        self._slots.end()
        if self.has_line:
            self._own_rings += 1
            self._submitted.ring()
        self._forget(task)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            _log.error("verdict_lost_until_restart", exc_info=error)

    async def _decide(self, event: VerifyEvent, expires: float) -> None:
        begun = self._clock.monotonic()
        with self._tracer.resume("verify", event.key, sensor=event.sensor_id):
            try:
                look = await self._look_at(event, expires - begun)
            except asyncio.CancelledError:
                await self._ledger.release(event.key)
                raise
            self._scheduler.done(event, self._clock.monotonic() - begun)
            await self._commit_or_say_why(look)

    async def _look_at(self, event: VerifyEvent, within_s: float) -> Look:
        if event.attempt > self._max_attempts:
            times = event.attempt - 1
            poisoned = Poisoned(f"Poisoned: the event stopped the service {times} times")
            return self._failed(event, poisoned)
        try:
            return await self._verifier.look(event, within_s=within_s)
        except Exception as error:
            _log.exception("unexpected_failure", key=event.key)
            return self._failed(event, _unexpected(error))

    def _failed(self, event: VerifyEvent, error: VerificationError) -> Look:
        return Look(self._verifier.failed(event, error))

    async def _commit_or_say_why(self, look: Look) -> None:
        """Store a verdict; one that meets a defect of ours becomes a failure that says so."""
        try:
            await self._commit(look)
        except Exception as error:
            event = look.verdict.event
            _log.exception("verdict_not_storable", key=event.key)
            await self._commit(self._failed(event, _unexpected(error)))

    async def _commit(self, look: Look) -> None:
        verdict = look.verdict
        record, sinks = record_of(verdict), self._sinks_of(verdict.event)
        while True:
            try:
                committed = await self._ledger.commit(record, sinks)
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
        self._aside(look)
        _log.info(
            "verdict",
            id=record.id,
            key=record.key,
            verdict=record.outcome.value,
            reason=record.reason,
            arm=record.arm,
            latency_ms=verdict.latency_ms,
        )


def _unexpected(error: Exception) -> UnexpectedFailure:
    return UnexpectedFailure(f"{type(error).__name__}: {redact(str(error))[:150]}")
