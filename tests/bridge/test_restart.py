"""Kills and restarts between the streams of the 2.4 bridge lose no alert and review none twice."""

import asyncio
import random
from collections import Counter
from pathlib import Path

import pytest
from bridge_samples import DEAD, ENHANCED, GROUP, INPUT, alert, documents, entry
from redis.asyncio import Redis
from redis_process import RedisProcess
from service_process import ServiceProcess

from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions

ALERTS = 120
BATCH = 10


@pytest.mark.timeout(180)
async def test_what_went_in_comes_out_once_whatever_is_killed(
    folder: Path, server: RedisProcess
) -> None:
    """Every entry gets exactly one reviewed document, and none is left pending.

    The service is killed after each batch of entries, and Redis with it every third time. Nothing
    that was written twice reaches the stream: Redis remembers for an hour what it has.
    """
    vlm = MockVlm(MockVlmOptions(latency_ms=20))
    service = ServiceProcess(
        folder,
        {
            "SIDECAR_AB__PRIMARY": "reason2",
            "SIDECAR_ARMS__REASON2__URL": await vlm.start(),
            "SIDECAR_REVIEW__MEDIA_BASE_DIR": str(folder),
            "SIDECAR_BRIDGE__URL": server.url,
            "SIDECAR_BRIDGE__SWEEP_S": "0.2",
            "SIDECAR_BRIDGE__CLAIM_AFTER_S": "0.6",
            "SIDECAR_LEDGER__MAX_ATTEMPTS": "1000",
            "SIDECAR_SINKS__BACKOFF_S": "0.05",
            "SIDECAR_CANARY__ENABLED": "false",
        },
    )
    chance = random.Random(20260121)
    try:
        for first in range(0, ALERTS, BATCH):
            await service.start()
            async with Redis.from_url(server.url) as redis:
                for number in range(first, first + BATCH):
                    await redis.xadd(INPUT, dict(entry(alert(f"a-{number}"))))
            await asyncio.sleep(chance.uniform(0.0, 0.4))
            await service.kill()
            if first % 3 == 0:
                server.kill()
                server.start()
        await service.start()
        async with Redis.from_url(server.url) as redis:
            found = await documents(redis, ENHANCED, ALERTS)
            async with asyncio.timeout(30):
                while (await redis.xpending(INPUT, GROUP))["pending"]:
                    await asyncio.sleep(0.05)
            dead = await redis.xlen(DEAD)
            found = await documents(redis, ENHANCED, ALERTS)
        status = await service.stop()
    finally:
        await service.kill()
        await vlm.close()

    assert {f"a-{number}": 1 for number in range(ALERTS)} == Counter(it["id"] for it in found)
    assert {("SUCCESS", True)} == {
        (it["result"]["status"], it["result"]["verification_result"]) for it in found
    }
    assert (0, 0) == (dead, status)
