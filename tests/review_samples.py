"""Requests to the Event Reviewer API, and services that answer them."""

import copy
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from harness import Running, running

from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

CLIP: Final = "alerts/123e4567-e89b-12d3-a456-426614174000/video.mp4"
CV_METADATA: Final = "alerts/123e4567-e89b-12d3-a456-426614174000/cv_metadata.json"
FULL: Final[Mapping[str, Any]] = {
    "version": "1.0",
    "id": "123e4567-e89b-12d3-a456-426614174000",
    "@timestamp": "2024-05-30T01:41:25.000Z",
    "sensor_id": "camera-001",
    "stream_name": "West Gate Entrance",
    "video_path": CLIP,
    "cv_metadata_path": CV_METADATA,
    "confidence": 0.95,
    "start_time": 0.0,
    "end_time": 12.5,
    "alert": {
        "severity": "HIGH",
        "status": "REVIEW_PENDING",
        "type": "RESTRICTED_ACCESS",
        "description": "Person detected in restricted area",
    },
    "event": {"type": "person_detected", "description": "Person detected in camera view"},
    "vss_params": {
        "chunk_duration": 60,
        "chunk_overlap_duration": 10,
        "num_frames_per_chunk": 8,
        "vlm_input_width": 756,
        "vlm_input_height": 392,
        "cv_metadata_overlay": False,
        "enable_reasoning": True,
        "do_verification": True,
        "debug": True,
        "vlm_params": {
            "prompt": "Is there person detected in restricted area?",
            "system_prompt": "You are a helpful assistant. Answer the user's question. "
            "Answer in yes or no only.",
            "response_format": {"type": "text"},
            "max_tokens": 512,
            "temperature": 0.2,
            "top_p": 1.0,
            "top_k": 100,
            "seed": 10,
        },
    },
    "meta_labels": [
        {"key": "location", "value": "warehouse_entrance"},
        {"key": "priority", "value": "high"},
    ],
}
"""The sample with every optional field."""
SHORT: Final[Mapping[str, Any]] = {
    "version": "1.0",
    "id": "3f6c2b1e-6a55-4f0c-9a44-0d6c1f2b7e10",
    "@timestamp": "2026-01-21T10:15:30Z",
    "sensor_id": "benchmark_sensor",
    "video_path": CLIP,
    "confidence": 1.0,
    "alert": {
        "severity": "MEDIUM",
        "status": "REVIEW_PENDING",
        "type": "object_detection",
        "description": "Did a worker drop any boxes?",
    },
    "event": {"type": "video_analysis", "description": "Did a worker drop any boxes?"},
    "vss_params": {
        "vlm_params": {"prompt": "Did a worker drop any boxes?"},
        "do_verification": True,
    },
}
"""Only what is required, and a verdict."""


def full(**vss_params: object) -> dict[str, Any]:
    """Return the full sample with other `vss_params`."""
    return _with(FULL, vss_params)


def short(**vss_params: object) -> dict[str, Any]:
    """Return the short sample with other `vss_params`."""
    return _with(SHORT, vss_params)


def _with(sample: Mapping[str, Any], vss_params: Mapping[str, object]) -> dict[str, Any]:
    request: dict[str, Any] = copy.deepcopy(dict(sample))
    request["vss_params"].update(vss_params)
    return request


@asynccontextmanager
async def reviewing(
    folder: Path,
    *answers: str | ScriptedAnswer,
    arm: Mapping[str, Any] | None = None,
    review: Mapping[str, Any] | None = None,
    **sections: Mapping[str, Any],
) -> AsyncGenerator[tuple[Running, MockVlm]]:
    """Run a service whose model gives these answers in turn, over the media in `folder`.

    Args:
        folder: what relative paths start from, and where the service keeps its files.
        answers: of the model; "yes" when there are none.
        arm: further settings of the arm.
        review: further settings of the API.
        sections: further sections of the settings.
    """
    scripted = tuple(ScriptedAnswer(it) if isinstance(it, str) else it for it in answers)
    vlm = MockVlm(MockVlmOptions(answers=scripted or (ScriptedAnswer(),)))
    met = MockVlm()
    url = await met.start()
    settings: dict[str, Mapping[str, Any]] = {
        "ab": {"primary": "reason2"},
        "arms": {"reason2": {"url": url, **(arm or {})}},
        "review": {"media_base_dir": folder, "files_dir": folder / "files", **(review or {})},
        **sections,
    }
    try:
        async with running(folder, **settings) as service:
            # What the server is asked about itself would use the answers up.
            await service.app.verifier.switchboard.current.arms["reason2"].backend.dialect()
            await met.close()
            await vlm.start(port=urlsplit(url).port or 0)
            yield service, vlm
    finally:
        await met.close()
        await vlm.close()
