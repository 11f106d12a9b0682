"""Deliveries that were given up, as operators see and repeat them."""

import asyncio
from pathlib import Path
from typing import Any

from aiohttp import web
from harness import Running

from operators.scene import scene, seen

LETTERS = "/api/v1/dead-letters"


class Receiver:
    """A webhook that refuses until it is mended."""

    def __init__(self) -> None:
        self.is_mended = False
        self.taken: list[Any] = []

    async def take(self, request: web.Request) -> web.Response:
        if not self.is_mended:
            return web.Response(status=400, text="no")
        self.taken.append(await request.json())
        return web.Response()


async def listed(service: Running, query: str = "") -> dict[str, Any]:
    status, found = await service.get(LETTERS + query)
    assert 200 == status, found
    return dict(found)


async def wait_for(service: Running, count: int) -> dict[str, Any]:
    async with asyncio.timeout(20):
        while (found := await listed(service))["count"] != count:
            await asyncio.sleep(0.02)
    return found


async def test_a_dead_letter_is_delivered_again(tmp_path: Path) -> None:
    """Page by page; once repeated it is none any more, and the trail tells who did it and why."""
    receiver = Receiver()
    site = web.Application()
    site.router.add_post("/", receiver.take)
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
    async with scene(tmp_path, sinks={"webhook": {"url": url}}) as service:
        for number in range(3):
            await service.verdict_on(seen(number))
        found = await wait_for(service, 3)
        first = await listed(service, "?limit=2")
        rest = await listed(service, f"?limit=2&cursor={first['nextCursor']}")
        receiver.is_mended = True
        place = f"{service.url}{LETTERS}/{found['deadLetters'][1]['id']}/replay"
        headers = {"X-Sidecar-Reason": "mended"}
        async with service.client.post(place, headers=headers) as answer:
            replayed = answer.status, await answer.json()
        left = await wait_for(service, 2)
        async with service.client.post(place) as answer:
            again = answer.status
        _, audit = await service.get("/api/v1/audit")
        async with asyncio.timeout(20):
            while not receiver.taken:
                await asyncio.sleep(0.02)
    await runner.cleanup()

    ids = [it["id"] for it in found["deadLetters"]]
    assert ids == [it["id"] for page in (first, rest) for it in page["deadLetters"]]
    assert (None, sorted(ids)) == (rest["nextCursor"], ids)
    letter = found["deadLetters"][0]
    assert ("webhook", "event-0", "camera-0") == (
        letter["sink"],
        letter["eventId"],
        letter["sensorId"],
    )
    assert "400" in letter["error"]
    assert (200, 1) == (replayed[0], replayed[1]["scheduled"])
    assert ["event-0", "event-2"] == [it["eventId"] for it in left["deadLetters"]]
    assert 404 == again
    assert ("dead_letters.replay", "mended") == (
        audit["entries"][0]["action"],
        audit["entries"][0]["reason"],
    )
    assert 1 == len(receiver.taken)
