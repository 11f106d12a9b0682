"""Events that were shed are verified again when there is time, and everybody can see it."""

import asyncio
import sys
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness import Running, running

from sidecar.cli_replay import replay_shed
from sidecar.errors import SettingsError
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

PATH = "/api/v1/verdicts/replay"
NAMES = [f"event-{number}" for number in range(10)]


def _incident(name: str, sensor: str) -> dict[str, Any]:
    return {
        "id": name,
        "sensorId": sensor,
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:10.000Z",
        "category": "collision",
        "info": {
            "media_urls": ["http://127.0.0.1:9/clip.mp4"],
            "media_type": "video",
            "primaryObjectId": name,
            "given": "by the pipeline",
        },
        "objectIds": [name],
    }


@asynccontextmanager
async def _service(folder: Path, *, hangs: bool, **scheduling: Any) -> AsyncGenerator[Running]:
    """Run a service whose model answers at once, or never."""
    vlm = MockVlm(MockVlmOptions(answers=(ScriptedAnswer(hang=hangs),)))
    settings = {
        "ab": {"primary": "reason2"},
        "arms": {"reason2": {"url": await vlm.start(), "evidence": "url"}},
        "media": {"allowed_networks": ["127.0.0.0/8"]},
        "scheduling": scheduling,
    }
    try:
        async with running(folder, **settings) as service:
            yield service
    finally:
        await vlm.close()


async def _settle(service: Running) -> dict[str, dict[str, Any]]:
    """Wait until nothing is undecided, and return the latest verdicts by id."""
    async with asyncio.timeout(40):
        while await service.app.ledger.backlog():
            await asyncio.sleep(0.02)
    return {name: await service.decided(name) for name in NAMES}


async def _shed(service: Running) -> dict[str, dict[str, Any]]:
    """Offer events for which there is no time, and return their verdicts by id."""
    for number, name in enumerate(NAMES):
        await service.post("/api/v1/incidents", _incident(name, f"camera-{number % 2}"))
    return await _settle(service)


async def _replay(service: Running, **wanted: Any) -> dict[str, Any]:
    status, told = await service.post(PATH, wanted)
    assert 200 == status, told
    return dict(told)


def _verdicts(found: Collection[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["verdict"], one["reason"]) for one in found}


async def test_each_gets_a_verdict_of_its_own_that_names_the_one_it_replaces(
    tmp_path: Path,
) -> None:
    """The id stands for the later one, the first one stays, and the trail tells who asked."""
    async with _service(tmp_path, hangs=True, deadline_s=0.5) as service:
        before = await _shed(service)
    async with _service(tmp_path, hangs=False) as service:
        told = await _replay(service)
        later = await _settle(service)
        first = [
            (await service.get(f"/api/v1/verdicts/{one['verdictKey']}"))[1]
            for one in before.values()
        ]
        _, trail = await service.get("/api/v1/audit")

    assert {("verification-failed", "deadline_expired")} == _verdicts(before.values())
    assert {("confirmed", "")} == _verdicts(later.values())
    assert {"status": "success", "accepted": 10, "known": 0, "lost": 0, "refused": ""} == told
    assert list(before.values()) == first
    for name in NAMES:
        info, key = later[name]["event"]["info"], before[name]["verdictKey"]
        assert (key, f"{key}:again:1") == (info["sidecarSupersedes"], later[name]["verdictKey"])
        assert before[name]["Id"] == later[name]["Id"]
        assert "by the pipeline" == info["given"]
        assert not {"sidecarReason", "sidecarDetail", "errorSource"} & set(info)
    replays = [one["after"] for one in trail["entries"] if one["action"] == "verdicts.replay"]
    assert [10] == [one["accepted"] for one in replays]


async def test_every_acceptance_ends_in_one_verdict(tmp_path: Path) -> None:
    """Also when the second verdict is no better, and whoever asks twice."""
    async with _service(tmp_path, hangs=True, deadline_s=0.5) as service:
        await _shed(service)
        again = await _replay(service)
        still = await _settle(service)
    async with _service(tmp_path, hangs=False) as service:
        third = [await _replay(service), await _replay(service)]
        latest = await _settle(service)
        nothing = await _replay(service)
        _, page = await service.get("/api/v1/verdicts?limit=1000")

    assert (10, 0) == (again["accepted"], again["known"])
    assert {("verification-failed", "deadline_expired")} == _verdicts(still.values())
    assert [(10, 10), (0, 20)] == [(it["accepted"], it["known"]) for it in third]
    assert {("confirmed", "")} == _verdicts(latest.values())
    assert (0, 20) == (nothing["accepted"], nothing["known"])
    assert 30 == page["count"] == len({one["verdictKey"] for one in page["verdicts"]})
    suffixes = sorted(one["verdictKey"].partition(":again:")[2] for one in page["verdicts"])
    assert [""] * 10 + ["1"] * 10 + ["2"] * 10 == suffixes


async def test_some_of_them_are_named_by_what_they_are(tmp_path: Path) -> None:
    """By sensor, category, time, reason and number; the command asks the same."""
    async with _service(tmp_path, hangs=True, deadline_s=0.5) as service:
        await _shed(service)
        none = [
            await _replay(service, sensorId="another"),
            await _replay(service, category="another"),
            await _replay(service, to="2026-01-30T00:00:00Z"),
            await _replay(service, reasons=["overloaded"]),
        ]
        told = await _command("--url", service.url, "--sensor", "camera-1", "--json")
        some = await _replay(service, limit=3)
        status, _ = await service.post(PATH, {"reasons": ["vlm_timeout"]})

    assert [0] * 4 == [it["accepted"] for it in none]
    assert (3, "3 were taken in, and there are more.") == (some["accepted"], some["refused"])
    assert 422 == status
    assert 5 == told["accepted"]


async def test_the_command_says_when_nobody_answers() -> None:
    """And how to name another place."""
    with pytest.raises(SettingsError, match=r"Cannot reach http://127.0.0.1:9/.*--url"):
        await asyncio.to_thread(replay_shed, url="http://127.0.0.1:9")


async def _command(*arguments: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "replay-shed", *arguments),
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await process.communicate()
    return dict(orjson.loads(output))
