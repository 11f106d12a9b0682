"""Waking those who wait for news."""

import asyncio

from sidecar.core.bell import AT_ONCE, GROUPS, Bell


async def test_a_ring_between_listening_and_waiting_is_heard() -> None:
    """Whoever looks for work after listening loses nothing."""
    bell = Bell()
    ring = bell.listen()
    bell.ring()

    assert await ring.wait(5)


async def test_silence_is_told_from_a_ring() -> None:
    """Afterwards the next ring is another one."""
    bell = Bell()
    bell.listen()
    bell.ring()

    assert not await bell.listen().wait(0.001)


async def test_listeners_are_woken_in_their_order_and_other_work_is_not_kept_waiting() -> None:
    """Many followers of one verdict do not hold up the next one."""
    bell, order = Bell(), []

    async def follow(number: int) -> None:
        await bell.listen().wait(10)
        order.append(number)

    async def work() -> None:
        for _ in range(3):
            await asyncio.sleep(0)
        order.append(-1)

    following = [asyncio.create_task(follow(number)) for number in range(10 * AT_ONCE)]
    await asyncio.sleep(0)
    bell.ring()
    await asyncio.gather(work(), *following)

    assert list(range(10 * AT_ONCE)) == [number for number in order if number >= 0]
    assert order.index(-1) < 9 * AT_ONCE


async def test_any_number_of_listeners_is_woken() -> None:
    """Beyond the number of groups these grow, so that listening alone fills no memory."""
    bell = Bell()
    rings = [bell.listen() for _ in range(AT_ONCE * GROUPS * 2 + 1)]
    bell.ring()

    assert all(await asyncio.gather(*(ring.wait(10) for ring in rings)))
