"""Asking again about a decided event."""

import asyncio
from pathlib import Path
from typing import Any

from two_arms import NANO, R2, Arms, two_arms


async def tried(arms: Arms, number: int = 0, **body: Any) -> tuple[int, Any]:
    return await arms.service.post(f"/api/v1/verdicts/event-{number}/try", body)


async def everything(arms: Arms) -> list[Any]:
    """What must not change: verdicts, comparisons, counts of verdicts, deliveries."""
    _, verdicts = await arms.service.get("/api/v1/verdicts")
    _, events = await arms.service.get("/api/v1/ab/events")
    registry = arms.service.app.meter.registry
    counted = [
        (sample.name, sample.labels, sample.value)
        for metric in registry.collect()
        for sample in metric.samples
        if "verif" in sample.name or "sink" in sample.name
    ]
    return [verdicts, events, counted]


async def test_another_arm_and_another_prompt_are_tried_without_effect(tmp_path: Path) -> None:
    """The answer is that of a verification; nothing is stored, delivered, compared or counted."""
    async with two_arms(tmp_path) as arms:
        await arms.info()
        before = await everything(arms)
        _, same = await tried(arms)
        _, other = await tried(arms, arm=NANO)
        prompt = {"user": "Did {sensorId} see a crash?", "system": "Be brief."}
        _, edited = await tried(arms, arm=R2, prompt=prompt)
        after = await everything(arms)

    assert (R2, "confirmed", "confirmed", True) == (
        same["arm"],
        same["verdict"],
        same["published"],
        same["agrees"],
    )
    assert (NANO, "rejected", False) == (other["arm"], other["verdict"], other["agrees"])
    assert ('Did "camera-0" see a crash?', "Be brief.", 0) == (
        edited["prompt"]["user"],
        edited["prompt"]["system"],
        edited["prompt"]["version"],
    )
    assert "rejected" == other["event"]["info"]["verdict"]
    assert before == after


async def test_a_failure_is_an_answer_too(tmp_path: Path) -> None:
    """With the reason that a verdict would have; an arm that is known to be down is refused."""
    async with two_arms(tmp_path, dead=(NANO,)) as arms:
        await arms.info()
        first = await tried(arms, arm=NANO)
        later = [await tried(arms, arm=NANO) for _ in range(6)]

    assert (200, "verification-failed", "vlm_connection_error") == (
        first[0],
        first[1]["verdict"],
        first[1]["reason"],
    )
    assert (409, "arm_not_usable") == (later[-1][0], later[-1][1]["error"])


async def test_wrong_requests_say_what_to_do(tmp_path: Path) -> None:
    """An arm or a verdict that is not there, a prompt without text, an unknown field."""
    async with two_arms(tmp_path) as arms:
        await arms.info()
        no_arm = await tried(arms, arm="gpt")
        no_verdict = await tried(arms, 7)
        no_text = await tried(arms, prompt={"user": ""})
        unknown = await tried(arms, prompts="x")

    assert (404, "There is no arm 'gpt'; there are baseline, cosmos3-nano, reason2.") == (
        no_arm[0],
        no_arm[1]["message"],
    )
    assert (404, "not_found") == (no_verdict[0], no_verdict[1]["error"])
    assert [422, 422] == [no_text[0], unknown[0]]


async def test_trials_have_few_places(tmp_path: Path) -> None:
    """Who finds none is told to come again; verifications go on meanwhile."""
    trials = {"max_in_flight": 1, "deadline_s": 1.5}
    async with two_arms(tmp_path, trials=trials) as arms:
        await arms.info()
        await arms.gate(R2, "close")
        waiting = asyncio.create_task(tried(arms))
        async with asyncio.timeout(10):
            while not arms.service.app.faces.operators.trials.slots.taken:
                await asyncio.sleep(0.01)
        refused = await tried(arms, arm=NANO)
        status, late = await waiting
        _, free = await tried(arms, arm=NANO)
        await arms.gate(R2, "open")

    assert (503, "overloaded") == (refused[0], refused[1]["error"])
    assert (200, "verification-failed", "deadline_expired") == (
        status,
        late["verdict"],
        late["reason"],
    )
    assert "rejected" == free["verdict"]


async def test_an_alert_type_that_is_gone_can_still_be_tried_with_a_prompt(tmp_path: Path) -> None:
    """Without one there is nothing to ask."""
    async with two_arms(tmp_path) as arms:
        await arms.info()
        url = f"{arms.service.url}/api/v1/verification/config/collision"
        async with arms.service.client.delete(url):
            pass
        _, without = await tried(arms)
        _, given = await tried(arms, prompt={"user": "Is it?"})

    assert ("verification-failed", "no_prompt") == (without["verdict"], without["reason"])
    assert ("confirmed", "Is it?") == (given["verdict"], given["prompt"]["user"])
