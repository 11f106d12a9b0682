"""Swapping the arm under the same events on two real servers: the output keeps its shape."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness import running
from real_vllm.server import VllmServer

from sidecar.testing.media import write_image, write_motion

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(900)]

EVENTS = 50
# Written into the verdict from the model's words or its server's counts, so free to differ.
MAY_COME_AND_GO = {"sidecarConfidence", "sidecarNotes"}
VOCABULARY: Mapping[str, frozenset[str]] = {
    "verdict": frozenset({"confirmed", "rejected", "verification-failed", ""}),
    "verificationResponseCode": frozenset({"200", "404", "415", "422", "500"}),
    "errorSource": frozenset({"media_download", "vlm_schema", "vlm_api"}),
}
ALERT_TYPES: Sequence[Mapping[str, Any]] = (
    {
        "alert_type": "gate",
        "prompts": {
            "user": "Does somebody pass the gate behind somebody else? Answer with a JSON object "
            'that has the keys "verdict", "severity" and "description".'
        },
        "answer": {"response_format": "json", "json_parser": {"verdict_field": "verdict"}},
    },
    {
        "alert_type": "転倒",
        "prompts": {
            "user": "{sensorId} の映像で人が転倒しましたか。「はい」か「いいえ」で答えてください。"
        },
    },
    {
        "alert_type": "timeline",
        "prompts": {"user": "List what happens as JSON with the keys start, end and caption."},
        "answer": {"shape": "timeline"},
    },
    {
        "alert_type": "collision",
        "prompts": {"user": "Do two vehicles collide? Answer yes or no."},
        "answer": {"abstain": [0.499, 0.501]},
    },
)


def _event(number: int) -> dict[str, Any]:
    """Build one of fifty events: four alert types, clips, pictures, and what cannot be verified."""
    categories = ("collision", "転倒", "gate", "timeline", "nobody-configured-this")
    info: dict[str, Any] = {"video_path": "clip.mp4"}
    if number % 10 == 8:
        info = {"video_path": "nothing.mp4"}
    if number % 10 == 5:
        info = {"video_path": "broken.mp4"}
    return {
        "id": f"event-{number}",
        "sensorId": f"camera-{number}",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:05.000Z",
        "category": categories[number % len(categories)],
        "objectIds": ["1", "2"],
        "info": info,
    }


async def _documents(
    arm: str, servers: Mapping[str, VllmServer], folder: Path
) -> list[dict[str, Any]]:
    folder.mkdir()
    write_motion(folder / "clip.mp4", seconds=3, fps=10)
    write_image(folder / "picture.jpg")
    (folder / "broken.mp4").write_bytes(b"not a video")
    (folder / "types.json").write_bytes(orjson.dumps({"version": "1.0", "alerts": ALERT_TYPES}))
    settings: dict[str, Any] = {
        "arms": {name: {"url": it.url, "max_tokens": 24} for name, it in servers.items()},
        "media": {"allowed_roots": [folder]},
        "prompts": {"alert_type_config": folder / "types.json"},
        "ab": {"primary": arm},
    }
    async with running(folder, **settings) as service:
        return [await service.verdict_on(_event(number)) for number in range(EVENTS)]


def _shape(value: object, path: str = "") -> dict[str, str]:
    """Map each key of a document, dotted, to the type of its value."""
    if isinstance(value, dict):
        shapes = (_shape(item, f"{path}.{name}") for name, item in value.items())
        return {key: kind for shape in shapes for key, kind in shape.items()}
    return {path: type(value).__name__}


async def test_swapping_the_arm_changes_no_key_type_or_word(
    vllm_servers: dict[str, VllmServer], tmp_path: Path
) -> None:
    """Fifty events of every kind have the same keys and types from both models."""
    before = await _documents("reason2", vllm_servers, tmp_path / "reason2")
    after = await _documents("cosmos3-nano", vllm_servers, tmp_path / "cosmos3-nano")

    for one, other in zip(before, after, strict=True):
        differing = set(_shape(one).items()) ^ set(_shape(other).items())
        assert set() == {key for key, _ in differing} - {f".info.{key}" for key in MAY_COME_AND_GO}
        for document in (one, other):
            for key, words in VOCABULARY.items():
                assert document["info"].get(key, next(iter(words))) in words


async def test_both_arms_see_every_frame_and_end_in_verdicts(
    vllm_servers: dict[str, VllmServer], tmp_path: Path
) -> None:
    """What can be verified is verified, by a second question where the first answer is noise."""
    for arm in vllm_servers:
        documents = await _documents(arm, vllm_servers, tmp_path / arm)
        infos = [document["info"] for document in documents]
        plain = [infos[number] for number in range(EVENTS) if number % 5 in (1, 2)]

        assert {"confirmed", "rejected"} >= {info["verdict"] for info in plain}
        assert {("6", "6")} == {
            (info["sidecarFramesAsked"], info["sidecarFramesSeen"]) for info in plain
        }
