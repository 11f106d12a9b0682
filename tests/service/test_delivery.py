"""Verdicts reach the sinks, and what cannot be delivered is kept, listed and replayed."""

import asyncio
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web
from service_process import ServiceProcess, free_port

from sidecar.outside.sinks.webhook import verify_signature
from sidecar.testing.media import write_motion

SECRET = "correct horse"


def _incident(clip: Path) -> dict[str, Any]:
    return {
        "id": "one",
        "sensorId": "gate-1",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:02.000Z",
        "category": "motion",
        "info": {"video_path": clip.name},
    }


async def _decide(service: ServiceProcess, clip: Path) -> dict[str, Any]:
    async with aiohttp.ClientSession() as client:
        await service.post(client, "/api/v1/incidents", _incident(clip))
        async with asyncio.timeout(20):
            while True:
                status, verdict = await service.get(client, "/api/v1/verdicts/one")
                if status == 200:
                    return verdict
                await asyncio.sleep(0.02)


def _dead_letters(folder: Path, *arguments: str) -> dict[str, Any]:
    found = subprocess.run(
        [sys.executable, "-m", "sidecar", "dead-letters", *arguments, "--json"],
        env={"SIDECAR_LEDGER__PATH": str(folder / "ledger.db")},
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    return dict(json.loads(found.stdout))


async def test_a_dead_letter_is_listed_and_delivered_after_replay(tmp_path: Path) -> None:
    """The receiver was down for too long; when it is back, one command brings the verdict."""
    port = free_port()
    service = ServiceProcess(
        tmp_path,
        {
            "SIDECAR_MEDIA__ALLOWED_ROOTS": str(tmp_path),
            "SIDECAR_SINKS__WEBHOOK__URL": f"http://127.0.0.1:{port}/hook",
            "SIDECAR_SINKS__WEBHOOK__SECRET": SECRET,
            "SIDECAR_SINKS__MAX_ATTEMPTS": "1",
        },
    )
    await service.start()
    verdict = await _decide(service, write_motion(tmp_path / "clip.mp4"))
    async with asyncio.timeout(10):
        while not (listed := await asyncio.to_thread(_dead_letters, tmp_path, "list"))["count"]:
            await asyncio.sleep(0.1)
    received: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def take(request: web.Request) -> web.Response:
        received.put_nowait((dict(request.headers), await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_post("/hook", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    replay = ("replay", "--all", "--reason", "receiver is back")
    replayed = await asyncio.to_thread(_dead_letters, tmp_path, *replay)
    async with asyncio.timeout(10):
        headers, body = await received.get()
    async with aiohttp.ClientSession() as client:
        _, audited = await service.get(client, "/api/v1/audit")
    await runner.cleanup()
    await service.stop()

    assert [("webhook", verdict["verdictKey"], 1)] == [
        (it["sink"], it["verdictKey"], it["attempts"]) for it in listed["deadLetters"]
    ]
    assert {"scheduled": 1} == replayed
    (entry,) = [it for it in audited["entries"] if it["actor"] != "settings"]
    assert entry["actor"].startswith("cli:")
    assert ("dead_letters.replay", "receiver is back") == (entry["action"], entry["reason"])
    assert verdict["event"] == json.loads(body)
    assert verify_signature(
        SECRET,
        headers["X-Sidecar-Timestamp"],
        body,
        headers["X-Sidecar-Signature"],
        now_s=time.time(),
    )


async def test_the_console_prints_one_json_line_a_verdict(tmp_path: Path) -> None:
    """Standard output holds verdicts only; logs go to standard error."""
    clip = write_motion(tmp_path / "clip.mp4")
    output = tmp_path / "output"
    service = ServiceProcess(
        tmp_path,
        {
            "SIDECAR_MEDIA__ALLOWED_ROOTS": str(tmp_path),
            "SIDECAR_SINKS__CONSOLE__ENABLED": "true",
        },
        output=output,
    )
    await service.start()
    verdict = await _decide(service, clip)
    async with asyncio.timeout(10):
        while not output.read_bytes().endswith(b"\n"):
            await asyncio.sleep(0.02)
    await service.stop()

    assert [verdict["event"]] == [json.loads(line) for line in output.read_text().splitlines()]
