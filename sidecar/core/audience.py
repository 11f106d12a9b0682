"""Tells many listeners what happens. One that cannot keep up is dropped instead of waited for."""

import asyncio
from collections import deque
from typing import Final

from sidecar.ports import AudienceMeter

AT_ONCE: Final = 32
"""Listeners that are told before others may work: each costs its connection a write."""
NEWS: Final = 1024
"""Texts that may wait to be told."""


class Seat:
    """One listener's place.

    Args:
        room: how many texts may wait for the listener.
    """

    def __init__(self, room: int) -> None:
        self._room = room
        self._texts: deque[str] = deque()
        self._news = asyncio.Event()
        self.late = asyncio.Event()
        """Set when more texts wait than there is room for; nothing is told any more then."""

    def say(self, text: str) -> None:
        """Let a text wait for the listener; never waits itself."""
        if self.late.is_set():
            return
        if len(self._texts) >= self._room:
            self._texts.clear()
            self.late.set()
            return
        self._texts.append(text)
        self._news.set()

    async def next(self) -> str:
        """Return the next text, once there is one."""
        while not self._texts:
            self._news.clear()
            await self._news.wait()
        return self._texts.popleft()


class Audience:
    """All listeners. For one event loop.

    Args:
        places: how many there may be.
        room: texts that one may be behind.
        meter: is told how many there are, and who was dropped.
    """

    def __init__(self, places: int, room: int, meter: AudienceMeter) -> None:
        self._places = places
        self._room = room
        self._meter = meter
        self._seats: dict[Seat, None] = {}
        self._news: asyncio.Queue[str] = asyncio.Queue(NEWS)

    def __len__(self) -> int:
        """Return how many listen."""
        return len(self._seats)

    def join(self) -> Seat | None:
        """Take a place; None when all are taken."""
        if len(self._seats) >= self._places:
            self._meter.turned_away()
            return None
        seat = Seat(self._room)
        self._seats[seat] = None
        self._meter.listening(len(self._seats))
        return seat

    def leave(self, seat: Seat) -> None:
        """Give a place back."""
        del self._seats[seat]
        if seat.late.is_set():
            self._meter.dropped()
        self._meter.listening(len(self._seats))

    async def tell(self, text: str) -> None:
        """Let everybody hear a text; waits while too many are still to be told."""
        await self._news.put(text)

    def mention(self, text: str) -> bool:
        """Let everybody hear a text if there is time for it; False when there is none."""
        if self._news.full():
            return False
        self._news.put_nowait(text)
        return True

    async def run(self) -> None:
        """Tell, until cancelled."""
        while True:
            text = await self._news.get()
            for number, seat in enumerate(tuple(self._seats), 1):
                seat.say(text)
                if number % AT_ONCE == 0:
                    await asyncio.sleep(0)
