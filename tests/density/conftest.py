"""A whole sidecar with all its doors, beside a mock model that knows the right answers."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest
from kafka_process import KafkaProcess
from redis_process import RedisProcess
from service_process import ServiceProcess, free_port

from sidecar.testing.known_answers import known_answer
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions


@dataclass(frozen=True)
class Deployed:
    """Where everything listens."""

    http: str
    grpc: str
    kafka: str
    redis: str
    model: str


@pytest.fixture
async def model() -> AsyncGenerator[str]:
    """The URL of a mock that takes 20 ms."""
    server = MockVlm(MockVlmOptions(latency_ms=20, choose=known_answer, keep=1))
    yield await server.start()
    await server.close()


@pytest.fixture(scope="module")
def model_process() -> Iterator[str]:
    """The URL of such a mock as a process of its own, beside a command that has its own loop."""
    command = (sys.executable, "-m", "sidecar", "mock-vlm", "--json", "--port", "0")
    options = ("--latency-ms", "20", "--known-answers")
    with subprocess.Popen((*command, *options), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield str(json.loads(process.stdout.readline())["url"])
        process.terminate()


async def _until_ready(url: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as client:
        while True:
            async with client.get(f"{url}/ready") as answer:
                if answer.ok:
                    return
            await asyncio.sleep(0.05)


@pytest.fixture
async def deployed(tmp_path: Path, model: str) -> AsyncGenerator[Deployed]:
    """Start all of it."""
    rpc_port = free_port()
    redis = RedisProcess(tmp_path, aof=False).start()
    async with KafkaProcess(tmp_path) as kafka:
        await kafka.create_topics("mdx-incidents", "mdx-alerts", "mdx-vlm-incidents")
        settings = {
            "SIDECAR_GRPC__ENABLED": "true",
            "SIDECAR_GRPC__PORT": f"{rpc_port}",
            "SIDECAR_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "SIDECAR_KAFKA__START_AT": "earliest",
            "SIDECAR_KAFKA__SESSION_TIMEOUT_S": "2",
            "SIDECAR_SINKS__KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
            "SIDECAR_STREAMS__URL": redis.url,
            "SIDECAR_STREAMS__START_AT": "earliest",
            "SIDECAR_SINKS__STREAMS__URL": redis.url,
            "SIDECAR_AB__PRIMARY": "reason2",
            "SIDECAR_ARMS__REASON2__URL": model,
            "SIDECAR_ARMS__REASON2__EVIDENCE": "url",
            "SIDECAR_MEDIA__ALLOWED_NETWORKS": "127.0.0.0/8",
            "SIDECAR_CANARY__ENABLED": "false",
            "SIDECAR_VERIFY__MAX_IN_FLIGHT": "32",
        }
        service = ServiceProcess(tmp_path, settings)
        await service.start()
        await _until_ready(service.url)
        yield Deployed(
            http=service.url,
            grpc=f"grpc://127.0.0.1:{rpc_port}",
            kafka=f"kafka://{kafka.bootstrap_servers}",
            redis=redis.url,
            model=model,
        )
        await service.stop()
    redis.kill()
