"""Shadows, fallback, cascade and vote over the whole service; what is kept, and labels."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from ledger_samples import until
from two_arms import CLIP, NANO, R2, YES, Arms, incident, two_arms

from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import ScriptedAnswer

SHADOW: dict[str, Any] = {"rules": [{"use": R2}], "shadow": {"arm": NANO}}
UNSURE = ScriptedAnswer("It is hard to say.")


async def answered(it: Arms, number: int, count: int) -> list[dict[str, Any]]:
    """Wait until so many arms are known to have answered."""
    give_up = time.monotonic() + 20
    while len(found := await it.answers(number)) < count:
        assert time.monotonic() < give_up, found
        await asyncio.sleep(0.02)
    return found


def spared(it: Arms, reason: str) -> float:
    labels = {"arm": NANO, "reason": reason}
    name = "sidecar_ab_shadow_spared_total"
    return it.service.app.meter.registry.get_sample_value(name, labels) or 0.0


async def test_a_shadow_answers_beside_the_verdict_and_does_not_change_it(tmp_path: Path) -> None:
    """Its answer is kept for comparison, and nowhere in the published document."""
    async with two_arms(tmp_path, ab={"policy": SHADOW}) as it:
        info = await it.info(1)
        answers = await answered(it, 1, 2)
        compared = it.service.app.meter.registry.get_sample_value(
            "sidecar_ab_compared_total", {"arm": NANO, "agreement": "no"}
        )

    assert (R2, "confirmed") == (info["sidecarArm"], info["verdict"])
    assert NANO not in str(info)
    assert [
        (R2, "primary", "confirmed", True),
        (NANO, "shadow", "rejected", False),
    ] == [(a["arm"], a["role"], a["outcome"], a["isPublished"]) for a in answers]
    assert 1 == compared


async def test_a_shadow_that_never_answers_delays_nothing(tmp_path: Path) -> None:
    """Its places fill up, and further events are not shown to it."""
    policy = {**SHADOW, "shadow": {"arm": NANO, "limit": 2}}
    hangs = (ScriptedAnswer(hang=True),)
    async with two_arms(tmp_path, ab={"policy": policy}, nano=hangs) as it:
        infos = [await it.info(number) for number in range(8)]
        seen = await it.answers(7)

        assert {"confirmed"} == {info["verdict"] for info in infos}
        assert [R2] == [answer["arm"] for answer in seen]
        assert 6 == spared(it, "full")


async def test_a_dead_shadow_is_spared_once_it_is_known_to_be_down(tmp_path: Path) -> None:
    """Its failures are answers of their own; the verdicts are untouched."""
    async with two_arms(tmp_path, ab={"policy": SHADOW}, dead=(NANO,)) as it:
        infos = [await it.info(number) for number in range(12)]
        await until(lambda: spared(it, "down") > 0)
        failed = await answered(it, 0, 2)

    assert {"confirmed"} == {info["verdict"] for info in infos}
    assert ("verification-failed", "vlm_connection_error") == (
        failed[1]["outcome"],
        failed[1]["reason"],
    )


async def test_a_shadow_sees_what_the_arm_saw_after_the_clip_is_gone(tmp_path: Path) -> None:
    """The decoded evidence is used again; nothing is found or decoded twice."""
    clip = write_motion(tmp_path / "clip.mp4", seconds=2)
    media = {"allowed_roots": [tmp_path]}
    framed = {"evidence": "video"}
    async with two_arms(tmp_path, ab={"policy": SHADOW}, media=media, more=framed) as it:
        clips = it.service.app.verifier.clips
        opened = _count_openings(it)
        await it.info(1, info={"video_path": "clip.mp4"})
        clip.unlink()
        answers = await answered(it, 1, 2)

    assert clips is not None
    assert 1 == opened()
    assert [(R2, answers[0]["framesAsked"]), (NANO, answers[0]["framesAsked"])] == [
        (answer["arm"], answer["framesAsked"]) for answer in answers
    ]
    assert "rejected" == answers[1]["outcome"]


def _count_openings(it: Arms) -> Callable[[], int]:
    """Count the clips that the sampler decodes from now on."""
    sampler = it.service.app.verifier.asker.sampler
    calls: list[object] = []
    sample = sampler.sample

    async def counting(clip: Any, plan: Any) -> Any:
        calls.append(plan)
        return await sample(clip, plan)

    sampler.sample = counting  # type: ignore[method-assign]
    return lambda: len(calls)


async def test_an_arm_that_is_away_is_replaced_and_the_verdict_says_so(tmp_path: Path) -> None:
    """At once, without waiting for its server to come back."""
    policy = {"rules": [{"use": R2}], "fallback": [NANO]}
    async with two_arms(tmp_path, ab={"policy": policy}, dead=(R2,)) as it:
        infos = [await it.info(number) for number in range(5)]
        status, ready = await it.service.get("/ready")

    said = [orjson.loads(info["sidecarArms"]) for info in infos]
    assert {(NANO, "rejected")} == {(info["sidecarArm"], info["verdict"]) for info in infos}
    assert all("fell_back" in info["sidecarNotes"].split(",") for info in infos)
    assert ("vlm_connection_error", "fallback") == (said[0][0]["reason"], said[0][1]["role"])
    assert {"arm": R2, "leftOut": "down"} == said[-1][1]
    assert 200 == status, ready


async def test_a_server_that_hangs_leaves_time_for_the_fallback(tmp_path: Path) -> None:
    """The deadline of the event is divided, not used up by the first arm."""
    policy = {"rules": [{"use": R2}], "fallback": [NANO]}
    async with two_arms(
        tmp_path,
        ab={"policy": policy},
        verify={"deadline_s": 3.0, "ask_again": False},
    ) as it:
        await it.info(0)
        await it.gate(R2, "close")
        info = await it.info(1)

    assert (NANO, "rejected") == (info["sidecarArm"], info["verdict"])
    assert "deadline_expired" == orjson.loads(info["sidecarArms"])[0]["reason"]


async def test_a_cascade_asks_the_second_arm_where_the_first_gives_no_verdict(
    tmp_path: Path,
) -> None:
    """Both answers are kept, and the verdict names the arm that gave it."""
    policy = {"rules": [{"use": {"kind": "cascade", "arms": [R2, NANO]}}]}
    async with two_arms(tmp_path, ab={"policy": policy}, reason2=(UNSURE,)) as it:
        info = await it.info(1)
        answers = await answered(it, 1, 2)

    assert (NANO, "rejected") == (info["sidecarArm"], info["verdict"])
    assert ["unparsable_answer", ""] == [answer["reason"] for answer in answers]
    assert [False, True] == [answer["isPublished"] for answer in answers]


async def test_a_rejection_can_need_a_second_opinion(tmp_path: Path) -> None:
    """Here the other arm says the opposite, and decides as the last one."""
    use = {"kind": "cascade", "arms": [NANO, R2], "second_opinion_on": ["rejected"]}
    async with two_arms(tmp_path, ab={"policy": {"rules": [{"use": use}]}}) as it:
        info = await it.info(1)

    assert (R2, "confirmed") == (info["sidecarArm"], info["verdict"])
    assert "escalated" in info["sidecarNotes"].split(",")


async def test_arms_that_had_to_agree_and_do_not_end_visibly(tmp_path: Path) -> None:
    """As a failure with what each of them said."""
    policy = {"rules": [{"use": {"kind": "vote", "arms": [R2, NANO]}}]}
    async with two_arms(tmp_path, ab={"policy": policy}) as it:
        info = await it.info(1)
        answers = await answered(it, 1, 2)

    assert ("verification-failed", "arms_disagree") == (info["verdict"], info["sidecarReason"])
    words = "The arms do not agree: reason2 says confirmed, cosmos3-nano says rejected."
    assert words == info["verificationResponseStatus"]
    assert [False, False] == [answer["isPublished"] for answer in answers]


async def test_arms_that_agree_decide_together(tmp_path: Path) -> None:
    """The clip is found once for both."""
    policy = {"rules": [{"use": {"kind": "vote", "arms": [R2, NANO]}}]}
    async with two_arms(tmp_path, ab={"policy": policy}, nano=(YES,)) as it:
        info = await it.info(1)

    assert ("confirmed", ["vote", "vote"]) == (
        info["verdict"],
        [said["role"] for said in orjson.loads(info["sidecarArms"])],
    )


@pytest.mark.parametrize(("keep", "kept"), [("compared", 0), ("all", 3)])
async def test_answers_of_a_single_arm_are_kept_when_that_is_wanted(
    tmp_path: Path, keep: str, kept: int
) -> None:
    """There is nothing to compare them with, unless somebody labels them."""
    async with two_arms(tmp_path, ab={"primary": R2, "keep_answers": keep}) as it:
        for number in range(3):
            await it.info(number)
        page: dict[str, Any] = {}
        give_up = time.monotonic() + 10
        while page.get("count") != kept and time.monotonic() < give_up:
            _, page = await it.service.get("/api/v1/ab/events")

    assert kept == page["count"]


async def test_a_label_is_kept_with_its_history(tmp_path: Path) -> None:
    """For any verdict, by any of its names; the last one counts."""
    async with two_arms(tmp_path) as it:
        await it.info(1)
        path = "/api/v1/verdicts/event-1/label"
        _, first = await it.service.put(path, {"truth": True, "note": "two cars"})
        status, second = await it.service.put(path, {"truth": None})
        by_key = f"/api/v1/verdicts/{first['key']}/answers"
        _, read = await it.service.get(by_key)
        _, page = await it.service.get("/api/v1/ab/events?labelled=true")

    assert (200, None) == (status, second["label"]["truth"])
    assert [(True, "two cars"), (None, "")] == [
        (label["truth"], label["note"]) for label in read["labels"]
    ]
    assert "anonymous" in read["labels"][0]["labeller"]
    assert [(R2, "confirmed", True)] == [
        (answer["arm"], answer["outcome"], answer["isPublished"]) for answer in read["answers"]
    ]
    assert [first["key"]] == [event["key"] for event in page["events"]]


@pytest.mark.parametrize(
    ("identity", "body", "status", "words"),
    [
        ("nobody", {"truth": True}, 404, "No event was accepted under the id 'nobody'."),
        ("event-1", {}, 422, "truth"),
        ("event-1", {"truth": "maybe"}, 422, "truth"),
        ("event-1", {"truth": True, "colour": "red"}, 422, "colour"),
    ],
)
async def test_a_label_that_cannot_be_is_refused_with_the_reason(
    tmp_path: Path, identity: str, body: dict[str, Any], status: int, words: str
) -> None:
    """An unknown verdict, or a body that says nothing."""
    async with two_arms(tmp_path) as it:
        await it.info(1)
        refused, answer = await it.service.put(f"/api/v1/verdicts/{identity}/label", body)

    assert status == refused
    assert words in str(answer)


async def test_an_event_without_a_verdict_cannot_be_labelled_yet(tmp_path: Path) -> None:
    """Its answer is not known."""
    hangs = (ScriptedAnswer(hang=True),)
    async with two_arms(tmp_path, reason2=hangs, http={"shutdown_grace_s": 0}) as it:
        await it.service.post("/api/v1/incidents", incident(1))
        status, answer = await it.service.put("/api/v1/verdicts/event-1/label", {"truth": True})

    assert (404, True) == (status, "has no verdict yet" in answer["message"])


async def test_labels_are_imported_by_the_line(tmp_path: Path) -> None:
    """Those of unknown events are named; a line that is wrong takes nothing."""
    path = "/api/v1/ab/labels"
    lines = b"""
    {"id": "event-1", "truth": true, "labeller": "ann"}
    {"id": "event-2", "truth": false, "note": "shadow of a tree"}
    {"id": "nobody", "truth": true}
    """
    async with two_arms(tmp_path) as it:
        await it.info(1)
        await it.info(2)
        wrong, told = await it.service.post_bytes(path, b'{"id": "event-1"}\n{"truth": 1}\nx')
        _, nothing = await it.service.get("/api/v1/ab/events")
        status, taken = await it.service.post_bytes(path, lines)
        _, page = await it.service.get("/api/v1/ab/events")

    assert (422, ["line 1", "line 2", "line 3"]) == (
        wrong,
        [issue["message"].split(":")[0] for issue in told["details"]],
    )
    assert 0 == nothing["count"]
    assert (200, 2, ["nobody"]) == (status, taken["labelled"], taken["unknown"])
    assert {("event-1", True, True), ("event-2", False, False)} == {
        (event["id"], event["label"]["truth"], event["label"]["labeller"] == "ann")
        for event in page["events"]
    }


async def test_compared_events_are_listed_in_pages(tmp_path: Path) -> None:
    """By sensor, category, time and pair of arms."""
    async with two_arms(tmp_path, ab={"policy": SHADOW}) as it:
        for number in range(5):
            start = f"2026-01-31T08:00:0{number}.000Z"
            await it.info(number, sensorId=f"camera-{number % 2}", timestamp=start)
            await answered(it, number, 2)
        _, first = await it.service.get("/api/v1/ab/events?limit=3")
        _, rest = await it.service.get(f"/api/v1/ab/events?limit=3&cursor={first['nextCursor']}")
        _, odd = await it.service.get(f"/api/v1/ab/events?sensorId=camera-1&arms={R2},{NANO}")
        _, none = await it.service.get("/api/v1/ab/events?arms=baseline")
        _, late = await it.service.get("/api/v1/ab/events?from=2027-01-01T00:00:00Z")
        wrong, _ = await it.service.get("/api/v1/ab/events?from=yesterday")
        _, summary = await it.service.get("/api/v1/ab/summary")

    assert ["event-4", "event-3", "event-2"] == [event["id"] for event in first["events"]]
    assert (["event-1", "event-0"], None) == (
        [event["id"] for event in rest["events"]],
        rest["nextCursor"],
    )
    assert ["event-3", "event-1"] == [event["id"] for event in odd["events"]]
    assert (0, 0, 422) == (none["count"], late["count"], wrong)
    assert {R2, NANO} == {arm["name"] for arm in summary["arms"]}


async def test_urls_of_media_are_not_in_what_is_kept(tmp_path: Path) -> None:
    """Comparisons hold what arms said, not where clips are."""
    async with two_arms(tmp_path, ab={"policy": SHADOW}) as it:
        await it.info(1)
        await answered(it, 1, 2)
        _, page = await it.service.get("/api/v1/ab/events")

    assert CLIP not in str(page)
