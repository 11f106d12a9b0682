"""Ask several arms about recorded events again. Nothing is published."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sidecar.ab.journal import Journal
from sidecar.ab.recorded import Recorded
from sidecar.compared import ComparedEvent, Role
from sidecar.core.consulting import answer_of
from sidecar.model import Verdict, VerifyEvent
from sidecar.ports import Clock

Ask = Callable[[VerifyEvent], Awaitable[Verdict]]
"""Verifies an event with one arm."""


@dataclass(frozen=True, slots=True)
class ReplayArm:
    """An arm to ask.

    Attributes:
        in_flight: questions on their way at the same time; it is kept at so many, whatever the
            other arms do.
        rate: questions per second, at most; 0 does not limit them.
    """

    name: str
    ask: Ask
    in_flight: int
    rate: float = 0.0


class Replay:
    """Asks arms about events, each at its own pace, and writes down every answer as it comes.

    Args:
        journal: where answers go; what stands there already is not asked again.
        clock: paces the questions.
        on_answer: is told the arm and the event that it answered.
        sleep: waits between questions.
    """

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        on_answer: Callable[[str, ComparedEvent], None],
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._journal = journal
        self._clock = clock
        self._on_answer = on_answer
        self._sleep = sleep

    def missing(
        self, events: Sequence[Recorded], arms: Sequence[ReplayArm]
    ) -> dict[str, list[Recorded]]:
        """Return what is still to be asked, by the names of the arms."""
        answered = self._journal.answered()
        return {
            arm.name: [it for it in events if (it.event.key, arm.name) not in answered]
            for arm in arms
        }

    async def run(self, todo: Mapping[str, Sequence[Recorded]], arms: Sequence[ReplayArm]) -> None:
        """Ask until everything is answered; what was answered stays when this is cancelled."""
        async with asyncio.TaskGroup() as group:
            for arm in arms:
                waiting, pace = iter(todo[arm.name]), _Pace(arm.rate, self._clock, self._sleep)
                for _ in range(min(arm.in_flight, len(todo[arm.name]))):
                    group.create_task(self._work(arm, waiting, pace))

    async def _work(self, arm: ReplayArm, waiting: Iterator[Recorded], pace: "_Pace") -> None:
        for recorded in waiting:
            await pace.turn()
            verdict = await arm.ask(recorded.event)
            found = _compared(recorded, verdict)
            self._journal.append(found)
            self._on_answer(arm.name, found)


class _Pace:
    """Lets one pass every 1/rate seconds; whoever comes late does not let others catch up."""

    def __init__(
        self, rate: float, clock: Clock, sleep: Callable[[float], Awaitable[None]]
    ) -> None:
        self._gap_s = 1 / rate if rate else 0.0
        self._clock = clock
        self._sleep = sleep
        self._next = 0.0

    async def turn(self) -> None:
        """Wait for one's turn."""
        if not self._gap_s:
            return
        now = self._clock.monotonic()
        at = max(self._next, now)
        self._next = at + self._gap_s
        if at > now:
            await self._sleep(at - now)


def _compared(recorded: Recorded, verdict: Verdict) -> ComparedEvent:
    event = recorded.event
    return ComparedEvent(
        key=event.key,
        id=event.id,
        sensor_id=event.sensor_id,
        category=event.category,
        timestamp=event.timestamp,
        answers=(answer_of(verdict, Role.REPLAY, verdict.latency_ms),),
        label=recorded.label,
    )
