"""The ledger's backup and restore, by the very program that docs/operations.md gives."""

import asyncio
import re
import sys
from pathlib import Path

import aiohttp
from service_process import ServiceProcess

from sidecar.testing.media import write_motion

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
EVENT = {
    "id": "kept",
    "sensorId": "gate-1",
    "category": "motion",
    "timestamp": "2026-01-31T08:00:00Z",
    "end": "2026-01-31T08:00:02Z",
    "info": {"video_path": "gate.mp4"},
}


def program() -> str:
    """Return what stands between the double quotes; a shell changes nothing in it."""
    found = re.search(r'python -c "\n(import sqlite3.*?)"\n', PAGE.read_text("utf-8"), re.DOTALL)
    assert found
    return found[1]


async def test_a_backup_of_a_running_service_restores_its_verdicts(tmp_path: Path) -> None:
    """Taken while it runs, put in an empty folder, and read by a new service."""
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    write_motion(tmp_path / "gate.mp4")
    settings = {"SIDECAR_MEDIA__ALLOWED_ROOTS": str(tmp_path)}
    service = ServiceProcess(old, settings)
    await service.start()
    async with aiohttp.ClientSession() as client:
        await service.post(client, "/api/v1/incidents", EVENT)
        await _verdict(service, client)
        text = program().replace("/data/", f"{old}/")
        backup = await asyncio.create_subprocess_exec(sys.executable, "-c", text)
        assert await backup.wait() == 0
        assert await service.stop() == 0
        (old / "backup.db").rename(new / "ledger.db")
        restored = ServiceProcess(new, settings)
        await restored.start()
        outcome = await _verdict(restored, client)
        await restored.stop()

    assert outcome == "confirmed"


async def _verdict(service: ServiceProcess, client: aiohttp.ClientSession) -> str:
    while True:
        status, body = await service.get(client, "/api/v1/verdicts/kept")
        if status == 200:
            return str(body["info"]["verdict"] if "info" in body else body["verdict"])
        assert status == 202
        await asyncio.sleep(0.05)
