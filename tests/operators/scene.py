"""A service with a local clip and no model's server, for tests of what operators see."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from harness import Running, running

from sidecar.testing.media import write_motion

CLIP = "clip.mp4"


def seen(number: int = 0, clip: str = CLIP, **fields: Any) -> dict[str, Any]:
    """An incident about a local clip; the baseline arm answers about motion."""
    return {
        "id": f"event-{number}",
        "sensorId": f"camera-{number}",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:02.000Z",
        "category": "motion",
        "info": {"video_path": clip},
        **fields,
    }


@asynccontextmanager
async def scene(folder: Path, **sections: Mapping[str, Any]) -> AsyncGenerator[Running]:
    """Run a service whose allowed folder holds one clip of two seconds."""
    clips = folder / "clips"
    clips.mkdir(exist_ok=True)
    write_motion(clips / CLIP)
    async with running(folder, **{"media": {"allowed_roots": [clips]}, **sections}) as service:
        yield service


async def frames_of(service: Running, identity: str, query: str = "") -> dict[str, Any]:
    """Ask for the pictures of a verdict."""
    status, found = await service.get(f"/api/v1/verdicts/{identity}/frames{query}")
    assert status == 200, found
    return dict(found)


async def kept_frames(service: Running, identity: str) -> dict[str, Any]:
    """Wait until the pictures of a verdict are kept."""
    async with asyncio.timeout(20):
        while True:
            found = await frames_of(service, identity, "?decode=false")
            if found["source"] == "kept":
                return found
            await asyncio.sleep(0.02)
