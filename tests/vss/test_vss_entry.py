"""The service as VSS's compose file starts it: its own configuration and nothing but variables."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from kafka_process import KafkaProcess
from payloads import COLLISION
from redis.asyncio import Redis
from redis_process import RedisProcess
from service_process import free_port

from sidecar.contract.nvschema import from_protobuf
from sidecar.model import EventKind
from sidecar.testing.fake_elastic import FakeElastic
from sidecar.testing.fake_vst import FakeVst
from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

HERE = Path(__file__).parent
SEEN = ScriptedAnswer("<think>Two cars touch.</think>\n\nYes")
START_S = 30.0


@pytest.fixture
async def vst(tmp_path: Path) -> AsyncGenerator[FakeVst]:
    async with FakeVst(write_motion(tmp_path / "clip.mp4")) as recorder:
        yield recorder


@asynccontextmanager
async def model(name: str) -> AsyncGenerator[str]:
    """Serve a model; gives the URL without `/v1`, as VSS's VLM_BASE_URL is."""
    vlm = MockVlm(MockVlmOptions(name, answers=(SEEN,)))
    url = await vlm.start()
    yield url.removesuffix("/v1")
    await vlm.close()


@asynccontextmanager
async def started(shape: str, folder: Path, variables: Mapping[str, str]) -> AsyncGenerator[str]:
    """Start the entry point in an empty folder; gives the service's URL."""
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SIDECAR_")},
        "FASTAPI_PORT": str(port),
        "PROMETHEUS_METRICS_ENABLED": "false",
        "VLM_MODE": "local",
        "SIDECAR_LEDGER__PATH": str(folder / "ledger.db"),
        **variables,
    }
    command = (sys.executable, "-m", "sidecar.vss.entry", "--config", str(HERE / shape))
    log = folder / "service.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, env=environment, cwd=folder, stdout=output, stderr=output
        )
    try:
        url = f"http://127.0.0.1:{port}"
        await answers(url, process, log)
        yield url
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()


async def answers(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    async with asyncio.timeout(START_S), aiohttp.ClientSession() as client:
        while True:
            with suppress(aiohttp.ClientError, OSError):
                async with client.get(url + "/health"):
                    return
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.05)


async def submit(url: str) -> None:
    async with (
        aiohttp.ClientSession() as client,
        client.post(url + "/api/v1/incidents", json=COLLISION) as answer,
    ):
        assert answer.status == 202, await answer.text()


def outcome(document: Mapping[str, Any]) -> tuple[str, str, str]:
    info = document["info"]
    return info["verdict"], info["reasoning"], info["verificationResponseCode"]


async def test_the_profile_of_3_3_publishes_to_elasticsearch(tmp_path: Path, vst: FakeVst) -> None:
    """With the alerts profile of VSS 3.3 an incident's verdict arrives in Elasticsearch."""
    name = "nvidia/cosmos-reason2-8b"
    async with FakeElastic() as elastic, model(name) as vlm, KafkaProcess(tmp_path) as kafka:
        await kafka.create_topics("mdx-incidents", "mdx-alerts")
        variables = {
            "VLM_BASE_URL": vlm,
            "VLM_NAME": name,
            "VST_INTERNAL_URL": vst.url,
            "RTVI_VLM_BASE_URL": vlm,
            "ALERT_AGENT_ALWAYS_ON": "false",
            "SIDECAR_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "SIDECAR_SINKS__ELASTIC__HOSTS": elastic.url,
        }
        async with started("profile-3.3.yml", tmp_path, variables) as url:
            await submit(url)
            async with asyncio.timeout(START_S):
                while not (found := [doc.source for doc in elastic.documents.values()]):
                    await asyncio.sleep(0.05)

    assert outcome(found[0]) == ("confirmed", "Two cars touch.", "200")
    assert found[0]["category"] == "Vehicle Collision"
    assert [index for index, _ in elastic.documents] == ["mdx-vlm-incidents-2025-09-11"]


async def test_the_default_of_3_2_publishes_to_kafka(tmp_path: Path, vst: FakeVst) -> None:
    """With the configuration of VSS 3.2 and the Kafka sink the verdict arrives as protobuf."""
    async with model("nvidia/cosmos3-nano-reasoner") as vlm, KafkaProcess(tmp_path) as kafka:
        await kafka.create_topics(
            "mdx-incidents", "mdx-alerts", "mdx-vlm-incidents", "mdx-vlm-alerts"
        )
        variables = {
            "STORAGE_MODULE_ENDPOINT": vst.url,
            "SIDECAR_VST__BASE_URL": vst.url,
            "SIDECAR_ARMS__COSMOS3_NANO__URL": f"{vlm}/v1",
            "SIDECAR_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "SIDECAR_SINKS__KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        }
        async with started("default-3.2.yml", tmp_path, variables) as url:
            await submit(url)
            (message,) = await kafka.read("mdx-vlm-incidents", 1)
    value = message.value()
    assert value is not None

    assert outcome(from_protobuf(value, EventKind.INCIDENT)) == (
        "confirmed",
        "Two cars touch.",
        "200",
    )


async def test_redis_streams_of_3_3_carry_the_verdict(tmp_path: Path, vst: FakeVst) -> None:
    """With Redis Streams as the transport the verdict arrives in the stream, keyed by sensor."""
    server = RedisProcess(tmp_path).start()
    name = "nvidia/cosmos-reason2-8b"
    redis_url = server.url
    async with model(name) as vlm, Redis.from_url(redis_url) as redis:
        variables = {
            "VLM_BASE_URL": vlm,
            "VLM_NAME": name,
            "VST_INTERNAL_URL": vst.url,
            "REDIS_HOST": "127.0.0.1",
            "SIDECAR_STREAMS__URL": redis_url,
            "SIDECAR_SINKS__STREAMS__URL": redis_url,
        }
        async with started("redis-3.3.yml", tmp_path, variables) as url:
            await submit(url)
            async with asyncio.timeout(START_S):
                while not (entries := await redis.xrange("mdx-vlm-incidents")):
                    await asyncio.sleep(0.05)
    server.stop()
    fields = entries[0][1]

    assert fields[b"key"] == b"Lafayette_Agnew"
    assert outcome(from_protobuf(fields[b"value"], EventKind.INCIDENT))[0] == "confirmed"


async def test_a_configuration_that_cannot_work_ends_the_start(tmp_path: Path) -> None:
    """Without the model's address the process ends with status 3 and one sentence."""
    environment = {"PATH": os.environ["PATH"], "VST_INTERNAL_URL": "http://vst:30888"}
    command = (sys.executable, "-m", "sidecar.vss.entry", "--config", str(HERE / "redis-3.3.yml"))
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
    )
    _, stderr = await process.communicate()

    assert process.returncode == 3
    assert b"Not set: VLM_BASE_URL, VLM_NAME." in b" ".join(stderr.split())


async def test_check_lists_what_is_not_used() -> None:
    """`sidecar check` tells for each key that does nothing why it does nothing."""
    variables = {
        "SIDECAR_VSS_CONFIG": str(HERE / "profile-3.3.yml"),
        "VLM_BASE_URL": "http://127.0.0.1:9",
        "VLM_NAME": "nvidia/cosmos-reason2-8b",
        "VST_INTERNAL_URL": "http://127.0.0.1:9",
        "RTVI_VLM_BASE_URL": "http://127.0.0.1:9",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "check"),
        env={**os.environ, **variables},
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    shown = stdout.decode()

    assert process.returncode == 0
    assert "note vlm.min_pixels: not used, because frames are made smaller" in shown
    assert "warning vlm.request_timeout: 5 s end an answer of 4096 tokens early" in shown
