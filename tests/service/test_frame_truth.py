"""What the model's server says about itself is held against what was asked of it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from harness import running

from sidecar.errors import SettingsError
from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

INCIDENT = {
    "id": "one",
    "sensorId": "camera-1",
    "timestamp": "2026-01-31T08:00:00.000Z",
    "end": "2026-01-31T08:00:05.000Z",
    "category": "collision",
    "info": {"video_path": "clip.mp4"},
}
TOKENS_PER_GRID = 20 * 11 + 8  # a frame of 640x360 is sent as 640x352, 32 pixels a token
TEXT_TOKENS = 100


async def _info(folder: Path, vlm: MockVlm, **sections: Any) -> dict[str, str]:
    """Verify a clip of which 10 frames are sent, two a grid, and return the verdict's info."""
    write_motion(folder / "clip.mp4", seconds=5, fps=10, width=640, height=360)
    settings = {
        "ab": {"primary": "reason2"},
        "arms": {"reason2": {"url": await vlm.start()}},
        "media": {"allowed_roots": [folder]},
        **sections,
    }
    async with running(folder, **settings) as service:
        document = await service.verdict_on(INCIDENT)
    await vlm.close()
    return dict(document["info"])


def _vlm(grids: int) -> MockVlm:
    """Serve a model that says yes and counts the tokens of so many grids of frames."""
    answer = ScriptedAnswer("yes", prompt_tokens=TEXT_TOKENS + grids * TOKENS_PER_GRID)
    return MockVlm(MockVlmOptions(answers=(answer,)))


async def test_a_verdict_about_a_thinned_clip_is_none(tmp_path: Path) -> None:
    """Six frames of ten are too few, and the status says which setting helps."""
    info = await _info(tmp_path, _vlm(grids=3))

    assert {
        "verdict": "verification-failed",
        "verificationResponseCode": "500",
        "verificationResponseStatus": (
            "The model was sent 10 frames and saw 6, by its server's count of prompt tokens: the "
            "server thins the clip or prunes its tokens. Change its media options, or lower "
            "SIDECAR_ARMS__REASON2__FPS."
        ),
        "errorSource": "vlm_api",
        "sidecarReason": "frames_not_seen",
        "sidecarFramesAsked": "10",
        "sidecarFramesSeen": "6",
    }.items() <= info.items()


async def test_a_clip_that_is_seen_whole_is_judged(tmp_path: Path) -> None:
    """Frames asked and seen stand in the verdict."""
    info = await _info(tmp_path, _vlm(grids=5))

    assert ("confirmed", "10", "10") == (
        info["verdict"],
        info["sidecarFramesAsked"],
        info["sidecarFramesSeen"],
    )


@pytest.mark.parametrize("share", [0, 0.6])
async def test_the_share_that_must_be_seen_can_be_set(tmp_path: Path, share: float) -> None:
    """Just enough frames are enough; 0 asks for none."""
    info = await _info(tmp_path, _vlm(grids=3), verify={"min_frames_seen": share})

    assert ("confirmed", "6") == (info["verdict"], info["sidecarFramesSeen"])


async def test_a_server_that_counts_nothing_is_believed(tmp_path: Path) -> None:
    """Without `usage` the frames seen are unknown, which is no failure."""
    info = await _info(tmp_path, MockVlm())

    assert ("confirmed", "10", "") == (
        info["verdict"],
        info["sidecarFramesAsked"],
        info["sidecarFramesSeen"],
    )


async def test_a_model_of_another_family_stops_the_start(tmp_path: Path) -> None:
    """The error names the setting and the adapters that fit the model."""
    vlm = MockVlm(MockVlmOptions("nvidia/Cosmos3-Super"))
    with pytest.raises(SettingsError) as caught:
        await _info(tmp_path, vlm)
    await vlm.close()

    assert "SIDECAR_ARMS__REASON2__ADAPTER to cosmos3-super or generic" in caught.value.detail


async def test_a_model_of_another_family_is_not_asked(tmp_path: Path) -> None:
    """An alert type may name a model; the arm would ask it wrongly and publish a wrong name."""
    vlm = MockVlm()
    types = {
        "alerts": [
            {
                "alert_type": "collision",
                "prompts": {"user": "Do they collide?"},
                "vlm_params": {"model": "nvidia/Cosmos3-Super"},
            }
        ]
    }
    (tmp_path / "types.json").write_text(json.dumps(types))
    prompts = {"alert_type_config": tmp_path / "types.json"}
    info = await _info(tmp_path, vlm, prompts=prompts)

    assert {
        "verdict": "verification-failed",
        "verificationResponseCode": "500",
        "errorSource": "vlm_api",
        "sidecarReason": "model_mismatch",
    }.items() <= info.items()
    choice = "SIDECAR_ARMS__REASON2__ADAPTER to cosmos3-super or generic"
    assert choice in info["verificationResponseStatus"]
    assert 0 == vlm.stats["total_requests"]


@pytest.mark.parametrize(
    ("adapter", "model"),
    [
        ("cosmos3-super", "nvidia/Cosmos3-Super"),
        ("cosmos3-edge", "/models/cosmos3_edge"),
        ("generic", "any-model"),
    ],
)
async def test_an_arm_takes_the_adapter_that_is_named(
    tmp_path: Path, adapter: str, model: str
) -> None:
    """Each shipped adapter works under a name of the user's own."""
    vlm = MockVlm(MockVlmOptions(model))
    arms = {"mine": {"url": await vlm.start(), "adapter": adapter}}
    write_motion(tmp_path / "clip.mp4")
    async with running(
        tmp_path, ab={"primary": "mine"}, arms=arms, media={"allowed_roots": [tmp_path]}
    ) as service:
        info = (await service.verdict_on(INCIDENT))["info"]
    await vlm.close()

    assert ("confirmed", "mine", adapter) == (
        info["verdict"],
        info["sidecarArm"],
        info["sidecarAdapter"],
    )


@pytest.mark.parametrize(
    ("model", "status", "problems"),
    [
        ("nvidia/Cosmos-Reason2-8B", 0, []),
        ("nvidia/Cosmos3-Nano", 2, [("error", "arms.reason2.adapter")]),
    ],
)
def test_check_finds_a_model_of_another_family(
    tmp_path: Path, model: str, status: int, problems: list[tuple[str, str]]
) -> None:
    """Before the service is started, and as an error."""
    mock = [sys.executable, "-m", "sidecar", "mock-vlm", "--json", "--port", "0", "--model", model]
    with subprocess.Popen(mock, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout
        url = json.loads(serving.stdout.readline())["url"]
        found = subprocess.run(
            [sys.executable, "-m", "sidecar", "check", "--json"],
            cwd=tmp_path,
            env={
                **os.environ,
                "SIDECAR_AB__PRIMARY": "reason2",
                "SIDECAR_ARMS__REASON2__URL": url,
            },
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        serving.terminate()

    assert status == found.returncode, found.stderr
    assert problems == [
        (it["severity"], it["setting"]) for it in json.loads(found.stdout)["problems"]
    ]
