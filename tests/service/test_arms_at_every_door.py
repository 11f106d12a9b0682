"""Whatever the door, the arm in force answers; a swap and a fallback hold for all of them."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from review_samples import short
from two_arms import MODELS, NANO, R2, Arms, incident, two_arms

from sidecar.client import AsyncVerifierClient
from sidecar.doors.rpc import RpcDoor
from sidecar.testing.media import write_motion

QUESTION = [{"role": "user", "content": "Does the clip show a collision? Answer yes or no."}]


@asynccontextmanager
async def every_door(folder: Path, **sections: Any) -> AsyncGenerator[Arms]:
    """Run a service with all doors that answer at once, over one short clip."""
    write_motion(folder / "clip.mp4", seconds=2)
    grpc = {"enabled": True, "port": 0, "shutdown_grace_s": 0.1}
    review = {"media_base_dir": folder, "files_dir": folder / "files"}
    media = {"allowed_networks": ["127.0.0.0/8"], "allowed_roots": [folder]}
    async with two_arms(folder, grpc=grpc, review=review, media=media, **sections) as it:
        yield it


async def _chat(it: Arms, model: str = "") -> tuple[int, str, str]:
    body = {"model": model, "messages": QUESTION}
    async with it.service.client.post(f"{it.service.url}/v1/chat/completions", json=body) as got:
        answer = await got.json()
        text = answer["choices"][0]["message"]["content"] if got.ok else ""
        return got.status, got.headers.get("X-Sidecar-Arm", ""), text


async def _answers(it: Arms, number: int) -> dict[str, str]:
    """Ask every door; returns whose answer each gave."""
    doors = it.service.app.doors.values()
    door = next(it for it in doors if isinstance(it, RpcDoor))
    async with asyncio.timeout(10):
        while await door.ping():
            await asyncio.sleep(0.01)
    client = AsyncVerifierClient(f"localhost:{door.port}", timeout_s=20)
    async with client:
        by_rpc = await client.verify(incident(number))
    _, reviewed = await it.service.post("/reviewAlert", {**short(), "video_path": "clip.mp4"})
    return {
        "http": (await it.info(number + 1))["sidecarArm"],
        "grpc": by_rpc.arm,
        "openai": (await _chat(it))[1],
        "review": _arm_of(reviewed["result"]["reviewed_by"]),
    }


def _arm_of(model: str) -> str:
    return next(arm for arm, served in MODELS.items() if served == model)


async def test_a_swap_holds_at_every_door(tmp_path: Path) -> None:
    """HTTP, gRPC, the OpenAI face and the Event Reviewer change together."""
    async with every_door(tmp_path) as it:
        before = await _answers(it, 0)
        await it.choose(primary=NANO)
        after = await _answers(it, 10)

    doors = ("http", "grpc", "openai", "review")
    assert (dict.fromkeys(doors, R2), dict.fromkeys(doors, NANO)) == (before, after)


async def test_a_fallback_holds_at_every_door(tmp_path: Path) -> None:
    """An arm that is away is replaced wherever somebody asks."""
    policy = {"rules": [{"use": R2}], "fallback": [NANO]}
    async with every_door(tmp_path, ab={"policy": policy}, dead=(R2,)) as it:
        found = await _answers(it, 0)
        ready, _ = await it.service.get("/v1/health/ready")

    assert dict.fromkeys(("http", "grpc", "openai", "review"), NANO) == found
    assert 200 == ready


async def test_a_chat_can_name_any_arm_that_answers(tmp_path: Path) -> None:
    """By the arm's name or its model's id; one that answers nothing is unknown."""
    weighted = {"kind": "weighted", "weights": {R2: 100, NANO: 0}}
    async with every_door(tmp_path, ab={"policy": {"rules": [{"use": weighted}]}}) as it:
        names = [R2, NANO, MODELS[NANO], f"{MODELS[NANO]}:verdict", "sidecar-cosmos3", "baseline"]
        found = [(await _chat(it, name))[:2] for name in names]
        _, listed = await it.service.get("/v1/models")

    assert [(200, R2), *[(200, NANO)] * 3, (200, R2), (404, "")] == found
    assert set(MODELS.values()) < {model["id"] for model in listed["data"]}


async def test_chats_are_dealt_out_one_by_one(tmp_path: Path) -> None:
    """They tell no sensor, so a split goes by the single chat."""
    weighted = {"kind": "weighted", "weights": {R2: 50, NANO: 50}}
    async with every_door(tmp_path, ab={"policy": {"rules": [{"use": weighted}]}}) as it:
        arms = {(await _chat(it))[1] for _ in range(40)}

    assert {R2, NANO} == arms


@pytest.mark.parametrize("dead", [(R2,), (R2, NANO)])
async def test_a_chat_that_nobody_can_answer_says_why(
    tmp_path: Path, dead: tuple[str, ...]
) -> None:
    """The first failure counts, as with events."""
    fallback = [NANO] if len(dead) > 1 else []
    policy = {"rules": [{"use": R2}], "fallback": fallback}
    async with every_door(tmp_path, ab={"policy": policy}, dead=dead) as it:
        status, arm, _ = await _chat(it)

    assert (503, "") == (status, arm)
