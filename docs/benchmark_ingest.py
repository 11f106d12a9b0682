"""Measure how many events a sidecar reads from brokers and decides, on one core.

usage: benchmark_ingest.py [--events N] [--backlog N] [--repeats N]    (also `benchmark.py ingest`)

The sidecar runs as its users start it, alone on one core; on the other cores are the brokers, the
mock model's server, which answers at once, and this driver. The broker holds all events before the
sidecar starts. Time runs from the first record read to the last verdict committed, as the sidecar's
metrics tell them. The model is given the URL of the clip, and nothing is decoded. Redis syncs its
append-only file at every write, as SQLite does.
"""

import argparse
import asyncio
import os
import re
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import aiohttp
import benchmark_filters
import orjson
import uvloop
from benchmark_filters import EVERY_CORE, ONE_CORE, build_incident, encode_protobuf, on_cores
from confluent_kafka import Producer
from redis.asyncio import Redis

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from kafka_process import KafkaProcess
from redis_process import RedisProcess
from service_process import free_port

EVENTS, BACKLOG, REPEATS = 10_000, 100_000, 3
IN_FLIGHT = 50
LEASE_S = 5.0
POLL_S = 0.01
STALLED_S = 60.0
TOPIC = "mdx-incidents"

_OTHERS = (EVERY_CORE - ONE_CORE) or ONE_CORE

T = TypeVar("T")
Encode = Callable[[Mapping[str, Any]], bytes]


@dataclass(frozen=True, slots=True)
class Source:
    """Where events come from, and in which form."""

    broker: str
    encode: Encode

    @property
    def name(self) -> str:
        """What the table shows."""
        return f"{self.broker}, {'JSON' if self.encode is orjson.dumps else 'protobuf'}"


SOURCES = (
    Source("Kafka", encode_protobuf),
    Source("Redis Streams", encode_protobuf),
    Source("Redis Streams", orjson.dumps),
)


@dataclass(frozen=True, slots=True)
class Level:
    """What the sidecar had done and used by a moment."""

    at: float
    read: int
    decided: int
    cpu_s: float
    rss_mb: float


@dataclass(frozen=True, slots=True)
class Drain:
    """How one backlog went down."""

    events: int
    levels: Sequence[Level]
    peak_mb: float

    @property
    def per_s(self) -> float:
        """Events decided per second."""
        return self.events / (self.levels[-1].at - self.levels[0].at)

    @property
    def cpu_ms(self) -> float:
        """CPU of one event in milliseconds."""
        return (self.levels[-1].cpu_s - self.levels[0].cpu_s) / self.events * 1000


@dataclass(slots=True)
class Sidecar:
    """One `sidecar serve` on a core of its own."""

    folder: Path
    client: aiohttp.ClientSession
    settings: Mapping[str, str]
    port: int = field(default_factory=free_port)
    metrics_port: int = field(default_factory=free_port)
    _process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start, and wait until it takes requests."""
        environment = {
            **os.environ,
            "SIDECAR_HTTP__PORT": f"{self.port}",
            "SIDECAR_METRICS__PORT": f"{self.metrics_port}",
            **self.settings,
        }
        with self._log.open("ab") as log, on_cores(ONE_CORE):
            command = (sys.executable, "-m", "sidecar", "serve")
            self._process = await asyncio.create_subprocess_exec(
                *command, env=environment, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        while "listening" not in (text := self._log.read_text()):
            assert self._process.returncode is None, text
            await asyncio.sleep(POLL_S)

    async def level(self) -> Level:
        """Ask what it has done so far."""
        async with self.client.get(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer:
            text = await answer.text()
        read = _sum(r"alert_bridge_kafka_lag_duration_seconds_count\{.*\}", text)
        verdicts = _sum(r"alert_bridge_events_total\{.*\}", text)
        confirmed = _sum(r'alert_bridge_events_total\{verdict="confirmed"\}', text)
        assert verdicts == confirmed, text
        return Level(time.perf_counter(), read, verdicts, self._cpu_s(), self._memory_mb("VmRSS"))

    async def submit(self, number: int) -> None:
        """Submit one event by HTTP."""
        url = f"http://127.0.0.1:{self.port}/api/v1/incidents"
        async with self.client.post(url, json=build_incident(number)) as answer:
            assert answer.ok, await answer.text()

    async def end(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it. Safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            await process.wait()

    @property
    def _log(self) -> Path:
        return self.folder / f"sidecar-{self.port}.log"

    @property
    def peak_mb(self) -> float:
        """The most memory that it ever had, in MB."""
        return self._memory_mb("VmHWM")

    def _cpu_s(self) -> float:
        facts = self._proc("stat").rpartition(")")[2].split()
        return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")

    def _memory_mb(self, name: str) -> float:
        found = re.search(rf"{name}:\s+(\d+) kB", self._proc("status"))
        assert found
        return int(found[1]) / 1024

    def _proc(self, name: str) -> str:
        assert self._process is not None
        return Path(f"/proc/{self._process.pid}/{name}").read_text()


@dataclass(slots=True)
class Bench:
    """The parts around the sidecar."""

    folder: Path
    client: aiohttp.ClientSession
    model: str
    stack: AsyncExitStack

    async def drain(self, source: Source, ledger: str, events: int) -> Drain:
        """Let a sidecar read and decide so many events that wait in the broker."""
        async with self._fresh(ledger) as (folder, settings, redis):
            reading = await self._fill(folder, source, redis, events)
            sidecar = Sidecar(folder, self.client, {**settings, **reading})
            self.stack.push_async_callback(sidecar.end, signal.SIGKILL)
            await sidecar.start()
            levels = await _watch(sidecar, events)
            peak_mb = sidecar.peak_mb
            await sidecar.end()
        return Drain(events, levels, peak_mb)

    async def recover(self, ledger: str) -> float:
        """Kill a sidecar with events in flight; return the seconds until they are decided.

        With SQLite it is started anew at once; with Redis another replica runs already.
        """
        async with self._fresh(ledger) as (folder, settings, _):
            first, second = (Sidecar(folder, self.client, settings) for _ in range(2))
            for sidecar in (first, second):
                self.stack.push_async_callback(sidecar.end, signal.SIGKILL)
            await first.start()
            await first.submit(IN_FLIGHT)  # the server is looked at before its first answer
            await _until(first.level, lambda level: level.decided == 1)
            await self._control("gate/close")
            await asyncio.gather(*(first.submit(number) for number in range(IN_FLIGHT)))
            await _until(lambda: self._control("stats"), lambda it: it["in_flight"] >= IN_FLIGHT)
            if ledger == "Redis":
                await second.start()
            begun = time.perf_counter()
            await first.end(signal.SIGKILL)
            await self._control("gate/open")
            if ledger == "SQLite":
                await second.start()
            await _until(second.level, lambda level: level.decided >= IN_FLIGHT)
            seconds = time.perf_counter() - begun
            await second.end()
        return seconds

    @asynccontextmanager
    async def _fresh(
        self, ledger: str
    ) -> AsyncGenerator[tuple[Path, dict[str, str], RedisProcess]]:
        """Make an empty ledger and an empty Redis."""
        with tempfile.TemporaryDirectory(dir=self.folder) as name, on_cores(_OTHERS):
            folder = Path(name)
            redis = RedisProcess(folder).start()
            settings = {
                "SIDECAR_LEDGER__PATH": str(folder / "ledger.db"),
                "SIDECAR_AB__PRIMARY": "reason2",
                "SIDECAR_ARMS__REASON2__URL": self.model,
                "SIDECAR_ARMS__REASON2__EVIDENCE": "url",
                "SIDECAR_MEDIA__ALLOWED_NETWORKS": "127.0.0.0/8",
                "SIDECAR_VERIFY__MAX_IN_FLIGHT": "64",
            }
            if ledger == "Redis":
                settings["SIDECAR_LEDGER__REDIS__URL"] = redis.url
                settings["SIDECAR_LEDGER__REDIS__LEASE_S"] = f"{LEASE_S}"
            try:
                yield folder, settings, redis
            finally:
                redis.kill()

    async def _fill(
        self, folder: Path, source: Source, redis: RedisProcess, events: int
    ) -> dict[str, str]:
        """Put events into a broker; return the settings by which the sidecar reads them."""
        if source.broker == "Redis Streams":
            await _add_entries(redis.url, source.encode, events)
            return {"SIDECAR_STREAMS__URL": redis.url, "SIDECAR_STREAMS__START_AT": "earliest"}
        kafka = KafkaProcess(folder)
        self.stack.push_async_callback(kafka.kill)
        await kafka.start()
        await kafka.create_topics(TOPIC, "mdx-alerts", partitions=4)
        await asyncio.to_thread(_produce, kafka.bootstrap_servers, source.encode, events)
        return {
            "SIDECAR_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "SIDECAR_KAFKA__START_AT": "earliest",
            "SIDECAR_KAFKA__SESSION_TIMEOUT_S": "6",  # this broker forms a group in half of it
        }

    async def _control(self, what: str) -> dict[str, Any]:
        url = f"{self.model.removesuffix('/v1')}/stub/{what}"
        method = "GET" if what == "stats" else "POST"
        async with self.client.request(method, url) as answer:
            return dict(await answer.json())


async def main(events: int = EVENTS, backlog: int = BACKLOG, repeats: int = REPEATS) -> None:
    """Print all tables."""
    benchmark_filters.main()
    async with _bench() as bench:
        await _print_throughput(bench, events, repeats)
        await _print_recovery(bench, repeats)
        await _print_backlog(bench, backlog)


async def _print_throughput(bench: Bench, events: int, repeats: int) -> None:
    print(f"\n{events:,} events a run, medians of {repeats} runs (all rates in brackets)\n")
    print("| from | ledger | events/s | CPU per event | peak memory |\n|---|---|---|---|---|")
    for ledger in ("SQLite", "Redis"):
        for source in SOURCES:
            runs = [await bench.drain(source, ledger, events) for _ in range(repeats)]
            rates = ", ".join(f"{run.per_s:.0f}" for run in runs)
            per_s = statistics.median(run.per_s for run in runs)
            cpu_ms = statistics.median(run.cpu_ms for run in runs)
            peak_mb = statistics.median(run.peak_mb for run in runs)
            shown = f"{per_s:.0f} ({rates}) | {cpu_ms:.2f} ms | {peak_mb:.0f} MB"
            print(f"| {source.name} | {ledger} | {shown} |", flush=True)


async def _print_recovery(bench: Bench, repeats: int) -> None:
    print(f"\n| ledger | {IN_FLIGHT} in flight, from SIGKILL to the last verdict | limit |")
    print("|---|---|---|")
    limits = {"SQLite": "restarted at once", "Redis": f"lease {LEASE_S:.0f} s + 2 s"}
    for ledger, limit in limits.items():
        found = sorted([await bench.recover(ledger) for _ in range(repeats)])
        shown = ", ".join(f"{seconds:.2f} s" for seconds in found)
        print(f"| {ledger} | {shown} | {limit} |", flush=True)


async def _print_backlog(bench: Bench, events: int) -> None:
    run = await bench.drain(SOURCES[1], "SQLite", events)
    print(f"\nA backlog of {events:,} events in Redis Streams, SQLite: {run.per_s:.0f} events/s\n")
    print("| decided | memory |\n|---|---|")
    for tenth in range(1, 11):
        level = next(it for it in run.levels if it.decided >= events * tenth // 10)
        print(f"| {level.decided:,} | {level.rss_mb:.0f} MB |")
    print(f"| peak | {run.peak_mb:.0f} MB |", flush=True)


async def _watch(sidecar: Sidecar, events: int) -> list[Level]:
    """Return what was done by and by, from the first record read to the last verdict."""
    levels = [await _until(sidecar.level, lambda level: level.read > 0)]
    progress = levels[0]
    while levels[-1].decided < events:
        await asyncio.sleep(0.1)
        levels.append(await sidecar.level())
        if levels[-1].decided > progress.decided:
            progress = levels[-1]
        assert levels[-1].at - progress.at < STALLED_S, f"nothing happens any more: {progress}"
    return levels


async def _until(ask: Callable[[], Awaitable[T]], is_enough: Callable[[T], bool]) -> T:
    found = await ask()
    while not is_enough(found):
        await asyncio.sleep(POLL_S)
        found = await ask()
    return found


async def _add_entries(url: str, encode: Encode, events: int) -> None:
    redis = Redis.from_url(url)
    for start in range(0, events, 1000):
        async with redis.pipeline(transaction=False) as pipeline:
            for number in range(start, min(start + 1000, events)):
                incident = build_incident(number)
                fields = {"key": incident["sensorId"], "value": encode(incident), "headers": "{}"}
                pipeline.xadd(TOPIC, fields)
            await pipeline.execute()
    await redis.aclose()


def _produce(bootstrap_servers: str, encode: Encode, events: int) -> None:
    producer = Producer({"bootstrap.servers": bootstrap_servers, "linger.ms": 20})
    for number in range(events):
        incident = build_incident(number)
        producer.produce(TOPIC, encode(incident), incident["sensorId"])
        if not number % 1000:
            producer.flush()
    assert not producer.flush(60)


@asynccontextmanager
async def _bench() -> AsyncGenerator[Bench]:
    """Start the mock model's server, and end all that is left at the end."""
    port = free_port()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        timeout = aiohttp.ClientTimeout(total=30)
        client = await stack.enter_async_context(aiohttp.ClientSession(timeout=timeout))
        stack.enter_context(on_cores(_OTHERS))
        mock = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "mock-vlm", "--json", "--port", f"{port}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        stack.callback(mock.kill)
        assert mock.stdout
        url = orjson.loads(await mock.stdout.readline())["url"]
        yield Bench(folder, client, url, stack)


def _sum(pattern: str, text: str) -> int:
    return int(sum(float(it) for it in re.findall(rf"^{pattern} (\S+)$", text, re.MULTILINE)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure the sidecar between brokers and ledger.")
    parser.add_argument("--events", type=int, default=EVENTS, help="of each run")
    parser.add_argument("--backlog", type=int, default=BACKLOG, help="events of the long run")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="of each run but the long one")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(**vars(_options())))
