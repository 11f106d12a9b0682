"""Policies are pure: the same event and policy always give the same arms."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.choosing import Facts, Mode, Plan, choose, deal, draw, facts_of, questions_of
from sidecar.model import (
    AnswerRules,
    AnswerShape,
    EventKind,
    MediaRequest,
    MediaRoute,
    Origin,
    Prompt,
    VerifyEvent,
)
from sidecar.outside.policy_file import read_policy_file
from sidecar.policy import Policy, QuestionKind

EVENT = Facts("PPE Missing", "dock-7", "dock-7", "key-1", priority="high", clip_s=10.0)
T0 = datetime(2026, 1, 31, 8, tzinfo=UTC)

arm_names = st.sampled_from(["a", "b", "c", "d"])
weights = st.dictionaries(arm_names, st.integers(1, 100), min_size=2)
sensors = st.lists(st.text(min_size=1, max_size=12), min_size=1, max_size=50, unique=True)


def _policy(*rules: object, **rest: object) -> Policy:
    return Policy.model_validate({"rules": rules, **rest})


def _plan(when: object, facts: Facts = EVENT) -> Plan:
    return choose(_policy({"when": when, "use": "fitting"}, {"use": "other"}), facts)


@pytest.mark.parametrize(
    "when",
    [
        {"alert_types": "ppe*"},
        {"alert_types": ["nothing", " ppe missing "]},
        {"sensors": ["gate-?", "dock-[0-9]"]},
        {"priorities": "HIGH"},
        {"questions": "causal"},
        {"clip_s": {"min": 10, "max": 10}},
        {"alert_types": "*", "sensors": "dock-*", "priorities": "high", "clip_s": {"max": 60}},
    ],
)
def test_a_rule_takes_the_events_that_fit_all_that_it_asks(when: object) -> None:
    """Names are globs; alert types and priorities compare without regard to case."""
    causal = replace(EVENT, questions=frozenset({QuestionKind.CAUSAL}))

    assert ("fitting",) == _plan(when, causal).arms


@pytest.mark.parametrize(
    "when",
    [
        {"alert_types": "motion"},
        {"alert_types": "ppe"},
        {"sensors": "Dock-*"},
        {"priorities": ["low", "medium"]},
        {"questions": ["trajectory", "boxes"]},
        {"clip_s": {"min": 10.1}},
        {"clip_s": {"max": 9.9}},
        {"alert_types": "ppe*", "sensors": "gate-*"},
    ],
)
def test_a_rule_leaves_the_events_that_miss_one_thing(when: object) -> None:
    """They go on to the next rule."""
    assert ("other",) == _plan(when).arms


def test_an_unknown_clip_length_fits_no_range() -> None:
    """Nothing is guessed about it."""
    assert ("other",) == _plan({"clip_s": {"min": 0}}, replace(EVENT, clip_s=None)).arms


def test_the_first_rule_that_fits_wins_and_is_named() -> None:
    """Rules without a name are counted from 1."""
    policy = _policy(
        {"when": {"sensors": "gate-*"}, "use": "a"},
        {"when": {"sensors": "dock-*"}, "use": "b"},
        {"name": "rest", "use": "c"},
    )

    assert ("rule 2", ("b",)) == (choose(policy, EVENT).rule, choose(policy, EVENT).arms)
    assert "rest" == choose(policy, replace(EVENT, sensor_id="x")).rule


def test_plans_carry_what_their_rule_says() -> None:
    """A cascade's band and opinions, a vote's umpire, and the fallbacks that are not asked yet."""
    cascade = {
        "kind": "cascade",
        "arms": ["a", "b"],
        "unsure": [0.3, 0.7],
        "second_opinion_on": "rejected",
    }
    vote = {"kind": "vote", "arms": ["a", "b"], "umpire": "c"}
    in_turn = choose(_policy({"use": cascade}, fallback=["b", "d"]), EVENT)
    together = choose(_policy({"use": vote}, fallback=["c", "d"]), EVENT)

    assert (Mode.CASCADE, ("a", "b"), ("d",)) == (in_turn.mode, in_turn.arms, in_turn.fallback)
    assert ((0.3, 0.7), {"rejected"}) == (in_turn.unsure, in_turn.second_opinion_on)
    assert (Mode.VOTE, ("a", "b"), "c") == (together.mode, together.arms, together.umpire)
    assert ("d",) == together.fallback


@given(weights, st.text(max_size=12), st.text(max_size=4))
def test_a_sensor_stays_with_its_arm(shares: dict[str, int], sensor: str, salt: str) -> None:
    """The order in which the arms are written changes nothing either."""
    backwards = dict(reversed(shares.items()))

    assert deal(shares, sensor, salt) == deal(backwards, sensor, salt)


@given(weights, arm_names, st.integers(2, 50), sensors)
def test_a_heavier_arm_takes_sensors_and_moves_no_others(
    shares: dict[str, int], grown: str, times: int, names: list[str]
) -> None:
    """A canary that goes from 1 to 10 to 50 % keeps the sensors that it has."""
    more = {**shares, grown: shares.get(grown, 1) * times}
    moved = {deal(more, it, "") for it in names if deal(more, it, "") != deal(shares, it, "")}

    assert moved <= {grown}


@given(weights, st.sampled_from(["", "salt", "2026-02"]))
def test_every_arm_gets_its_share_of_many_sensors(shares: dict[str, int], salt: str) -> None:
    """Within five standard deviations, so none starves."""
    count, total = 2_000, sum(shares.values())
    dealt = Counter(deal(shares, f"camera-{number}", salt) for number in range(count))
    for arm, weight in shares.items():
        share = weight / total
        spread = 5 * (count * share * (1 - share)) ** 0.5
        assert abs(dealt[arm] - count * share) <= max(spread, 1.0)


def test_an_arm_without_weight_gets_nothing_and_all_of_it_everything() -> None:
    """0 and 100 are ordinary weights, the ends of a promotion."""
    dealt = {deal({"a": 0, "b": 100}, f"camera-{number}", "") for number in range(500)}

    assert {"b"} == dealt


def test_another_salt_deals_anew() -> None:
    """About half of the sensors of an even split change sides."""
    even, names = {"a": 50, "b": 50}, [f"camera-{number}" for number in range(1_000)]
    moved = sum(deal(even, it, "one") != deal(even, it, "two") for it in names)

    assert 400 < moved < 600


@given(st.floats(0, 1), st.floats(0, 1), st.text(max_size=20))
def test_a_larger_shadow_share_keeps_the_events_of_a_smaller_one(
    one: float, other: float, key: str
) -> None:
    """And which they are can be told from the event alone, on every replica."""
    small, large = sorted((one, other))
    facts = replace(EVENT, identity=key)
    is_shown = [
        choose(_policy({"use": "a"}, shadow={"arm": "s", "share": share}), facts).shadow == "s"
        for share in (small, large)
    ]

    assert is_shown[1] or not is_shown[0]


def test_a_shadow_is_shown_its_share() -> None:
    """Of many events, within five standard deviations."""
    policy = _policy({"use": "a"}, shadow={"arm": "s", "share": 0.1})
    plans = [choose(policy, replace(EVENT, identity=f"key-{n}")) for n in range(5_000)]
    shown = sum(plan.shadow == "s" for plan in plans)

    assert 394 < shown < 606


@pytest.mark.parametrize("arm", ["a", "s"])
def test_a_shadow_is_not_asked_what_it_answers_anyway(arm: str) -> None:
    """An arm that the rule names is no shadow of itself."""
    plan = choose(_policy({"use": arm}, shadow={"arm": "s"}), EVENT)

    assert ("" if arm == "s" else "s") == plan.shadow


def test_a_shadow_can_be_kept_to_some_events() -> None:
    """By the same words as a rule."""
    policy = _policy({"use": "a"}, shadow={"arm": "s", "when": {"sensors": "gate-*"}})

    assert "" == choose(policy, EVENT).shadow
    assert "s" == choose(policy, replace(EVENT, sensor_id="gate-1")).shadow


@given(st.lists(st.text(max_size=8), min_size=1, max_size=3))
def test_draws_lie_between_0_and_1(words: list[str]) -> None:
    """Both ends excluded, so that their logarithm is a number."""
    assert 0 < draw(*words) < 1


@pytest.mark.parametrize(
    ("raw", "priority"),
    [
        ({"priority": "High"}, "high"),
        ({"info": {"priority": "low"}}, "low"),
        ({"info": {"severity": "CRITICAL"}}, "critical"),
        ({"info": None}, ""),
        ({"priority": 1}, "1"),
    ],
)
def test_the_facts_of_an_event(raw: dict[str, object], priority: str) -> None:
    """A sensor decides the split, or the event itself where there is none."""
    event = VerifyEvent(
        key="k",
        id="i",
        fingerprint="",
        kind=EventKind.INCIDENT,
        origin=Origin.PIPELINE,
        raw=raw,
        sensor_id="",
        category="Fire",
        timestamp=T0,
        end=T0 + timedelta(seconds=12.5),
        media=MediaRequest(MediaRoute.LOCAL),
    )
    facts = facts_of(event, Prompt("fire", "?"))

    assert ("Fire", "k", priority, 12.5) == (
        facts.alert_type,
        facts.dealt_by,
        facts.priority,
        facts.clip_s,
    )
    assert "camera" == facts_of(replace(event, sensor_id="camera")).dealt_by


@pytest.mark.parametrize(
    ("prompt", "kinds"),
    [
        (Prompt("a", "?"), {"detection"}),
        (Prompt("a", "?", vlm_params={"enable_reasoning": True}), {"detection", "causal"}),
        (Prompt("a", "?", rules=AnswerRules(perspectives=("speed",))), {"detection", "causal"}),
        (Prompt("a", "?", rules=AnswerRules(shape=AnswerShape.POINTS)), {"trajectory"}),
        (Prompt("a", "?", rules=AnswerRules(shape=AnswerShape.TIMELINE)), {"timeline"}),
    ],
)
def test_the_kind_of_a_question_follows_from_how_its_answers_are_read(
    prompt: Prompt, kinds: set[str]
) -> None:
    """Nobody has to declare it."""
    assert kinds == questions_of(prompt)


@pytest.mark.parametrize(
    ("questions", "arm"),
    [
        ({QuestionKind.DETECTION}, "reason2"),
        ({QuestionKind.DETECTION, QuestionKind.CAUSAL}, "cosmos3-nano"),
        ({QuestionKind.TRAJECTORY}, "cosmos3-nano"),
        (set(), "reason2"),
    ],
)
def test_the_usage_map_keeps_reason2_and_takes_nano_where_it_is_needed(
    questions: set[QuestionKind], arm: str
) -> None:
    """The policy file that comes with the sidecar; the other model is the fallback."""
    plan = choose(read_policy_file("usage-map"), replace(EVENT, questions=frozenset(questions)))

    assert (arm,) == plan.arms
    assert {"reason2", "cosmos3-nano"} == {arm, *plan.fallback}
