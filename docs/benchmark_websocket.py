"""Measure whether clients of the WebSocket delay verdicts: `python docs/benchmark_websocket.py`.

usage: benchmark_websocket.py [CLIENTS] [ROUNDS]

Four processes: the mock model, the sidecar as its users start it, the clients, and this driver,
which sends incidents at a fixed rate and times each from its submission to its verdict on the event
stream, in turn without clients and with them (500 by default). Prints the medians and the 99th
percentiles of both, and how long after the verdict the last client had it.
"""

import asyncio
import json
import multiprocessing
import statistics
import sys
import time
from multiprocessing.connection import Connection

import aiohttp
import uvloop
from benchmark import Stack, stack

CLIENTS = 500
ROUNDS = 4
EVENTS = 100
RATE = 10.0
LATENCY_MS = 50.0


def listen(url: str, clients: int, pipe: Connection) -> None:
    """Hold so many clients; for each verdict, send the time when the last one had it."""

    async def follow(
        session: aiohttp.ClientSession, ready: asyncio.Semaphore, seen: dict[str, int]
    ) -> None:
        async with session.ws_connect(url + "/ws/alerts") as client:
            ready.release()
            async for message in client:
                identity = json.loads(json.loads(message.data)["data"]["data"])["id"]
                seen[identity] = seen.get(identity, 0) + 1
                if seen[identity] == clients:
                    pipe.send((identity, time.perf_counter()))

    async def run() -> None:
        seen: dict[str, int] = {}
        ready = asyncio.Semaphore(0)
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            tasks = [asyncio.create_task(follow(session, ready, seen)) for _ in range(clients)]
            for _ in range(clients):
                await ready.acquire()
            pipe.send("ready")
            await asyncio.gather(*tasks)

    uvloop.run(run())


async def times(it: Stack) -> dict[str, tuple[float, float]]:
    """Send events at the fixed rate; returns when each began and had its verdict, by id."""
    found: dict[str, tuple[float, float]] = {}
    begun = time.perf_counter()

    async def one() -> None:
        identity = f"event-{it.count + 1}"  # as `submit` will call it
        sent, arrived = await it.submit()
        found[identity] = (sent, await arrived)

    tasks = []
    for number in range(EVENTS):
        await asyncio.sleep(max(0.0, begun + number / RATE - time.perf_counter()))
        tasks.append(asyncio.create_task(one()))
    await asyncio.gather(*tasks)
    return found


async def crowded(it: Stack, clients: int) -> tuple[list[float], list[float]]:
    """Measure with clients: the latencies, and how much later the last client was."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=listen, args=(it.sidecar, clients, theirs), daemon=True)
    process.start()
    await asyncio.to_thread(ours.recv)
    found = await times(it)
    last: dict[str, float] = {}
    while len(last) < len(found):
        identity, moment = await asyncio.to_thread(ours.recv)
        last[identity] = moment
    process.terminate()
    process.join()
    return [end - start for start, end in found.values()], [
        last[identity] - end for identity, (_, end) in found.items()
    ]


def shown(name: str, seconds: list[float]) -> str:
    """Write the median and the 99th percentile."""
    ordered = sorted(seconds)
    p99 = ordered[min(len(ordered) - 1, round(len(ordered) * 0.99))]
    return f"{name:28} p50 {statistics.median(ordered) * 1000:7.2f} ms   p99 {p99 * 1000:7.2f} ms"


async def main() -> None:
    """Measure and print."""
    clients, rounds = (int(it) for it in (*sys.argv[1:], CLIENTS, ROUNDS)[:2])
    alone: list[float] = []
    among: list[float] = []
    later: list[float] = []
    async with stack(LATENCY_MS) as it:
        await times(it)
        for _ in range(rounds):
            alone += [end - start for start, end in (await times(it)).values()]
            latencies, delays = await crowded(it, clients)
            among += latencies
            later += delays
    print(shown("without clients", alone))
    print(shown(f"with {clients} clients", among))
    print(shown("the last client, after that", later))


if __name__ == "__main__":
    uvloop.run(main())
