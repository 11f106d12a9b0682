"""Traces of a whole service, as a collector, a model's server and receivers see them."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import grpc
import pytest
from aiohttp import web
from confluent_kafka import Producer
from harness import running
from kafka_process import KafkaProcess
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from payloads import COLLISION

from sidecar.client.events import write_event
from sidecar.contract.nvschema import to_protobuf
from sidecar.doors.rpc import RpcDoor
from sidecar.model import EventKind
from sidecar.observe.trace import OtelTracer
from sidecar.pb.v1 import verifier_pb2 as pb
from sidecar.settings import TraceSettings
from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

TRACE = "0af7651916cd43dd8448eb211c80319c"
CALLER = "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{CALLER}-01"
EVENT = {**COLLISION, "id": "traced", "info": {"video_path": "gate.mp4"}}


@dataclass
class Net:
    """A collector, a model's server and a webhook on one socket, which keep what they are told.

    Attributes:
        spans: by name.
        told: `traceparent` of the model's requests and of the webhook's, by who got it.
    """

    url: str = ""
    spans: dict[str, Any] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)

    async def collect(self, request: web.Request) -> web.Response:
        batch = ExportTraceServiceRequest.FromString(await request.read())
        for resource in batch.resource_spans:
            for scope in resource.scope_spans:
                self.spans |= {span.name: span for span in scope.spans}
        return web.Response()

    async def hook(self, request: web.Request) -> web.Response:
        self.told["webhook"] = request.headers.get("traceparent", "")
        return web.Response()

    def forward(self, model: str) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def forwarded(request: web.Request) -> web.Response:
            if request.path.endswith("/chat/completions"):
                self.told["model"] = request.headers.get("traceparent", "")
            url = f"{model}/{request.match_info['path']}"
            body = await request.read()
            async with (
                aiohttp.ClientSession() as client,
                client.request(request.method, url, data=body) as answer,
            ):
                return web.Response(
                    body=await answer.read(), status=answer.status, content_type="application/json"
                )

        return forwarded

    def id_of(self, name: str) -> str:
        return bytes(self.spans[name].span_id).hex()

    def parent_of(self, name: str) -> str:
        return bytes(self.spans[name].parent_span_id).hex()

    def traces(self) -> set[str]:
        return {bytes(span.trace_id).hex() for span in self.spans.values()}

    def fact(self, name: str, key: str) -> str:
        facts = {it.key: it.value.string_value for it in self.spans[name].attributes}
        return str(facts.get(f"sidecar.{key}"))


@asynccontextmanager
async def net() -> AsyncGenerator[Net]:
    vlm = MockVlm(MockVlmOptions("nvidia/cosmos-reason2-8b", answers=(ScriptedAnswer("yes"),)))
    model, found = await vlm.start(), Net()
    app = web.Application(client_max_size=2**26)
    app.router.add_post("/v1/traces", found.collect)
    app.router.add_post("/hook", found.hook)
    app.router.add_route("*", "/model/v1/{path:.*}", found.forward(model))
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()
    await vlm.close()


def sections(found: Net, folder: Path, *, is_traced: bool = True) -> dict[str, Mapping[str, Any]]:
    write_motion(folder / "gate.mp4")
    return {
        "ab": {"primary": "reason2"},
        "arms": {"reason2": {"url": f"{found.url}/model/v1"}},
        "media": {"allowed_roots": (folder,)},
        "sinks": {"webhook": {"url": f"{found.url}/hook"}},
        **({"trace": {"endpoint": found.url}} if is_traced else {}),
    }


async def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        await asyncio.sleep(0.02)


async def test_one_trace_leads_from_the_caller_to_the_webhook(tmp_path: Path) -> None:
    """Every step is in the caller's trace, each below the one that led to it."""
    async with net() as found:
        async with running(tmp_path, **sections(found, tmp_path)) as service:
            headers = {"traceparent": TRACEPARENT}
            url = f"{service.url}/api/v1/incidents"
            async with service.client.post(url, json=EVENT, headers=headers) as answer:
                assert answer.status == 202
            await until(lambda: "webhook" in found.told)
        names = set(found.spans)

    assert names == {"accept", "queue", "verify", "clip", "vlm", "sink"}
    assert found.traces() == {TRACE}
    assert found.parent_of("accept") == CALLER
    for name in ("queue", "verify", "sink"):
        assert found.parent_of(name) == found.id_of("accept"), name
    for name in ("clip", "vlm"):
        assert found.parent_of(name) == found.id_of("verify"), name
    assert found.told["model"] == f"00-{TRACE}-{found.id_of('vlm')}-01"
    assert found.told["webhook"] == f"00-{TRACE}-{found.id_of('sink')}-01"
    assert found.fact("accept", "door") == "http"
    assert found.fact("verify", "sensor") == EVENT["sensorId"]


async def test_without_an_endpoint_nothing_is_traced(tmp_path: Path) -> None:
    """Neither the model nor the webhook is told anything."""
    async with net() as found:
        options = sections(found, tmp_path, is_traced=False)
        async with running(tmp_path, **options) as service:
            await service.verdict_on(EVENT)
            await until(lambda: "webhook" in found.told)

    assert found.told == {"model": "", "webhook": ""}
    assert not found.spans


def test_a_service_without_traces_does_not_load_opentelemetry() -> None:
    """Only its API may be there, which FastAPI loads when it is installed."""
    program = "import sys, sidecar.app; sys.exit('opentelemetry.sdk' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)

    assert found.returncode == 0


@pytest.mark.timeout(120)
async def test_kafka_hands_the_trace_on(tmp_path: Path) -> None:
    """A record's header comes in, and the verdict's message has one of the same trace."""
    async with net() as found, KafkaProcess(tmp_path) as kafka:
        topics = ("mdx-incidents", "mdx-alerts", "mdx-vlm-incidents", "mdx-vlm-alerts")
        await kafka.create_topics(*topics)
        servers = {"bootstrap_servers": kafka.bootstrap_servers}
        options = sections(found, tmp_path) | {
            "kafka": {**servers, "start_at": "earliest"},
            "sinks": {"kafka": servers},
        }
        async with running(tmp_path, **options) as service:
            while (await service.get("/ready"))[0] != 200:  # a new group takes its time
                await asyncio.sleep(0.1)
            producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
            value = to_protobuf(EVENT, EventKind.INCIDENT)
            headers = [("traceparent", TRACEPARENT.encode())]
            producer.produce("mdx-incidents", value, "gate", headers=headers)
            assert await asyncio.to_thread(producer.flush, 10) == 0
            (message,) = await kafka.read("mdx-vlm-incidents", 1)

    given = dict(message.headers() or ())
    assert given["traceparent"] == f"00-{TRACE}-{found.id_of('sink')}-01".encode()
    assert found.parent_of("accept") == CALLER
    assert found.fact("accept", "door") == "kafka"


async def test_a_call_of_grpc_hands_the_trace_on(tmp_path: Path) -> None:
    """By its metadata."""
    async with net() as found:
        options = {**sections(found, tmp_path), "grpc": {"enabled": True, "port": 0}}
        async with running(tmp_path, **options) as service:
            (door,) = (it for it in service.app.doors.values() if isinstance(it, RpcDoor))
            while await door.ping():
                await asyncio.sleep(0.01)
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{door.port}")
            call = channel.unary_unary(
                "/vlm_sidecar.v1.Verifier/Submit",
                request_serializer=pb.SubmitRequest.SerializeToString,
                response_deserializer=pb.SubmitResponse.FromString,
            )
            await call(
                pb.SubmitRequest(event=write_event(EVENT)), metadata=[("traceparent", TRACEPARENT)]
            )
            await until(lambda: "webhook" in found.told)
            await channel.close()

    assert found.parent_of("accept") == CALLER
    assert found.fact("accept", "door") == "grpc"
    assert found.traces() == {TRACE}


@pytest.mark.parametrize(("ratio", "sampled"), [(0.0, False), (1.0, True)])
async def test_a_share_of_the_events_is_traced(ratio: float, sampled: bool) -> None:
    """Without a caller who decides, the ratio does; the model is told the same."""
    tracer = OtelTracer(TraceSettings(sample_ratio=ratio), InMemorySpanExporter())
    tracer.adopt("http", {})
    with tracer.span("accept"):
        flags = tracer.carrier()["traceparent"].split("-")[-1]
    await tracer.close()

    assert bool(int(flags, 16) & 1) == sampled


async def test_an_event_of_another_process_begins_a_trace_that_names_it() -> None:
    """After a restart nobody knows the old one; verification and delivery are in one trace."""
    tracer = OtelTracer(TraceSettings(), InMemorySpanExporter())
    with tracer.resume("verify", "key-1"):
        verified = tracer.carrier()["traceparent"].split("-")[1]
    with tracer.resume("sink", "key-1", sink="elastic"):
        delivered = tracer.carrier()["traceparent"].split("-")[1]
    with tracer.resume("verify", "key-2"):
        other = tracer.carrier()["traceparent"].split("-")[1]
    await tracer.close()

    assert verified == delivered != other


async def test_a_caller_without_a_trace_does_not_inherit_the_one_before() -> None:
    """A broker's door reads one record after another in the same task."""
    tracer = OtelTracer(TraceSettings(), InMemorySpanExporter())
    traces = []
    for carrier in ({"traceparent": TRACEPARENT}, {}, {"traceparent": "garbage"}):
        tracer.adopt("kafka", carrier)
        with tracer.span("accept"):
            traces.append(tracer.carrier()["traceparent"].split("-")[1])
    await tracer.close()

    assert traces[0] == TRACE
    assert len(set(traces)) == 3
