"""Load on OpenAI-compatible servers: closed loops, and open loops timed from the due time."""

import asyncio
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any, Final

import aiohttp

ANSWER_TIMEOUT_S: Final = 120.0


@dataclass
class Sample:
    """One request.

    Attributes:
        at: when it was due, in seconds from the start of the load.
        sent: when it was sent.
        done: when its answer was whole; None while it is not.
        status: of HTTP; 0 when there was none.
        tokens: `usage.prompt_tokens`, the witness of what the model saw.
        error: the beginning of an unwelcome answer.
    """

    at: float
    sent: float
    done: float | None = None
    status: int = 0
    tokens: int = 0
    error: str = ""

    @property
    def good(self) -> bool:
        """Whether it was answered, and well."""
        return self.done is not None and self.status == HTTPStatus.OK

    @property
    def latency(self) -> float:
        """Seconds from when it was due; infinite where it was not answered well."""
        return float("inf") if self.done is None or not self.good else self.done - self.at

    def row(self) -> dict[str, Any]:
        """Return what is kept of it."""
        return {k: round(v, 4) if isinstance(v, float) else v for k, v in asdict(self).items()}


class Servers:
    """Servers that share a load; a request goes to the one with the fewest in flight."""

    def __init__(self, urls: list[str]) -> None:
        self._flying = dict.fromkeys(urls, 0)

    async def ask(self, session: aiohttp.ClientSession, body: bytes, sample: Sample) -> None:
        """Send one chat completion and note its end in `sample`."""
        url = min(self._flying, key=lambda each: self._flying[each])
        self._flying[url] += 1
        headers = {"content-type": "application/json"}
        try:
            async with session.post(
                f"{url}/v1/chat/completions", data=body, headers=headers
            ) as got:
                answer = await got.read()
                sample.status = got.status
            if sample.status == HTTPStatus.OK:
                sample.tokens = json.loads(answer)["usage"]["prompt_tokens"]
            else:
                sample.error = answer[:300].decode(errors="replace")
        except (TimeoutError, aiohttp.ClientError) as error:
            sample.error = repr(error)[:300]
        finally:
            self._flying[url] -= 1


def new_session() -> aiohttp.ClientSession:
    """Return a session that opens a connection for each request.

    Kept connections would bind a request to the API server that once accepted its connection.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True),
        timeout=aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S),
    )


Body = Callable[[int], bytes]


async def closed(
    servers: Servers, body: Body, *, concurrency: int, seconds: float
) -> tuple[list[Sample], float]:
    """Keep `concurrency` requests in flight for `seconds`; return them and the load's length."""
    started = time.perf_counter()
    samples: list[Sample] = []

    async def one_after_the_other(session: aiohttp.ClientSession) -> None:
        while (now := time.perf_counter() - started) < seconds:
            sample = Sample(now, now)
            samples.append(sample)
            data = body(len(samples) - 1)
            sample.at = sample.sent = time.perf_counter() - started
            await servers.ask(session, data, sample)
            sample.done = time.perf_counter() - started

    async with new_session() as session:
        workers = [asyncio.create_task(one_after_the_other(session)) for _ in range(concurrency)]
        await asyncio.wait(workers)
        for worker in workers:
            worker.result()
    return samples, seconds


def periodic(streams: int, period: float, seconds: float, seed: int) -> list[float]:
    """Return when `streams` cameras that each send one chunk a period are due, phases drawn."""
    rng = random.Random(seed)
    phases = [rng.uniform(0, period) for _ in range(streams)]
    times = (phase + k * period for phase in phases for k in range(int(seconds / period) + 1))
    return sorted(t for t in times if t < seconds)


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Return the times of a Poisson process of `rate` per second."""

    def times() -> Iterator[float]:
        rng, at = random.Random(seed), 0.0
        while (at := at + rng.expovariate(rate)) < seconds:
            yield at

    return list(times())


async def opened(
    servers: Servers, body: Body, *, times: list[float], seconds: float, patience: float
) -> tuple[list[Sample], float]:
    """Send when due, whatever is in flight; wait `patience` seconds for what is unanswered then."""
    samples: list[Sample] = []
    flying: set[asyncio.Task[None]] = set()
    async with new_session() as session:
        started = time.perf_counter()

        async def send(sample: Sample, data: bytes) -> None:
            await servers.ask(session, data, sample)
            sample.done = time.perf_counter() - started

        for index, at in enumerate(times):
            data = body(index)
            await asyncio.sleep(max(0.0, at - (time.perf_counter() - started)))
            sample = Sample(at, time.perf_counter() - started)
            samples.append(sample)
            task = asyncio.create_task(send(sample, data))
            flying.add(task)
            task.add_done_callback(flying.discard)
        left = seconds + patience - (time.perf_counter() - started)
        if flying and left > 0:
            await asyncio.wait(flying, timeout=left)
        for task in list(flying):
            task.cancel()
    return samples, seconds


def quantile(values: list[float], share: float) -> float:
    """Return the nearest-rank quantile; infinite where the list is empty."""
    if not values:
        return float("inf")
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))]


def finite(value: float) -> float | None:
    """Return the value, or None for what JSON cannot say: it never ended."""
    return None if math.isinf(value) else round(value, 3)


def steady_rate(samples: list[Sample], *, ramp: float, end: float) -> float:
    """Return answers per second between the first and the last one within [ramp, end]."""
    ends = sorted(s.done for s in samples if s.good and s.done and ramp <= s.done <= end)
    return (len(ends) - 1) / (ends[-1] - ends[0]) if ends[1:] else 0.0


def slope(samples: list[Sample], *, ramp: float, end: float) -> float:
    """Return the least-squares growth, per second, of the number in the system."""
    points = []
    steps = 40
    for k in range(steps + 1):
        t = ramp + (end - ramp) * k / steps
        inside = sum(s.at <= t and (s.done is None or s.done > t) for s in samples)
        points.append((t, inside))
    mean_t = sum(t for t, _ in points) / len(points)
    mean_n = sum(n for _, n in points) / len(points)
    spread = sum((t - mean_t) ** 2 for t, _ in points)
    return sum((t - mean_t) * (n - mean_n) for t, n in points) / spread if spread else 0.0


def summary(samples: list[Sample], *, ramp: float, end: float) -> dict[str, Any]:
    """Return the figures of one load: rates, latencies from the due time, the backlog's slope."""
    counted = [s for s in samples if s.at >= ramp]
    latencies = [s.latency for s in counted]
    tokens = sorted(s.tokens for s in samples if s.good)
    return {
        "requests": len(samples),
        "good": sum(s.good for s in samples),
        "per_s": steady_rate(samples, ramp=ramp, end=end),
        "offered_per_s": len(counted) / (end - ramp) if end > ramp else 0.0,
        **{f"p{round(p * 100)}_s": finite(quantile(latencies, p)) for p in (0.5, 0.9, 0.95, 0.99)},
        "backlog_per_s": slope(samples, ramp=ramp, end=end),
        "prompt_tokens": tokens[len(tokens) // 2] if tokens else 0,
        "errors": sorted({s.error for s in samples if s.error})[:3],
    }
