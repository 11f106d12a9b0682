"""Waking those who wait for news, without losing a ring that comes while they look."""

import asyncio
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ring:
    """The next ring of a bell, seen from the moment of `Bell.listen`."""

    _heard: asyncio.Event

    async def wait(self, timeout_s: float) -> None:
        """Return when the bell has rung, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._heard.wait()
        except TimeoutError:
            return


class Bell:
    """Wakes everybody who listens. For one event loop.

    Listen first, then look whether there is work, then wait: so no ring falls into the gap.
    """

    def __init__(self) -> None:
        self._next = asyncio.Event()

    def ring(self) -> None:
        """Wake all who have listened so far."""
        self._next.set()
        self._next = asyncio.Event()

    def listen(self) -> Ring:
        """Return the next ring."""
        return Ring(self._next)
