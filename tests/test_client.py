"""The client that we ship, against a real service."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from rpc_process import RpcProcess
from rpc_service import calling, incident, mock_vlm, rpc_service, storing_rpc
from service_process import free_port
from snippets import blocks, here, run_python, run_shell

from sidecar.client import (
    AsyncVerifierClient,
    CallFailed,
    EventDropped,
    VerifierClient,
    write_event,
)
from sidecar.pb.v1 import verifier_pb2 as pb
from sidecar.testing.media import write_motion

PAGE = "docs/grpc.md"
EVENTS = 10_000
KILLS_AFTER = (2_000, 4_500, 7_000)


async def test_documented_programs_run(tmp_path: Path) -> None:
    """The programs in docs/grpc.md do what the text says."""
    write_motion(tmp_path / "clip.mp4", seconds=1, width=64, height=64)
    async with rpc_service(tmp_path, media={"allowed_roots": (tmp_path,)}) as rpc:
        places = {"localhost:9082": rpc.target}
        programs = [here(code, places) for code in blocks(PAGE, "python")]
        one, many = [await run_python(program, tmp_path) for program in programs]

    assert one.startswith("1 baseline")
    assert 99 == len(re.findall(r"^\d+ event-\d+ 1$", many, re.MULTILINE))


async def test_documented_lines_of_a_shell_run(tmp_path: Path) -> None:
    """Grpcurl gets a verdict, and the probe finds the service ready."""
    write_motion(tmp_path / "clip.mp4")
    lines = {word: it for it in blocks(PAGE, "sh") for word in (it.split()[0],)}
    async with rpc_service(tmp_path, media={"allowed_roots": (tmp_path,)}) as rpc:
        places = {"localhost:9082": rpc.target}
        called = await run_shell(here(lines["grpcurl"], places), tmp_path)
        probed = await run_shell(here(lines["grpc_health_probe"], places), tmp_path)

    assert "OUTCOME_CONFIRMED" == json.loads(called)["verdict"]["outcome"]
    assert "status: SERVING\n" == probed


def _call_all(target: str) -> tuple[Any, ...]:
    with VerifierClient(target, timeout_s=20) as client:
        receipt = client.submit(incident(1))
        pending = client.get_verdict(receipt.id)
        acks = list(client.submit_stream([incident(2), {"id": "wrong"}]))
        with pytest.raises(CallFailed) as failed:
            client.get_verdict("unknown")
        with pytest.raises(EventDropped):
            client.verify(incident(1, end="2026-02-01T00:00:01Z"))
        return pending, [ack.sequence for ack in acks], failed.value, client.list_arms()


async def test_the_blocking_client_calls_from_a_thread(tmp_path: Path) -> None:
    """Every method of the blocking client works without an event loop of the caller."""
    async with storing_rpc(tmp_path) as (_, door):
        target = f"localhost:{door.port}"
        pending, sequences, failed, arms = await asyncio.to_thread(_call_all, target)

    assert pending is None
    assert [1, 2] == sequences
    assert (grpc.StatusCode.NOT_FOUND, "NOT_FOUND") == (failed.code, failed.reason)
    assert [] == list(arms)


async def test_the_blocking_client_watches(tmp_path: Path) -> None:
    """Verdicts come one by one, from the resume token on."""
    clip = write_motion(tmp_path / "clip.mp4")

    def watch(target: str) -> list[int]:
        with VerifierClient(target) as client:
            watching = client.watch(after=1)
            return [next(iter(watching)).seq for _ in range(2)]

    async with (
        rpc_service(tmp_path, media={"allowed_roots": (tmp_path,)}) as rpc,
        calling(rpc) as client,
    ):
        for number in range(3):
            await client.verify(incident(number, info={"video_path": str(clip)}))
        seen = await asyncio.to_thread(watch, rpc.target)

    assert [2, 3] == seen


async def test_failures_name_the_wrong_fields(tmp_path: Path) -> None:
    """A refusal tells code, reason and fields."""
    async with (
        storing_rpc(tmp_path) as (_, door),
        AsyncVerifierClient(f"localhost:{door.port}") as client,
    ):
        with pytest.raises(CallFailed, match="Field required") as failed:
            await client.submit({"sensorId": "c", "timestamp": "2026-01-31T08:00:00Z"})

    assert "VALIDATION_FAILED" == failed.value.reason
    assert {"end", "category"} == set(failed.value.fields)


async def test_a_stream_waits_for_room(tmp_path: Path) -> None:
    """Events that were refused because the ledger is full are sent again until there is room."""
    async with (
        storing_rpc(tmp_path, max_backlog=2) as (store, door),
        AsyncVerifierClient(f"localhost:{door.port}") as client,
    ):
        acks = []
        async for ack in client.submit_stream(incident(number) for number in range(4)):
            acks.append(ack)
            if len(acks) == 2:
                await store.decide(2)

    assert [1, 2, 3, 4] == sorted(ack.sequence for ack in acks)
    assert all(ack.HasField("receipt") for ack in acks)


async def test_an_asynchronous_source_is_acknowledged_as_it_comes(tmp_path: Path) -> None:
    """An event is acknowledged before the next one exists."""
    acknowledged = asyncio.Event()

    async def events() -> AsyncIterator[dict[str, Any]]:
        yield incident(1)
        await acknowledged.wait()
        yield incident(2)

    async with (
        storing_rpc(tmp_path) as (_, door),
        AsyncVerifierClient(f"localhost:{door.port}") as client,
    ):
        seen = []
        async for ack in client.submit_stream(events()):
            seen.append(ack.sequence)
            acknowledged.set()

    assert [1, 2] == seen


async def test_a_source_that_fails_ends_the_stream_with_its_error(tmp_path: Path) -> None:
    """What was read before is acknowledged; then the error of the source comes out."""

    def events() -> Iterator[dict[str, Any]]:
        yield incident(1)
        raise OSError("the camera is gone")

    async with (
        storing_rpc(tmp_path) as (_, door),
        AsyncVerifierClient(f"localhost:{door.port}") as client,
    ):
        acks = client.submit_stream(events())
        first = await anext(acks)
        with pytest.raises(OSError, match="the camera is gone"):
            await anext(acks)

    assert 1 == first.sequence


async def test_calls_wait_for_a_server_that_starts(tmp_path: Path) -> None:
    """A call that is made before the server listens succeeds once it does."""
    port = free_port()
    async with AsyncVerifierClient(f"localhost:{port}", timeout_s=20) as client:
        calling_early = asyncio.create_task(client.submit(incident(1)))
        await asyncio.sleep(0.3)
        async with rpc_service(tmp_path, grpc={"port": port}):
            receipt = await calling_early

    assert "incident-1" == receipt.id


def test_only_one_kind_of_media_is_sent() -> None:
    """Media that are given beside an event are written; the event itself stays as it is."""
    given = pb.Event(json=b"{}")
    written = write_event(given, frames=[(0.25, b"jpeg")])

    assert 250_000_000 == written.frames.frames[0].offset.nanos
    assert given.WhichOneof("media") is None


@pytest.mark.slow
@pytest.mark.timeout(420)
async def test_three_kills_of_the_server_lose_nothing_of_a_stream(tmp_path: Path) -> None:
    """A pipeline that streams 10,000 incidents past three kills gets 10,000 verdicts."""
    async with mock_vlm() as (_, arm):
        arm["arms"]["generic"] |= {"evidence": "url"}
        settings = {
            **arm,
            "media": {"allowed_networks": ["127.0.0.0/8"]},
            "verify": {"max_in_flight": 64},
            "ledger": {"path": str(tmp_path / "ledger.db"), "max_attempts": 1000},
        }
        port = free_port()
        process = RpcProcess(tmp_path, port, settings)
        await process.start()
        try:
            async with AsyncVerifierClient(f"localhost:{port}") as client:
                keys = [key async for key in _streamed(client, process)]
                decided = [key async for key in _decided(client)]
        finally:
            await process.kill()

    assert (EVENTS, EVENTS) == (len(keys), len(set(keys)))
    assert sorted(keys) == sorted(decided)


async def _streamed(client: AsyncVerifierClient, process: RpcProcess) -> AsyncIterator[str]:
    """Stream all events, and kill and start the server meanwhile."""
    taken = 0
    async for ack in client.submit_stream(_incident_at(number) for number in range(EVENTS)):
        assert ack.HasField("receipt"), ack
        yield ack.receipt.verdict_key
        taken += 1
        if taken in KILLS_AFTER:
            await process.kill()
            await process.start()


def _incident_at(number: int) -> dict[str, Any]:
    return incident(number, info={"media_urls": ["http://127.0.0.1:9/clip.mp4"]})


async def _decided(client: AsyncVerifierClient) -> AsyncIterator[str]:
    seen = 0
    async for verdict in client.watch(after=0):
        assert pb.OUTCOME_CONFIRMED == verdict.outcome, verdict
        yield verdict.verdict_key
        seen += 1
        if seen == EVENTS:
            return
