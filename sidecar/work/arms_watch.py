"""Puts in force what another replica, or a command, has chosen."""

import asyncio
from typing import Final

import structlog

from sidecar.core.arms import Arms
from sidecar.errors import StoreUnavailable

EVERY_S: Final = 0.5

_log = structlog.get_logger()


class ArmsWatch:
    """Looks at the log of choices again and again.

    Args:
        arms: what follows it.
        every_s: how often.
    """

    def __init__(self, arms: Arms, every_s: float = EVERY_S) -> None:
        self._arms = arms
        self._every_s = every_s

    async def run(self) -> None:
        """Follow until cancelled; while the log is away, what is in force stays so."""
        is_away = False
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self._arms.follow()
            except StoreUnavailable as error:
                if not is_away:
                    _log.warning("arms_not_followed", detail=error.detail)
                is_away = True
            else:
                is_away = False
