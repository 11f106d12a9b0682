"""The same event through every kind of server: constrained where it binds, never refused."""

from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize("name", [name for name in FLAVOURS if name != "rt-vlm"])
async def test_a_constrained_answer_is_a_verdict_on_every_server(name: str, tmp_path: Path) -> None:
    """Only a constraint that binds makes these servers say yes; all frames are seen."""
    server = StubServer(FLAVOURS[name])
    settings = _settings(tmp_path, await server.start(), ADAPTER[name])
    async with running(tmp_path, **settings) as service:
        info = (await service.verdict_on(_incident()))["info"]
    await server.close()

    assert ("confirmed", "12", "12", "0.8000") == (
        info["verdict"],
        info["sidecarFramesAsked"],
        info["sidecarFramesSeen"],
        info["sidecarConfidence"],
    )


async def test_a_server_that_shows_one_frame_gives_no_verdict(tmp_path: Path) -> None:
    """RT-VLM without its own frame fields looks at the opening frame only."""
    server = StubServer(FLAVOURS["rt-vlm"])
    settings = _settings(tmp_path, await server.start(), ADAPTER["rt-vlm"])
    async with running(tmp_path, **settings) as service:
        info = (await service.verdict_on(_incident()))["info"]
    await server.close()

    assert ("verification-failed", "frames_not_seen") == (info["verdict"], info["sidecarReason"])


async def test_a_server_restarted_with_other_options_is_asked_anew(tmp_path: Path) -> None:
    """The first event after the change may fail; the dialect found before it is forgotten."""
    port = free_port()
    before = StubServer(FLAVOURS["vllm-0.32-parser"])
    url = await before.start(port)
    async with running(tmp_path, **_settings(tmp_path, url, "reason2")) as service:
        first = await service.verdict_on(_incident(0))
        await before.close()
        gone = await service.verdict_on(_incident(1))
        after = StubServer(FLAVOURS["vllm-0.11"])
        await after.start(port)
        second = await service.verdict_on(_incident(2))
    await after.close()

    assert ("confirmed", "verification-failed", "confirmed") == (
        first["info"]["verdict"],
        gone["info"]["verdict"],
        second["info"]["verdict"],
    )
    assert "structured_outputs" in before.requests[-1]
    assert "response_format" in after.requests[-1]
