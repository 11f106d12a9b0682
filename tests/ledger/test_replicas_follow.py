"""Replicas that share a Redis have the same arms in force, and compare in one store."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis_process import RedisProcess
from two_arms import NANO, R2, Arms, incident, two_arms

FOLLOW_S = 20.0


@asynccontextmanager
async def replicas(
    redis: RedisProcess, folder: Path, count: int, **sections: Any
) -> AsyncGenerator[list[Arms]]:
    """Run services on the same Redis."""
    redis.ask("FLUSHALL")
    async with AsyncExitStack() as stack:
        ledger = {"redis": {"url": redis.url, "lease_s": 2}}
        yield [
            await stack.enter_async_context(
                two_arms(folder / f"{number}", ledger=ledger, **sections)
            )
            for number in range(count)
        ]


async def in_force(it: Arms, version: int) -> Any:
    """Wait until a replica has this version in force."""
    async with asyncio.timeout(FOLLOW_S):
        while True:
            _, shown = await it.service.get("/api/v1/arms")
            if shown["version"] == version:
                return shown
            await asyncio.sleep(0.02)


async def test_a_choice_at_one_replica_holds_at_the_others(
    redis_server: RedisProcess, tmp_path: Path
) -> None:
    """With its actor and reason, in one history."""
    async with replicas(redis_server, tmp_path, 2) as (first, second):
        await first.choose(primary=NANO, reason="trial")
        followed = await in_force(second, 2)
        info = await second.info(1)
        await second.choose(primary=R2)
        back = await in_force(first, 3)
        _, history = await first.service.get("/api/v1/arms/history")

    assert (NANO, "trial", NANO) == (
        followed["primary"],
        followed["reason"],
        info["sidecarArm"],
    )
    assert (R2, 3) == (back["primary"], history["count"])


async def test_of_replicas_that_choose_at_the_same_time_one_wins(
    redis_server: RedisProcess, tmp_path: Path
) -> None:
    """All have the same in force afterwards."""
    async with replicas(redis_server, tmp_path, 2) as (first, second):
        answers = await asyncio.gather(
            first.choose(primary=NANO, version=1), second.choose(primary="baseline", version=1)
        )
        shown = [await in_force(it, 2) for it in (first, second)]

    assert [200, 409] == sorted(status for status, _ in answers)
    assert shown[0]["primary"] == shown[1]["primary"]


async def test_a_replica_that_starts_later_takes_what_is_in_force(
    redis_server: RedisProcess, tmp_path: Path
) -> None:
    """Whatever its own settings say, as they said the same to the others."""
    async with replicas(redis_server, tmp_path, 1) as (first,):
        await first.choose(primary=NANO)
        ledger = {"redis": {"url": redis_server.url, "lease_s": 2}}
        async with two_arms(tmp_path / "later", ledger=ledger) as later:
            _, shown = await later.service.get("/api/v1/arms")

    assert (2, NANO) == (shown["version"], shown["primary"])


async def test_a_replica_that_lacks_an_arm_keeps_what_it_has(
    redis_server: RedisProcess, tmp_path: Path
) -> None:
    """And takes the next choice that it can."""
    async with replicas(redis_server, tmp_path, 2) as (first, second):
        routing = second.service.app.verifier.switchboard.current
        del routing.arms[NANO]  # type: ignore[attr-defined]
        await first.choose(primary=NANO)
        await first.choose(primary="baseline")
        shown = await in_force(second, 3)

    assert "baseline" == shown["primary"]


async def test_answers_and_labels_of_all_replicas_are_in_one_place(
    redis_server: RedisProcess, tmp_path: Path
) -> None:
    """Whichever of them verified the event."""
    policy = {"rules": [{"use": R2}], "shadow": {"arm": NANO}}
    async with replicas(redis_server, tmp_path, 2, ab={"policy": policy}) as both:
        await both[0].info(1)
        await both[1].info(2)
        async with asyncio.timeout(FOLLOW_S):
            for number in (1, 2):
                while len(await both[0].answers(number)) < 2:
                    await asyncio.sleep(0.02)
        await both[1].service.put("/api/v1/verdicts/event-1/label", {"truth": True})
        _, page = await both[0].service.get(f"/api/v1/ab/events?arms={R2},{NANO}")
        _, labelled = await both[0].service.get("/api/v1/ab/events?labelled=true")

    assert {"event-1", "event-2"} == {event["id"] for event in page["events"]}
    assert ["event-1"] == [event["id"] for event in labelled["events"]]


async def test_a_choice_that_cannot_be_kept_is_not_in_force(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    """While Redis is away the old one stays, and events are still decided by it afterwards."""
    redis = RedisProcess(tmp_path_factory.mktemp("redis")).start()
    ledger = {"redis": {"url": redis.url, "lease_s": 2, "timeout_s": 1}}
    try:
        async with two_arms(tmp_path, ledger=ledger) as it:
            redis.kill()
            status, answer = await it.choose(primary=NANO)
            shown = it.service.app.ab.arms.current
            redis.start()
            async with asyncio.timeout(FOLLOW_S):
                while (await it.service.post("/api/v1/incidents", incident(1)))[0] != 202:
                    await asyncio.sleep(0.05)
            verdict = await it.service.decided("event-1", FOLLOW_S)
    finally:
        redis.stop()

    assert (503, "store_unavailable", 1) == (status, answer["error"], shown.version)
    assert R2 == verdict["arm"]
