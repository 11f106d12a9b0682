"""Clips of VSS's recorder, through the whole service."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from harness import Running, running
from payloads import COLLISION

from sidecar.outside.vst import format_time
from sidecar.testing.fake_vst import CLIP, FakeVst, Scripted
from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

SEEN = ScriptedAnswer("<think>Two cars touch.</think>\n\nYes")


@pytest.fixture
async def vst(tmp_path: Path) -> AsyncGenerator[FakeVst]:
    async with FakeVst(write_motion(tmp_path / "clip.mp4")) as recorder:
        yield recorder


@asynccontextmanager
async def service_with(
    folder: Path, vst: FakeVst, **sections: Mapping[str, Any]
) -> AsyncGenerator[Running]:
    vlm = MockVlm(MockVlmOptions("nvidia/cosmos-reason2-8b", answers=(SEEN,)))
    arm = {"url": await vlm.start(), "model": "nvidia/cosmos-reason2-8b"}
    async with running(
        folder,
        ab={"primary": "reason2"},
        arms={"reason2": arm},
        vst={"base_url": vst.url},
        **sections,
    ) as service:
        yield service
    await vlm.close()


def just_ended() -> dict[str, Any]:
    now = datetime.now(UTC)
    times = {"timestamp": format_time(now - timedelta(seconds=30)), "end": format_time(now)}
    return {**COLLISION, **times}


@pytest.mark.parametrize(
    ("anchor", "start", "end"),
    [
        ("start", "2025-09-11T00:08:27.822Z", "2025-09-11T00:08:37.822Z"),
        ("middle", "2025-09-11T00:08:49.000Z", "2025-09-11T00:08:59.000Z"),
        (None, "2025-09-11T00:09:12.122Z", "2025-09-11T00:09:22.122Z"),
    ],
)
async def test_the_anchor_of_the_alert_type_chooses_the_clip(
    anchor: str | None, start: str, end: str, tmp_path: Path, vst: FakeVst
) -> None:
    """`segment_anchor` of alert_type_config.json reaches the recorder; null leaves VSS's `end`."""
    collision = {"alert_type": "collision", "prompts": {"user": "?"}, "segment_anchor": anchor}
    file = tmp_path / "alert_type_config.json"
    file.write_text(json.dumps({"version": "1.0", "alerts": [collision]}))

    async with service_with(tmp_path, vst, prompts={"alert_type_config": file}) as service:
        document = await service.verdict_on(COLLISION)

    assert document["info"]["verdict"] == "confirmed"
    assert [(query["startTime"], query["endTime"]) for query in vst.queries] == [(start, end)]


async def test_a_clip_that_is_just_being_recorded_is_waited_for(
    tmp_path: Path, vst: FakeVst
) -> None:
    """The verdict is about the clip, where VSS would have failed at once."""
    vst.script[CLIP] = Scripted(404, times=1)

    async with service_with(tmp_path, vst) as service:
        document = await service.verdict_on(just_ended())

    assert document["info"]["verdict"] == "confirmed"
    assert vst.counts[CLIP] == 2


async def test_waiting_for_a_clip_ends_with_the_deadline(tmp_path: Path, vst: FakeVst) -> None:
    """The event's own deadline is shorter than what a recorder is given, and wins."""
    vst.script[CLIP] = Scripted(404)

    async with service_with(tmp_path, vst, verify={"deadline_s": 0.3}) as service:
        document = await service.verdict_on(just_ended())

    assert document["info"]["sidecarReason"] == "deadline_expired"
    assert vst.counts[CLIP] == 1
