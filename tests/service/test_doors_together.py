"""Doors of one kind that read from different places, in one service."""

import asyncio
from pathlib import Path

from harness import running
from redis_process import RedisProcess


async def test_two_readers_of_redis_run_side_by_side(tmp_path: Path) -> None:
    """The streams of VSS 3 and those of the 2.4 bridge are both read."""
    redis = RedisProcess(tmp_path).start()
    places = {"streams": {"url": redis.url}, "bridge": {"url": redis.url}}
    try:
        async with running(tmp_path, **places) as service, asyncio.timeout(20):
            for name in ("door streams", "door bridge"):
                while await service.app.service.parts[name].ping():
                    await asyncio.sleep(0.02)
    finally:
        redis.kill()
