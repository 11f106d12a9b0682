"""Alerts of VSS 2.4's bridge, and what its streams hold."""

import asyncio
import copy
import json
from collections.abc import Mapping
from typing import Any, Final

from redis.asyncio import Redis
from review_samples import FULL, SHORT

INPUT: Final = "alert-bridge-input-stream"
ENHANCED: Final = "alert-bridge-enhanced-stream"
INCIDENTS: Final = "alert-bridge-incidents-stream"
DEAD: Final = "alert-bridge-dead-letters-stream"
GROUP: Final = "vlm_agents_group"

LEAST: Final[Mapping[str, Any]] = {
    "id": "alert-1",
    "@timestamp": "2026-01-21T10:15:30Z",
    "sensor_id": "camera-1",
    "video_path": FULL["video_path"],
    "alert": {
        "severity": "high",
        "status": "active",
        "type": "BOX_DROPPED",
        "description": "A box was dropped",
    },
    "event": {"type": "box", "description": "A box"},
    "vss_params": {"vlm_params": {"prompt": "Did a worker drop any boxes?"}},
}
"""Only what the bridge cannot fill in."""


def alert(identity: str, **changes: Any) -> dict[str, Any]:
    """Return the short sample of the engine with another id."""
    return {**copy.deepcopy(dict(SHORT)), "id": identity, **changes}


def entry(body: Mapping[str, Any]) -> dict[str, str]:
    """Write the fields of an entry as the 2.4 bridge and its clients do."""
    return {"data": json.dumps(body), "timestamp": "2026-01-21T10:15:31", "metadata": "{}"}


async def documents(redis: Redis, stream: str, count: int) -> list[dict[str, Any]]:
    """Wait for so many entries of a stream and return the documents in their `data`."""
    async with asyncio.timeout(30):
        while await redis.xlen(stream) < count:
            await asyncio.sleep(0.02)
    return [json.loads(fields[b"data"]) for _, fields in await redis.xrange(stream)]
