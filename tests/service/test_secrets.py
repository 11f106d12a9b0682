"""Credentials and query strings stay where they belong, whatever fails."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from service_process import ServiceProcess, free_port

SECRET = "hunter2"


def _settings(arm: str) -> dict[str, str]:
    """Give credentials to everything that can be outside; nobody listens there."""
    place = f"127.0.0.1:{free_port()}"
    return {
        "SIDECAR_AB__PRIMARY": arm,
        "SIDECAR_ARMS__GENERIC__ADAPTER": "generic",
        "SIDECAR_ARMS__GENERIC__URL": f"http://user:{SECRET}@{place}/v1",
        "SIDECAR_ARMS__GENERIC__RECONNECT_S": "0",
        "SIDECAR_ARMS__GENERIC__RETRIES": "0",
        "SIDECAR_MEDIA__ALLOWED_NETWORKS": "127.0.0.0/8",
        "SIDECAR_REALTIME__BASE_URL": f"http://user:{SECRET}@{place}/v1",
        "SIDECAR_SINKS__ELASTIC__HOSTS": f"http://{place}",
        "SIDECAR_SINKS__ELASTIC__API_KEY": SECRET,
        "SIDECAR_SINKS__MAX_ATTEMPTS": "1",
        "SIDECAR_SINKS__STREAMS__URL": f"redis://:{SECRET}@{place}/0",
        "SIDECAR_SINKS__WEBHOOK__URL": f"http://{place}/hook?token={SECRET}",
        "SIDECAR_SINKS__WEBHOOK__SECRET": SECRET * 4,
        "SIDECAR_STREAMS__URL": f"redis://:{SECRET}@{place}/0",
        "SIDECAR_VST__BASE_URL": f"http://user:{SECRET}@{place}",
    }


def _incident(number: int, **info: Any) -> dict[str, Any]:
    return {
        "id": f"incident-{number}",
        "sensorId": "camera-1",
        "category": "motion",
        "timestamp": f"2026-01-31T08:0{number}:00Z",
        "end": f"2026-01-31T08:0{number}:10Z",
        "info": info,
    }


async def _told_by_command(service: ServiceProcess, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", *arguments),
        env=service.environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    return output.decode()


@pytest.mark.parametrize("arm", ["baseline", "generic"])
async def test_nothing_that_is_told_about_failures_holds_a_secret(tmp_path: Path, arm: str) -> None:
    """Logs, readiness, verdicts, dead letters and `check` name places without their secrets."""
    service = ServiceProcess(tmp_path, _settings(arm))
    await service.start()
    url = f"http://user:{SECRET}@127.0.0.1:{free_port()}/clip.mp4?X-Signature={SECRET}"
    incidents = [_incident(0, media_urls=[url]), _incident(1)]
    told: list[Any] = []
    async with aiohttp.ClientSession() as client, asyncio.timeout(50):
        for incident in incidents:
            assert 202 == (await service.post(client, "/api/v1/incidents", incident))[0]
            path = f"/api/v1/verdicts/{incident['id']}"
            while (found := await service.get(client, path))[0] != 200:
                await asyncio.sleep(0.05)
            info = found[1]["event"]["info"]
            told.append({name: info[name] for name in info if name != "media_urls"})
        while service.log.read_text().count('"dead_letter"') < 6:  # three sinks, two verdicts
            await asyncio.sleep(0.05)
        told.append((await service.get(client, "/ready"))[1])
    told.append(await _told_by_command(service, "dead-letters", "list", "--json"))
    await service.stop()
    told.append(await _told_by_command(service, "check", "--json"))
    told.append(service.log.read_text())

    assert all("sidecarReason" in info for info in told[:2]), told[:2]
    assert [] == [text for text in map(json.dumps, told) if SECRET in text]
