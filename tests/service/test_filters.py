"""Updates of an event as their sender and the operator see them."""

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from harness import Running, running

from sidecar.testing.media import write_motion, write_still


@pytest.fixture
async def folder(tmp_path: Path) -> Path:
    write_motion(tmp_path / "moving.mp4", seconds=2, fps=10, width=160, height=120)
    write_still(tmp_path / "still.mp4")
    return tmp_path


@pytest.fixture
async def service(folder: Path) -> AsyncGenerator[Running]:
    async with started(folder) as it:
        yield it


def started(folder: Path, **filters: Any) -> Any:
    return running(folder, media={"allowed_roots": [folder]}, filters=filters)


def update(second: int, clip: str = "still.mp4", **changes: Any) -> dict[str, Any]:
    return {
        "id": "event",
        "sensorId": "gate-1",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": f"2026-01-31T08:00:{second:02d}.000Z",
        "category": "motion",
        "objectIds": ["1"],
        "info": {"video_path": clip},
        **changes,
    }


async def submit(service: Running, event: dict[str, Any]) -> str:
    status, answer = await service.post("/api/v1/incidents", event)
    assert 202 == status, answer
    assert "accepted" == answer["status"]
    return str(answer["message"])


def counted(service: Running, name: str, **labels: str) -> float:
    value = service.app.meter.registry.get_sample_value(f"alert_bridge_{name}_total", labels)
    assert value is not None, name
    return value


async def test_an_update_is_answered_as_vss_does_with_the_reason(service: Running) -> None:
    """202; the message says that it is not verified, and why."""
    first = await submit(service, update(1))
    second = await submit(service, update(9))

    assert "Incident queued for processing" == first
    expected = "Incident dropped by filter dedup: the same event was accepted 0 s ago"
    assert expected == second


async def test_the_verdict_under_a_dropped_id_is_that_of_the_earlier_event(
    service: Running,
) -> None:
    """An id that only the dropped update had is not known."""
    verdict = await service.verdict_on(update(1))
    await submit(service, update(8))
    await submit(service, update(9, id="another"))
    status, found = await service.get("/api/v1/verdicts/event")

    assert (200, verdict) == (status, found["event"])
    assert 404 == (await service.get("/api/v1/verdicts/another"))[0]


async def test_the_same_event_is_queued_again_as_far_as_its_sender_sees(service: Running) -> None:
    """Whoever repeats a request whose answer got lost gets the answer."""
    answers = [await submit(service, update(1)) for _ in range(2)]

    assert ["Incident queued for processing"] * 2 == answers


async def test_an_update_is_verified_again_when_the_time_is_over(folder: Path) -> None:
    """Its verdict takes the place of the earlier one."""
    async with started(folder, dedup_ttl_s=0.001) as service:
        first = await service.verdict_on(update(1))
        message = await submit(service, update(9, "moving.mp4"))
        while (second := (await service.decided("event"))["event"]) == first:
            await asyncio.sleep(0.02)

    assert "Incident queued for processing" == message
    assert ("rejected", "confirmed") == (first["info"]["verdict"], second["info"]["verdict"])
    assert first["Id"] == second["Id"]


async def test_filters_remember_across_a_restart(folder: Path) -> None:
    """The next process drops the update, by what is in the ledger."""
    async with started(folder) as service:
        await service.verdict_on(update(1))
    async with started(folder) as service:
        message = await submit(service, update(9))

    assert message.startswith("Incident dropped by filter dedup")


async def test_a_confirmed_event_is_not_verified_again(folder: Path) -> None:
    """As VSS's shipped settings have it: short dedup, end-time delta, confirmed ones protected."""
    shipped = {
        "dedup_ttl_s": 0.001,
        "end_time_delta": {"enabled": True, "threshold_s": 3},
        "protect_confirmed": {"enabled": True},
    }
    async with started(folder, **shipped) as service:
        await service.verdict_on(update(10, "moving.mp4"))
        close = await submit(service, update(12))
        far = await submit(service, update(30))

    assert close.startswith("Incident dropped by filter end_time_delta: the same event with nearly")
    assert far.startswith("Incident dropped by filter confirmed: it was confirmed")


async def test_every_event_is_counted_once(folder: Path) -> None:
    """VSS's identities: events = dropped + after_dedup; after_dedup = decided + skipped."""
    chosen = {
        "dedup_ttl_s": 0.001,
        "end_time_delta": {"enabled": True},
        "protect_confirmed": {"enabled": True},
        "verify_only_finished_events": True,
    }
    complete = {"video_path": "moving.mp4", "isComplete": "true"}
    events = [
        update(10),
        update(10, info=complete),
        update(10, info=complete),
        update(11, info=complete),
        update(30, info=complete),
        update(30, info=complete, sensorId="gate-2", id="second"),
    ]
    async with started(folder, **chosen) as service:
        for event in events:
            await submit(service, event)
            if (await service.get(f"/api/v1/verdicts/{event['id']}"))[0] == 202:
                await service.decided(event["id"])
    reasons = ("end_time_delta", "dedup", "rate_limit")
    dropped = {one: counted(service, "events_dropped", reason=one) for one in reasons}
    verdicts = ("confirmed", "rejected", "verification-failed", "unknown")
    decided = sum(counted(service, "events", verdict=one) for one in verdicts)
    skipped = counted(service, "events_skipped_confirmed")
    after_dedup = counted(service, "events_after_dedup")

    assert {"end_time_delta": 1, "dedup": 2, "rate_limit": 0} == dropped
    assert (2, 1) == (decided, skipped)
    assert len(events) == sum(dropped.values()) + after_dedup
    assert after_dedup == decided + skipped


async def test_on_demand_requests_are_always_taken(folder: Path) -> None:
    """Filters are for the pipeline."""
    async with started(folder, verify_only_finished_events=True) as service:
        request = {
            "category": "motion",
            "info": {"media_urls": ["http://127.0.0.1:9/clip.mp4"], "media_type": "video"},
            "sensorId": "gate-1",
            "timestamp": "2026-01-31T08:00:00Z",
        }
        answers = [await service.post("/api/v1/verification/ondemand", request) for _ in range(2)]

    assert [202, 202] == [status for status, _ in answers]
    assert 2 == len({answer["correlationId"] for _, answer in answers})
