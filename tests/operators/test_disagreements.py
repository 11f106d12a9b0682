"""The queue of events that arms differ on, labels, and taking them back."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from two_arms import NANO, R2, Arms, two_arms

POLICY = {"rules": [{"use": {"kind": "vote", "arms": [R2, NANO]}}]}
QUEUE = "/api/v1/ab/disagreements"


@asynccontextmanager
async def disputed(folder: Path, events: int, **sections: Any) -> AsyncGenerator[Arms]:
    """Run two arms that differ on every event, with so many events decided by both."""
    async with two_arms(folder, ab={"policy": POLICY}, **sections) as arms:
        for number in range(events):
            await arms.info(number)
            async with asyncio.timeout(20):
                while len(await arms.answers(number)) < 2:
                    await asyncio.sleep(0.02)
        yield arms


async def label(arms: Arms, number: int, method: str, **body: Any) -> tuple[int, Any]:
    url = f"{arms.service.url}/api/v1/verdicts/event-{number}/label"
    async with arms.service.client.request(method, url, json=body or None) as answer:
        return answer.status, await answer.json()


def ids(page: dict[str, Any]) -> list[str]:
    return [it["id"] for it in page["events"]]


async def test_what_arms_differ_on_waits_for_a_label(tmp_path: Path) -> None:
    """The latest first, page by page, with what both said, until somebody labels it."""
    async with disputed(tmp_path, 3) as arms:
        _, first = await arms.service.get(f"{QUEUE}?limit=2")
        _, rest = await arms.service.get(f"{QUEUE}?limit=2&cursor={first['nextCursor']}")
        _, of_one = await arms.service.get(f"{QUEUE}?sensor=camera-1&alertType=collision")
        _, of_none = await arms.service.get(f"{QUEUE}?alertType=fire")
        await label(arms, 1, "PUT", truth=True)
        _, after = await arms.service.get(QUEUE)

    assert (["event-2", "event-1"], ["event-0"]) == (ids(first), ids(rest))
    assert (3, None) == (first["remaining"], rest["nextCursor"])
    assert {(R2, "confirmed"), (NANO, "rejected")} == {
        (it["arm"], it["outcome"]) for it in first["events"][0]["answers"]
    }
    assert (["event-1"], []) == (ids(of_one), ids(of_none))
    assert (["event-2", "event-0"], 2) == (ids(after), after["remaining"])


async def test_a_label_can_be_taken_back(tmp_path: Path) -> None:
    """The one before counts again; after the first the event waits again; the history stays."""
    async with disputed(tmp_path, 1) as arms:
        nothing = await label(arms, 0, "DELETE")
        await label(arms, 0, "PUT", truth=True)
        await label(arms, 0, "PUT", truth=False, note="slip")
        _, once = await label(arms, 0, "DELETE")
        _, twice = await label(arms, 0, "DELETE")
        _, queue = await arms.service.get(QUEUE)

    assert (404, "not_found") == (nothing[0], nothing[1]["error"])
    assert True is once["label"]["truth"]
    assert twice["label"] is None
    assert [(True, "anonymous@127.0.0.1"), (False, "anonymous@127.0.0.1")] == [
        (it["truth"], it["withdrawnBy"]) for it in twice["labels"]
    ]
    assert ["event-0"] == ids(queue)


async def test_a_label_of_somebody_else_is_not_taken_back(tmp_path: Path) -> None:
    """409 names whose it is; both labels are in the history, the last one counts."""
    async with disputed(tmp_path, 1) as arms:
        await label(arms, 0, "PUT", truth=True)
        await arms.service.app.ab.comparing.label("event-0", False, "the night shift")
        status, body = await label(arms, 0, "DELETE")
        _, found = await arms.service.get("/api/v1/verdicts/event-0/answers")

    assert (409, "version_conflict") == (status, body["error"])
    assert "'the night shift' has labelled" in body["message"]
    assert [True, False] == [it["truth"] for it in found["labels"]]
    assert "the night shift" == found["label"]["labeller"]
