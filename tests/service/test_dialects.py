"""The same event through every kind of server: constrained where it binds, never refused."""

from pathlib import Path
from typing import Any

import orjson
import pytest
from harness import running
from service_process import free_port

from sidecar.testing.media import write_motion
from sidecar.testing.stub_servers import FLAVOURS, StubServer

ADAPTER = {
    name: "reason2" if "Reason2" in it.model else "cosmos3-nano" for name, it in FLAVOURS.items()
}


def _incident(number: int = 0) -> dict[str, Any]:
    return {
        "id": f"event-{number}",
        "sensorId": f"camera-{number}",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:10.000Z",
        "category": "collision",
        "info": {"video_path": "clip.mp4"},
    }


def _settings(tmp_path: Path, url: str, adapter: str) -> dict[str, Any]:
    write_motion(tmp_path / "clip.mp4", seconds=6)
    return {
        "ab": {"primary": adapter},
        "arms": {adapter: {"url": url, "answer": "choice", "retries": 0}},
        "media": {"allowed_roots": [tmp_path]},
    }


@pytest.mark.parametrize("name", FLAVOURS)
async def test_a_constrained_answer_is_a_verdict_on_every_server(name: str, tmp_path: Path) -> None:
    """Only a constraint that binds makes these servers say yes; all frames are seen."""
    server = StubServer(FLAVOURS[name])
    settings = _settings(tmp_path, await server.start(), ADAPTER[name])
    async with running(tmp_path, **settings) as service:
        info = (await service.verdict_on(_incident()))["info"]
    await server.close()

    assert ("confirmed", "12", "12") == (
        info["verdict"],
        info["sidecarFramesAsked"],
        info["sidecarFramesSeen"],
    )
    assert ("0.8000" if FLAVOURS[name].logprobs else "") == info["sidecarConfidence"]
    assert "sidecarNotes" not in info


@pytest.mark.parametrize("name", FLAVOURS)
async def test_a_free_answer_without_a_verdict_is_followed_by_a_choice(
    name: str, tmp_path: Path
) -> None:
    """Both answers are recorded, the first with the reason why it is no verdict."""
    server = StubServer(FLAVOURS[name])
    settings = _settings(tmp_path, await server.start(), ADAPTER[name])
    settings["arms"][ADAPTER[name]]["answer"] = "free"
    async with running(tmp_path, **settings) as service:
        info = (await service.verdict_on(_incident()))["info"]
    await server.close()
    first, second = orjson.loads(info["sidecarAnswers"])

    assert ("confirmed", "asked_again") == (info["verdict"], info["sidecarNotes"])
    assert ("unparsable_answer", "") == (first["reason"], second["reason"])


@pytest.mark.parametrize("name", FLAVOURS)
async def test_four_frames_a_second_are_seen_or_the_verdict_says_how(
    name: str, tmp_path: Path
) -> None:
    """By the server's own options, or by a slowed-down clip where it refuses or ignores them."""
    server = StubServer(FLAVOURS[name])
    settings = _settings(tmp_path, await server.start(), ADAPTER[name])
    settings["arms"][ADAPTER[name]]["fps"] = 4
    async with running(tmp_path, **settings) as service:
        info = (await service.verdict_on(_incident()))["info"]
    await server.close()
    by_itself = {"vllm-0.26", "vllm-0.32-trusted", "nim", "rt-vlm"}

    assert ("confirmed", "24", "24") == (
        info["verdict"],
        info["sidecarFramesAsked"],
        info["sidecarFramesSeen"],
    )
    assert ("" if name in by_itself else "times_stretched") == info.get("sidecarNotes", "")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("vllm-0.32-parser", "vllm-0.11"),
        ("vllm-0.32-trusted", "vllm-0.32"),
        ("vllm-0.32", "rt-vlm"),
    ],
)
async def test_a_server_restarted_with_other_options_costs_no_event(
    before: str, after: str, tmp_path: Path
) -> None:
    """An event that comes while it is away waits for it, and is asked as the new one wants."""
    port, arm = free_port(), "mine"
    old, new = StubServer(FLAVOURS[before]), StubServer(FLAVOURS[after])
    settings = _settings(tmp_path, await old.start(port), arm)
    settings["arms"][arm] |= {"adapter": "generic", "fps": 4}
    async with running(tmp_path, **settings) as service:
        documents = [await service.verdict_on(_incident(0))]
        await old.close()
        status, _ = await service.post("/api/v1/incidents", _incident(1))
        await new.start(port)
        documents.append((await service.decided("event-1"))["event"])
        documents.append(await service.verdict_on(_incident(2)))
    await new.close()

    assert 202 == status
    assert ["confirmed"] * 3 == [it["info"]["verdict"] for it in documents], documents


async def test_a_server_restarted_unnoticed_is_asked_anew_by_the_event_that_it_refuses(
    tmp_path: Path,
) -> None:
    """Nobody saw it go: the first request made for the old options is refused, and repeated."""
    port = free_port()
    old, new = StubServer(FLAVOURS["vllm-0.32-trusted"]), StubServer(FLAVOURS["vllm-0.32"])
    settings = _settings(tmp_path, await old.start(port), ADAPTER["vllm-0.32"])
    settings["arms"][ADAPTER["vllm-0.32"]]["fps"] = 4
    async with running(tmp_path, **settings) as service:
        first = (await service.verdict_on(_incident(0)))["info"]
        await old.close()
        await new.start(port)
        second = (await service.verdict_on(_incident(1)))["info"]
    await new.close()

    assert ("confirmed", "confirmed") == (first["verdict"], second["verdict"])
    assert ("", "24") == (first.get("sidecarNotes", ""), first["sidecarFramesSeen"])
    assert "times_stretched" in second["sidecarNotes"]
    assert "24" == second["sidecarFramesSeen"]
