"""Nothing accepted is lost and nothing is decided twice, whenever the process dies."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from service_process import ServiceProcess

from sidecar.testing.media import write_motion

CYCLES = 50


class Receiver:
    """A webhook receiver that counts how often each verdict key arrives."""

    def __init__(self) -> None:
        self.deliveries: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        app = web.Application()
        app.router.add_post("/", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        return f"http://{host}:{port}/"

    async def close(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.deliveries[request.headers["X-Sidecar-Delivery"]] += 1
        return web.Response()


def _incident(number: int, clip: Path) -> dict[str, Any]:
    when = datetime(2026, 1, 31, tzinfo=UTC) + timedelta(milliseconds=number)
    return {
        "id": f"event-{number}",
        "sensorId": f"camera-{number % 7}",
        "timestamp": when.isoformat(),
        "end": "2026-02-01T00:00:00Z",
        "category": "motion",
        "info": {"video_path": str(clip)},
    }


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_fifty_kills_at_random_moments_lose_and_repeat_nothing(tmp_path: Path) -> None:
    """Every event that was answered with 202 has exactly one verdict after the last restart."""
    clip = write_motion(tmp_path / "clip.mp4", seconds=2, fps=10, width=160, height=120)
    receiver = Receiver()
    service = ServiceProcess(
        tmp_path,
        {
            "SIDECAR_MEDIA__ALLOWED_ROOTS": str(tmp_path),
            "SIDECAR_SINKS__WEBHOOK__URL": await receiver.start(),
            "SIDECAR_LEDGER__MAX_ATTEMPTS": "1000",
        },
    )
    chance = random.Random(20260131)
    accepted: list[str] = []

    async def submit_until_killed(client: aiohttp.ClientSession, first: int) -> None:
        for number in range(first, first + 1000):
            status, answer = await service.post(
                client, "/api/v1/incidents", _incident(number, clip)
            )
            assert status == 202
            accepted.append(answer["id"])

    async with aiohttp.ClientSession() as client:
        for cycle in range(CYCLES):
            await service.start()
            submitting = asyncio.create_task(submit_until_killed(client, cycle * 1000))
            enough = len(accepted) + chance.randint(0, 10)
            while len(accepted) < enough:
                await asyncio.sleep(0.001)
            await asyncio.sleep(chance.uniform(0.0, 0.02))
            await service.kill()
            with pytest.raises((aiohttp.ClientError, OSError)):
                await submitting
        await service.start()
        verdicts = [await _decided(service, client, identity) for identity in accepted]
        listed = await _list_all(service, client)
        await _delivered(receiver, {verdict["verdictKey"] for verdict in verdicts})
        await service.stop()
    await receiver.close()

    assert len(accepted) > 3 * CYCLES
    assert len(accepted) == len({verdict["verdictKey"] for verdict in verdicts})
    assert {"confirmed"} == {verdict["verdict"] for verdict in verdicts}
    assert 1 == max(Counter(verdict["verdictKey"] for verdict in listed).values())
    assert {verdict["id"] for verdict in listed} >= set(accepted)


async def _decided(
    service: ServiceProcess, client: aiohttp.ClientSession, identity: str
) -> dict[str, Any]:
    async with asyncio.timeout(60):
        while True:
            status, answer = await service.get(client, f"/api/v1/verdicts/{identity}")
            if status == 200:
                return answer
            assert status == 202, answer
            await asyncio.sleep(0.02)


async def _list_all(service: ServiceProcess, client: aiohttp.ClientSession) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        _, page = await service.get(client, f"/api/v1/verdicts?limit=1000{cursor}")
        found += page["verdicts"]
        if page["nextCursor"] is None:
            return found
        cursor = f"&cursor={page['nextCursor']}"


async def _delivered(receiver: Receiver, keys: set[str]) -> None:
    async with asyncio.timeout(60):
        while not keys <= set(receiver.deliveries):
            await asyncio.sleep(0.02)


async def test_a_polite_stop_ends_with_status_zero(tmp_path: Path) -> None:
    """SIGTERM finishes what is in flight and exits cleanly."""
    service = ServiceProcess(tmp_path, {})
    await service.start()

    assert 0 == await service.stop(), service.log.read_text()


async def test_decoders_end_with_their_service(tmp_path: Path) -> None:
    """However it ends: a clip is decoded in a process of its own, which outlives nobody."""
    clip = write_motion(tmp_path / "clip.mp4", seconds=2, fps=10, width=160, height=120)
    variables = {"SIDECAR_MEDIA__ALLOWED_ROOTS": str(tmp_path)}
    service = ServiceProcess(tmp_path, {**variables, "SIDECAR_MEDIA__DECODE_PROCESSES": "1"})
    async with aiohttp.ClientSession() as client:
        await service.start()
        await service.post(client, "/api/v1/incidents", _incident(1, clip))
        verdict = await _decided(service, client, "event-1")
        decoders = _children(service.pid)
        await service.kill()

    assert "confirmed" == verdict["verdict"]
    assert 1 == len(decoders)
    async with asyncio.timeout(30):
        while any(_is_alive(pid) for pid in decoders):
            await asyncio.sleep(0.02)


def _children(pid: int) -> list[int]:
    """Return the decoders of a service."""
    told = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    pids = [int(child) for child in told.split()]
    return [it for it in pids if b"decoder_process" in Path(f"/proc/{it}/cmdline").read_bytes()]


def _is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that has ended and that nobody asked about does not."""
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
