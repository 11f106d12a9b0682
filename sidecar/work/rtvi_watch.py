"""Looks again and again whether RT-VLM still works on every realtime rule."""

import asyncio

import structlog

from sidecar.core.realtime import RealtimeRules
from sidecar.errors import RequestError

_log = structlog.get_logger()


class RtviWatch:
    """Heals what RT-VLM loses, as when it is restarted.

    Args:
        rules: to look after.
        every_s: pause between two looks.
    """

    def __init__(self, rules: RealtimeRules, every_s: float) -> None:
        self._rules = rules
        self._every_s = every_s
        self._trouble = ""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                await self._rules.heal()
                self._tell("")
            except RequestError as error:
                self._tell(error.detail)
            except Exception:
                _log.exception("rtvi_watch_failed")
            await asyncio.sleep(self._every_s)

    def _tell(self, trouble: str) -> None:
        """Log what changed, not every look."""
        if trouble and not self._trouble:
            _log.warning("rtvi_away", detail=trouble)
        elif self._trouble and not trouble:
            _log.info("rtvi_back")
        self._trouble = trouble
