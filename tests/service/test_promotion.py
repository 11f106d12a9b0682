"""The promotion of an arm over the whole service: observed, canary, promoted, taken back, ended."""

import asyncio
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ab.samples import Habit, simulate
from service.test_ab_commands import command, like
from two_arms import NANO, R2, YES, Arms, incident, two_arms

from sidecar.arms import gate_rules
from sidecar.compared import Role
from sidecar.errors import SettingsError
from sidecar.settings import GateSettings

RULES = {"every_s": 0.1, "margin": 0.1, "max_p95_ratio": 50, "min_labelled": 200, "step_events": 3}
ACTING = {**RULES, "acts": True, "shares": [0.5, 1.0]}
GOOD = Habit(0.97, 0.97, unparsable=0.0)
MUTE = replace(GOOD, unparsable=0.5)


async def know(it: Arms, nano: Habit = GOOD, *, name: str = "past", events: int = 400) -> None:
    """Let the store know what both arms said about labelled events just now."""
    now, store = datetime.now(UTC), it.service.app.ab.comparing.store
    found = [
        replace(
            event,
            key=f"{name}-{event.key}",
            answers=tuple(
                replace(
                    answer,
                    key=f"{name}-{event.key}",
                    decided_at=now,
                    role=Role.PRIMARY if answer.arm == R2 else Role.SHADOW,
                )
                for answer in event.answers
            ),
            label=event.label and replace(event.label, key=f"{name}-{event.key}"),
        )
        for event in simulate({R2: GOOD, NANO: nano}, events, seed=5)
    ]
    await store.record(found)
    await store.label([(event, event.label) for event in found if event.label])


async def gate(it: Arms, stage: str) -> dict[str, Any]:
    """Wait until the promotion got so far, and return what the gate tells."""
    give_up = time.monotonic() + 30
    while True:
        status, told = await it.service.get("/api/v1/ab/gate")
        assert 200 == status, told
        if told["promotion"] and told["promotion"]["stage"] == stage:
            return dict(told)
        assert time.monotonic() < give_up, told
        await asyncio.sleep(0.05)


async def test_a_good_candidate_takes_over_step_by_step_and_every_step_is_on_record(
    tmp_path: Path,
) -> None:
    """Both arms are asked on the way; events that the candidate answers bring the next share."""
    async with two_arms(tmp_path, nano=(YES,), ab={"primary": R2, "gate": ACTING}) as it:
        await know(it)
        status, begun = await it.service.put(
            "/api/v1/ab/gate", {"candidate": NANO, "reason": "trial"}
        )
        canary = await gate(it, "canary")
        arms = set()
        for number in range(40):
            arms.add((await it.info(number))["sidecarArm"])
            if (await it.service.get("/api/v1/ab/gate"))[1]["promotion"]["stage"] == "promoted":
                break
        promoted = await gate(it, "promoted")
        last = await it.info(100)
        _, shown = await it.service.get("/api/v1/arms")
        _, audit = await it.service.get("/api/v1/audit")

    assert (200, "observing", True) == (status, begun["promotion"]["stage"], begun["acts"])
    assert 0.5 == canary["promotion"]["share"]
    assert {R2, NANO} == arms
    assert (1.0, NANO) == (promoted["promotion"]["share"], last["sidecarArm"])
    assert {"arm": NANO, "instead": R2} == shown["policy"]["shadow"]
    assert [R2] == shown["policy"]["fallback"]
    recorded = [(entry["actor"], entry["reason"]) for entry in audit["entries"][:3]]
    assert ["gate", "gate", "anonymous@127.0.0.1"] == [actor for actor, _ in recorded]
    assert "Give the candidate 100%" in recorded[0][1]
    assert "Give the candidate 50%" in recorded[1][1]
    assert "labels" in recorded[1][1]
    assert "trial" == recorded[2][1]


async def test_a_candidate_that_breaks_something_is_taken_back_and_stays_back(
    tmp_path: Path,
) -> None:
    """What was in force before is in force again; a new promotion wants new evidence."""
    before = {"rules": [{"use": {"kind": "fixed", "arm": R2}}], "fallback": ["baseline"]}
    async with two_arms(tmp_path, ab={"policy": before, "gate": ACTING}) as it:
        await know(it)
        await it.service.put("/api/v1/ab/gate", {"candidate": NANO})
        await gate(it, "canary")
        await know(it, MUTE, name="since")
        back = await gate(it, "rolled-back")
        _, shown = await it.service.get("/api/v1/arms")
        metric = it.service.app.meter.registry.get_sample_value
        stage = metric("sidecar_ab_promotion_stage", {"arm": NANO, "stage": "rolled-back"})
        await it.service.put("/api/v1/ab/gate", {"candidate": NANO})
        _, anew = await it.service.get("/api/v1/ab/gate")

    assert "no verdict" in back["promotion"]["words"]
    assert before == shown["policy"]
    assert ("gate", 0.0) == (shown["actor"], back["promotion"]["share"])
    assert 1 == stage
    assert ("observing", 0) == (anew["promotion"]["stage"], anew["look"]["labelled"])
    assert anew["promotion"]["since"]


async def test_a_gate_that_does_not_act_only_recommends(tmp_path: Path) -> None:
    """The candidate of the settings is observed from the start on; who answers stays the same."""
    async with two_arms(tmp_path, ab={"primary": R2, "gate": {**RULES, "candidate": NANO}}) as it:
        waiting = await gate(it, "observing")
        await know(it)
        give_up = time.monotonic() + 30
        while (told := (await gate(it, "observing"))["look"])["action"] != "recommend":
            assert time.monotonic() < give_up, told
        info = await it.info(1)
        _, shown = await it.service.get("/api/v1/arms")

    assert "wait" == waiting["look"]["action"]
    assert "Promote the candidate." in told["words"]
    assert all(check["passed"] for check in told["checks"])
    assert (R2, 2, "settings") == (info["sidecarArm"], shown["version"], shown["actor"])


async def test_a_promotion_survives_a_restart_and_ends_when_somebody_chooses(
    tmp_path: Path,
) -> None:
    """The share of a canary too. Afterwards the settings do not begin it again."""
    sections: dict[str, Any] = {"ab": {"primary": R2, "gate": {**ACTING, "candidate": NANO}}}
    async with two_arms(tmp_path, **sections) as it:
        await know(it)
        await gate(it, "canary")
    async with two_arms(tmp_path, **sections) as it:
        again = await gate(it, "canary")
        await it.choose(primary=R2)
        _, ended = await it.service.get("/api/v1/ab/gate")
    async with two_arms(tmp_path, **sections) as it:
        _, still = await it.service.get("/api/v1/ab/gate")
        _, shown = await it.service.get("/api/v1/arms")

    assert 0.5 == again["promotion"]["share"]
    assert None is ended["promotion"] is ended["look"] is still["promotion"]
    assert R2 == shown["primary"]


async def test_stopping_puts_back_what_was_before(tmp_path: Path) -> None:
    """Also from a canary; where nothing is promoted there is nothing to stop."""
    async with two_arms(tmp_path, ab={"primary": R2, "gate": ACTING}) as it:
        await know(it)
        await it.service.put("/api/v1/ab/gate", {"candidate": NANO})
        await gate(it, "canary")
        url = f"{it.service.url}/api/v1/ab/gate"
        async with it.service.client.delete(url) as stopped, it.service.client.delete(url) as twice:
            statuses = stopped.status, twice.status
        _, shown = await it.service.get("/api/v1/arms")

    assert (200, 404) == statuses
    assert R2 == shown["primary"]


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({"candidate": "gpt"}, "There is no arm 'gpt'"),
        ({"candidate": R2}, "answers already"),
        ({"candidate": NANO, "reference": "gpt"}, "There is no arm 'gpt'"),
        ({"candidate": NANO, "reference": "baseline"}, "No fixed or weighted rule"),
        ({}, "candidate"),
        ({"candidate": NANO, "share": 1}, "share"),
    ],
)
async def test_what_cannot_be_promoted_is_refused(
    tmp_path: Path, body: dict[str, Any], word: str
) -> None:
    """With the reason; what was in force stays so."""
    async with two_arms(tmp_path) as it:
        status, refusal = await it.service.put("/api/v1/ab/gate", body)
        _, shown = await it.service.get("/api/v1/arms")

    assert 422 == status
    assert word in str(refusal)
    assert (1, R2) == (shown["version"], shown["primary"])


async def test_a_promotion_that_somebody_was_faster_than_is_refused(tmp_path: Path) -> None:
    """The version that the caller has seen counts."""
    async with two_arms(tmp_path) as it:
        body = {"candidate": NANO, "version": 7}
        status, refusal = await it.service.put("/api/v1/ab/gate", body)

    assert 409 == status
    assert "Version 1 is in force" in str(refusal)


async def test_the_command_promotes_and_tells(tmp_path: Path) -> None:
    """Beside the running service, which follows."""
    async with two_arms(tmp_path) as it:
        await it.service.verdict_on(incident(1))
        status, chosen, _ = await command(tmp_path, "promote", NANO, **like(it))
        told, found, _ = await command(tmp_path, "gate", **like(it))
        await gate(it, "observing")
        stopped, after, _ = await command(tmp_path, "promote", "--stop", **like(it))
        neither, _, words = await command(tmp_path, "promote", **like(it))

    assert (0, 2) == (status, chosen["version"])
    assert (0, NANO, "wait") == (told, found["promotion"]["candidate"], found["look"]["action"])
    assert (0, R2) == (stopped, after["primary"])
    assert 3 == neither
    assert "Name the arm to promote" in words


def test_rules_that_cannot_work_stop_the_start() -> None:
    """In a sentence that names the setting."""
    with pytest.raises(SettingsError, match=r"ab\.gate: shares must grow"):
        gate_rules(GateSettings(shares=(0.5, 0.1)))
