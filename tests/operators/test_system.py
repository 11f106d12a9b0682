"""How the service does, as operators see it."""

import asyncio
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from harness import Running
from service_process import ServiceProcess
from two_arms import NANO, R2, two_arms

from operators.scene import scene, seen
from sidecar import __version__
from sidecar.density.scenario import load_scenario
from sidecar.density.summary import Density, Report

REPORT = Report(
    created=datetime(2026, 1, 31, 8, tzinfo=UTC),
    version=__version__,
    machine="a laptop",
    scenario=load_scenario("spark-14"),
    speed=1.0,
    answers="known",
    found=[
        Density(
            target="http://sidecar:9080",
            streams=11,
            planning=9,
            per_minute=51.7,
            failed_at=14,
            binding=["p95"],
            confirmed=3,
            confirming=3,
            runs=[],
        )
    ],
)


async def system(service: Running) -> dict[str, Any]:
    status, found = await service.get("/api/v1/system")
    assert 200 == status, found
    return dict(found)


async def test_arms_and_their_servers_are_told(tmp_path: Path) -> None:
    """Which work, how fast they answer, what was found out about them, and what was wrong last."""
    async with two_arms(tmp_path, dead=(NANO,)) as arms:
        for number in range(3):
            await arms.info(number)
        found = await system(arms.service)

    by_name = {arm["name"]: arm for arm in found["arms"]}
    [server] = by_name[R2]["endpoints"]
    assert (True, "", "closed", 3) == (
        by_name[R2]["lead"],
        by_name[R2]["problem"],
        server["state"],
        server["latency"]["count"],
    )
    assert 0 <= server["latency"]["p50Ms"] <= server["latency"]["p95Ms"]
    assert by_name[R2]["latency"]["count"] == 3
    assert all(fact["meaning"] for fact in server["dialect"])
    assert "frames" in {fact["name"] for fact in server["dialect"]}
    assert by_name[NANO]["problem"]
    assert {"count": 0, "p50Ms": None, "p95Ms": None} == by_name[NANO]["latency"]
    assert (3, 3, True, __version__) == (
        found["decided"]["total"],
        found["decided"]["confirmed"],
        found["ready"],
        found["version"],
    )
    assert found["uptimeS"] > 0
    assert found["findings"] is None


async def test_what_waits_is_told_by_sensor(tmp_path: Path) -> None:
    """While the model answers nothing: who waits, and how much is worked on."""
    async with two_arms(tmp_path, verify={"max_in_flight": 1, "ask_again": False}) as arms:
        await arms.info(9)
        await arms.gate(R2, "close")
        for number in range(5):
            times = {
                "timestamp": f"2026-01-31T08:0{number}:00Z",
                "end": f"2026-01-31T08:0{number}:05Z",
            }
            body = {**incident_of(number), "sensorId": f"camera-{number % 2}", **times}
            await arms.service.post("/api/v1/incidents", body)
        async with asyncio.timeout(20):
            while (found := await system(arms.service))["queue"]["queued"] < 4:
                await asyncio.sleep(0.02)
        await arms.gate(R2, "open")

    queue = found["queue"]
    assert (5, 4, 1, 1) == (
        queue["undecided"],
        queue["queued"],
        queue["inFlight"],
        queue["places"],
    )
    [arm] = [arm for arm in found["arms"] if arm["name"] == R2]
    [server] = arm["endpoints"]
    assert (1, 0) == (server["inFlight"], server["waiting"])
    assert server["limit"] >= 1
    assert [2, 2] == [line["waiting"] for line in queue["sensors"]]
    assert {"camera-0", "camera-1"} == {line["sensorId"] for line in queue["sensors"]}


def incident_of(number: int) -> dict[str, Any]:
    """An incident that the model's server fetches the clip of."""
    media = {"media_urls": ["http://127.0.0.1:9/clip.mp4"], "media_type": "video"}
    return seen(number, category="collision", info=media)


async def test_failures_and_deliveries_are_told(tmp_path: Path) -> None:
    """Failures by reason, sinks with what waits for them, and what was given up."""
    sinks = {"webhook": {"url": "http://127.0.0.1:9/"}, "max_attempts": 1}
    async with scene(tmp_path, sinks=sinks) as service:
        await service.verdict_on(seen(0))
        await service.verdict_on(seen(1, clip="gone.mp4"))
        async with asyncio.timeout(20):
            while (found := await system(service))["deadLetters"] < 2:
                await asyncio.sleep(0.02)

    assert {"media_missing": 1} == found["decided"]["failed"]
    assert (0, 0) == (found["decided"]["deadlineMisses"], found["decided"]["shed"])
    [sink] = found["sinks"]
    assert ("webhook", 0) == (sink["name"], sink["waiting"])
    assert {"ledger", "media", "arms"} <= {part["name"] for part in found["parts"]}


async def test_a_started_service_tells_what_check_finds(tmp_path: Path) -> None:
    """The same as `sidecar check`, of the settings that it runs with."""
    service = ServiceProcess(tmp_path, {"SIDECAR_MEDIA__ALLOWED_ROOTS": str(tmp_path / "nowhere")})
    await service.start()
    async with aiohttp.ClientSession() as client:
        status, found = await service.get(client, "/api/v1/system")
    await service.stop()

    assert 200 == status
    assert ("warning", "media.allowed_roots") in {
        (it["severity"], it["setting"]) for it in found["findings"]
    }


class Silent:
    """A part that never answers."""

    async def ping(self) -> str:
        await asyncio.Event().wait()
        return ""

    async def close(self) -> None:
        pass


async def test_a_part_that_says_nothing_hides_nothing_else(tmp_path: Path) -> None:
    """It is waited for a moment, and told as one that does not work."""
    async with scene(tmp_path) as service:
        asked = replace(service.app.service, parts={"deaf": Silent()})
        found = await asked.health(within_s=0.01)

    assert [("deaf", "It did not answer within 0.01 s.")] == [(it.part, it.problem) for it in found]


async def test_the_last_density_run_is_told(tmp_path: Path) -> None:
    """Read anew when its file changes; one that is none is said to be none."""
    file = tmp_path / "report.json"
    async with two_arms(tmp_path, density={"report": file}) as arms:
        before = (await system(arms.service))["density"]
        file.write_text("{}")
        wrong = (await system(arms.service))["density"]
        file.write_bytes(REPORT.model_dump_json().encode())
        os.utime(file, (1, 1))
        told = (await system(arms.service))["density"]

    assert None is before
    assert "is no report of this version" in wrong["problem"]
    assert ("spark-14", 11, 9, 14, ["p95"], "") == (
        told["scenario"],
        told["streams"],
        told["planning"],
        told["failedAt"],
        told["binding"],
        told["problem"],
    )
