"""The HTTP door over a real socket: VSS's shapes, errors, reading and following verdicts."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from harness import Running, running
from payloads import BEHAVIOR, ON_DEMAND

from sidecar.testing.media import write_motion, write_still


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[Running]:
    write_motion(tmp_path / "moving.mp4", seconds=2, fps=10, width=160, height=120)
    write_still(tmp_path / "still.mp4")
    async with running(tmp_path, media={"allowed_roots": [tmp_path]}) as it:
        yield it


def _motion(number: int = 0, clip: str = "moving.mp4", **change: Any) -> dict[str, Any]:
    return {
        "id": f"event-{number}",
        "sensorId": f"camera-{number}",
        "timestamp": f"2026-01-31T08:00:{number:02d}.000Z",
        "end": "2026-01-31T08:05:00.000Z",
        "category": "motion",
        "info": {"video_path": clip},
        **change,
    }


async def test_an_accepted_incident_is_answered_as_vss_does(service: Running) -> None:
    """202 with the four keys of AlertSubmissionResponse."""
    status, answer = await service.post("/api/v1/incidents", _motion())

    assert 202 == status
    assert {"status": "accepted", "id": "event-0", "message": "Incident queued for processing"} == {
        key: value for key, value in answer.items() if key != "timestamp"
    }
    assert answer["timestamp"].endswith("Z")


async def test_real_pixels_decide(service: Running) -> None:
    """The built-in arm confirms motion and rejects a still, without any configuration."""
    moving = await service.verdict_on(_motion(1))
    still = await service.verdict_on(_motion(2, "still.mp4"))

    assert ("confirmed", "rejected") == (moving["info"]["verdict"], still["info"]["verdict"])
    assert "not a VLM" in moving["info"]["reasoning"]


async def test_an_alert_is_verified_too(service: Running) -> None:
    """nv.Behavior takes the same way."""
    alert = {**BEHAVIOR, "analyticsModule": {"id": "motion"}, "videoPath": "moving.mp4"}
    status, answer = await service.post("/api/v1/alerts", alert)
    verdict = await service.decided("alert-12345")

    assert (202, "Alert queued for processing") == (status, answer["message"])
    assert ("alert", "confirmed") == (verdict["kind"], verdict["verdict"])


async def test_a_verdict_is_found_by_each_of_its_names(service: Running) -> None:
    """The returned id, the Id of the document and the verdict key."""
    await service.post("/api/v1/incidents", _motion())
    verdict = await service.decided("event-0")

    assert verdict == await service.decided(verdict["Id"])
    assert verdict == await service.decided(verdict["verdictKey"])


async def test_an_exact_duplicate_gets_the_stored_answer(service: Running) -> None:
    """The second submission is accepted, decided already, and known under its own id too."""
    await service.post("/api/v1/incidents", _motion())
    first = await service.decided("event-0")
    await service.post("/api/v1/incidents", {**_motion(), "id": "again"})
    second = await service.decided("again")
    _, listed = await service.get("/api/v1/verdicts")

    assert first["decidedAt"] == second["decidedAt"]
    assert 1 == listed["count"]


async def test_a_later_update_is_a_new_verdict_under_the_same_id(service: Running) -> None:
    """An incident that is complete now is looked at again."""
    await service.post("/api/v1/incidents", _motion())
    first = await service.decided("event-0")
    update = _motion(id="update", info={"video_path": "moving.mp4", "isComplete": "true"})
    await service.post("/api/v1/incidents", update)
    second = await service.decided("update")

    assert first["Id"] == second["Id"]
    assert first["verdictKey"] != second["verdictKey"]
    assert second == await service.decided(first["Id"])


async def test_on_demand_verifies_the_named_media(service: Running) -> None:
    """202 with a correlation id under which the verdict is found."""
    status, answer = await service.post("/api/v1/verification/ondemand", ON_DEMAND)
    verdict = await service.decided("incident-123")

    assert (202, "incident-123") == (status, answer["correlationId"])
    assert "verification-failed" == verdict["verdict"]
    assert "media_forbidden" == verdict["reason"]


async def test_on_demand_needs_a_known_category(service: Running) -> None:
    """400 as VSS answers, and nothing is accepted."""
    status, answer = await service.post(
        "/api/v1/verification/ondemand", {**ON_DEMAND, "category": "unknown_type"}
    )

    assert (400, "unknown_category", "No alert config found for category 'unknown_type'") == (
        status,
        answer["error"],
        answer["message"],
    )
    assert (404, "not_found") == _brief(await service.get("/api/v1/verdicts/incident-123"))


def _brief(answer: tuple[int, Any]) -> tuple[int, str]:
    return answer[0], answer[1]["error"]


@pytest.mark.parametrize(
    ("path", "body", "status", "error", "kind"),
    [
        ("incidents", b"{", 422, "validation_failed", "json_invalid"),
        ("incidents", b"", 422, "validation_failed", "missing"),
        ("incidents", b"[]", 422, "validation_failed", "json_object_expected"),
        ("incidents", b'{"a":NaN}', 422, "validation_failed", "json_invalid"),
        (
            "incidents",
            b'{"a":' * 40 + b"1" + b"}" * 40,
            422,
            "validation_failed",
            "nesting_too_deep",
        ),
        ("incidents", b"{}", 422, "validation_failed", "missing"),
        ("alerts", b"{}", 422, "validation_failed", "missing"),
        ("verification/ondemand", b"{}", 422, "validation_failed", "missing"),
        ("verification/config", b"{}", 422, "validation_failed", "missing"),
        ("incidents", b" " * 2_000_000, 413, "body_too_large", ""),
    ],
)
async def test_bad_bodies_are_refused_in_vss_shape(
    service: Running, path: str, body: bytes, status: int, error: str, kind: str
) -> None:
    """status, error, message and timestamp always; details where fields are wrong."""
    answered, answer = await service.post_bytes(f"/api/v1/{path}", body)

    assert (status, "error", error) == (answered, answer["status"], answer["error"])
    assert {"status", "error", "message", "timestamp"} <= answer.keys()
    assert kind == (answer["details"][0]["type"] if kind else "")


async def test_a_body_of_100_mb_is_refused_without_being_read(service: Running) -> None:
    """The refusal comes although the body never does."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rpartition(":")[2]))
    writer.write(
        b"POST /api/v1/incidents HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: 104857600\r\n\r\n" + b"{" * 1000
    )
    async with asyncio.timeout(5):
        line = await reader.readline()
    writer.close()
    await writer.wait_closed()

    assert line.startswith(b"HTTP/1.1 413 ")


async def test_unknown_routes_and_methods_have_the_same_error_shape(service: Running) -> None:
    """A caller needs one error parser."""
    assert (404, "not_found") == _brief(await service.get("/api/v2/nothing"))
    async with service.client.delete(service.url + "/api/v1/incidents") as answer:
        assert (405, "method_not_allowed") == (answer.status, (await answer.json())["error"])


async def test_verdicts_are_listed_by_sensor_time_category_and_outcome(service: Running) -> None:
    """Each filter narrows the list; newest first."""
    for number in range(4):
        await service.verdict_on(_motion(number, "still.mp4" if number == 3 else "moving.mp4"))

    async def ids(query: str) -> list[str]:
        _, answer = await service.get(f"/api/v1/verdicts?{query}")
        return [verdict["id"] for verdict in answer["verdicts"]]

    assert ["event-3", "event-2", "event-1", "event-0"] == await ids("")
    assert ["event-2"] == await ids("sensorId=camera-2")
    assert ["event-3"] == await ids("verdict=rejected")
    assert [] == await ids("category=fire")
    assert ["event-2", "event-1"] == await ids("from=2026-01-31T08:00:01Z&to=2026-01-31T08:00:02Z")


async def test_pages_join_without_gap_or_overlap(service: Running) -> None:
    """NextCursor leads through all verdicts and ends."""
    for number in range(5):
        await service.verdict_on(_motion(number))
    found: list[str] = []
    cursor = ""
    while cursor is not None:
        _, page = await service.get(f"/api/v1/verdicts?limit=2{cursor and '&cursor=' + cursor}")
        found += [verdict["id"] for verdict in page["verdicts"]]
        cursor = page["nextCursor"]

    assert [f"event-{number}" for number in (4, 3, 2, 1, 0)] == found


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "cursor=x", "verdict=maybe", "from=2026-01-31T08:00:00", "to=x"],
)
async def test_wrong_query_parameters_are_refused(service: Running, query: str) -> None:
    """422 in the one error shape."""
    status, answer = await service.get(f"/api/v1/verdicts?{query}")

    assert (422, "validation_failed") == (status, answer["error"])
    assert answer["details"][0]["field"].startswith("query.")


async def test_the_stream_resumes_behind_the_last_event_id(service: Running) -> None:
    """A client that was away misses nothing and sees nothing twice."""
    for number in range(3):
        await service.verdict_on(_motion(number))

    first = await _stream(service, 1, {"Last-Event-ID": "0"})
    rest = await _stream(service, 2, {"Last-Event-ID": str(first[0][0])})

    assert ["event-0"] == [verdict["id"] for _, verdict in first]
    assert ["event-1", "event-2"] == [verdict["id"] for _, verdict in rest]


async def test_the_stream_brings_new_verdicts_at_once(service: Running) -> None:
    """Without Last-Event-ID it starts with the next verdict."""
    await service.verdict_on(_motion(0))
    following = asyncio.create_task(_stream(service, 1, {}))
    await asyncio.sleep(0.3)
    await service.post("/api/v1/incidents", _motion(1))
    ((_, verdict),) = await following

    assert "event-1" == verdict["id"]


async def _stream(
    service: Running, count: int, headers: dict[str, str]
) -> list[tuple[int, dict[str, Any]]]:
    found: list[tuple[int, dict[str, Any]]] = []
    seq, verdict = 0, {}
    url = service.url + "/api/v1/verdicts/stream"
    async with asyncio.timeout(10), service.client.get(url, headers=headers) as answer:
        assert answer.content_type == "text/event-stream"
        async for line in answer.content:
            if line.startswith(b"id:"):
                seq = int(line[3:])
            elif line.startswith(b"data:"):
                verdict = json.loads(line[5:])
            elif line == b"\n" and verdict:
                found.append((seq, verdict))
                verdict = {}
            if len(found) == count:
                break
    return found


async def test_alert_types_are_edited_through_vss_api(service: Running) -> None:
    """Create, read, update, list, delete with VSS's bodies and statuses."""
    path = "/api/v1/verification/config"
    created = await service.post(path, {"alert_type": "Vandalism", "prompt": "Is it?"})
    again = await service.post(path, {"alert_type": "vandalism", "prompt": "Is it?"})
    async with service.client.put(
        f"{service.url}{path}/vandalism", json={"prompt": "Is it now?"}
    ) as answer:
        updated = answer.status, await answer.json()
    _, listed = await service.get(path)
    async with service.client.delete(f"{service.url}{path}/vandalism") as answer:
        deleted = answer.status, await answer.json()

    assert 201 == created[0]
    assert (409, "already_exists") == _brief(again)
    assert (200, "Is it now?") == (updated[0], updated[1]["prompt"])
    assert "Vandalism" in [config["alert_type"] for config in listed["configs"]]
    assert listed["count"] == len(listed["configs"])
    assert (200, {"status": "success", "message": "Config 'vandalism' deleted"}) == deleted
    assert (404, "not_found") == _brief(await service.get(f"{path}/vandalism"))


async def test_the_verdict_names_the_prompt_version(service: Running) -> None:
    """After an edit, verdicts name the new version."""
    before = await service.verdict_on(_motion(0))
    url = f"{service.url}/api/v1/verification/config/motion"
    async with service.client.put(url, json={"prompt": "Does anything move?"}) as answer:
        assert answer.status == 200
    after = await service.verdict_on(_motion(1))

    assert ("motion@1", "motion@2") == (
        before["info"]["sidecarPromptVersion"],
        after["info"]["sidecarPromptVersion"],
    )


async def test_an_event_without_a_prompt_ends_visibly(service: Running) -> None:
    """VSS drops it; here it has a terminal state that says what to do."""
    document = await service.verdict_on(_motion(category="never heard of"))

    assert ("no_prompt", "verification-failed") == (
        document["info"]["sidecarReason"],
        document["info"]["verdict"],
    )
    assert "POST /api/v1/verification/config" in document["info"]["verificationResponseStatus"]


async def test_health_and_readiness_speak_as_vss(service: Running) -> None:
    """Same keys and texts, plus the parts."""
    health, ready = await service.get("/health"), await service.get("/ready")
    alerts = await service.get("/api/v1/alerts/health")

    assert (200, "ok", "Alert Bridge is running") == (
        health[0],
        health[1]["status"],
        health[1]["message"],
    )
    assert (200, "ok") == (ready[0], ready[1]["status"])
    assert {"ledger", "arms"} <= ready[1]["components"].keys()
    assert (200, "alert-submission") == (alerts[0], alerts[1]["service"])


async def test_the_service_is_not_ready_while_its_model_does_not_answer(tmp_path: Path) -> None:
    """Readiness names the part; liveness is not touched."""
    arms = {"reason2": {"url": "http://127.0.0.1:9/v1"}}
    async with running(tmp_path, arms=arms, ab={"primary": "reason2"}) as service:
        status, answer = await service.get("/ready")

        assert (503, "not_ready") == (status, answer["status"])
        assert "arm reason2" in answer["message"]
        assert 200 == (await service.get("/health"))[0]


async def test_the_api_describes_itself(service: Running) -> None:
    """Every reference in the OpenAPI document resolves."""
    _, document = await service.get("/openapi.json")
    text = json.dumps(document)
    names = {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}

    assert names <= document["components"]["schemas"].keys()
    assert {"/api/v1/alerts", "/api/v1/incidents", "/api/v1/verdicts/stream"} <= (
        document["paths"].keys()
    )


async def test_unknown_fields_travel_through(service: Running) -> None:
    """What we do not know is published as it came."""
    document = await service.verdict_on({**_motion(), "vendor": {"deep": [1, None]}})

    assert {"deep": [1, None]} == document["vendor"]
