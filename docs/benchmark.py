"""Measure what the sidecar costs, against a mock model on this machine.

usage: benchmark.py [latency] [throughput] [memory] [parse] [frames] [ingest]

Without an argument: all but `frames` and `ingest`, in about 6 minutes. `frames` compares ways to
prepare a clip and takes 4 minutes more (docs/benchmark_frames.py); `ingest` measures the way from
brokers to the ledger and takes 12 (docs/benchmark_ingest.py, which has options of its own).

Three processes share the machine: the mock model's server, the sidecar as its users start it
(SQLite ledger on disk, URL pass-through), and this driver. Latency is paired: every worker asks
the mock directly and then through the sidecar, in turn, and the difference of each pair counts.
Through the sidecar means: from sending the incident to having its verdict from the event stream,
with both durable writes in between.
"""

import asyncio
import json
import os
import platform
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import benchmark_frames
import benchmark_ingest
import benchmark_parse
import uvloop

MEDIA = "http://127.0.0.1:9/clip.mp4"
REPEATS = 3
PAUSE_S = 0.05
THROUGHPUT_EVENTS = 4000


@dataclass
class Stack:
    """Mock and sidecar, running."""

    mock: str
    sidecar: str
    pid: int
    client: aiohttp.ClientSession
    arrived: dict[str, asyncio.Future[float]]
    count: int = 0

    async def ask_directly(self) -> float:
        """Return the seconds of one completion."""
        body = {
            "model": "mock",
            "messages": [
                {
                    "role": "user",
                    "content": [
                        {"type": "video_url", "video_url": {"url": MEDIA}},
                        {"type": "text", "text": "Does the video show a collision?"},
                    ],
                }
            ],
        }
        begun = time.perf_counter()
        async with self.client.post(f"{self.mock}/chat/completions", json=body) as answer:
            await answer.read()
        return time.perf_counter() - begun

    async def verify(self) -> float:
        """Return the seconds from submitting an incident to its verdict."""
        begun, arrived = await self.submit()
        return await arrived - begun

    async def submit(self) -> tuple[float, asyncio.Future[float]]:
        """Submit an incident; the future gives the time when its verdict arrived."""
        self.count += 1
        identity = f"event-{self.count}"
        arrived = self.arrived[identity] = asyncio.get_running_loop().create_future()
        seconds, milliseconds = divmod(self.count, 1000)
        when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(1_767_225_600 + seconds))
        incident = {
            "id": identity,
            "sensorId": f"camera-{self.count % 50}",
            "timestamp": f"{when}.{milliseconds:03d}Z",
            "end": "2027-01-01T00:00:00.000Z",
            "category": "collision",
            "objectIds": ["1", "2"],
            "info": {"media_urls": [MEDIA], "media_type": "video"},
        }
        begun = time.perf_counter()
        async with self.client.post(f"{self.sidecar}/api/v1/incidents", json=incident) as answer:
            assert answer.ok, await answer.text()
            await answer.read()
        return begun, arrived

    def rss_mb(self) -> float:
        """Return the resident memory of the sidecar in MB."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found[1]) / 1024


@asynccontextmanager
async def stack(latency_ms: float) -> AsyncGenerator[Stack]:
    """Start everything."""
    with tempfile.TemporaryDirectory() as folder:
        mock = await _start("mock-vlm", "--json", "--port", "0", "--latency-ms", str(latency_ms))
        assert mock.stdout
        mock_url = json.loads(await mock.stdout.readline())["url"]
        sidecar = await _start(
            "serve",
            environment={
                "SIDECAR_HTTP__PORT": "0",
                "SIDECAR_METRICS__ENABLED": "false",
                "SIDECAR_LEDGER__PATH": f"{folder}/ledger.db",
                "SIDECAR_AB__PRIMARY": "reason2",
                "SIDECAR_ARMS__REASON2__URL": mock_url,
                "SIDECAR_ARMS__REASON2__EVIDENCE": "url",
                "SIDECAR_MEDIA__ALLOWED_NETWORKS": "127.0.0.0/8",
                "SIDECAR_VERIFY__MAX_IN_FLIGHT": "64",
                "SIDECAR_LOG__LEVEL": "info",
            },
        )
        assert sidecar.stderr
        url = json.loads(await sidecar.stderr.readline())["url"]
        draining = asyncio.create_task(_drain(sidecar.stderr))
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as client:
            it = Stack(mock_url, url, sidecar.pid, client, {})
            following = asyncio.create_task(_follow(it))
            await it.verify()
            yield it
            following.cancel()
        for process in (sidecar, mock):
            process.terminate()
            await process.wait()
        draining.cancel()


async def measure_latency() -> None:
    """Print the added latency at concurrency 1 and 8."""
    print(
        "\n| concurrency | pairs | direct p50 | through p50 | added p50 | added p99 | ratio p50 |"
    )
    print("|---|---|---|---|---|---|---|")
    async with stack(latency_ms=50) as it:
        for concurrency, pairs in ((1, 150), (8, 100)):
            for _ in range(REPEATS):
                found = await _together(concurrency, lambda n=pairs: _pairs(it, n))
                print(_latency_row(concurrency, [pair for worker in found for pair in worker]))


async def measure_throughput() -> None:
    """Print verified events per second with a mock that answers at once."""
    print("\n| events | seconds | verified events/s |\n|---|---|---|")
    async with stack(latency_ms=0) as it:
        for _ in range(REPEATS):
            begun = time.perf_counter()
            await _together(32, lambda: _submit_and_wait(it, THROUGHPUT_EVENTS // 32))
            seconds = time.perf_counter() - begun
            print(f"| {THROUGHPUT_EVENTS} | {seconds:.2f} | {THROUGHPUT_EVENTS / seconds:.0f} |")


async def measure_memory() -> None:
    """Print the sidecar's resident memory after 2,000 and after 20,000 events."""
    print("\n| events | RSS MB |\n|---|---|")
    async with stack(latency_ms=0) as it:
        for total in (2000, 20_000):
            missing = total - it.count
            await _together(32, lambda n=missing: _submit_and_wait(it, n // 32))
            await asyncio.sleep(2)
            print(f"| {it.count} | {it.rss_mb():.1f} |")


async def measure_frames() -> None:
    """Print what preparing a clip costs, in several ways."""
    await asyncio.to_thread(benchmark_frames.main)


async def measure_parse() -> None:
    """Print what reading an answer costs."""
    benchmark_parse.main()


async def measure_ingest() -> None:
    """Print how many events from brokers are decided per second."""
    await benchmark_ingest.main()


async def _pairs(it: Stack, count: int) -> list[tuple[float, float]]:
    found = []
    for _ in range(count):
        # Without the pauses the workers march in step, because the mock takes as long for each.
        await asyncio.sleep(random.uniform(0, PAUSE_S))
        direct = await it.ask_directly()
        await asyncio.sleep(random.uniform(0, PAUSE_S))
        found.append((direct, await it.verify()))
    return found


async def _submit_and_wait(it: Stack, count: int) -> list[tuple[float, float]]:
    arrivals = [(await it.submit())[1] for _ in range(count)]
    await asyncio.gather(*arrivals)
    return []


async def _together(
    workers: int, work: Callable[[], Awaitable[list[tuple[float, float]]]]
) -> list[list[tuple[float, float]]]:
    return await asyncio.gather(*(work() for _ in range(workers)))


def _latency_row(concurrency: int, pairs: list[tuple[float, float]]) -> str:
    direct = statistics.median(pair[0] for pair in pairs) * 1000
    through = statistics.median(pair[1] for pair in pairs) * 1000
    added = sorted((pair[1] - pair[0]) * 1000 for pair in pairs)
    p99 = added[int(len(added) * 0.99)]
    return (
        f"| {concurrency} | {len(pairs)} | {direct:.2f} ms | {through:.2f} ms "
        f"| {statistics.median(added):.2f} ms | {p99:.2f} ms | {through / direct:.3f} |"
    )


async def _follow(it: Stack) -> None:
    url = f"{it.sidecar}/api/v1/verdicts/stream"
    headers = {"Last-Event-ID": "0"}
    timeout = aiohttp.ClientTimeout(total=None)
    async with it.client.get(url, headers=headers, timeout=timeout) as answer:
        async for line in answer.content:
            if not line.startswith(b"data:"):
                continue
            now, verdict = time.perf_counter(), json.loads(line[5:])
            assert verdict["verdict"] == "confirmed", verdict
            it.arrived.pop(verdict["id"]).set_result(now)


async def _start(*arguments: str, environment: dict[str, str] | None = None) -> Any:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "sidecar",
        *arguments,
        env={**os.environ, **(environment or {})},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE if environment else None,
    )


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65536):
        pass


async def main() -> None:
    """Run what the arguments name."""
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    wanted = sys.argv[1:] or ["latency", "throughput", "memory", "parse"]
    for name in wanted:
        await globals()[f"measure_{name}"]()


if __name__ == "__main__":
    uvloop.run(main())
