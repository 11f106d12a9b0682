"""Measure whether followers of the event stream delay verdicts.

usage: benchmark_followers.py [--followers N] [--pairs N] [--pause SECONDS]

Two sidecars run as their users start them, each with its own mock model's server that takes 50 ms;
one of them has followers of `GET /api/v1/verdicts/stream`, held open by a process of their own. The
driver submits an incident to the one and to the other in turn, and waits for the verdict by a
follower of its own that came first. Each pair gives the time that the others cost. It also tells
when the last of the followers has the verdict.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import orjson
import uvloop
from benchmark_filters import build_incident

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from service_process import ServiceProcess, free_port

FOLLOWERS, PAIRS, PAUSE_S = 500, 100, 0.3
MODEL_MS: Final = 50.0
WARM_UP: Final = 5
FOLLOW: Final = "--follow"


@dataclass(slots=True)
class Side:
    """A sidecar, and the driver's own view of its stream."""

    url: str
    client: aiohttp.ClientSession
    verdicts: asyncio.Queue[float]

    async def verify(self, number: int) -> float:
        """Return the seconds from submitting an incident to its verdict."""
        begun = time.perf_counter()
        incident = build_incident(number)
        async with self.client.post(f"{self.url}/api/v1/incidents", json=incident) as answer:
            assert answer.ok, await answer.text()
        return await self.verdicts.get() - begun


@asynccontextmanager
async def _side(folder: Path) -> AsyncGenerator[Side]:
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(aiohttp.ClientSession())
        mock = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "mock-vlm", "--json", "--port", f"{free_port()}"),
            *("--latency-ms", f"{MODEL_MS}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        stack.callback(mock.kill)
        assert mock.stdout
        settings = {
            "SIDECAR_AB__PRIMARY": "reason2",
            "SIDECAR_ARMS__REASON2__URL": orjson.loads(await mock.stdout.readline())["url"],
            "SIDECAR_ARMS__REASON2__EVIDENCE": "url",
            "SIDECAR_CANARY__ENABLED": "false",
            "SIDECAR_MEDIA__ALLOWED_NETWORKS": "127.0.0.0/8",
        }
        service = ServiceProcess(folder, settings)
        stack.push_async_callback(service.stop)
        await service.start()
        side = Side(service.url, client, asyncio.Queue())
        following = asyncio.create_task(_follow(side))
        stack.callback(following.cancel)
        yield side


async def _follow(side: Side) -> None:
    timeout = aiohttp.ClientTimeout(total=None)
    async with side.client.get(f"{side.url}/api/v1/verdicts/stream", timeout=timeout) as answer:
        async for line in answer.content:
            if line.startswith(b"data:"):
                side.verdicts.put_nowait(time.perf_counter())


async def main(followers: int, pairs: int, pause: float) -> None:
    """Print both latencies and their difference."""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        async with _side(Path(one)) as alone, _side(Path(two)) as followed:
            crowd = await asyncio.create_subprocess_exec(
                *(sys.executable, __file__, FOLLOW, followed.url, f"{followers}"),
                stdout=asyncio.subprocess.PIPE,
            )
            try:
                assert crowd.stdout
                assert await crowd.stdout.readline() == b"all follow\n"
                await _compare(alone, followed, crowd.stdout, pairs, pause)
            finally:
                crowd.kill()
                await crowd.wait()


async def _compare(
    alone: Side, followed: Side, told: asyncio.StreamReader, pairs: int, pause: float
) -> None:
    found: list[tuple[float, float]] = []
    spread: list[float] = []
    for number in range(WARM_UP + pairs):
        await asyncio.sleep(pause)
        without = await alone.verify(number)
        await asyncio.sleep(pause)
        begun = time.time()
        with_others = await followed.verify(number)
        last = json.loads(await told.readline()) - begun
        if number >= WARM_UP:
            found.append((without, with_others))
            spread.append(last)
    added = sorted((b - a) * 1000 for a, b in found)
    print("| followers | verdict p50 | p99 | the last follower has it, p50 |\n|---|---|---|---|")
    for name, times in (("1", [a for a, _ in found]), ("all", [b for _, b in found])):
        p50, p99 = statistics.median(times) * 1000, sorted(times)[int(len(times) * 0.99)] * 1000
        shown = f"{statistics.median(spread) * 1000:.1f} ms" if name == "all" else ""
        print(f"| {name} | {p50:.1f} ms | {p99:.1f} ms | {shown} |")
    print(f"\nadded, paired: p50 {statistics.median(added):.2f} ms, p99 {added[-2]:.2f} ms")


async def crowd(url: str, followers: int) -> None:
    """Follow a stream many times; print the time whenever all have got another verdict."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    got: asyncio.Queue[None] = asyncio.Queue()
    open_: asyncio.Queue[None] = asyncio.Queue()

    async def follow(client: aiohttp.ClientSession) -> None:
        async with client.get(f"{url}/api/v1/verdicts/stream") as answer:
            open_.put_nowait(None)
            async for line in answer.content:
                if line.startswith(b"data:"):
                    got.put_nowait(None)

    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as client:
        tasks = [asyncio.create_task(follow(client)) for _ in range(followers)]
        for _ in tasks:
            await open_.get()
        print("all follow", flush=True)
        while True:
            for _ in tasks:
                await got.get()
            print(time.time(), flush=True)


def _options() -> Any:
    parser = argparse.ArgumentParser(description="Measure whether followers delay verdicts.")
    parser.add_argument("--followers", type=int, default=FOLLOWERS)
    parser.add_argument("--pairs", type=int, default=PAIRS)
    parser.add_argument("--pause", type=float, default=PAUSE_S, help="between two incidents")
    return parser.parse_args()


if __name__ == "__main__":
    os.environ.pop("SIDECAR_HTTP__PORT", None)
    if sys.argv[1:2] == [FOLLOW]:
        uvloop.run(crowd(sys.argv[2], int(sys.argv[3])))
    else:
        uvloop.run(main(**vars(_options())))
