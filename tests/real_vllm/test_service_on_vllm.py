"""The whole service in front of real vLLM servers: random weights, real protocol."""

from pathlib import Path

import pytest
from harness import running
from real_vllm.server import VllmServer

from sidecar.dialect import StructuredForm
from sidecar.outside.probe import probe_dialect
from sidecar.testing.media import write_motion

EVENTS = 20


@pytest.mark.vllm
@pytest.mark.timeout(600)
@pytest.mark.parametrize("arm", ["reason2", "cosmos3-nano"])
async def test_twenty_events_through_each_arm_end_in_verdicts(
    arm: str, vllm_servers: dict[str, VllmServer], tmp_path: Path
) -> None:
    """With a constrained choice every answer is a verdict, and the model saw every frame."""
    write_motion(tmp_path / "clip.mp4", seconds=5, fps=10)
    arms = {
        name: {"url": server.url, "answer": "choice", "max_tokens": 4}
        for name, server in vllm_servers.items()
    }
    media = {"allowed_roots": [tmp_path]}
    async with running(tmp_path, arms=arms, media=media, ab={"primary": arm}) as service:
        documents = [
            await service.verdict_on(
                {
                    "id": f"event-{number}",
                    "sensorId": f"camera-{number}",
                    "timestamp": "2026-01-31T08:00:00.000Z",
                    "end": "2026-01-31T08:00:05.000Z",
                    "category": "collision",
                    "info": {"video_path": "clip.mp4"},
                }
            )
            for number in range(EVENTS)
        ]
    infos = [document["info"] for document in documents]

    assert {"confirmed", "rejected"} >= {info["verdict"] for info in infos}, infos[0]
    assert {arm} == {info["sidecarArm"] for info in infos}
    assert {vllm_servers[arm].model} == {info["sidecarModel"] for info in infos}
    assert {"10"} == {info["sidecarFramesSeen"] for info in infos}


@pytest.mark.vllm
@pytest.mark.timeout(600)
async def test_the_probe_tells_the_truth_about_a_default_vllm(
    vllm_servers: dict[str, VllmServer],
) -> None:
    """Frames seen whole, no media options, structured choice, token probabilities."""
    for server in vllm_servers.values():
        dialect = await probe_dialect(server.url, "", 120)

        assert ("vllm", (server.model,), "/health") == (
            dialect.server,
            dialect.models,
            dialect.ready_path,
        )
        assert (12, False, False) == (
            dialect.frames_seen,
            dialect.media_options,
            dialect.sets_fps,
        )
        assert StructuredForm.STRUCTURED_OUTPUTS == dialect.structured
        assert dialect.logprobs
