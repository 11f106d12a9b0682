"""Waking those who wait for news, without losing a ring that comes while they look."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

AT_ONCE: Final = 32
"""Listeners that are woken in one round of the event loop; other work gets its turn in between."""
GROUPS: Final = 32
"""Groups of them at most; beyond that, groups become larger."""


@dataclass(frozen=True, slots=True)
class Ring:
    """The next ring of a bell, seen from the moment of `Bell.listen`."""

    _heard: asyncio.Event

    async def wait(self, timeout_s: float) -> bool:
        """Return True when the bell has rung, or False after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._heard.wait()
        except TimeoutError:
            return False


class Bell:
    """Wakes everybody who listens, in the order of their listening. For one event loop.

    Listen first, then look whether there is work, then wait: so no ring falls into the gap.
    """

    def __init__(self) -> None:
        self._groups = [asyncio.Event()]
        self._listened = 0

    def ring(self) -> None:
        """Wake all who have listened so far."""
        groups, self._groups = self._groups, [asyncio.Event()]
        self._listened = 0
        _wake(groups)

    def listen(self) -> Ring:
        """Return the next ring."""
        number = self._listened // AT_ONCE % GROUPS
        self._listened += 1
        if number == len(self._groups):
            self._groups.append(asyncio.Event())
        return Ring(self._groups[number])


def _wake(groups: Sequence[asyncio.Event]) -> None:
    """Wake the first group now, and each further one in a later round of the loop."""
    groups[0].set()
    if len(groups) > 1:
        asyncio.get_running_loop().call_soon(_wake, groups[1:])
