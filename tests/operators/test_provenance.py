"""Where a verdict comes from, as the API tells it."""

from pathlib import Path
from typing import Any

from harness import running
from two_arms import NO, R2, YES, incident, two_arms

from sidecar.testing.media import write_motion

PROMPT = "/api/v1/verification/config/collision"


def local_motion(number: int = 0) -> dict[str, Any]:
    """An incident about a local clip, for the arm that needs no server."""
    media = {"video_path": "clip.mp4"}
    return incident(number, category="motion", info=media)


async def test_what_the_document_does_not_say_is_told(tmp_path: Path) -> None:
    """Stages in their order, what the model said, what each arm said, the labels, the prompt."""
    async with two_arms(tmp_path) as arms:
        info = await arms.info()
        await arms.service.put("/api/v1/verdicts/event-0/label", {"truth": True, "note": "seen"})
        status, found = await arms.service.get("/api/v1/verdicts/event-0/provenance")

    stages = [it["stage"] for it in found["timeline"]]
    after = [it["afterMs"] for it in found["timeline"]]
    assert 200 == status
    assert ["accepted", "taken_up", "clip", "shown", "answered", "decided"] == stages
    assert sorted(after) == after
    assert ["Yes."] == [answer["text"] for answer in found["answers"]]
    assert [R2] == [arm["arm"] for arm in found["arms"]]
    assert [(True, "seen")] == [(it["truth"], it["note"]) for it in found["labels"]]
    assert info["sidecarPromptVersion"] == (
        f"{found['prompt']['alertType']}@{found['prompt']['version']}"
    )
    assert (R2, info["sidecarModel"], 1) == (found["arm"], found["model"], found["attempts"])


async def test_the_prompt_that_was_asked_is_told_after_it_was_edited(tmp_path: Path) -> None:
    """With the one in force, and that they differ; also when the alert type is gone."""
    async with two_arms(tmp_path) as arms:
        await arms.info()
        _, same = await arms.service.get("/api/v1/verdicts/event-0/provenance")
        await arms.service.put(PROMPT, {"prompt": "Did it crash?"})
        _, edited = await arms.service.get("/api/v1/verdicts/event-0/provenance")
        async with arms.service.client.delete(arms.service.url + PROMPT):
            pass
        _, gone = await arms.service.get("/api/v1/verdicts/event-0/provenance")

    first = same["prompt"]["asked"]
    assert (first, False) == (same["prompt"]["current"], same["prompt"]["differs"])
    assert (first, True) == (edited["prompt"]["asked"], edited["prompt"]["differs"])
    assert (2, "Did it crash?") == (
        edited["prompt"]["current"]["version"],
        edited["prompt"]["current"]["user"],
    )
    assert (first, None, True) == (
        gone["prompt"]["asked"],
        gone["prompt"]["current"],
        gone["prompt"]["differs"],
    )


async def test_a_failure_tells_why_and_how_far_it_came(tmp_path: Path) -> None:
    """A server that is away: the clip was found, nobody answered."""
    async with two_arms(tmp_path, dead=(R2,), reason2=(YES,), nano=(NO,)) as arms:
        await arms.info()
        _, found = await arms.service.get("/api/v1/verdicts/event-0/provenance")

    assert ("verification-failed", "vlm_connection_error") == (found["verdict"], found["reason"])
    assert "answered" not in [it["stage"] for it in found["timeline"]]
    assert [] == found["answers"]


async def test_deliveries_that_were_not_made_are_told(tmp_path: Path) -> None:
    """With what the sink's server last said."""
    write_motion(tmp_path / "clip.mp4", seconds=1, fps=4, width=64, height=64)
    sinks = {"webhook": {"url": "http://127.0.0.1:9/"}, "max_attempts": 1}
    async with running(tmp_path, media={"allowed_roots": [tmp_path]}, sinks=sinks) as service:
        await service.verdict_on(local_motion())
        found: dict[str, Any] = {"deliveries": [{"state": "waiting"}]}
        while found["deliveries"][0]["state"] == "waiting":
            _, found = await service.get("/api/v1/verdicts/event-0/provenance")

    [delivery] = found["deliveries"]
    assert ("webhook", "dead", 1) == (delivery["sink"], delivery["state"], delivery["attempts"])
    assert delivery["error"]


async def test_an_event_without_a_verdict_has_no_provenance(tmp_path: Path) -> None:
    """404 says so."""
    async with running(tmp_path) as service:
        status, body = await service.get("/api/v1/verdicts/nobody/provenance")

    assert (404, "not_found") == (status, body["error"])
