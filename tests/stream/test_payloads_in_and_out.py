"""VSS's documented payloads in by every door, and out at every sink as VSS's readers know them."""

import asyncio
import json
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from google.protobuf.json_format import MessageToDict
from harness import Running, running
from kafka_process import KafkaProcess
from redis.asyncio import Redis
from redis_process import RedisProcess

from sidecar.pb.nv.ext_pb2 import Behavior, Incident
from sidecar.testing.fake_elastic import FakeElastic
from sidecar.testing.fake_vst import FakeVst
from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer
from stream.expected import ANSWER, MODEL, Expectation, masked
from stream.offered import P1, P2, P3, P4, P5, Payload
from stream.receiver import Receiver

OUTPUT = ("mdx-vlm-incidents", "mdx-vlm-alerts")
ALERT_TYPES = [
    {"alert_type": "collision", "prompts": {"user": "Do two vehicles collide?"}},
    {
        "alert_type": "Alert Module",
        "output_category": "Traffic",
        "prompts": {"user": "Is there a traffic incident?"},
    },
    {
        "alert_type": "ppe-violation",
        "output_category": "PPE",
        "prompts": {"user": "Does a worker go without a hard hat?"},
    },
]
# payload -> the doors by which VSS's producers can send it
OFFERS: Sequence[tuple[Payload, Sequence[str]]] = [
    *(
        (
            payload,
            (
                "http json",
                "http protobuf",
                "kafka json",
                "kafka protobuf",
                "streams value json",
                "streams value protobuf",
                "streams data json",
            ),
        )
        for payload in (P1, P2, P3)
    ),
    (P4, ("http json",)),
    (P5, ("http json",)),
]


@dataclass(frozen=True)
class World:
    """A service between real brokers."""

    service: Running
    kafka: KafkaProcess
    redis: Redis
    vst: FakeVst
    elastic: FakeElastic
    webhook: Receiver

    async def offer(self, payload: Payload, door: str) -> Expectation:
        """Send an event from a camera of its own."""
        camera = f"{payload.name}-{door.replace(' ', '-')}"
        as_protobuf = door.endswith("protobuf")
        body = payload.sent(camera)
        value = json.dumps(body).encode()
        if as_protobuf:
            assert payload.encode
            value = payload.encode(camera)
        name = "mdx-alerts" if payload.is_alert else "mdx-incidents"
        match door.split():
            case ["http", form]:
                status, answer = await self.service.post_bytes(
                    payload.route, value, f"application/{form.replace('protobuf', 'x-protobuf')}"
                )

                assert status == 202, answer
            case ["kafka", _]:
                producer = Producer({"bootstrap.servers": self.kafka.bootstrap_servers})
                producer.produce(name, value, camera)

                assert await asyncio.to_thread(producer.flush, 10) == 0
            case ["streams", "value", _]:
                await self.redis.xadd(name, {"key": camera, "value": value, "headers": "{}"})
            case ["streams", "data", _]:
                fields = {"data": value, "timestamp": "2026-01-31T08:00:00Z", "metadata": "{}"}
                await self.redis.xadd(name, fields)
        return Expectation(payload, camera, as_protobuf, self.vst.url)

    async def arrived(self, count: int) -> None:
        """Wait until Elasticsearch and the webhook have so many documents."""
        async with asyncio.timeout(40):
            while min(len(self.elastic.documents), len(self.webhook.documents)) < count:
                await asyncio.sleep(0.02)

    async def entries(
        self, expected: Sequence[Expectation]
    ) -> list[tuple[str, Mapping[bytes, bytes]]]:
        """Return the entries of both streams, once all are there, with their streams' names."""
        found: list[tuple[str, Mapping[bytes, bytes]]] = []
        async with asyncio.timeout(20):
            while len(found) < len(expected):
                found = [
                    (name, fields) for name in OUTPUT for _, fields in await self.redis.xrange(name)
                ]
                await asyncio.sleep(0.02)
        return found


@asynccontextmanager
async def world(folder: Path, **streams_sink: str) -> AsyncGenerator[World]:
    """Start everything."""
    clip = write_motion(folder / "clip.mp4")
    file = folder / "alert_type_config.json"
    file.write_text(json.dumps({"version": "1.0", "alerts": ALERT_TYPES}))
    vlm = MockVlm(MockVlmOptions(MODEL, answers=(ScriptedAnswer(ANSWER),)))
    server = RedisProcess(folder).start()
    redis = Redis.from_url(server.url)
    try:
        async with (
            KafkaProcess(folder) as kafka,
            FakeVst(clip) as vst,
            FakeElastic() as elastic,
            Receiver() as webhook,
        ):
            await kafka.create_topics("mdx-incidents", "mdx-alerts", *OUTPUT, partitions=2)
            async with running(
                folder,
                ab={"primary": "reason2"},
                arms={"reason2": {"url": await vlm.start(), "evidence": "url"}},
                media={"allowed_networks": "127.0.0.0/8,::1/128"},
                prompts={"alert_type_config": file},
                vst={"base_url": vst.url, "ignore_event_media": True},
                kafka={
                    "bootstrap_servers": kafka.bootstrap_servers,
                    "start_at": "earliest",
                    "session_timeout_s": 3,
                },
                streams={"url": server.url, "start_at": "earliest"},
                sinks={
                    "elastic": {"hosts": elastic.url},
                    "kafka": {"bootstrap_servers": kafka.bootstrap_servers},
                    "streams": {"url": server.url, **streams_sink},
                    "webhook": {"url": webhook.url},
                },
            ) as service:
                yield World(service, kafka, redis, vst, elastic, webhook)
    finally:
        await redis.aclose()
        await vlm.close()
        server.kill()


async def test_every_payload_by_every_door_at_every_sink(tmp_path: Path) -> None:
    """23 events: the same fields everywhere, in the form that each sink's readers expect."""
    async with world(tmp_path) as it:
        expected = [await it.offer(payload, door) for payload, doors in OFFERS for door in doors]
        await it.arrived(len(expected))
        alerts = sum(one.payload.is_alert for one in expected)
        counts = {"mdx-vlm-incidents": len(expected) - alerts, "mdx-vlm-alerts": alerts}
        messages = [
            (topic, message)
            for topic, count in counts.items()
            for message in await it.kafka.read(topic, count)
        ]
        entries = await it.entries(expected)

    assert _by_camera(expected, lambda one: one.document) == {
        _camera(document): masked(document) for document in it.webhook.documents
    }
    assert _by_camera(expected, lambda one: (one.index, one.document["Id"], one.searchable)) == {
        _camera(stored.source): (*key, masked(stored.source))
        for key, stored in it.elastic.documents.items()
    }
    found = [(topic, message, _decoded(topic, message.value())) for topic, message in messages]
    assert _by_camera(expected, lambda one: (one.base, one.message_key, one.message)) == {
        _camera(fields): (topic, message.key().decode(), masked(fields))
        for topic, message, fields in found
    }
    read = [(stream, fields, _decoded(stream, fields[b"value"])) for stream, fields in entries]
    assert _by_camera(expected, lambda one: (one.base, one.camera, one.kind, one.message)) == {
        _camera(message): (
            stream,
            fields[b"key"].decode(),
            json.loads(fields[b"headers"])["message_type"],
            masked(message),
        )
        for stream, fields, message in read
    }
    assert {frozenset({b"key", b"value", b"headers"})} == {frozenset(it) for _, it in entries}


async def test_streams_of_json_carry_the_whole_document(tmp_path: Path) -> None:
    """`payload: json` loses nothing of what protobuf cannot hold."""
    async with world(tmp_path, payload="json") as it:
        expected = [await it.offer(payload, "http json") for payload in (P1, P2, P3, P4, P5)]
        entries = await it.entries(expected)

    assert _by_camera(expected, lambda one: (one.base, one.camera, one.document)) == {
        fields[b"key"].decode(): (
            stream,
            fields[b"key"].decode(),
            masked(json.loads(fields[b"value"])),
        )
        for stream, fields in entries
    }


async def test_the_older_envelope_carries_the_whole_document(tmp_path: Path) -> None:
    """`envelope: data` writes the fields of VSS 2.4: `data`, `timestamp` and `metadata`."""
    async with world(tmp_path, envelope="data") as it:
        expected = [await it.offer(payload, "http json") for payload in (P1, P2, P3, P4, P5)]
        entries = await it.entries(expected)

    assert _by_camera(expected, lambda one: (one.base, one.kind, one.document)) == {
        _camera(json.loads(fields[b"data"])): (
            stream,
            json.loads(fields[b"metadata"])["message_type"],
            masked(json.loads(fields[b"data"])),
        )
        for stream, fields in entries
    }
    assert {frozenset({b"data", b"timestamp", b"metadata"})} == {frozenset(it) for _, it in entries}


def _by_camera(
    expected: Sequence[Expectation], wanted: Callable[[Expectation], Any]
) -> dict[str, Any]:
    return {one.camera: wanted(one) for one in expected}


def _camera(document: Mapping[str, Any]) -> str:
    return str(document.get("sensorId") or document["sensor"]["id"])


def _decoded(name: str, value: bytes) -> dict[str, Any]:
    message = Behavior() if name == "mdx-vlm-alerts" else Incident()
    message.ParseFromString(value)
    return MessageToDict(message)
