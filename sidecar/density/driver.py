"""Offers a load in open loop: each event at its time, whatever became of those before it.

Latency counts from the scheduled time, so that neither a slow answer nor a slow driver can hide the
events that had to wait behind it (no coordinated omission).
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, Protocol

from sidecar.density.account import Accounts, End
from sidecar.density.arrivals import Offer, plan_offers
from sidecar.density.events import Event
from sidecar.density.judge import Observed, is_lost
from sidecar.density.media import Media
from sidecar.density.names import new_run
from sidecar.density.scenario import Scenario
from sidecar.density.statistics import quantile

LOOK_EVERY_S: Final = 0.5
RECENT: Final = 200
"""Ended events that the current estimate is made of."""

OnEnd = Callable[[str, End], None]


class Target(Protocol):
    """What events are offered to."""

    @property
    def name(self) -> str:
        """As reports call it."""

    async def open(self, on_end: OnEnd) -> None:
        """Connect; ends that are seen at a sink are told by calling `on_end` with a name."""

    async def prepare(self, event: Event) -> Any:
        """Build what will be sent, ahead of the event's time."""

    async def send(self, event: Event, prepared: Any) -> End | None:
        """Offer an event. Returns its end when that is known here; None when the sink tells it."""

    async def close(self) -> None:
        """Disconnect."""


@dataclass(frozen=True, slots=True)
class Live:
    """How a run goes.

    Attributes:
        streams: how many.
        seed: which.
        done: share of its time.
        offered: events so far.
        in_system: of them, without an end.
        p95: of the latest that ended, in seconds of the board; None of none.
    """

    streams: int
    seed: int
    done: float
    offered: int
    in_system: int
    p95: float | None


@dataclass(frozen=True, slots=True)
class Conditions:
    """What is the same in all runs.

    Attributes:
        scenario: load and promise.
        speed: how many seconds of the board pass in one of the wall; 1 on a real one.
        stops_early: a run ends when it cannot pass any more.
        lead_s: wall seconds before its time at which an event's clip begins to be made.
        watched_pid: process whose CPU is measured; 0: none.
        tell: called with how it goes.
    """

    scenario: Scenario
    speed: float = 1.0
    stops_early: bool = False
    lead_s: float = 0.5
    watched_pid: int = 0
    tell: Callable[[Live], None] = lambda _: None


class Driver:
    """Runs one load against an open target.

    Args:
        target: where to.
        media: gives each event its clip.
        conditions: how.
    """

    def __init__(self, target: Target, media: Media, conditions: Conditions) -> None:
        self._target = target
        self._media = media
        self._conditions = conditions
        self._accounts = Accounts(new_run())
        self._began = 0.0
        self._born = datetime.now(UTC)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = asyncio.Event()
        self._defect: BaseException | None = None

    def on_end(self, name: str, end: End) -> None:
        """Take an end that a sink tells."""
        self._accounts.end(name, end, self._now())
        self._media.release(name)
        self._ended.set()

    async def run(self, streams: int, seed: int) -> Observed:
        """Offer a load, and wait until every event has ended or is given up."""
        conditions = self._conditions
        scenario = conditions.scenario
        start = scenario.window.warm_up_s
        end = start + scenario.measure_s(streams)
        offers = plan_offers(scenario, streams, seed, end + scenario.limit_s)
        self._media.expect(len(offers))
        self._accounts = Accounts(new_run())
        self._born = datetime.now(UTC)
        self._began = time.perf_counter() + conditions.lead_s
        cpu_s = _cpu_s(conditions.watched_pid)
        looking = asyncio.create_task(self._look(streams, seed, (start, end)))
        offering = asyncio.create_task(self._offer(offers))
        try:
            await asyncio.wait((looking, offering), return_when=asyncio.FIRST_COMPLETED)
            stopped = looking.done()
            if stopped:
                looking.result()  # raises what went wrong
                end = min(end, self._now())
            await _cancel(offering) if stopped else await offering
            await self._drain(scenario.window.give_up_s)
            if self._defect is not None:
                raise self._defect
        finally:
            await _cancel(looking, offering, *self._tasks)
        spent_s = _cpu_s(conditions.watched_pid) - cpu_s
        verified = sum(it.is_verified for it in self._accounts.samples)
        cpu_ms = spent_s * 1000 / verified if conditions.watched_pid and verified else None
        return Observed(scenario, streams, seed, self._accounts, (start, end), stopped, cpu_ms)

    async def _offer(self, offers: list[Offer]) -> None:
        lead_s = self._conditions.lead_s * self._conditions.speed
        for offer in offers:
            await self._until(offer.at_s - lead_s)
            task = asyncio.create_task(self._one(offer))
            self._tasks.add(task)
            task.add_done_callback(self._forget)
        await self._until(offers[-1].at_s if offers else 0.0)

    async def _one(self, offer: Offer) -> None:
        """See one event out. From its time on it counts, whether or not it could be sent."""
        making = asyncio.create_task(self._make(offer))
        try:
            await self._until(offer.at_s)
            sample = self._accounts.take(offer)
            event, prepared = await making
            sample.sent_s = self._now()
            end = await self._target.send(event, prepared)
        finally:
            making.cancel()
        if end is not None:
            self.on_end(sample.name, end)

    async def _make(self, offer: Offer) -> tuple[Event, Any]:
        name, scenario = self._accounts.name_of(offer), self._conditions.scenario
        event = Event(
            name=name,
            sensor=f"density-{self._accounts.run}-{offer.sensor:04d}",
            category=scenario.load.category,
            born=self._born + timedelta(seconds=offer.at_s),
            seconds=scenario.clip.seconds,
            clip=await self._media.attach(name, offer.number),
        )
        return event, await self._target.prepare(event)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()):
            self._defect = self._defect or error
            self._ended.set()

    async def _look(self, streams: int, seed: int, window: tuple[float, float]) -> None:
        """Tell how it goes; returns when the run cannot pass any more and may stop."""
        conditions = self._conditions
        while self._defect is None:
            await asyncio.sleep(LOOK_EVERY_S)
            now, samples = self._now(), self._accounts.samples
            measured = [
                it
                for it in samples
                if window[0] <= it.offer.at_s < window[1] and not it.offer.is_noisy
            ]
            latest = [it.latency_s for it in samples[-2 * RECENT :] if it.latency_s is not None]
            conditions.tell(
                Live(
                    streams,
                    seed,
                    max(min(now / window[1], 1.0), 0.0),
                    len(samples),
                    self._accounts.open,
                    quantile(latest[-RECENT:], 95),
                )
            )
            if conditions.stops_early and is_lost(conditions.scenario, streams, measured, now):
                return

    async def _drain(self, give_up_s: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(give_up_s / self._conditions.speed):
                while self._accounts.open and self._defect is None:
                    self._ended.clear()
                    await self._ended.wait()

    async def _until(self, at_s: float) -> None:
        """Sleep until a time of the board; never shorter, though the loop's clock is coarse."""
        due = self._began + at_s / self._conditions.speed
        while (left_s := due - time.perf_counter()) > 0:  # noqa: ASYNC110 - only a clock tells
            await asyncio.sleep(left_s)

    def _now(self) -> float:
        """Return the seconds of the board since the run's start."""
        return (time.perf_counter() - self._began) * self._conditions.speed


async def run_load(
    target: Target, media: Media, conditions: Conditions, streams: int, seed: int
) -> Observed:
    """Open a target, run one load against it, and close it.

    Raises:
        SidecarError: the target cannot be reached at all.
    """
    driver = Driver(target, media, conditions)
    await target.open(driver.on_end)
    try:
        return await driver.run(streams, seed)
    finally:
        await target.close()


async def _cancel(*tasks: asyncio.Task[None] | asyncio.Task[object]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used; 0 of none."""
    if not pid:
        return 0.0
    with suppress(OSError):
        facts = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0
