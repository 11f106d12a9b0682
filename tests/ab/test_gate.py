"""The promotion gate, step by step."""

import re
from dataclasses import replace

import pytest

from sidecar.ab.gate import (
    Action,
    GateDecision,
    GateEvidence,
    GateRules,
    GateState,
    Stage,
    look,
)
from sidecar.ab.statistics import UNKNOWN, Estimate, PairedCounts
from sidecar.errors import SettingsError

GOOD = GateEvidence(
    right=PairedCounts(1700, 40, 60, 200),
    unparsable=PairedCounts(0, 4, 4, 1992),
    p95_ratio=Estimate(1.1, 1.0, 1.15, 2000),
    compared=2000,
)
ACTING = GateRules(acts=True, step_events=100)


def _failed(decision: GateDecision) -> list[str]:
    return [check.name for check in decision.checks if not check.passed]


def test_a_good_candidate_is_recommended_and_nothing_is_done() -> None:
    """The default: somebody decides."""
    state, decision = look(GateState(), GOOD, GateRules())

    assert (Stage.RECOMMENDED, 0.0) == (state.stage, state.share)
    assert Action.RECOMMEND is decision.action
    assert re.search(r"right at most 0\.\d points less often", decision.words)


def test_a_recommendation_ends_when_the_evidence_does() -> None:
    """It was slow since."""
    state, _ = look(GateState(), GOOD, GateRules())
    slow = replace(GOOD, p95_ratio=Estimate(1.4, 1.3, 1.5, 2000))
    state, decision = look(state, slow, GateRules())

    assert (Stage.OBSERVING, Action.WAIT) == (state.stage, decision.action)
    assert ["latency"] == _failed(decision)
    assert "1.40 times" in decision.words


@pytest.mark.parametrize(
    ("changed", "failed"),
    [
        ({"right": PairedCounts(0, 0, 0, 0)}, ["labels", "accuracy"]),
        ({"right": PairedCounts(200, 0, 40, 10)}, ["labels"]),
        ({"right": PairedCounts(300, 20, 20, 60)}, ["accuracy"]),
        ({"right": PairedCounts(1500, 200, 100, 200)}, ["accuracy"]),
        ({"p95_ratio": Estimate(1.21, 1.1, 1.3, 2000)}, ["latency"]),
        ({"p95_ratio": UNKNOWN}, ["latency"]),
        ({"unparsable": PairedCounts(0, 4, 24, 1972)}, ["unparsable"]),
        ({"unparsable": PairedCounts(0, 0, 0, 0)}, ["unparsable"]),
    ],
)
def test_each_condition_alone_holds_a_candidate_back(
    changed: dict[str, object], failed: list[str]
) -> None:
    """And the decision says which, in words."""
    state, decision = look(GateState(), replace(GOOD, **changed), ACTING)  # type: ignore[arg-type]

    assert (Stage.OBSERVING, Action.WAIT, 0.0) == (state.stage, decision.action, decision.share)
    assert failed == _failed(decision)
    assert all(check.words in decision.words for check in decision.checks if not check.passed)


def test_an_acting_gate_goes_up_step_by_step() -> None:
    """1, 10, 50, 100 %: a step needs so many events since the one before."""
    state, evidence, shares = GateState(), GOOD, []
    for compared in range(2000, 2800, 50):
        evidence = replace(evidence, compared=compared)
        state, decision = look(state, evidence, ACTING)
        shares.append((decision.action, decision.share))

    advances = [share for action, share in shares if action is Action.ADVANCE]
    assert [0.01, 0.1, 0.5, 1.0] == advances
    assert (Action.WAIT, 0.01) == shares[1]
    assert (Stage.PROMOTED, 1.0) == (state.stage, state.share)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"right": PairedCounts(1800, 180, 65, 255)}, "right less often"),
        ({"p95_ratio": Estimate(1.5, 1.3, 1.7, 2000)}, "95th percentile"),
        ({"unparsable": PairedCounts(0, 4, 64, 2232)}, "no verdict"),
    ],
)
@pytest.mark.parametrize("until", [1, 4])
def test_a_breach_takes_the_candidate_back_at_any_share(
    changed: dict[str, object], word: str, until: int
) -> None:
    """During the canary, and after all events were the candidate's."""
    state, evidence = GateState(), GOOD
    for step in range(until):
        evidence = replace(evidence, compared=2000 + 100 * step)
        state, _ = look(state, evidence, ACTING)
    broken = replace(evidence, compared=3000, **changed)  # type: ignore[arg-type]
    state, decision = look(state, broken, ACTING)

    assert (Stage.ROLLED_BACK, 0.0) == (state.stage, state.share)
    assert (Action.ROLL_BACK, 0.0) == (decision.action, decision.share)
    assert word in decision.words


def test_what_breaks_a_canary_is_judged_on_what_came_after_it_began() -> None:
    """1,000 good events before do not outweigh 100 bad ones since; before, the same are fine."""
    state, _ = look(GateState(), GOOD, ACTING)
    since = replace(GOOD, right=PairedCounts(1740, 100, 60, 200), compared=2100)
    fresh, _ = look(GateState(), since, ACTING)
    state, decision = look(state, since, ACTING)

    assert Stage.OBSERVING is fresh.stage
    assert Action.ROLL_BACK is decision.action


def test_a_rolled_back_candidate_stays_back() -> None:
    """Good evidence does not start it again by itself."""
    back = GateState(stage=Stage.ROLLED_BACK)
    state, decision = look(back, GOOD, ACTING)

    assert back == state
    assert (Action.WAIT, 0.0) == (decision.action, decision.share)
    assert "start a new promotion" in decision.words


def test_labels_that_change_later_do_no_harm() -> None:
    """Counts that fall below those at the canary's beginning are taken for none."""
    state, _ = look(GateState(), GOOD, ACTING)
    fewer = replace(GOOD, right=PairedCounts(10, 0, 0, 0), compared=2050)
    state, decision = look(state, fewer, ACTING)

    assert (Stage.CANARY, Action.WAIT) == (state.stage, decision.action)


@pytest.mark.parametrize(
    ("wrong", "word"),
    [
        ({"margin": 0.0}, "margin"),
        ({"alpha": 0.6}, "alpha"),
        ({"max_p95_ratio": 0.0}, "max_p95_ratio"),
        ({"unparsable_allowance": -0.1}, "unparsable_allowance"),
        ({"shares": ()}, "shares"),
        ({"shares": (0.5, 0.1)}, "shares"),
        ({"shares": (0.5, 1.5)}, "shares"),
        ({"step_events": -1}, "step_events"),
    ],
)
def test_rules_that_cannot_work_are_refused(wrong: dict[str, object], word: str) -> None:
    """In a sentence that names the rule."""
    with pytest.raises(SettingsError, match=word):
        GateRules(**wrong)  # type: ignore[arg-type]
