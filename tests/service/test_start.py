"""Whom the service lets in from where it is started."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import aiohttp
import pytest
from api_keys import bearer
from service_process import ServiceProcess

EVERYWHERE = {"SIDECAR_HTTP__HOST": "0.0.0.0"}


def _sidecar(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        cwd=folder,
        # whatever else listens on this machine must not stop it first
        env={**os.environ, "SIDECAR_HTTP__PORT": "0", "SIDECAR_METRICS__PORT": "0", **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        (EVERYWHERE, "http.host"),
        ({"SIDECAR_GRPC__ENABLED": "true", "SIDECAR_GRPC__HOST": "0.0.0.0"}, "grpc.host"),
    ],
)
def test_a_door_to_other_machines_needs_somebody_to_let_in(
    tmp_path: Path, settings: dict[str, str], setting: str
) -> None:
    """The start is refused with a sentence that says what to set."""
    found = _sidecar(tmp_path, "serve", **settings)

    assert 3 == found.returncode
    assert f"error {setting}: other machines can reach 0.0.0.0" in found.stderr
    for variable in ("SIDECAR_SECURITY__KEYS_FILE", "SIDECAR_SECURITY__TRUSTED_NETWORKS"):
        assert variable in found.stderr
    assert "Traceback" not in found.stderr
    assert not (tmp_path / "sidecar-data").exists()


def test_a_wrong_file_of_keys_stops_the_start(tmp_path: Path) -> None:
    """Whoever asks for keys does not get a service without."""
    settings = {**EVERYWHERE, "SIDECAR_SECURITY__KEYS_FILE": str(tmp_path / "missing.yaml")}
    found = _sidecar(tmp_path, "serve", **settings)
    checked = _sidecar(tmp_path, "check", **settings)

    assert (3, 2) == (found.returncode, checked.returncode)
    assert "missing.yaml cannot be read" in found.stderr
    assert "missing.yaml cannot be read" in checked.stdout.replace("\n", " ")


async def test_a_key_that_was_made_opens_a_service_that_others_can_reach(tmp_path: Path) -> None:
    """`sidecar keys new` prints the key and the line of the file; nothing else is needed."""
    command = ("keys", "new", "--name", "pipeline", "--scopes", "read,submit", "--json")
    made = json.loads((await asyncio.to_thread(_sidecar, tmp_path, *command)).stdout)
    (tmp_path / "keys.yaml").write_text(made["line"])
    keys = {"SIDECAR_SECURITY__KEYS_FILE": str(tmp_path / "keys.yaml")}
    service = ServiceProcess(tmp_path, EVERYWHERE | keys)
    await service.start()
    url = f"{service.url}/api/v1/verdicts"
    async with aiohttp.ClientSession() as client:
        async with client.get(url) as answer:
            without = answer.status
        async with client.get(url, headers=bearer(made["key"])) as answer:
            with_key = answer.status
    await service.stop()

    assert (401, 200) == (without, with_key)
    assert made["key"] not in service.log.read_text()


async def test_trusted_networks_are_told_at_the_start(tmp_path: Path) -> None:
    """Whoever reads the log knows who needs no key."""
    networks = {"SIDECAR_SECURITY__TRUSTED_NETWORKS": "127.0.0.0/8,172.18.0.0/16"}
    service = ServiceProcess(tmp_path, EVERYWHERE | networks)
    await service.start()
    async with aiohttp.ClientSession() as client:
        status, _ = await service.get(client, "/api/v1/audit")
    await service.stop()
    (told,) = (
        line
        for line in map(json.loads, service.log.read_text().splitlines())
        if line["event"] == "callers_without_key"
    )

    assert 200 == status
    assert ("warning", ["127.0.0.0/8", "172.18.0.0/16"]) == (told["level"], told["networks"])


def test_a_key_that_is_no_key_is_explained(tmp_path: Path) -> None:
    """A scope that does not exist is named, with those that do."""
    found = _sidecar(tmp_path, "keys", "new", "--name", "x", "--scopes", "write")

    assert 3 == found.returncode
    assert "'read', 'submit', 'label' or 'admin'" in found.stderr
    assert "sck_" not in found.stdout
