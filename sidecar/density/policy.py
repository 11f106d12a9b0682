"""The admission policy of VSS's Alert Bridge, put in front of any target to compare with.

Its profile for event-loop mode has a fixed number of VLM calls in flight, takes events in their
order, knows no deadline, and gives a call up after a timeout (NVIDIA's documentation of the alert
verification service: `async_io.max_vlm_concurrent`). Only this policy is imitated, inside the
driver: it costs nothing of what the real service costs, so that the comparison favours it.
"""

import asyncio
from typing import Any

from sidecar.density.account import End, Ending
from sidecar.density.driver import OnEnd, Target
from sidecar.density.events import Event


class StaticPolicy:
    """Lets a fixed number of events through at a time, first come, first served.

    Args:
        target: what is behind it.
        limit: events at a time.
        timeout_s: wall seconds for one, from being let through; then it fails.
    """

    def __init__(self, target: Target, limit: int, timeout_s: float) -> None:
        self._target = target
        self._limit = limit
        self._timeout_s = timeout_s
        self._places = asyncio.Semaphore(limit)

    @property
    def name(self) -> str:
        """As reports call it."""
        return f"static-{self._limit}"

    async def open(self, on_end: OnEnd) -> None:
        """Connect."""
        self._places = asyncio.Semaphore(self._limit)  # first in, first out
        await self._target.open(on_end)

    async def prepare(self, event: Event) -> Any:
        """Build what will be sent."""
        return await self._target.prepare(event)

    async def send(self, event: Event, prepared: Any) -> End | None:
        """Wait for a place, then offer the event."""
        async with self._places:
            try:
                async with asyncio.timeout(self._timeout_s):
                    return await self._target.send(event, prepared)
            except TimeoutError:
                return End(Ending.FAILED, "timeout")

    async def close(self) -> None:
        """Disconnect."""
        await self._target.close()
