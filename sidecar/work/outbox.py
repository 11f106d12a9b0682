"""Brings committed verdicts to the sinks: again and again until they are taken, or given up."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final, TypeVar

import structlog

from sidecar.core.backoff import backoff
from sidecar.core.bell import Bell
from sidecar.errors import DeliveryError, DeliveryRefused, StoreUnavailable
from sidecar.model import OutboxEntry
from sidecar.ports import Clock, Ledger, Meter, Sink
from sidecar.settings import SinkSettings

T = TypeVar("T")

BATCH: Final = 512
IDLE_S: Final = 1.0
STORE_RETRY_S: Final = 1.0

_log = structlog.get_logger()


class Outbox:
    """Delivers to every sink on its own, so that one that is down delays only itself.

    Verdicts about one fingerprint reach a sink in the order of their commits, because the ledger
    names only the oldest of them as due. A verdict is published again when the process stops
    between the delivery and its record.
    """

    def __init__(
        self,
        ledger: Ledger,
        sinks: Sequence[Sink],
        settings: SinkSettings,
        clock: Clock,
        meter: Meter,
    ) -> None:
        self._lanes = [_Lane(ledger, sink, settings, clock, meter) for sink in sinks]

    def notify(self) -> None:
        """Look for new entries now."""
        for lane in self._lanes:
            lane.wake()

    async def run(self) -> None:
        """Deliver until cancelled. Not while `drain` runs."""
        async with asyncio.TaskGroup() as group:
            for lane in self._lanes:
                group.create_task(lane.run())
            await asyncio.Event().wait()  # until cancelled, by a lane that broke as well

    async def drain(self, timeout_s: float) -> bool:
        """Deliver what is due, without waiting for retries. Not while `run` runs.

        Returns:
            False when the time was over first.
        """
        try:
            async with asyncio.timeout(timeout_s), asyncio.TaskGroup() as group:
                for lane in self._lanes:
                    group.create_task(lane.drain())
        except TimeoutError:
            return False
        return True


class _Lane:
    """The way to one sink."""

    def __init__(
        self, ledger: Ledger, sink: Sink, settings: SinkSettings, clock: Clock, meter: Meter
    ) -> None:
        self._ledger = ledger
        self._sink = sink
        self._settings = settings
        self._clock = clock
        self._meter = meter
        self._news = Bell()
        self._slots = asyncio.Semaphore(sink.most_at_once)
        self._in_flight: dict[int, asyncio.Task[None]] = {}
        self._settled: set[int] = set()

    def wake(self) -> None:
        self._news.ring()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                news = self._news.listen()
                if await self._start_due(group):
                    await self._make_room()
                else:
                    await news.wait(IDLE_S)

    async def drain(self) -> None:
        async with asyncio.TaskGroup() as group:
            while await self._start_due(group) or self._in_flight or self._settled:
                if self._in_flight:
                    await self._wait_for_one()

    async def _start_due(self, group: asyncio.TaskGroup) -> int:
        """Start the deliveries that are due; returns how many."""
        self._settled.clear()
        now = self._clock.now()
        horizon = now + timedelta(seconds=self._settings.backoff_max_s)
        entries = await self._persist(
            lambda: self._ledger.due(
                self._sink.name, now, BATCH, horizon=horizon, skip=self._in_flight
            )
        )
        # An entry may have been settled after the ledger looked and before it answered.
        busy = self._in_flight.keys() | self._settled
        fresh = [entry for entry in entries if entry.id not in busy]
        for entry in fresh:
            task = group.create_task(self._deliver(entry))
            self._in_flight[entry.id] = task
            task.add_done_callback(partial(self._settle, entry.id))
        return len(fresh)

    async def _make_room(self) -> None:
        """Wait until it is worth asking the ledger for more."""
        while len(self._in_flight) > BATCH // 2:
            await self._wait_for_one()

    async def _wait_for_one(self) -> None:
        await asyncio.wait(self._in_flight.values(), return_when=asyncio.FIRST_COMPLETED)

    def _settle(self, entry_id: int, _: asyncio.Task[None]) -> None:
        del self._in_flight[entry_id]
        self._settled.add(entry_id)
        self._news.ring()

    async def _deliver(self, entry: OutboxEntry) -> None:
        error = await self._publish(entry)
        self._meter.delivered(self._sink.name, ok=error is None)
        if error is None:
            await self._persist(lambda: self._ledger.mark_sent([entry]))
        else:
            await self._fail(entry, error)

    async def _publish(self, entry: OutboxEntry) -> DeliveryError | None:
        async with self._slots:
            try:
                await self._sink.publish(entry)
            except DeliveryError as error:
                return error
            except Exception as error:
                _log.exception("sink_broken", sink=self._sink.name, key=entry.record.key)
                return DeliveryError(f"{type(error).__name__}: {error}")
        return None

    async def _fail(self, entry: OutboxEntry, error: DeliveryError) -> None:
        facts = {"sink": self._sink.name, "key": entry.record.key, "detail": error.detail}
        attempts = entry.attempts + 1
        if isinstance(error, DeliveryRefused) or attempts >= self._settings.max_attempts:
            _log.error("dead_letter", attempts=attempts, **facts)
            await self._persist(lambda: self._ledger.mark_failed(entry, error.detail, None))
            return
        delay_s = backoff(attempts, self._settings.backoff_s, self._settings.backoff_max_s)
        retry_at = self._clock.now() + timedelta(seconds=delay_s)
        _log.info("delivery_failed", attempts=attempts, retry_in_s=round(delay_s, 3), **facts)
        await self._persist(lambda: self._ledger.mark_failed(entry, error.detail, retry_at))
        if delay_s < IDLE_S:
            asyncio.get_running_loop().call_later(delay_s, self.wake)

    async def _persist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Call the ledger until it works; a full disk must not end the deliveries."""
        while True:
            try:
                return await call()
            except StoreUnavailable as error:
                _log.error("outbox_waits_for_ledger", sink=self._sink.name, detail=error.detail)
                await asyncio.sleep(STORE_RETRY_S)
