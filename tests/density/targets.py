"""Targets that answer as a test says."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sidecar.density.account import VERIFIED, End
from sidecar.density.arrivals import Offer
from sidecar.density.driver import OnEnd
from sidecar.density.events import Event
from sidecar.density.names import is_true
from sidecar.density.scenario import Scenario, load_scenario

SCENARIOS = Path(__file__).with_name("scenarios")
Answer = Callable[[Event, OnEnd], Awaitable[End | None]]


def scenario(name: str = "laptop", **sections: Any) -> Scenario:
    """Read a scenario of the tests with some sections exchanged."""
    read = load_scenario(str(SCENARIOS / f"{name}.json"))
    return Scenario.model_validate({**read.model_dump(), **sections})


async def at_once(_event: Event, _on_end: OnEnd) -> End:
    return VERIFIED


async def rightly(event: Event, _on_end: OnEnd) -> End:
    return End(VERIFIED.ending, confirmed=is_true(event.name))


class FakeTarget:
    """Answers by a function."""

    def __init__(self, answer: Answer = at_once) -> None:
        self._answer = answer
        self._on_end: OnEnd = lambda _name, _end: None
        self.seen: list[Event] = []
        self.is_open = False

    @property
    def name(self) -> str:
        return "fake"

    async def open(self, on_end: OnEnd) -> None:
        self._on_end = on_end
        self.is_open = True

    async def prepare(self, event: Event) -> None:
        del event

    async def send(self, event: Event, prepared: None) -> End | None:
        del prepared
        self.seen.append(event)
        return await self._answer(event, self._on_end)

    async def close(self) -> None:
        self.is_open = False


class OneAtATime:
    """A server that takes its time for each event, one after the other."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._free_at = 0.0

    async def __call__(self, _event: Event, _on_end: OnEnd) -> End:
        now = time.monotonic()
        self._free_at = max(self._free_at, now) + self._seconds
        await asyncio.sleep(self._free_at - now)
        return VERIFIED


def offer(number: int, at_s: float, sensor: int = 0) -> Offer:
    return Offer(number, sensor, at_s)
