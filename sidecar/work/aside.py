"""What happens beside the answers: shadows are asked, and what arms said is kept for comparison.

Nothing here delays a verdict or changes one. It begins after the commit, has bounds of its own, and
is left out first: an event is not shown to the shadow when its places are taken or when events wait
for theirs, and answers are dropped, and counted, when they cannot be kept.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

import structlog

from sidecar.compared import ArmAnswer, ComparedEvent, Role
from sidecar.core.comparing import compared_event
from sidecar.core.consulting import answer_of
from sidecar.core.verify import Look, Verifier
from sidecar.errors import MediaError, StoreUnavailable
from sidecar.ports import ArmsMeter, Clock, Comparisons
from sidecar.settings import AbSettings

MOST_WAITING: Final = 10_000
BATCH: Final = 256
TRIM_EVERY_S: Final = 60.0
STORE_RETRY_S: Final = 1.0

_log = structlog.get_logger()


class Aside:
    """Takes what is left to do after a verdict. For one event loop.

    Args:
        verifier: lets the shadow look, and tells how many places it has.
        store: keeps what arms said.
        settings: what to keep, and for how long.
        is_busy: tells whether events wait for the shadow's processor time.
        clock: tells what is too old.
        meter: counts.
    """

    def __init__(
        self,
        verifier: Verifier,
        store: Comparisons,
        settings: AbSettings,
        is_busy: Callable[[], bool],
        clock: Clock,
        meter: ArmsMeter,
    ) -> None:
        self._verifier = verifier
        self._switchboard = verifier.switchboard
        self._store = store
        self._settings = settings
        self._is_busy = is_busy
        self._clock = clock
        self._meter = meter
        self._shadows: set[asyncio.Task[None]] = set()
        self._waiting: list[ComparedEvent] = []
        self._has_some = asyncio.Event()

    def take(self, look: Look) -> None:
        """Do what a committed verdict leaves to do. Returns at once."""
        heard = look.verdict.heard
        self._meter.answered(heard)
        for arm, reason in look.verdict.left_out:
            self._meter.left_out(arm, reason)
        if heard and (self._settings.keep_answers == "all" or self._compares(look)):
            self._keep(look, heard)
        if look.shadow:
            self._show(look)

    async def run(self) -> None:
        """Write what is to be kept, and forget what is too old, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write())
            group.create_task(self._trim())

    async def stop(self) -> None:
        """Give up shadows that are being asked, and write what is known."""
        shadows = list(self._shadows)
        for task in shadows:
            task.cancel()
        await asyncio.gather(*shadows, return_exceptions=True)
        try:
            while self._waiting:
                await self._write_some()
        except StoreUnavailable:
            self._meter.lost(len(self._waiting))

    def _compares(self, look: Look) -> bool:
        return len(look.verdict.heard) > 1 or self._switchboard.current.policy.compares

    def _keep(self, look: Look, answers: Sequence[ArmAnswer]) -> None:
        if len(self._waiting) >= MOST_WAITING:
            self._meter.lost(1)
            return
        self._waiting.append(compared_event(look.verdict.event, answers))
        self._has_some.set()

    def _show(self, look: Look) -> None:
        """Let the shadow look at an event, if there is room."""
        routing = self._switchboard.current
        shadow = routing.policy.shadow
        if shadow is None or look.shadow not in shadow.arms:  # another policy since
            return
        reason = ""
        if routing.arms[look.shadow].vitals.is_down:
            reason = "down"
        elif len(self._shadows) >= shadow.limit:
            reason = "full"
        elif self._is_busy():
            reason = "busy"
        if reason:
            self._meter.shadow_spared(look.shadow, reason)
            return
        task = asyncio.create_task(self._ask(look))
        self._shadows.add(task)
        task.add_done_callback(self._shadows.discard)

    async def _ask(self, look: Look) -> None:
        try:
            verdict = await self._verifier.look_aside(look)
        except Exception:
            _log.exception("shadow_failed", key=look.verdict.event.key)
            self._meter.shadow_spared(look.shadow, "failed")
            return
        if isinstance(verdict.error, MediaError):
            self._meter.shadow_spared(look.shadow, "no_media")
            return
        answer = answer_of(verdict, Role.SHADOW, verdict.latency_ms)
        self._meter.answered([answer])
        published = next((it for it in look.verdict.heard if it.is_published), None)
        if published is not None:
            self._meter.compared(published, answer)
        self._keep(look, [answer])

    async def _write(self) -> None:
        while True:
            await self._has_some.wait()
            try:
                await self._write_some()
            except StoreUnavailable as error:
                _log.warning("comparisons_wait", detail=error.detail)
                await asyncio.sleep(STORE_RETRY_S)

    async def _write_some(self) -> None:
        batch = self._waiting[:BATCH]
        await self._store.record(batch)
        del self._waiting[: len(batch)]
        if not self._waiting:
            self._has_some.clear()

    async def _trim(self) -> None:
        keep, days = self._settings.keep_events, self._settings.keep_days
        while True:
            oldest = self._clock.now() - timedelta(days=days)
            try:
                forgotten = 1
                while forgotten:
                    forgotten = await self._store.trim(keep=keep, stored_before=oldest)
            except StoreUnavailable as error:
                _log.warning("comparisons_not_trimmed", detail=error.detail)
            await asyncio.sleep(TRIM_EVERY_S)
