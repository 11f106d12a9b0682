"""Measure how many events a sidecar takes over gRPC, and over HTTP beside it, on one core.

usage: benchmark_rpc.py [--events N] [--repeats N] [--ledger FOLDER]

The sidecar runs as its users start it, alone on one core; on the other cores are the mock model's
server and this driver. The ledger is SQLite with `synchronous=FULL` on a file system in memory
(--ledger puts it elsewhere): every event is acknowledged behind the same COMMIT, whatever the door.
Each way is measured twice: while the model is busy, so that the core only takes events, and while
it answers at once, so that the same core also verifies what it has taken. The events are sent as
wire bytes that were made before, and every acknowledgement is read.
"""

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import grpc
import orjson
import uvloop
from benchmark_filters import EVERY_CORE, ONE_CORE, build_incident, encode_protobuf, on_cores
from benchmark_ingest import Sidecar

from sidecar.pb.nv.ext_pb2 import Incident
from sidecar.pb.v1 import verifier_pb2 as pb

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from service_process import free_port

EVENTS, REPEATS = 20_000, 3
AT_ONCE: Final = 256
CALLS: Final = 64
WINDOW: Final = 2048
IN_MEMORY: Final = Path("/dev/shm")
SERVICE: Final = "/vlm_sidecar.v1.Verifier"

_OTHERS = (EVERY_CORE - ONE_CORE) or ONE_CORE


@dataclass(frozen=True, slots=True)
class Target:
    """A sidecar, and the control of its mock model."""

    sidecar: Sidecar
    rpc_port: int
    model: str
    client: aiohttp.ClientSession

    async def hold_model(self, *, held: bool) -> None:
        """Let the model keep its answers back, or give them."""
        gate = f"{self.model.removesuffix('/v1')}/stub/gate/{'close' if held else 'open'}"
        async with self.client.post(gate) as answer:
            assert answer.ok


Way = Callable[[Target, Sequence[int]], Awaitable[None]]


async def submit(target: Target, numbers: Sequence[int]) -> None:
    """Send each event with a call of its own, many at the same time."""
    requests = iter([pb.SubmitRequest(event=_event(it)).SerializeToString() for it in numbers])
    async with grpc.aio.insecure_channel(f"localhost:{target.rpc_port}") as channel:
        call = channel.unary_unary(
            f"{SERVICE}/Submit", response_deserializer=pb.SubmitResponse.FromString
        )

        async def work() -> None:
            for request in requests:
                answer = await call(request)
                assert answer.receipt.verdict_key
                assert not answer.receipt.dropped

        await _timed(asyncio.gather(*(work() for _ in range(CALLS))), len(numbers))


async def submit_stream(target: Target, numbers: Sequence[int]) -> None:
    """Send all events over one stream, up to a window ahead of their acknowledgements."""
    events = [pb.StreamedEvent(sequence=it, event=_event(it)) for it in numbers]
    requests = [
        pb.SubmitStreamRequest(events=events[start : start + AT_ONCE]).SerializeToString()
        for start in range(0, len(events), AT_ONCE)
    ]
    room = asyncio.Semaphore(WINDOW // AT_ONCE)

    async def sending() -> AsyncIterator[bytes]:
        for request in requests:
            await room.acquire()
            yield request

    async def receive(call: Any) -> None:
        taken = 0
        async for answer in call:
            for ack in answer.acks:
                assert ack.HasField("receipt"), ack
                assert not ack.receipt.dropped
            taken += len(answer.acks)
            room.release()
        assert taken == len(events)

    async with grpc.aio.insecure_channel(f"localhost:{target.rpc_port}") as channel:
        call = channel.stream_stream(
            f"{SERVICE}/SubmitStream", response_deserializer=pb.SubmitStreamResponse.FromString
        )
        await _timed(receive(call(sending())), len(numbers))


async def post(target: Target, numbers: Sequence[int]) -> None:
    """Post each event to the HTTP door, many at the same time."""
    bodies = iter([orjson.dumps(build_incident(it)) for it in numbers])
    url = f"http://127.0.0.1:{target.sidecar.port}/api/v1/incidents"
    headers = {"Content-Type": "application/json"}

    async def work() -> None:
        for body in bodies:
            async with target.client.post(url, data=body, headers=headers) as answer:
                assert answer.ok, await answer.text()
                await answer.read()

    await _timed(asyncio.gather(*(work() for _ in range(CALLS))), len(numbers))


_found: list[float] = []


async def _timed(work: Awaitable[object], events: int) -> None:
    begun = time.perf_counter()
    await work
    _found.append(events / (time.perf_counter() - begun))


def _event(number: int) -> pb.Event:
    incident = Incident.FromString(encode_protobuf(build_incident(number)))
    return pb.Event(incident=incident)


WAYS: Final[dict[str, Way]] = {
    "`SubmitStream`": submit_stream,
    "`Submit`": submit,
    "HTTP `POST /api/v1/incidents`": post,
}


@asynccontextmanager
async def _target(folder: Path) -> AsyncGenerator[Target]:
    """Start the mock model's server and a sidecar."""
    async with AsyncExitStack() as stack:
        connector = aiohttp.TCPConnector(limit=0)
        client = await stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        stack.enter_context(on_cores(_OTHERS))
        mock = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "mock-vlm", "--json", "--port", f"{free_port()}"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        stack.callback(mock.kill)
        assert mock.stdout
        model, rpc_port = orjson.loads(await mock.stdout.readline())["url"], free_port()
        settings = {
            "SIDECAR_LEDGER__PATH": str(folder / "ledger.db"),
            "SIDECAR_AB__PRIMARY": "reason2",
            "SIDECAR_ARMS__REASON2__URL": model,
            "SIDECAR_ARMS__REASON2__EVIDENCE": "url",
            "SIDECAR_GRPC__ENABLED": "true",
            "SIDECAR_GRPC__PORT": f"{rpc_port}",
            "SIDECAR_CANARY__ENABLED": "false",
            "SIDECAR_MEDIA__ALLOWED_NETWORKS": "127.0.0.0/8",
            "SIDECAR_VERIFY__MAX_IN_FLIGHT": "64",
            "SIDECAR_VERIFY__DEADLINE_S": "600",
            "SIDECAR_LEDGER__MAX_BACKLOG": "1000000",
        }
        sidecar = Sidecar(folder, client, settings)
        stack.push_async_callback(sidecar.end)
        await sidecar.start()
        async with grpc.aio.insecure_channel(f"localhost:{rpc_port}") as channel:
            await channel.channel_ready()
        yield Target(sidecar, rpc_port, model, client)


async def _measure(way: Way, events: int, place: Path, *, held: bool) -> tuple[float, float]:
    """Return the rate of acknowledgements, and the CPU of one event in milliseconds."""
    with tempfile.TemporaryDirectory(dir=place) as name:
        async with _target(Path(name)) as target:
            await way(target, range(events, events + AT_ONCE))  # the first ones meet a cold process
            await target.hold_model(held=held)
            before = (await target.sidecar.level()).cpu_s
            await way(target, range(events))
            cpu_s = (await target.sidecar.level()).cpu_s - before
            await target.hold_model(held=False)
    return _found[-1], cpu_s / events * 1000


async def main(events: int, repeats: int, ledger: Path) -> None:
    """Print the table."""
    print(
        f"{events:,} events a run, medians of {repeats} runs (all in brackets), ledger: {ledger}\n"
    )
    print("| by | the model is | acknowledged events/s | CPU per event |\n|---|---|---|---|")
    for held in (True, False):
        for name, way in WAYS.items():
            runs = [await _measure(way, events, ledger, held=held) for _ in range(repeats)]
            rates = ", ".join(f"{rate:.0f}" for rate, _ in runs)
            per_s = statistics.median(rate for rate, _ in runs)
            cpu_ms = statistics.median(cpu for _, cpu in runs)
            state = "busy" if held else "at once"
            print(f"| {name} | {state} | {per_s:,.0f} ({rates}) | {cpu_ms:.3f} ms |", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Measure how many events are taken over gRPC.")
    parser.add_argument("--events", type=int, default=EVENTS, help="of each run")
    parser.add_argument("--repeats", type=int, default=REPEATS, help="of each way")
    place = IN_MEMORY if os.access(IN_MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    parser.add_argument("--ledger", type=Path, default=place, help="folder of the ledger")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(**vars(_options())))
