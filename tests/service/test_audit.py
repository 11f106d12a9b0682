"""The audit trail as an administrator reads it."""

from pathlib import Path
from typing import Any

import pytest
from harness import Running, running
from live import FIELDS

from sidecar.testing.fake_rtvi import FakeRtvi

CONFIG = {"alert_type": "queueing", "prompt": "Do people queue? Answer yes or no."}
PATH = "/api/v1/verification/config"


async def _change(
    service: Running, method: str, path: str, body: Any = None, reason: str | None = None
) -> int:
    headers = {} if reason is None else {"X-Sidecar-Reason": reason}
    url = service.url + path
    async with service.client.request(method, url, json=body, headers=headers) as answer:
        await answer.read()
        return answer.status


async def _entries(service: Running, query: str = "") -> list[dict[str, Any]]:
    status, page = await service.get(f"/api/v1/audit{query}")
    assert 200 == status, page
    return [entry for entry in page["entries"] if entry["actor"] != "settings"]


async def test_edits_of_alert_types_are_told_newest_first(tmp_path: Path) -> None:
    """Each edit says what was there before, what is there now, and why it was made."""
    async with running(tmp_path) as service:
        statuses = [
            await _change(service, "POST", PATH, CONFIG),
            await _change(
                service, "PUT", f"{PATH}/queueing", {"prompt": "Sits there?"}, "zu viele Fehler ✓"
            ),
            await _change(service, "DELETE", f"{PATH}/queueing"),
            await _change(service, "DELETE", f"{PATH}/queueing"),
        ]
        deleted, replaced, created = await _entries(service)

    assert [201, 200, 200, 404] == statuses
    assert ["alert_config.create", "alert_config.replace", "alert_config.delete"] == [
        entry["action"] for entry in (created, replaced, deleted)
    ]
    assert (None, CONFIG["prompt"]) == (created["before"], created["after"]["prompt"])
    assert created["after"] == replaced["before"]
    assert ("Sits there?", "zu viele Fehler ✓") == (
        replaced["after"]["prompt"],
        replaced["reason"],
    )
    assert (replaced["after"], None) == (deleted["before"], deleted["after"])


async def test_rules_are_told_without_the_credentials_of_cameras(tmp_path: Path) -> None:
    """Passwords stay out of the trail, in fields and in URLs."""
    rule = {**FIELDS, "live_stream_url": "rtsp://admin:hunter2@camera/1", "password": "hunter2"}
    async with FakeRtvi() as rtvi:
        realtime = {"base_url": rtvi.url, "captions_ack_s": 0.3, "readiness_wait_s": 0.05}
        async with running(tmp_path, realtime=realtime) as service:
            _, answer = await service.post("/api/v1/realtime", rule)
            await _change(service, "DELETE", f"/api/v1/realtime/{answer['id']}")
            deleted, created = await _entries(service)

    assert ["realtime_rule.create", "realtime_rule.delete"] == [
        created["action"],
        deleted["action"],
    ]
    assert {answer["id"]} == {created["target"], deleted["target"]}
    assert "rtsp://***@camera/1" == created["after"]["live_stream_url"]
    assert "hunter2" not in str([created, deleted])


async def test_a_rule_that_could_not_be_started_is_not_told(tmp_path: Path) -> None:
    """Nothing was changed, so nothing is recorded."""
    async with running(tmp_path) as service:
        status, _ = await service.post("/api/v1/realtime", FIELDS)
        entries = await _entries(service)

    assert (502, []) == (status, entries)


async def test_long_trails_are_read_page_by_page(tmp_path: Path) -> None:
    """`nextCursor` leads to older entries until there are none."""
    async with running(tmp_path) as service:  # whose first start is the first entry
        await _change(service, "POST", PATH, CONFIG)
        for number in range(2):
            await _change(service, "PUT", f"{PATH}/queueing", {"prompt": f"Question {number}?"})
        _, first = await service.get("/api/v1/audit?limit=3")
        _, second = await service.get(f"/api/v1/audit?limit=3&cursor={first['nextCursor']}")

    assert [4, 3, 2, 1] == [entry["seq"] for entry in (*first["entries"], *second["entries"])]
    assert (3, 1, None) == (first["count"], second["count"], second["nextCursor"])


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "cursor=0", "cursor=x"])
async def test_wrong_pages_are_refused(tmp_path: Path, query: str) -> None:
    """The answer names the parameter."""
    async with running(tmp_path) as service:
        status, body = await service.get(f"/api/v1/audit?{query}")

    assert 422 == status
    assert body["details"][0]["field"].endswith(query.partition("=")[0])


async def test_a_reason_has_a_limit(tmp_path: Path) -> None:
    """A reason is a sentence, not a file."""
    async with running(tmp_path) as service:
        status = await _change(service, "POST", PATH, CONFIG, "x" * 1001)
        entries = await _entries(service)

    assert (422, []) == (status, entries)
