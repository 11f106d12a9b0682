"""The sidecar where VSS 3.3 expects its Alert Bridge: VSS's mounts, variables and entry point.

Everything about the container comes from the shape of VSS's compose file, merged with ours. What
that file cannot know here is where Kafka, Elasticsearch, VST and the model listen.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from confluent_kafka import Producer
from kafka_process import KafkaProcess
from payloads import COLLISION
from service_process import free_port

from deploy.containers import Container, words_of
from deploy.image_build import ROOT, Stage
from deploy.tools import render
from deploy.vss_shape import VSS, VSS_ENV
from sidecar.contract.nvschema import to_protobuf
from sidecar.model import EventKind
from sidecar.testing.fake_elastic import FakeElastic
from sidecar.testing.fake_vst import FakeVst
from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

MODEL = "nim_nvidia_cosmos3-nano-reasoner_bf16-final"
SEEN = ScriptedAnswer("<think>Two cars touch.</think>\n\nYes")
START_S = 60.0
GRACE_S = 60.0  # VSS's stop_grace_period


@dataclass(frozen=True)
class Bridge:
    """VSS's service `alert-bridge` as its compose file describes it.

    Attributes:
        words: entry point and command.
        mounts: what is mounted, by its path inside.
    """

    words: Sequence[str]
    mounts: Mapping[str, Path]
    environment: Mapping[str, str]


def bridge(files: Path, variables: Mapping[str, str]) -> Bridge:
    """Read it from the compose file, merged with ours; VSS's files lie in `files`."""
    env = {
        **VSS_ENV,
        "VLM_AS_VERIFIER_CONFIG_FILE": str(files / "config.yml"),
        "VLM_AS_VERIFIER_CONFIG_FILE_REALTIME": str(files / "realtime-config.yml"),
        "VLM_AS_VERIFIER_ALERT_TYPE_CONFIG_FILE": str(files / "alert_type_config.json"),
        "VSS_APPS_DIR": str(files),
        **variables,
    }
    merged = render([VSS / "compose-3.3.yml", ROOT / "compose/vss-3.yml"], VSS, env=env)
    services: Any = merged["services"]
    service = services["alert-bridge"]
    mounts = [it.rsplit(":", 2) for it in service["volumes"] if it.endswith(":ro")]
    given = service["environment"].items()
    return Bridge(
        words=[*words_of(service["entrypoint"]), *words_of(service["command"])],
        mounts={inside: Path(outside) for outside, inside, _ in mounts},
        environment={name: str(value) for name, value in given if value is not None},
    )


def write_files(folder: Path, kafka: str, elastic: str) -> Path:
    """Write what VSS mounts: its configuration, alert types and script."""
    scripts = folder / "services/alert/scripts"
    scripts.mkdir(parents=True)
    shutil.copy2(VSS / "env-substitute.py", scripts / "env-substitute.py")
    text = (VSS.parent / "profile-3.3.yml").read_text("utf-8")
    text = text.replace('"kafka:29092"', f'"{kafka}"').replace("http://elasticsearch:9200", elastic)
    (folder / "config.yml").write_text(text)
    (folder / "realtime-config.yml").write_text(yaml.safe_dump({"rules": []}))
    shutil.copy2(VSS.parent / "alert_type_config.json", folder / "alert_type_config.json")
    return folder


@asynccontextmanager
async def running(
    command: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path
) -> AsyncGenerator[asyncio.subprocess.Process]:
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, env=dict(env), cwd=cwd, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def here(service: Bridge, folder: Path) -> tuple[list[str], dict[str, str], Path]:
    """Lay the container's /app out in a folder, and let its paths lead there."""
    app = folder / "app"
    (app / "runtime").mkdir(parents=True)
    shutil.copy2(ROOT / "image/enhance_alert_with_vlm.py", app)
    for inside, outside in service.mounts.items():
        target = folder / inside.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(outside, target)
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    python = bin_folder / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)

    def moved(text: str) -> str:
        if text == "/usr/local/bin/python":
            return sys.executable
        return f"{folder}{text}" if text.startswith("/app/") else text

    env = {name: moved(value) for name, value in service.environment.items()}
    env |= {"PATH": f"{bin_folder}:{os.environ['PATH']}"}
    env |= {"SIDECAR_LEDGER__PATH": str(folder / "ledger.db")}
    return [moved(word) for word in service.words], env, app


def contained(
    service: Bridge, image: Stage, folder: Path
) -> tuple[list[str], dict[str, str], Path]:
    """Run in the image, read-only, with VSS's mounts and our volume."""
    volume = folder / "data"
    volume.mkdir()
    os.chown(volume, 10001, 10001)
    container = Container(
        image,
        binds=service.mounts,
        volumes={"/data": volume},
        tmpfs=("/tmp", "/app/runtime"),
        env=service.environment,
    )
    return container.command(*service.words), container.environment(), folder


@pytest.fixture(params=["here", "image"])
def place(request: pytest.FixtureRequest) -> Stage | None:
    """Where the service runs: on this machine's Python, or in the image."""
    return request.getfixturevalue("image") if request.param == "image" else None


@pytest.mark.timeout(900)
async def test_an_incident_from_kafka_is_verified_into_elasticsearch(
    place: Stage | None, tmp_path: Path
) -> None:
    """VSS's entry point starts the sidecar unchanged; SIGTERM ends it within VSS's grace."""
    clip = write_motion(tmp_path / "clip.mp4")
    vlm = MockVlm(MockVlmOptions(MODEL, answers=(SEEN,)))
    port = free_port()
    async with FakeElastic() as elastic, FakeVst(clip) as vst, KafkaProcess(tmp_path) as kafka:
        await kafka.create_topics("mdx-incidents", "mdx-alerts", "mdx-vlm-dead-letters")
        model = (await vlm.start()).removesuffix("/v1")
        files = write_files(tmp_path / "vss", kafka.bootstrap_servers, elastic.url)
        service = bridge(
            files,
            {
                "ALERT_BRIDGE_PORT": str(port),
                "VLM_BASE_URL": model,
                "RTVI_VLM_BASE_URL": model,
                "VLM_NAME": MODEL,
                "VLM_MODE": "local",
                "VST_INTERNAL_URL": vst.url,
            },
        )
        command, env, cwd = (
            contained(service, place, tmp_path) if place else here(service, tmp_path)
        )
        env["PROMETHEUS_METRICS_ENABLED"] = "false"
        log = tmp_path / "service.log"
        async with running(command, env, cwd, log) as process:
            await _ready(f"http://127.0.0.1:{port}", process, log)
            await _produce(kafka, to_protobuf(COLLISION, EventKind.INCIDENT))
            document = await _document(elastic, log)
            async with asyncio.timeout(GRACE_S):
                process.send_signal(signal.SIGTERM)
                status = await process.wait()
    await vlm.close()

    assert status == 0, log.read_text()
    assert [index for index, _ in elastic.documents] == ["mdx-vlm-incidents-2025-09-11"]
    for key in ("sensorId", "category", "isAnomaly", "objectIds", "place", "timestamp", "end"):
        assert document[key], key
    assert document["sensorId"] == COLLISION["sensorId"]
    info = document["info"]
    assert (info["verdict"], info["reasoning"]) == ("confirmed", "Two cars touch.")
    assert (info["verificationResponseCode"], info["verificationResponseStatus"]) == ("200", "OK")
    assert info["videoSource"].startswith(vst.url)
    assert info["primaryObjectId"] == COLLISION["info"]["primaryObjectId"]


async def _ready(url: str, process: asyncio.subprocess.Process, log: Path) -> None:
    """Wait until every part works, the membership in Kafka's group included."""
    async with asyncio.timeout(START_S), aiohttp.ClientSession() as client:
        while True:
            with suppress(aiohttp.ClientError, OSError):
                async with client.get(url + "/ready") as answer:
                    if answer.status == 200:
                        return
            assert process.returncode is None, log.read_text()
            await asyncio.sleep(0.1)


async def _produce(kafka: KafkaProcess, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": kafka.bootstrap_servers, "log_level": 0})
    producer.produce("mdx-incidents", value, COLLISION["sensorId"])
    assert await asyncio.to_thread(producer.flush, 10) == 0


async def _document(elastic: FakeElastic, log: Path) -> dict[str, Any]:
    try:
        async with asyncio.timeout(START_S):
            while not elastic.documents:
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(log.read_text())
    (stored,) = elastic.documents.values()
    return dict(json.loads(json.dumps(stored.source, default=str)))
