"""Many listeners: all are told, and nobody is waited for."""

import asyncio
from collections.abc import AsyncGenerator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from sidecar.core.audience import AT_ONCE, NEWS, Audience


class CountingMeter:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.level = 0
        self.full = 0
        self.slow = 0

    def listening(self, count: int) -> None:
        self.level = count

    def turned_away(self) -> None:
        self.full += 1

    def dropped(self) -> None:
        self.slow += 1


@asynccontextmanager
async def background(work: Coroutine[Any, Any, None]) -> AsyncGenerator[None]:
    """Run something while the context lasts."""
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def test_everybody_hears_everything_in_order() -> None:
    """More listeners than are told in one go."""
    audience = Audience(1000, 8, CountingMeter())
    seats = [audience.join() for _ in range(AT_ONCE * 2 + 1)]
    async with background(audience.run()), asyncio.timeout(5):
        await audience.tell("a")
        await audience.tell("b")
        heard = [(await seat.next(), await seat.next()) for seat in seats if seat]

    assert [("a", "b")] * (AT_ONCE * 2 + 1) == heard


async def test_who_cannot_keep_up_is_dropped_and_delays_nobody() -> None:
    """Its place is marked late; the others hear all, and what waited for it is let go."""
    meter = CountingMeter()
    audience = Audience(10, 2, meter)
    slow, quick = audience.join(), audience.join()
    assert slow is not None
    assert quick is not None
    async with background(audience.run()), asyncio.timeout(5):
        heard = []
        for number in range(5):
            await audience.tell(str(number))
            heard.append(await quick.next())
        await slow.late.wait()
        audience.leave(slow)

    assert ["0", "1", "2", "3", "4"] == heard
    assert (False, 1, 1) == (quick.late.is_set(), meter.slow, meter.level)


async def test_there_are_only_so_many_places() -> None:
    """One that is given back can be taken again."""
    meter = CountingMeter()
    audience = Audience(1, 8, meter)
    seat = audience.join()
    assert seat is not None
    assert audience.join() is None
    audience.leave(seat)

    assert audience.join() is not None
    assert (1, 1, 0) == (len(audience), meter.full, meter.slow)


async def test_news_that_nobody_has_time_for_are_refused_instead_of_kept() -> None:
    """The caller learns it and need not wait."""
    audience = Audience(1, 8, CountingMeter())
    taken = [audience.mention("x") for _ in range(NEWS + 1)]

    assert [True] * NEWS + [False] == taken
