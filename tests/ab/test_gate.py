"""The promotion gate, step by step."""

import re
from dataclasses import replace

import pytest

from sidecar.ab.gate import Action, GateDecision, GateEvidence, look
from sidecar.ab.rules import GateRules
from sidecar.ab.statistics import UNKNOWN, Estimate, PairedCounts
from sidecar.arms import gate_rules
from sidecar.errors import SettingsError
from sidecar.policy import Stage
from sidecar.settings import GateSettings

GOOD = GateEvidence(
    right=PairedCounts(1700, 40, 60, 200),
    unparsable=PairedCounts(0, 4, 4, 1992),
    p95_ratio=Estimate(1.1, 1.0, 1.15, 2000),
)
ACTING = GateRules(acts=True, step_events=100)
OBSERVING = Stage.OBSERVING


def _failed(decision: GateDecision) -> list[str]:
    return [check.name for check in decision.checks if not check.passed]


def test_a_good_candidate_is_recommended_and_nothing_is_done() -> None:
    """The default: somebody decides."""
    decision = look(OBSERVING, 0.0, GOOD, GateRules())

    assert (Stage.RECOMMENDED, 0.0) == (decision.stage, decision.share)
    assert Action.RECOMMEND is decision.action
    assert re.search(r"right at most 0\.\d points less often", decision.words)


def test_a_recommendation_ends_when_the_evidence_does() -> None:
    """It was slow since."""
    slow = replace(GOOD, p95_ratio=Estimate(1.4, 1.3, 1.5, 2000))
    decision = look(Stage.RECOMMENDED, 0.0, slow, GateRules())

    assert (OBSERVING, Action.WAIT) == (decision.stage, decision.action)
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
    decision = look(OBSERVING, 0.0, replace(GOOD, **changed), ACTING)  # type: ignore[arg-type]

    assert (OBSERVING, Action.WAIT, 0.0) == (decision.stage, decision.action, decision.share)
    assert failed == _failed(decision)
    assert all(check.words in decision.words for check in decision.checks if not check.passed)


def test_an_acting_gate_goes_up_step_by_step() -> None:
    """1, 10, 50, 100 %: a step needs so many events that the candidate answered at its share."""
    stage, share, steps = OBSERVING, 0.0, []
    for at_share in (0, 99, 100, 40, 100, 100, 100):
        decision = look(stage, share, replace(GOOD, at_share=at_share), ACTING)
        stage, share = decision.stage, decision.share
        steps.append((decision.action, share))

    wait, advance = Action.WAIT, Action.ADVANCE
    assert [
        (advance, 0.01),
        (wait, 0.01),
        (advance, 0.1),
        (wait, 0.1),
        (advance, 0.5),
        (advance, 1.0),
        (wait, 1.0),
    ] == steps
    assert Stage.PROMOTED is stage


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"right": PairedCounts(100, 80, 5, 55)}, "right less often"),
        ({"p95_ratio": Estimate(1.5, 1.3, 1.7, 2000)}, "95th percentile"),
        ({"unparsable": PairedCounts(0, 4, 64, 2232)}, "no verdict"),
    ],
)
@pytest.mark.parametrize(("stage", "share"), [(Stage.CANARY, 0.1), (Stage.PROMOTED, 1.0)])
def test_a_breach_takes_the_candidate_back_at_any_share(
    changed: dict[str, object], word: str, stage: Stage, share: float
) -> None:
    """During the canary, and after all events were the candidate's."""
    broken = replace(GOOD, at_share=1000, **changed)  # type: ignore[arg-type]
    decision = look(stage, share, broken, ACTING)

    assert (Stage.ROLLED_BACK, 0.0) == (decision.stage, decision.share)
    assert Action.ROLL_BACK is decision.action
    assert word in decision.words
    assert f"{share:.0%}" in decision.words


def test_a_canary_without_labels_yet_goes_on() -> None:
    """What is not known breaks nothing, and the share grows by events answered."""
    decision = look(Stage.CANARY, 0.01, GateEvidence(at_share=20), ACTING)

    assert (Stage.CANARY, Action.WAIT) == (decision.stage, decision.action)
    assert "20 of 100 events" in decision.words


def test_a_rolled_back_candidate_stays_back() -> None:
    """Good evidence does not start it again by itself."""
    decision = look(Stage.ROLLED_BACK, 0.0, GOOD, ACTING)

    assert (Stage.ROLLED_BACK, Action.WAIT, 0.0) == (
        decision.stage,
        decision.action,
        decision.share,
    )
    assert "start a new promotion" in decision.words


def test_the_settings_say_what_the_rules_say() -> None:
    """Report, service and gate have the same defaults."""
    assert GateRules() == gate_rules(GateSettings())


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
