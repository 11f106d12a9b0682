"""Keeps small pictures of what models saw, after the answers and off their path.

One event at a time, with as long a pause as it took, so that it never has more than half a
processor. What waits is bounded in memory; what finds no room is left out and counted, and can be
made again from its clip.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog

from sidecar.contract.enrich import begin_of_clip
from sidecar.core.verify import Look
from sidecar.model import Evidence, EvidenceForm
from sidecar.ports import Clock, FrameStore, Meter

MOST_WAITING: Final = 256
MOST_BYTES: Final = 33_554_432
SWEEP_EVERY_S: Final = 600.0

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Waiting:
    key: str
    evidence: Evidence
    start: datetime | None
    size: int


class Gallery:
    """Takes what is to be kept of verdicts. For one event loop.

    Args:
        store: where it is kept.
        clock: measures how long it took.
        meter: counts what is left out.
        sleep: pauses.
    """

    def __init__(
        self,
        store: FrameStore,
        clock: Clock,
        meter: Meter,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._store = store
        self._clock = clock
        self._meter = meter
        self._sleep = sleep
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._has_some = asyncio.Event()

    def take(self, look: Look) -> None:
        """Keep what the model was shown, if anything. Returns at once."""
        verdict = look.verdict
        evidence = verdict.evidence
        if not self._store.keeps or evidence is None or evidence.form is EvidenceForm.URL:
            return
        size = len(evidence.video) + sum(len(frame.jpeg) for frame in evidence.frames)
        if len(self._waiting) >= MOST_WAITING or self._bytes + size > MOST_BYTES:
            self._meter.frames_left_out("full")
            return
        start = None if verdict.clip is None else begin_of_clip(verdict.event, verdict.clip)
        self._waiting.append(_Waiting(verdict.event.key, evidence, start, size))
        self._bytes += size
        self._has_some.set()

    async def run(self) -> None:
        """Write what is to be kept, and forget what is too old, until cancelled."""
        if not self._store.keeps:
            await asyncio.Event().wait()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write())
            group.create_task(self._sweep())

    async def _write(self) -> None:
        while True:
            await self._has_some.wait()
            begun = self._clock.monotonic()
            await self._write_one(self._waiting.popleft())
            if not self._waiting:
                self._has_some.clear()
            await self._sleep(self._clock.monotonic() - begun)

    async def _write_one(self, one: _Waiting) -> None:
        try:
            await self._store.keep(one.key, one.evidence, one.start, exact=True)
        except Exception:
            _log.exception("frames_failed", key=one.key)
            self._meter.frames_left_out("failed")
        finally:
            self._bytes -= one.size

    async def _sweep(self) -> None:
        while True:
            await self._store.sweep()
            await asyncio.sleep(SWEEP_EVERY_S)
