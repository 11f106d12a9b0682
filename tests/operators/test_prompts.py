"""Prompts as operators edit, try, publish and roll back."""

import asyncio
import json
from pathlib import Path
from typing import Any

from harness import Running, running
from two_arms import DEAD, NANO, R2, Arms, arm_settings, two_arms

from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

COLLISION = "/api/v1/prompts/collision"


async def send(
    service: Running, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, Any, str]:
    url = service.url + path
    async with service.client.request(method, url, json=body, headers=headers) as answer:
        found = await answer.read()
        return answer.status, json.loads(found), answer.headers.get("ETag", "")


async def tried(service: Running, **body: Any) -> list[dict[str, Any]]:
    """Try a prompt and return the lines that come."""
    async with service.client.post(f"{service.url}{COLLISION}/try", json=body) as answer:
        assert 200 == answer.status, await answer.text()
        assert "application/x-ndjson" == answer.content_type
        return [json.loads(line) async for line in answer.content]


async def test_a_prompt_is_edited_and_rolled_back(tmp_path: Path) -> None:
    """Each is a new version; the one that events are asked by is the newest."""
    async with running(tmp_path) as service:
        _, first, tag = await send(service, "GET", COLLISION)
        _, second, _ = await send(
            service, "PUT", COLLISION, {"user": "Crash?"}, **{"If-Match": tag}
        )
        late = await send(service, "PUT", COLLISION, {"user": "Boom?"}, **{"If-Match": tag})
        back = await send(service, "POST", f"{COLLISION}/rollback", {"version": 1})
        _, told, _ = await send(service, "GET", f"{COLLISION}/versions")
        _, listed, _ = await send(service, "GET", "/api/v1/prompts")
        config = await service.app.prompts.find("collision")
        _, audit, _ = await send(service, "GET", "/api/v1/audit")

    assert ('"1"', 1) == (tag, first["version"])
    assert (2, "Crash?", first["system"]) == (second["version"], second["user"], second["system"])
    assert (409, "version_conflict") == (late[0], late[1]["error"])
    assert (200, 3, first["user"], '"3"') == (
        back[0],
        back[1]["version"],
        back[1]["user"],
        back[2],
    )
    assert (3, [3, 2, 1]) == (told["current"], [it["version"] for it in told["versions"]])
    assert back[1]["user"] in [it["user"] for it in listed["prompts"]]
    assert config is not None
    assert 3 == config.version
    assert "version 1 again" == audit["entries"][0]["reason"]


async def test_wrong_requests_about_prompts_say_what_to_do(tmp_path: Path) -> None:
    """Unknown types and versions, empty texts, a version that is no number."""
    async with running(tmp_path) as service:
        answers = [
            await send(service, "GET", "/api/v1/prompts/nothing"),
            await send(service, "GET", "/api/v1/prompts/nothing/versions"),
            await send(service, "PUT", "/api/v1/prompts/nothing", {"user": "x"}),
            await send(service, "POST", f"{COLLISION}/rollback", {"version": 9}),
            await send(service, "PUT", COLLISION, {"user": ""}),
            await send(service, "PUT", COLLISION, {"user": "x"}, **{"If-Match": '"new"'}),
            await send(service, "POST", f"{COLLISION}/try", {"prompt": {"user": "x"}, "last": 51}),
            await send(
                service, "POST", f"{COLLISION}/try", {"prompt": {"user": "x"}, "arm": "gpt"}
            ),
        ]
        await service.client.delete(service.url + "/api/v1/verification/config/collision")
        _, gone, _ = await send(service, "GET", f"{COLLISION}/versions")

    assert [404, 404, 404, 404, 422, 422, 422, 404] == [status for status, _, _ in answers]
    assert "has no version 9" in answers[3][1]["message"]
    assert (None, 1) == (gone["current"], len(gone["versions"]))


def by_prompt(body: Any) -> ScriptedAnswer:
    """Say yes to what the alert type asks, and no to what is tried on every other camera."""
    text = json.dumps(body["messages"])
    is_no = "strictly" in text and ("camera-1" in text or "camera-3" in text)
    return ScriptedAnswer("No." if is_no else "Yes.")


async def test_a_prompt_is_tried_on_the_latest_events_of_its_type(tmp_path: Path) -> None:
    """Against what the version in force says and against labels, and published by nobody."""
    model = MockVlm(MockVlmOptions(choose=by_prompt))
    sections: dict[str, Any] = {
        "arms": {R2: arm_settings(await model.start())},
        "ab": {"primary": R2},
        "media": {"allowed_networks": ["127.0.0.0/8"]},
        "verify": {"ask_again": False},
    }
    prompt = {"user": "Look strictly: did {sensorId} see a collision? Yes or no."}
    async with running(tmp_path, **sections) as service:
        arms = Arms(service, {R2: model})
        for number in range(4):
            await arms.info(number)
        for number, truth in ((1, False), (2, True), (3, True)):
            path = f"/api/v1/verdicts/event-{number}/label"
            await service.put(path, {"truth": truth})
        lines = await tried(service, prompt=prompt, last=3)
        await send(service, "PUT", COLLISION, {"user": "Is there a crash?"})
        again = await tried(service, prompt=prompt, last=1)
        _, verdicts = await service.get("/api/v1/verdicts")
    await model.close()

    *clips, summary = lines
    assert ["event-3", "event-2", "event-1"] == [it["id"] for it in clips]
    assert [("confirmed", "rejected", False), ("confirmed", "confirmed", True)] == [
        (it["current"]["verdict"], it["tried"]["verdict"], it["agrees"]) for it in clips[:2]
    ]
    assert {"published"} == {it["current"]["source"] for it in clips}
    assert {
        "kind": "summary",
        "version": 1,
        "of": 3,
        "tried": 3,
        "skipped": 0,
        "compared": 3,
        "agreed": 1,
        "labelled": 3,
        "currentRight": 2,
        "triedRight": 2,
    } == summary
    assert ("asked", 2) == (again[0]["current"]["source"], again[1]["version"])
    assert 4 == verdicts["count"]


async def test_a_trial_whose_reader_leaves_gives_its_place_back(tmp_path: Path) -> None:
    """The next one finds it; while it is taken, others are told to wait."""
    async with two_arms(tmp_path, trials={"max_in_flight": 1}) as arms:
        service = arms.service
        await arms.info()
        await arms.gate(R2, "close")
        slots = service.app.faces.operators.trials.slots
        reading = asyncio.create_task(tried(service, prompt={"user": "Is it?"}))
        async with asyncio.timeout(10):
            while not slots.taken:
                await asyncio.sleep(0.01)
        refused = await send(service, "POST", f"{COLLISION}/try", {"prompt": {"user": "x"}})
        reading.cancel()
        async with asyncio.timeout(10):
            while slots.taken:
                await asyncio.sleep(0.01)
        await arms.gate(R2, "open")
        lines = await tried(service, prompt={"user": "Is it?"}, arm=NANO)

    assert (503, "overloaded") == (refused[0], refused[1]["error"])
    assert (NANO, "rejected") == (lines[0]["arm"], lines[0]["tried"]["verdict"])


async def test_events_that_cannot_be_asked_about_are_skipped(tmp_path: Path) -> None:
    """Each with its reason; the summary counts them, and a failing arm gives no verdict."""
    sections: dict[str, Any] = {"arms": {R2: arm_settings(DEAD)}, "ab": {"primary": R2}}
    alert = {
        "id": "old",
        "@timestamp": "2026-01-31T08:00:00Z",
        "sensor_id": "camera-1",
        "video_path": "nowhere.mp4",
        "alert": {"severity": "LOW", "status": "ACTIVE", "type": "collision", "description": "d"},
        "event": {"type": "collision", "description": "d"},
        "vss_params": {"vlm_params": {"prompt": "Is it?"}, "do_verification": True},
    }
    async with running(tmp_path, **sections) as service:
        await service.verdict_on(
            {
                "id": "new",
                "sensorId": "camera-2",
                "timestamp": "2026-01-31T08:00:00.000Z",
                "end": "2026-01-31T08:00:10.000Z",
                "category": "collision",
                "info": {"video_path": "gone.mp4"},
            }
        )
        await service.post("/api/v1/alerts", alert)
        await service.decided("old")
        skipped, failed, summary = await tried(service, prompt={"user": "Is it?"})

    assert ("skipped", "old") == (skipped["kind"], skipped["id"])
    assert "VSS 2.4" in skipped["reason"]
    assert ("verification-failed", None) == (failed["tried"]["verdict"], failed["agrees"])
    assert (1, 1, 0) == (summary["tried"], summary["skipped"], summary["compared"])
