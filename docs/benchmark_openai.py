"""Measure what the OpenAI face adds to a model's server: `python docs/benchmark_openai.py`.

Three processes: a mock of the server, the face, and this one, which asks both by turns with eight
JPEG frames in base64. Prints the median of the time added, and the rate of answers when requests
come at a fixed rate whatever the answers do.
"""

import asyncio
import base64
import io
import json
import multiprocessing
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import cv2
import numpy as np
import uvicorn
import uvloop
from fastapi import FastAPI

from sidecar.app import build
from sidecar.core.chat import Chats
from sidecar.core.slots import Slots
from sidecar.doors.body_limit import BodyLimit
from sidecar.doors.openai import openai_router
from sidecar.outside.chat_media import ChatMedia
from sidecar.settings import Settings
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions

FRAMES, WIDTH, HEIGHT = 8, 640, 360
JPEG = (cv2.IMWRITE_JPEG_QUALITY, 85)
WARM_UP, ROUNDS = 30, 300
LATENCY_MS = 200.0
RATES = (15, 30, 60)
SECONDS = 10


def frames_body(model: str) -> bytes:
    """Write a request with eight pictures, each as large as a camera's of that size."""
    random = np.random.default_rng(7)
    scene = cv2.resize(random.integers(0, 255, (36, 64, 3), dtype=np.uint8), (WIDTH, HEIGHT))
    parts: list[dict[str, Any]] = []
    for number in range(FRAMES):
        _, jpeg = cv2.imencode(".jpg", np.roll(scene, number * 8, axis=1), JPEG)
        uri = f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"
        parts.append({"type": "image_url", "image_url": {"url": uri}})
    parts.append({"type": "text", "text": "Is somebody falling? Answer yes or no."})
    messages = [{"role": "user", "content": parts}]
    return json.dumps({"model": model, "messages": messages, "max_tokens": 64}).encode()


def run_mock(port: int, latency_ms: float) -> None:
    """Serve the mock until the process is ended."""

    async def run() -> None:
        await MockVlm(MockVlmOptions(latency_ms=latency_ms, keep=1)).start(port=port)
        await asyncio.Event().wait()

    uvloop.run(run())


def run_face(port: int, upstream: int, folder: str) -> None:
    """Serve the face until the process is ended."""
    arm = {"url": f"http://127.0.0.1:{upstream}/v1"}
    settings = Settings(
        ledger={"path": Path(folder) / "ledger.db"},
        metrics={"enabled": False},
        arms={"reason2": arm},
        ab={"primary": "reason2"},
    )
    verifier, http = build(settings).verifier, FastAPI()
    chats = Chats(
        switchboard=verifier.switchboard,
        asker=verifier.asker,
        media=ChatMedia(verifier.clips, settings.media.max_bytes),
        clock=verifier.clock,
        slots=Slots(settings.openai.max_in_flight),
        deadline_s=settings.verify.deadline_s,
    )
    http.include_router(openai_router(chats))
    http.add_middleware(BodyLimit, max_bytes=settings.openai.max_body_bytes)
    config = uvicorn.Config(http, port=port, log_config=None, access_log=False)
    uvicorn.Server(config).run()


async def ask(session: aiohttp.ClientSession, url: str, body: bytes) -> float:
    """Return the milliseconds until the whole answer is there."""
    began = time.perf_counter()
    headers = {"Content-Type": "application/json"}
    async with session.post(url, data=io.BytesIO(body), headers=headers) as answer:
        text = await answer.read()
        if answer.status != HTTPStatus.OK:
            raise RuntimeError(text[:300])
    return (time.perf_counter() - began) * 1000


async def compare_latency(
    session: aiohttp.ClientSession, urls: dict[str, str], body: bytes
) -> None:
    """Ask both by turns, one request at a time."""
    found: dict[str, list[float]] = {name: [] for name in urls}
    for turn in range(WARM_UP + ROUNDS):
        for name, url in urls.items():
            taken = await ask(session, url, body)
            if turn >= WARM_UP:
                found[name].append(taken)
    medians = {name: statistics.median(times) for name, times in found.items()}
    added = sorted(face - mock for mock, face in zip(*found.values(), strict=True))
    print(
        f"one at a time: direct {medians['direct']:.2f} ms, face {medians['face']:.2f} ms, "
        f"added: median {statistics.median(added):.2f} ms, "
        f"p95 {added[int(len(added) * 0.95)]:.2f} ms"
    )


async def compare_rate(
    session: aiohttp.ClientSession, name: str, url: str, body: bytes, rate: int
) -> None:
    """Send at a fixed rate, and tell the rate of answers until the last one."""
    began = time.perf_counter()
    asked = []
    for number in range(rate * SECONDS):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        asked.append(asyncio.create_task(ask(session, url, body)))
    times = sorted(await asyncio.gather(*asked))
    whole = time.perf_counter() - began
    print(
        f"{rate}/s {name}: {len(times) / (whole - LATENCY_MS / 1000):.1f} answers/s, median "
        f"{statistics.median(times):.1f} ms, p95 {times[int(len(times) * 0.95)]:.1f} ms"
    )


async def measure(direct: int, face: int, *, rates: bool) -> None:
    """Compare the face with the mock behind it."""
    urls = {
        "direct": f"http://127.0.0.1:{direct}/v1/chat/completions",
        "face": f"http://127.0.0.1:{face}/v1/chat/completions",
    }
    body = frames_body("")
    direct_body = frames_body("nvidia/cosmos-reason2-8b")
    timeout = aiohttp.ClientTimeout(total=60)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=timeout
    ) as session:
        await wait_for(session, urls["face"].replace("chat/completions", "health/ready"))
        if not rates:
            print(f"{FRAMES} frames, {len(body) / 1000:.0f} kB")
            await compare_latency(session, urls, body)
            return
        await ask(session, urls["face"], body)
        for rate in RATES:
            await compare_rate(session, "direct", urls["direct"], direct_body, rate)
            await compare_rate(session, "face", urls["face"], body, rate)


async def wait_for(session: aiohttp.ClientSession, url: str) -> None:
    """Wait until a URL answers with 200."""
    for _ in range(300):
        try:
            async with session.get(url) as answer:
                if answer.status == HTTPStatus.OK:
                    return
        except aiohttp.ClientError:
            pass
        await asyncio.sleep(0.1)
    raise RuntimeError("the face does not start")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def with_servers(latency_ms: float, work: Callable[[int, int], None]) -> None:
    """Run the mock and the face while `work` lasts, which is told their ports."""
    direct, face = free_port(), free_port()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        mock = spawn.Process(target=run_mock, args=(direct, latency_ms), daemon=True)
        front = spawn.Process(target=run_face, args=(face, direct, folder), daemon=True)
        mock.start()
        front.start()
        try:
            work(direct, face)
        finally:
            front.terminate()
            mock.terminate()
            front.join(5)
            mock.join(5)


if __name__ == "__main__":
    with_servers(0.0, lambda mock, front: uvloop.run(measure(mock, front, rates=False)))
    if "--latency-only" not in sys.argv:
        with_servers(LATENCY_MS, lambda mock, front: uvloop.run(measure(mock, front, rates=True)))
