"""Looks at the promotion of an arm again and again, and does what the looks lead to."""

import asyncio

import structlog

from sidecar.ab.promoting import Promoting
from sidecar.errors import ArmNotUsable, StoreUnavailable, VersionConflict
from sidecar.policy import Stage
from sidecar.ports import ArmsMeter

_log = structlog.get_logger()


class PromotionWatch:
    """Follows one promotion after the other.

    Args:
        promoting: looks and acts.
        meter: is told how far a promotion is.
        every_s: between two looks.
    """

    def __init__(self, promoting: Promoting, meter: ArmsMeter, every_s: float) -> None:
        self._promoting = promoting
        self._meter = meter
        self._every_s = every_s
        self._told: tuple[int, Stage] | None = None

    async def run(self) -> None:
        """Look until cancelled; what cannot be done now is tried again at the next look."""
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._look()
            except VersionConflict:  # a person or another replica was faster
                continue
            except (ArmNotUsable, StoreUnavailable) as error:
                _log.warning("promotion_waits", detail=error.detail)

    async def _look(self) -> None:
        found = await self._promoting.act()
        current = self._promoting.arms.current.promotion
        self._meter.promoted(current)
        if found is None or current is None:
            return
        is_new = self._told != (told := (found.choice.version, found.decision.stage))
        if is_new and found.decision.stage is Stage.RECOMMENDED:
            _log.info(
                "promotion_recommended",
                candidate=current.candidate,
                reference=current.reference,
                detail=found.decision.words,
            )
        self._told = told
