"""Evidence that may be looked at as often as one likes, by simulation of thousands of runs."""

import math

import numpy as np
import numpy.typing as npt
import pytest

from sidecar.ab.gate import Action, GateEvidence, look
from sidecar.ab.rules import GateRules
from sidecar.ab.sequential import log_evidence, lower_bound
from sidecar.ab.statistics import Estimate, PairedCounts
from sidecar.policy import Stage

MARGIN = 0.02
RULES = GateRules(margin=MARGIN, min_labelled=100)
THRESHOLD = -math.log(RULES.alpha)
LOOK_EVERY = 10

Counts = npt.NDArray[np.int64]


def _runs(share: float, difference: float, events: int, runs: int, seed: int) -> Counts:
    """Simulate the counts of (worse, equal, better) at every look: runs x looks x 3.

    Args:
        share: of the events that one arm alone gets right.
        difference: candidate's rate of right answers minus the reference's.
        events: in each run.
        runs: how many.
        seed: of the draws.
    """
    worse, better = (share - difference) / 2, (share + difference) / 2
    random = np.random.default_rng(seed)
    steps = random.multinomial(
        LOOK_EVERY, [worse, 1 - share, better], size=(runs, events // LOOK_EVERY)
    )
    return steps.cumsum(axis=1)


def _crossed(counts: Counts) -> npt.NDArray[np.bool_]:
    """Tell at which looks the evidence and the number of labels allow a promotion."""
    worse, equal, better = np.moveaxis(counts, -1, 0)
    enough = counts.sum(axis=-1) >= RULES.min_labelled
    return enough & (log_evidence(worse, equal, better, -MARGIN) >= THRESHOLD)


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1, 0.3])
def test_an_arm_at_the_margin_is_promoted_in_fewer_than_5_of_100_runs(share: float) -> None:
    """2,000 runs of 4,000 labels with 400 looks each; the arm is worse by exactly the margin."""
    promoted = _crossed(_runs(share, -MARGIN, 4000, 2000, seed=11)).any(axis=1)

    assert promoted.mean() < 0.05


def test_a_fixed_test_at_every_look_would_promote_far_too_often() -> None:
    """What the evidence is for: the same runs, with a normal one-sided 5 % test at every look."""
    counts = _runs(0.1, -MARGIN, 4000, 2000, seed=11)
    total = counts.sum(axis=-1)
    mean = (counts[..., 2] - counts[..., 0]) / total
    variance = (counts[..., 2] + counts[..., 0]) / total - mean**2
    shown = (total >= RULES.min_labelled) & (mean - 1.645 * np.sqrt(variance / total) > -MARGIN)

    assert shown.any(axis=1).mean() > 0.15


def test_equal_arms_are_promoted_with_as_many_labels_as_one_test_needs_in_half_of_the_runs() -> (
    None
):
    """10 of 100 events differ: one look needs 1,546 labels for 80 % power; see also the docs."""
    promoted = _crossed(_runs(0.1, 0.0, 8000, 500, seed=12))
    by_1800 = promoted[:, : 1800 // LOOK_EVERY].any(axis=1).mean()

    assert by_1800 > 0.5
    assert promoted[:, : 3200 // LOOK_EVERY].any(axis=1).mean() > 0.8
    assert promoted.any(axis=1).mean() > 0.98


def test_a_better_arm_is_promoted_soon() -> None:
    """Right two points more often: within 900 labels in four of five runs."""
    promoted = _crossed(_runs(0.1, 0.02, 900, 500, seed=13)).any(axis=1)

    assert promoted.mean() > 0.8


def test_the_gate_promotes_exactly_where_the_evidence_says_so() -> None:
    """The state machine on some of the simulated runs, look by look."""
    counts = np.concatenate(
        [_runs(0.1, -MARGIN, 1200, 5, seed=14), _runs(0.1, 0.03, 1200, 5, seed=15)]
    )
    expected = _crossed(counts)
    found = [[_recommends(at) for at in run] for run in counts]

    assert expected.tolist() == found
    assert expected.any()
    assert not expected.all()


def _recommends(counts: Counts) -> bool:
    worse, equal, better = map(int, counts)
    evidence = GateEvidence(
        right=PairedCounts(equal, worse, better, 0),
        unparsable=PairedCounts(0, 0, 0, worse + equal + better),
        p95_ratio=Estimate(1.0, 0.9, 1.1, 100),
    )
    return look(Stage.OBSERVING, 0.0, evidence, RULES).action is Action.RECOMMEND


def test_the_lower_bound_stays_below_the_truth_at_all_looks_in_95_of_100_runs() -> None:
    """A confidence sequence: one miss anywhere on the way counts."""
    counts = _runs(0.2, 0.05, 1000, 150, seed=16)[:, ::10]
    bounds = [[lower_bound(*map(int, at), alpha=0.05) for at in run] for run in counts]
    ever_above = (np.array(bounds) > 0.05).any(axis=1)

    assert ever_above.mean() < 0.05


def test_the_lower_bound_is_where_the_evidence_reaches_the_threshold() -> None:
    """Both say the same, and the bound approaches the mean as events come."""
    few, many = lower_bound(5, 90, 5, alpha=0.05), lower_bound(500, 9000, 500, alpha=0.05)

    assert pytest.approx(THRESHOLD, abs=1e-6) == float(log_evidence(5, 90, 5, few))
    assert few < many < 0
    assert many > -0.01


@pytest.mark.parametrize("counts", [(0, 0, 0), (10, 0, 0), (1, 1, 1)])
def test_little_evidence_shows_little(counts: tuple[int, int, int]) -> None:
    """No events, only losses, one of each."""
    assert lower_bound(*counts, alpha=0.05) < -0.5
