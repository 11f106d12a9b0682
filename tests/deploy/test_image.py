"""The image: linted, locked, built stage by stage without an engine, and run as its user."""

import asyncio
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
import zlib
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import aiohttp
import pytest
from service_process import free_port

from deploy.containers import Container
from deploy.image_build import ROOT, Stage, read_steps
from deploy.tools import IS_CHECK, tool
from sidecar import __version__

START_S = 60.0
GRACE_S = 60.0
MEGABYTE = 1_000_000
BASE_MB = 45
"""Compressed size of python:3.12-slim-bookworm."""
LIMIT_MB = 400
EXTRAS = ("kafka", "redis", "grpc", "otel")


@pytest.mark.parametrize("file", ["Dockerfile", "compose/density/Dockerfile"])
def test_hadolint_finds_nothing(file: str) -> None:
    """With its defaults; what is switched off stands in the file."""
    found = _run(tool("hadolint"), str(ROOT / file))

    assert found.returncode == 0, found.stdout


def test_hadolint_would_find_something(tmp_path: Path) -> None:
    """A Dockerfile that follows no advice is refused."""
    file = tmp_path / "Dockerfile"
    file.write_text("FROM debian\nRUN apt-get install curl\n")

    assert "DL3008" in _run(tool("hadolint"), str(file)).stdout


def test_the_image_says_who_it_is_and_runs_as_nobody_in_particular() -> None:
    """Labels of OCI, a user without a name in the host, a health check, nothing that compiles."""
    text = (ROOT / "Dockerfile").read_text("utf-8")
    steps = read_steps(text)
    final = steps[max(i for i, step in enumerate(steps) if step.word == "FROM") :]
    words = {step.word for step in final}

    assert {"LABEL", "USER", "HEALTHCHECK", "STOPSIGNAL", "VOLUME"} <= words
    assert f"ARG VERSION={__version__}" in text
    assert not re.search(r"apt-get|gcc|build-essential", text)
    for label in ("title", "licenses", "version", "revision", "base.name"):
        assert f"org.opencontainers.image.{label}=" in text


def test_the_lock_is_what_the_project_asks_for(tmp_path: Path) -> None:
    """Resolving again, with the lock's own versions preferred, changes nothing."""
    lock = tmp_path / "requirements.lock"
    lock.write_text((ROOT / "requirements.lock").read_text("utf-8"))
    extras = [word for name in EXTRAS for word in ("--extra", name)]
    command = [
        *(tool("uv"), "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"),
        *("--generate-hashes", "--no-annotate", "--custom-compile-command", "make lock"),
        *(*extras, "pyproject.toml", "--output-file", str(lock)),
    ]
    found = _run(*command, cwd=ROOT)

    assert found.returncode == 0, found.stderr
    assert lock.read_text() == (ROOT / "requirements.lock").read_text("utf-8"), "run make lock"


def test_every_version_is_fixed_by_its_hash() -> None:
    """So that the same image comes out, and a scanner knows what is in it."""
    for name in ("requirements.lock", "requirements-build.lock"):
        text = (ROOT / name).read_text("utf-8").replace("\\\n", " ")
        lines = [line for line in text.splitlines() if line and not line.startswith("#")]

        assert lines
        assert all("==" in line and "--hash=sha256:" in line for line in lines)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_both_processors_have_wheels_of_everything(processor: str, tmp_path: Path) -> None:
    """For Python 3.12, nothing to compile; what is pulled stays below 400 MB."""
    if not IS_CHECK:
        pytest.skip("downloads 150 MB: make check-deploy")
    target = tmp_path / "site"
    command = [
        *(tool("uv"), "pip", "install", "--quiet", "--target", str(target)),
        *("--python-platform", f"{processor}-manylinux_2_28", "--python-version", "3.12"),
        *("--only-binary", ":all:", "--require-hashes", "--requirement", "requirements.lock"),
    ]
    found = _run(*command, cwd=ROOT)

    assert found.returncode == 0, found.stderr
    assert list(target.rglob(f"*{processor}-linux-gnu.so"))
    assert _compressed_mb(target) + BASE_MB < LIMIT_MB


def _compressed_mb(folder: Path) -> float:
    """Return the size of a layer as a registry keeps it, roughly."""
    counted = _Counted()
    with tarfile.open(fileobj=counted, mode="w|") as tar:
        tar.add(folder, "site")
    return counted.size() / MEGABYTE


class _Counted(io.RawIOBase):
    """Takes bytes, compresses them and keeps only how many there are."""

    def __init__(self) -> None:
        self._packer = zlib.compressobj(6)
        self._size = 0

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._size += len(self._packer.compress(data))
        return len(data)

    def size(self) -> int:
        return self._size + len(self._packer.flush())


@pytest.mark.timeout(600)
def test_the_image_can_start_and_nothing_else(image: Stage) -> None:
    """Command, VSS's program and Python are where they are looked for; nothing that installs."""
    root = image.root
    found = subprocess.run(
        Container(image).command("sidecar", "--version"),
        env=Container(image).environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert (found.returncode, found.stdout.strip()) == (0, __version__), found.stderr
    assert (root / "usr/local/bin/python").exists()
    assert (root / "app/enhance_alert_with_vlm.py").exists()
    assert not [name for name in ("pip", "gcc", "cc", "make") if _has(root, name)]
    assert image.user == "10001:10001"


def _has(root: Path, program: str) -> bool:
    return any((root / folder / program).exists() for folder in ("bin", "usr/bin", "usr/local/bin"))


@pytest.mark.timeout(600)
async def test_the_service_runs_read_only_and_stops_in_time(image: Stage, tmp_path: Path) -> None:
    """Healthy by the image's own check, verifies an event, and ends with status 0 at SIGTERM."""
    port = free_port()
    volume = _volume(tmp_path)
    container = Container(
        image,
        volumes={"/data": volume},
        tmpfs=("/tmp",),
        env={"SIDECAR_HTTP__PORT": str(port), "SIDECAR_METRICS__ENABLED": "false"},
    )
    words = (*image.entrypoint, *image.command)
    async with started(container, words, tmp_path) as process:
        await healthy(container)
        async with aiohttp.ClientSession() as client:
            event = json.dumps({**EVENT, "info": {"video_path": "none.mp4"}})
            url = f"http://127.0.0.1:{port}/api/v1/incidents"
            headers = {"Content-Type": "application/json"}
            async with client.post(url, data=event, headers=headers) as answer:
                assert answer.status == 202
        async with asyncio.timeout(GRACE_S):
            process.send_signal(signal.SIGTERM)
            status = await process.wait()

    assert status == 0, (tmp_path / "service.log").read_text()
    assert (volume / "ledger.db").stat().st_uid == 10001
    assert await _exit_status(container, *image.healthcheck) == 1


@pytest.mark.timeout(600)
async def test_preflight_runs_in_the_image(image: Stage, tmp_path: Path) -> None:
    """As compose starts it before the service, and leaves the volume empty."""
    volume = _volume(tmp_path)
    container = Container(image, volumes={"/data": volume}, tmpfs=("/tmp",))

    assert await _exit_status(container, "sidecar", "preflight", "--wait-s", "0") == 0
    assert not list(volume.iterdir())


EVENT = {
    "id": "one",
    "sensorId": "gate-1",
    "category": "motion",
    "timestamp": "2026-01-31T08:00:00Z",
    "end": "2026-01-31T08:00:10Z",
}


@pytest.mark.timeout(600)
async def test_nothing_can_be_written_but_the_volume(image: Stage, tmp_path: Path) -> None:
    """Neither /app nor the packages, whoever got hold of the process."""
    container = Container(image, volumes={"/data": _volume(tmp_path)}, tmpfs=("/tmp",))
    program = "import sys; open(sys.argv[1], 'w').close()"
    written = [
        await _exit_status(container, "python", "-c", program, path)
        for path in ("/app/x", "/usr/local/bin/x", "/data/x", "/tmp/x")
    ]

    assert written == [1, 1, 0, 0]


def _volume(folder: Path) -> Path:
    """Make a volume as Docker does: a folder with the owner that the image's has."""
    volume = folder / "data"
    volume.mkdir(exist_ok=True)
    os.chown(volume, 10001, 10001)
    return volume


@asynccontextmanager
async def started(
    container: Container, words: Sequence[str], folder: Path
) -> AsyncGenerator[asyncio.subprocess.Process]:
    with (folder / "service.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *container.command(*words), env=container.environment(), stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def healthy(container: Container) -> None:
    async with asyncio.timeout(START_S):
        while await _exit_status(container, *container.image.healthcheck):
            await asyncio.sleep(0.2)


async def _exit_status(container: Container, *words: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *container.command(*words),
        env=container.environment(),
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await process.wait()


def _run(*command: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "VIRTUAL_ENV": sys.prefix}
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=500, check=False
    )
