"""Measure what choosing and comparing arms costs.

usage: benchmark_ab.py [routing] [shadow] [swap] [--rounds N] [--events N] [--seconds N]

`routing`: microseconds to choose the arms of an event. `shadow`: the latency of verdicts without a
shadow, with one whose server is dead, and with one that is 20 times slower, in turn, all events
shown to it. `swap`: 200 events a second while the primary arm is swapped every second, with an
account of every event. Without an argument all three, in about 8 minutes.

The mock models, the sidecar as its users start it, and this driver share the machine. Latency is
from sending an incident to having its verdict from the event stream.
"""

import argparse
import asyncio
import json
import random
import statistics
import tempfile
import time
import timeit
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp
import uvloop
from benchmark import MEDIA, _drain, _start

from sidecar.core.choosing import Facts, choose
from sidecar.policy import Policy, QuestionKind

R2, NANO, GONE = "reason2", "cosmos3-nano", "gone"
MODELS: Final = {R2: "nvidia/cosmos-reason2-8b", NANO: "nvidia/cosmos3-nano-reasoner"}
LATENCY_MS: Final = 50.0
SLOWER: Final = 20
RATE: Final = 40.0
SWAP_RATE: Final = 200.0
SWAP_EVERY_S: Final = 1.0
CALLS: Final = 20_000
SHADOWS: Final[dict[str, dict[str, Any]]] = {
    "none": {},
    "dead": {"shadow": {"arm": GONE}},
    f"{SLOWER}x slower": {"shadow": {"arm": NANO}},
}


@dataclass
class Stack:
    """A sidecar with two models, running.

    Attributes:
        arms: whose verdict came, by the id of the event.
        latencies: seconds from sending to the verdict, by the id.
    """

    sidecar: str
    mocks: dict[str, str]
    client: aiohttp.ClientSession
    sent: dict[str, float] = field(default_factory=dict)
    arrived: dict[str, asyncio.Event] = field(default_factory=dict)
    arms: dict[str, str] = field(default_factory=dict)
    latencies: dict[str, float] = field(default_factory=dict)
    decisions: Counter[str] = field(default_factory=Counter)
    count: int = 0

    async def submit(self) -> str:
        """Submit an incident; returns its id when it is accepted."""
        self.count += 1
        identity = f"event-{self.count}"
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
        self.arrived[identity] = asyncio.Event()
        self.sent[identity] = time.perf_counter()
        async with self.client.post(f"{self.sidecar}/api/v1/incidents", json=incident) as answer:
            assert answer.ok, await answer.text()
            await answer.read()
        return identity

    async def submit_at(self, rate: float, events: int) -> Sequence[str]:
        """Submit events at a rate, whatever becomes of them, and wait for their verdicts."""
        begun, tasks = time.perf_counter(), []
        for number in range(events):
            await asyncio.sleep(max(begun + number / rate - time.perf_counter(), 0))
            tasks.append(asyncio.create_task(self.submit()))
        identities = await asyncio.gather(*tasks)
        async with asyncio.timeout(60):
            await asyncio.gather(*(self.arrived[identity].wait() for identity in identities))
        return identities

    async def choose(self, **body: Any) -> float:
        """Put arms in force; returns the seconds that it took."""
        begun = time.perf_counter()
        async with self.client.put(f"{self.sidecar}/api/v1/arms", json=body) as answer:
            assert answer.ok, await answer.text()
        return time.perf_counter() - begun

    async def follow(self) -> None:
        """Take the verdicts as they come."""
        url, headers = f"{self.sidecar}/api/v1/verdicts/stream", {"Last-Event-ID": "0"}
        timeout = aiohttp.ClientTimeout(total=None)
        async with self.client.get(url, headers=headers, timeout=timeout) as answer:
            async for line in answer.content:
                if line.startswith(b"data:"):
                    verdict, now = json.loads(line[5:]), time.perf_counter()
                    assert verdict["verdict"] == "confirmed", verdict
                    identity = verdict["id"]
                    self.arms[identity] = verdict["arm"]
                    self.decisions[identity] += 1
                    self.latencies[identity] = now - self.sent[identity]
                    self.arrived[identity].set()

    async def asked(self) -> dict[str, int]:
        """Return how many completions each model was asked for."""
        totals = {}
        for arm, url in self.mocks.items():
            async with self.client.get(f"{url.removesuffix('/v1')}/stub/stats") as answer:
                totals[arm] = (await answer.json())["total_requests"]
        return totals


@asynccontextmanager
async def stack(latencies_ms: dict[str, float]) -> AsyncGenerator[Stack]:
    """Start everything."""
    async with AsyncExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory())
        mocks = {}
        for arm, latency_ms in latencies_ms.items():
            spread = ("--latency-ms", f"{latency_ms}", "--latency-sd-ms", f"{latency_ms / 10}")
            options = ("--json", "--port", "0", "--model", MODELS[arm], *spread)
            mock = await _start("mock-vlm", *options)
            running.push_async_callback(_end, mock)
            assert mock.stdout
            mocks[arm] = json.loads(await mock.stdout.readline())["url"]
        sidecar = await _start("serve", environment=_environment(folder, mocks))
        running.push_async_callback(_end, sidecar)
        assert sidecar.stderr
        url = json.loads(await sidecar.stderr.readline())["url"]
        draining = asyncio.create_task(_drain(sidecar.stderr))
        client = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        await running.enter_async_context(client)
        it = Stack(url, mocks, client)
        following = asyncio.create_task(it.follow())
        yield it
        following.cancel()
        draining.cancel()


def _environment(folder: str, mocks: dict[str, str]) -> dict[str, str]:
    urls = {**mocks, GONE: "http://127.0.0.1:9/v1"}
    arms = {
        f"SIDECAR_ARMS__{arm.upper().replace('-', '_')}__{key}": value
        for arm, url in urls.items()
        for key, value in {"URL": url, "EVIDENCE": "url", "TIMEOUT_S": "10"}.items()
    }
    return {
        **arms,
        "SIDECAR_ARMS__GONE__ADAPTER": "cosmos3-nano",
        "SIDECAR_AB__PRIMARY": R2,
        "SIDECAR_HTTP__PORT": "0",
        "SIDECAR_METRICS__ENABLED": "false",
        "SIDECAR_LEDGER__PATH": f"{folder}/ledger.db",
        "SIDECAR_MEDIA__ALLOWED_NETWORKS": "127.0.0.0/8",
        "SIDECAR_VERIFY__MAX_IN_FLIGHT": "64",
    }


async def _end(process: Any) -> None:
    process.terminate()
    await process.wait()


def measure_routing() -> None:
    """Print how long choosing takes, for policies of growing size."""
    facts = Facts(
        "Tailgating", "dock-17", "dock-17", "key", "high", 10.0, frozenset({QuestionKind.CAUSAL})
    )
    split = {"kind": "weighted", "weights": {R2: 90, NANO: 10}}
    when = {"alert_types": ["ppe*", "*motion*"], "sensors": ["gate-*"], "priorities": ["low"]}
    rules = [{"when": {**when, "clip_s": {"max": n}}, "use": R2} for n in range(20)]
    policies = {
        "one arm": {"rules": [{"use": R2}]},
        "split by sensor": {"rules": [{"use": split}]},
        "split, shadow, fallback": {
            "rules": [{"use": split}],
            "shadow": {"arm": GONE, "share": 0.1},
            "fallback": [NANO],
        },
        "20 rules that do not fit, then a split": {"rules": [*rules, {"use": split}]},
    }
    print("\n| policy | median | slowest of 20 |\n|---|---|---|")
    for name, value in policies.items():
        policy = Policy.model_validate(value)
        runs = timeit.repeat(lambda it=policy: choose(it, facts), number=CALLS // 20, repeat=20)
        costs = sorted(run / (CALLS // 20) * 1e6 for run in runs)
        print(f"| {name} | {statistics.median(costs):.1f} µs | {costs[-1]:.1f} µs |")


async def measure_shadow(rounds: int, events: int) -> None:
    """Print latencies without a shadow and beside two bad ones, in turn."""
    found: dict[str, list[list[float]]] = {name: [] for name in SHADOWS}
    async with stack({R2: LATENCY_MS, NANO: LATENCY_MS * SLOWER}) as it:
        await it.submit_at(RATE, 50)
        for _ in range(rounds):
            for name in random.sample(list(SHADOWS), len(SHADOWS)):
                await it.choose(policy={"rules": [{"use": R2}], **SHADOWS[name]}, force=True)
                identities = await it.submit_at(RATE, events)
                found[name].append([it.latencies[identity] for identity in identities])
        asked = await it.asked()
    print(f"\n{rounds} rounds of {events} events at {RATE:g}/s in each arm of the comparison.")
    print(f"The slow shadow was asked {asked[NANO]} times.\n")
    print("| shadow | p50 | p99 | p99 over that without, of each round: median | 95 % interval |")
    print("|---|---|---|---|---|")
    for name, runs in found.items():
        every = [seconds for run in runs for seconds in run]
        ratios = [_p99(run) / _p99(base) for run, base in zip(runs, found["none"], strict=True)]
        low, high = _interval(ratios)
        print(
            f"| {name} | {statistics.median(every) * 1000:.1f} ms | {_p99(every) * 1000:.1f} ms "
            f"| {statistics.median(ratios):.3f} | {low:.3f} to {high:.3f} |"
        )


async def measure_swap(seconds: int) -> None:
    """Print the account of a load during which the primary arm is swapped every second."""
    async with stack({R2: LATENCY_MS, NANO: LATENCY_MS}) as it:
        await it.submit_at(RATE, 20)
        await it.choose(primary=NANO)
        await it.submit_at(RATE, 20)
        before, warm = await it.asked(), set(it.arms)
        load = asyncio.create_task(it.submit_at(SWAP_RATE, int(SWAP_RATE * seconds)))
        swaps = []
        while not load.done():
            swaps.append(await it.choose(primary=(R2, NANO)[len(swaps) % 2]))
            await asyncio.wait([load], timeout=SWAP_EVERY_S)
        accepted = await load
        after = await it.asked()
    decided = {identity: arm for identity, arm in it.arms.items() if identity not in warm}
    asked = {arm: after[arm] - before[arm] for arm in after}
    latencies = [it.latencies[identity] for identity in accepted]
    print("\n| accepted | decided | lost | decided twice | swaps | slowest swap | p50 | p99 |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {len(accepted)} | {len(decided)} | {len(set(accepted) - set(decided))} "
        f"| {sum(count > 1 for count in it.decisions.values())} | {len(swaps)} "
        f"| {max(swaps) * 1000:.0f} ms | {statistics.median(latencies) * 1000:.1f} ms "
        f"| {_p99(latencies) * 1000:.1f} ms |"
    )
    print(f"\nVerdicts by arm: {dict(Counter(decided.values()))}; asked: {asked}.")


def _p99(values: Sequence[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def _interval(values: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """Return a 95 % interval of the median by bootstrap."""
    dice = random.Random(7)
    medians = sorted(statistics.median(dice.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(draws * 0.025)], medians[int(draws * 0.975)]


async def main() -> None:
    """Run what the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", default=["routing", "shadow", "swap"])
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--events", type=int, default=400)
    parser.add_argument("--seconds", type=int, default=30)
    options = parser.parse_args()
    if "routing" in options.parts:
        measure_routing()
    if "shadow" in options.parts:
        await measure_shadow(options.rounds, options.events)
    if "swap" in options.parts:
        await measure_swap(options.seconds)


if __name__ == "__main__":
    uvloop.run(main())
