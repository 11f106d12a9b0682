"""More comes in than the model's server can do: what is late ends visibly, and cameras share."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

from harness import running

from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions


def _incident(name: str, sensor: str = "gate") -> dict[str, Any]:
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
        },
        "objectIds": [name],
    }


def _settings(url: str, places: int, **scheduling: Any) -> dict[str, Any]:
    return {
        "ab": {"primary": "reason2"},
        "arms": {"reason2": {"url": url, "evidence": "url"}},
        "media": {"allowed_networks": ["127.0.0.0/8"]},
        "verify": {"max_in_flight": places},
        "scheduling": scheduling,
    }


async def test_what_cannot_be_decided_in_time_ends_as_a_failure_with_its_reason(
    tmp_path: Path,
) -> None:
    """Every accepted event ends; those that are not looked at say so, and nothing waits on."""
    vlm = MockVlm(MockVlmOptions(latency_ms=100))
    settings = _settings(await vlm.start(), places=1, deadline_s=2)
    async with running(tmp_path, **settings) as service:
        names = [f"event-{number}" for number in range(80)]
        answers = await asyncio.gather(
            *(service.post("/api/v1/incidents", _incident(name)) for name in names)
        )
        verdicts = [await service.decided(name, timeout_s=40) for name in names]
        backlog = await service.app.ledger.backlog()
    await vlm.close()

    assert {202} == {status for status, _ in answers}
    ends = Counter(verdict["verdict"] for verdict in verdicts)
    reasons = {verdict["reason"] for verdict in verdicts if verdict["reason"]}
    codes = {
        verdict["event"]["info"]["verificationResponseCode"]
        for verdict in verdicts
        if verdict["reason"]
    }
    assert 0 < ends["confirmed"] < 80
    assert 80 == ends["confirmed"] + ends["verification-failed"]
    assert reasons <= {"overloaded", "deadline_expired"}
    assert {"503"} == codes
    assert 0 == backlog


async def test_a_camera_that_floods_the_service_waits_for_itself(tmp_path: Path) -> None:
    """Another camera's event, which comes after fifty of the flood, is decided before most."""
    vlm = MockVlm(MockVlmOptions(latency_ms=50))
    async with running(tmp_path, **_settings(await vlm.start(), places=1)) as service:
        flood = [f"flood-{number}" for number in range(50)]
        await asyncio.gather(
            *(service.post("/api/v1/incidents", _incident(name, "noisy")) for name in flood)
        )
        await service.post("/api/v1/incidents", _incident("quiet", "quiet"))
        decided = [await service.decided(name) for name in (*flood, "quiet")]
    await vlm.close()

    order = [it["id"] for it in sorted(decided, key=lambda it: str(it["decidedAt"]))]
    assert order.index("quiet") < 25


async def test_events_in_line_survive_a_stop(tmp_path: Path) -> None:
    """They were never taken, so the next start decides them, at their first attempt."""
    slow = MockVlm(MockVlmOptions(latency_ms=60_000))
    settings = {**_settings(await slow.start(), places=1), "http": {"shutdown_grace_s": 0}}
    names = [f"event-{number}" for number in range(5)]
    async with running(tmp_path, **settings) as service:
        for name in names:
            await service.post("/api/v1/incidents", _incident(name))
        await slow.wait_for_in_flight(1)
    await slow.close()
    vlm = MockVlm()
    async with running(tmp_path, **_settings(await vlm.start(), places=1)) as service:
        verdicts = [await service.decided(name) for name in names]
    await vlm.close()

    assert ["confirmed"] * 5 == [verdict["verdict"] for verdict in verdicts]
    assert {"1"} == {verdict["event"]["info"]["sidecarAttempt"] for verdict in verdicts}
