"""Arms are swapped while the service runs: what is begun is finished, and nothing is lost."""

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness import running
from ledger_samples import until
from two_arms import DEAD, MODELS, NANO, NO, R2, YES, arm_settings, incident, models, two_arms

from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions

WEIGHTED = {"rules": [{"use": {"kind": "weighted", "weights": {R2: 50, NANO: 50}}}]}


async def test_a_swap_holds_for_the_next_event_and_is_told(tmp_path: Path) -> None:
    """By the verdict, the list of arms, the history and the audit trail."""
    async with two_arms(tmp_path) as it:
        before = await it.info(1)
        status, chosen = await it.choose(primary=NANO, reason="spring trial")
        after = await it.info(2)
        _, shown = await it.service.get("/api/v1/arms")
        _, history = await it.service.get("/api/v1/arms/history")
        _, audit = await it.service.get("/api/v1/audit")

    assert (R2, "confirmed") == (before["sidecarArm"], before["verdict"])
    assert (NANO, "rejected") == (after["sidecarArm"], after["verdict"])
    assert (200, 2, NANO) == (status, chosen["version"], chosen["primary"])
    assert chosen["policy"] == {"rules": [{"use": {"kind": "fixed", "arm": NANO}}]}
    assert {R2: False, NANO: True, "baseline": False} == {
        arm["name"]: arm["lead"] for arm in shown["arms"]
    }
    assert MODELS[NANO] in {arm["model"] for arm in shown["arms"]}
    assert [(2, NANO, "spring trial"), (1, R2, "first start")] == [
        (choice["version"], choice["primary"], choice["reason"]) for choice in history["choices"]
    ]
    entry = audit["entries"][0]
    assert ("arms.choose", "spring trial", 1, 2) == (
        entry["action"],
        entry["reason"],
        entry["before"]["version"],
        entry["after"]["version"],
    )


async def test_an_event_in_flight_keeps_the_arm_that_it_began_with(tmp_path: Path) -> None:
    """However long it takes."""
    async with two_arms(tmp_path) as it:
        await it.info(0)
        await it.gate(R2, "close")
        await it.service.post("/api/v1/incidents", incident(1))
        await it.models[R2].wait_for_in_flight(1)
        await it.choose(primary=NANO)
        later = await it.info(2)
        await it.gate(R2, "open")
        earlier = (await it.service.decided("event-1"))["event"]["info"]

    assert (NANO, R2) == (later["sidecarArm"], earlier["sidecarArm"])
    assert "confirmed" == earlier["verdict"]


async def test_ten_swaps_under_load_lose_nothing(tmp_path: Path) -> None:
    """Every accepted event has one verdict, by the arm that it names and in that arm's words."""
    async with two_arms(tmp_path, verify={"max_in_flight": 16, "ask_again": False}) as it:
        await it.info(-1)
        await it.choose(primary=NANO)
        await it.info(-2)
        for model in it.models.values():
            model.reset()
        submitting, accepted = True, list[str]()

        async def submit(worker: int) -> None:
            number = worker
            while submitting:
                status, answer = await it.service.post("/api/v1/incidents", incident(number))
                assert status == 202, answer
                accepted.append(answer["id"])
                number += 8
                await asyncio.sleep(0)

        workers = [asyncio.create_task(submit(worker)) for worker in range(8)]
        versions = []
        for swap in range(10):
            goal = len(accepted) + 20
            await until(lambda goal=goal: len(accepted) >= goal, timeout_s=60)
            status, chosen = await it.choose(primary=(R2, NANO)[swap % 2], reason=f"swap {swap}")
            assert status == 200, chosen
            versions.append(chosen["version"])
        submitting = False
        await asyncio.gather(*workers)
        decided = [await it.service.decided(identity, 60) for identity in accepted]
        asked = {arm: model.stats["total_requests"] for arm, model in it.models.items()}
        backlog = await it.service.app.ledger.backlog()

    arms = Counter(verdict["arm"] for verdict in decided)
    assert list(range(3, 13)) == versions
    assert len(accepted) == len({verdict["verdictKey"] for verdict in decided})
    assert 0 == backlog
    assert arms == asked
    assert {R2, NANO} == arms.keys()
    assert {(R2, "confirmed", MODELS[R2]), (NANO, "rejected", MODELS[NANO])} == {
        (it["arm"], it["verdict"], it["event"]["info"]["sidecarModel"]) for it in decided
    }


@pytest.mark.parametrize(
    ("body", "status", "reason", "words"),
    [
        ({"primary": "gpt"}, 422, "validation_failed", "There is no arm 'gpt'"),
        (
            {"policy": {"rules": [{"use": {"kind": "weighted", "weights": {R2: 50, NANO: 40}}}]}},
            422,
            "validation_failed",
            "the weights add up to 90",
        ),
        (
            {"policy": {"rules": [{"when": {"sensors": "x"}, "use": R2}]}},
            422,
            "validation_failed",
            "add a last rule without `when`",
        ),
        (
            {"policy": {"rules": [{"use": R2}], "shadow": {"arm": "ghost"}}},
            422,
            "validation_failed",
            "policy.shadow.arm",
        ),
        ({}, 422, "validation_failed", "exactly one of"),
        ({"primary": NANO, "restore": 1}, 422, "validation_failed", "exactly one of"),
        ({"primary": NANO, "colour": "red"}, 422, "validation_failed", "colour"),
        ({"restore": 7}, 404, "not_found", "no choice 7"),
        ({"primary": NANO, "version": 9}, 409, "version_conflict", "Version 1 is in force"),
        ({"primary": "twin"}, 409, "arm_not_usable", "is not a cosmos3-nano model"),
        ({"primary": "gone"}, 409, "arm_not_usable", "Start it, or correct arms.gone.url"),
        (
            {"policy": {"rules": [{"use": R2}], "fallback": ["twin"]}},
            409,
            "arm_not_usable",
            "is not a cosmos3-nano model",
        ),
    ],
)
async def test_what_cannot_be_in_force_is_refused_and_the_old_stays(
    tmp_path: Path, body: dict[str, Any], status: int, reason: str, words: str
) -> None:
    """With a reason that says what is wrong."""
    async with models({R2: (YES,), NANO: (NO,)}) as (_, arms):
        arms["twin"] = {**arms[R2], "adapter": "cosmos3-nano"}
        arms["gone"] = {**arms[R2], "url": DEAD, "adapter": "reason2"}
        async with running(tmp_path, arms=arms, ab={"primary": R2}) as service:
            refused, answer = await service.put("/api/v1/arms", body)
            _, shown = await service.get("/api/v1/arms")
            _, history = await service.get("/api/v1/arms/history")

    assert (status, reason) == (refused, answer["error"]), answer
    assert words in str(answer), answer
    assert (1, R2, 1) == (shown["version"], shown["primary"], history["count"])


async def test_an_arm_that_is_away_can_be_forced_but_not_a_wrong_model(tmp_path: Path) -> None:
    """Somebody may know that its server is about to come."""
    async with models({R2: (YES,)}) as (_, arms):
        arms["gone"] = {**arms[R2], "url": DEAD, "adapter": "reason2"}
        arms["twin"] = {**arms[R2], "adapter": "cosmos3-nano"}
        async with running(tmp_path, arms=arms, ab={"primary": R2}) as service:
            gone, _ = await service.put("/api/v1/arms", {"primary": "gone", "force": True})
            twin, _ = await service.put("/api/v1/arms", {"primary": "twin", "force": True})

    assert (200, 409) == (gone, twin)


async def test_choosing_what_is_in_force_changes_nothing(tmp_path: Path) -> None:
    """No new version, no entry in the audit trail."""
    async with two_arms(tmp_path) as it:
        _, first = await it.choose(primary=R2)
        _, audit = await it.service.get("/api/v1/audit")

    assert (1, 1) == (first["version"], audit["count"])


async def test_an_older_choice_can_be_restored(tmp_path: Path) -> None:
    """As a new version, so that the history stays whole."""
    async with two_arms(tmp_path) as it:
        await it.choose(policy=WEIGHTED)
        await it.choose(primary=NANO)
        status, restored = await it.choose(restore=2)

    assert (200, 4, WEIGHTED) == (status, restored["version"], restored["policy"])
    assert (None, "version 2 again") == (restored["primary"], restored["reason"])


async def test_of_choices_at_the_same_time_one_wins(tmp_path: Path) -> None:
    """The others learn that they have seen an old version."""
    async with two_arms(tmp_path) as it:
        answers = await asyncio.gather(
            *(it.choose(policy={**WEIGHTED, "salt": f"{n}"}, version=1) for n in range(6))
        )
        _, history = await it.service.get("/api/v1/arms/history")

    assert [200, 409, 409, 409, 409, 409] == sorted(status for status, _ in answers)
    assert 2 == history["count"]


async def test_a_choice_survives_a_restart_until_the_settings_change(tmp_path: Path) -> None:
    """What was chosen at run time wins over the settings that it was chosen over."""
    seen = []
    for primary, choice in ((R2, NANO), (R2, None), ("baseline", None), ("baseline", None)):
        async with two_arms(tmp_path, ab={"primary": primary}) as it:
            if choice:
                await it.choose(primary=choice)
            _, shown = await it.service.get("/api/v1/arms")
            seen.append((shown["version"], shown["primary"], shown["reason"]))

    changed = (3, "baseline", "the settings changed")
    assert [(2, NANO, ""), (2, NANO, ""), changed, changed] == seen


async def test_a_choice_whose_arm_is_gone_from_the_settings_gives_way(tmp_path: Path) -> None:
    """The service starts with what the settings say."""
    async with models({R2: (YES,)}) as (_, arms):
        extra = {**arms, "second": {**arms[R2], "adapter": "reason2"}}
        async with running(tmp_path, arms=extra, ab={"primary": R2}) as service:
            await service.put("/api/v1/arms", {"primary": "second"})
        async with running(tmp_path, arms=arms, ab={"primary": R2}) as service:
            _, shown = await service.get("/api/v1/arms")

    assert (3, R2) == (shown["version"], shown["primary"])


async def test_a_split_by_sensor_holds_over_restarts_and_arms_share_the_work(
    tmp_path: Path,
) -> None:
    """One camera sees one model."""
    seen = []
    for _ in range(2):
        async with two_arms(tmp_path / f"{len(seen)}", ab={"policy": WEIGHTED}) as it:
            infos = await asyncio.gather(*(it.info(number) for number in range(20)))
            seen.append([info["sidecarArm"] for info in infos])

    assert seen[0] == seen[1]
    assert {R2, NANO} == set(seen[0])


async def test_a_policy_is_explained_for_an_event(tmp_path: Path) -> None:
    """The rule, the arms, why, and what it went by; nothing is accepted."""
    policy = {
        "rules": [
            {"name": "urgent", "when": {"priorities": "high"}, "use": NANO},
            {"name": "rest", "use": R2},
        ],
        "fallback": [R2, NANO],
        "shadow": {"arm": "baseline"},
    }
    async with two_arms(tmp_path, ab={"policy": policy}) as it:
        path = "/api/v1/arms/explain"
        status, plan = await it.service.post(path, incident(1, priority="HIGH"))
        wrong, _ = await it.service.post(path, {"id": "x"})
        info = await it.info(2, priority="HIGH")
        found, _ = await it.service.get("/api/v1/verdicts/event-1")

    assert (200, 422, 404) == (status, wrong, found)
    assert ("urgent", [NANO], [R2], "baseline") == (
        plan["rule"],
        plan["arms"],
        plan["fallback"],
        plan["shadow"],
    )
    assert ("high", 10.0, ["detection"]) == (
        plan["facts"]["priority"],
        plan["facts"]["clipSeconds"],
        plan["facts"]["questions"],
    )
    assert ("urgent", NANO) == (info["sidecarRule"], info["sidecarArm"])


async def test_several_servers_of_an_arm_share_its_events_and_stand_in(tmp_path: Path) -> None:
    """One of them goes away in mid-work, and no event ends without a verdict."""
    servers = [MockVlm(MockVlmOptions(model_id=MODELS[R2], latency_ms=5)) for _ in range(2)]
    urls = [await server.start() for server in servers]
    arm = arm_settings("", urls=urls, reconnect_s=20)
    settings: dict[str, Any] = {
        "arms": {R2: arm},
        "ab": {"primary": R2},
        "media": {"allowed_networks": ["127.0.0.0/8"]},
    }
    async with running(tmp_path, **settings) as service:
        infos = [service.verdict_on(incident(number)) for number in range(30)]
        first = await asyncio.gather(*infos)
        shares = [server.stats["peak_in_flight"] for server in servers]
        await servers[0].close()
        infos = [service.verdict_on(incident(number)) for number in range(30, 60)]
        second = await asyncio.gather(*infos)
        _, shown = await service.get("/api/v1/arms")
    await servers[1].close()

    assert {"confirmed"} == {it["info"]["verdict"] for it in (*first, *second)}
    assert min(shares) > 1
    lead = next(it for it in shown["arms"] if it["lead"])
    assert [True, False] == [it["leftOut"] for it in lead["endpoints"]]
    assert "" == lead["problem"]
