"""The summary of a comparison: numbers, and what they mean in words."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
from ab.samples import BEGIN, Habit, simulate

from sidecar.ab import compare
from sidecar.ab.columns import Said, names_by_code, tabulate
from sidecar.ab.compare import evidence_of, summarise
from sidecar.ab.drift import FLIPS, watch
from sidecar.ab.gate import GateRules
from sidecar.ab.latency import busy_seconds, compare_latency, percentiles
from sidecar.ab.summary import Number, PairSummary, Summary
from sidecar.errors import NotFound
from sidecar.model import Outcome

ARMS = {"old": Habit(0.85, 0.6, 0.03), "new": Habit(0.93, 0.8, 0.01, median_ms=950)}


def _covers(number: Number, truth: float) -> bool:
    assert number.low is not None
    assert number.high is not None
    return number.low <= truth <= number.high


def test_columns_keep_what_every_arm_said() -> None:
    """Codes, reasons, models; NaN and NOTHING where an arm was not asked."""
    first, second, *_ = simulate({"old": Habit(1, 1, 0), "new": Habit(0, 0, 0)}, 2, prevalence=1)
    second = replace(second, answers=second.answers[:1], label=None)
    events = tabulate([first, second])

    assert [Said.CONFIRMED, Said.CONFIRMED] == events.arms["old"].said.tolist()
    assert [Said.REJECTED, Said.NOTHING] == events.arms["new"].said.tolist()
    assert [False, True] == np.isnan(events.arms["new"].latency_ms).tolist()
    assert [1, -1] == events.truth.tolist()
    assert ("nvidia/old",) == events.arms["old"].models
    assert [True, False] == events.is_right("old").tolist()


def test_rates_of_an_arm_are_recovered() -> None:
    """Simulated with sensitivity 0.85, specificity 0.6, 3 % unreadable; 5,000 labels."""
    summary = summarise(tabulate(simulate(ARMS, 5000, seed=3)))
    old = summary.arms[0]

    assert _covers(old.sensitivity, 0.85)
    assert _covers(old.specificity, 0.6)
    assert _covers(old.unparsable, 0.03)
    assert _covers(old.balancedAccuracy, 0.725)
    assert (5000, 5000) == (old.asked, old.labelled)
    assert {"unparsable_answer": 5000 - old.verdicts} == old.failures


def test_a_better_arm_is_said_to_be_better() -> None:
    """With the numbers, the test, and what the gate would do."""
    summary = summarise(tabulate(simulate(ARMS, 3000, seed=4)), "old")
    (pair,) = summary.pairs
    text = " ".join(pair.conclusion)

    assert ("old", "new", 3000) == (pair.reference, pair.candidate, pair.compared)
    assert pair.mcnemarP is not None
    assert pair.mcnemarP < 0.001
    assert "chance hardly explains" in text
    assert pair.gate is not None
    assert "recommend" == pair.gate.action
    assert "Promotion gate: Promote the candidate" in text


def test_the_matrix_counts_every_event_once() -> None:
    """Three outcomes of the reference by three of the candidate."""
    summary = summarise(tabulate(simulate(ARMS, 800, seed=5)), "old")
    (pair,) = summary.pairs

    assert 800 == sum(map(sum, pair.matrix))
    agreed = pair.matrix[0][0] + pair.matrix[1][1]
    assert pair.agreement.value == pytest.approx(agreed / pair.agreement.n)


def test_without_labels_nobody_is_said_to_be_right() -> None:
    """Agreement and latency are told; the rest asks for labels."""
    summary = summarise(tabulate(simulate(ARMS, 500, labelled=0.0)), "old")
    (pair,) = summary.pairs

    assert Number() == summary.arms[0].sensitivity
    assert pair.accuracyDifference.value is None
    assert pair.agreement.value is not None
    assert "Nobody labelled any of these events" in pair.conclusion[0]
    assert pair.gate is not None
    assert "wait" == pair.gate.action


def test_labels_on_disagreements_alone_are_noticed() -> None:
    """Rates against such labels mislead, and the conclusion says so."""
    events = simulate(ARMS, 1000, seed=6)
    selected = [
        it if len({answer.outcome for answer in it.answers}) > 1 else replace(it, label=None)
        for it in events
    ]
    fair, unfair = (summarise(tabulate(it), "old").pairs[0] for it in (events, selected))

    assert (False, True) == (fair.labelsAreSelected, unfair.labelsAreSelected)
    assert "Disagreements were labelled more often" in " ".join(unfair.conclusion)


def test_one_alert_type_that_differs_is_found_among_many() -> None:
    """Holm's correction keeps the others quiet: 19 of 20 alert types are equal."""
    equal = {"old": Habit(0.9, 0.9, 0), "new": Habit(0.9, 0.9, 0)}
    names = tuple(f"type-{number}" for number in range(19))
    worse = {"old": Habit(0.9, 0.9, 0), "new": Habit(0.5, 0.5, 0)}
    events = [
        *simulate(equal, 5700, seed=7, categories=names),
        *simulate(worse, 300, seed=8, categories=("the odd one",)),
    ]
    renamed = [replace(it, key=str(at), id=str(at)) for at, it in enumerate(events)]
    (pair,) = summarise(tabulate(renamed), "old").pairs

    assert ["the odd one"] == [it.name for it in pair.byAlertType if it.isDifferent]
    assert "the odd one (accuracy -" in " ".join(pair.conclusion)


def test_false_alarms_among_many_slices_stay_rare() -> None:
    """Equal arms, 20 slices, 25 runs: any alarm in 5 of 100 runs at most, by Holm's method."""
    equal = {"old": Habit(0.9, 0.8, 0), "new": Habit(0.9, 0.8, 0)}
    names = tuple(f"type-{number}" for number in range(20))
    pair = PairSummary(reference="old", candidate="new", labelled=1)
    alarms = 0
    for seed in range(25):
        events = tabulate(simulate(equal, 1000, seed=seed, categories=names))
        parts = names_by_code(events.category, events.categories, events.is_labelled)
        slices, _ = compare._slices(events, pair, parts)
        alarms += any(it.isDifferent for it in slices)

    assert alarms <= 5  # 1.25 expected at most; more than 5 in 1 of 600 such tests


def test_a_change_over_time_raises_an_alarm_and_is_dated() -> None:
    """One arm turns after event 600 of 1,000; the other stays as it is."""
    before = simulate(ARMS, 600, seed=9)
    after = simulate({**ARMS, "new": Habit(0.4, 0.95, 0.01)}, 400, seed=10)
    moved = [
        replace(it, key=f"{it.key}-later", timestamp=it.timestamp + timedelta(minutes=600))
        for it in after
    ]
    (pair,) = summarise(tabulate([*before, *moved]), "old").pairs
    drift = {it.name: it for it in pair.drift}

    assert drift["new confirms"].isAlarm
    assert not drift["old confirms"].isAlarm
    changed = drift["new confirms"].changedAt
    assert changed is not None
    assert abs((changed - BEGIN) - timedelta(minutes=600)) < timedelta(minutes=60)
    assert "events that new confirms went from" in " ".join(pair.conclusion)
    assert len(drift[FLIPS].spans) > 10


def test_steady_arms_raise_no_alarm() -> None:
    """25 runs without a change: at most a few alarms at the 1 % that an alarm needs."""
    alarms = 0
    for seed in range(25):
        events = tabulate(simulate(ARMS, 300, seed=seed, labelled=0))
        alarms += any(drift.is_alarm for drift in watch(events, "old", "new"))

    assert alarms <= 2


def test_confidence_gives_a_curve_whose_area_is_that_of_the_simulation() -> None:
    """The area is the chance that a true event gets a higher probability than a false one."""
    arms = {"old": ARMS["old"], "new": Habit(0.93, 0.8, 0.01, has_confidence=True)}
    old, new = summarise(tabulate(simulate(arms, 4000, seed=11)), "old").arms

    assert Number() == old.rocArea
    assert new.rocArea.value is not None
    assert 0.9 < new.rocArea.value < 1.0


def test_the_evidence_of_the_gate_is_that_of_the_summary() -> None:
    """The live gate and the report judge by the same counts."""
    events = tabulate(simulate(ARMS, 1000, seed=12, labelled=0.5))
    evidence = evidence_of(events, "old", "new")
    (pair,) = summarise(events, "old").pairs

    assert pair.labelled == evidence.right.total
    assert (pair.onlyReferenceRight, pair.onlyCandidateRight) == (
        evidence.right.only_first,
        evidence.right.only_second,
    )
    assert pair.p95LatencyRatio.value == evidence.p95_ratio.value


def test_stricter_rules_change_what_the_gate_says() -> None:
    """The margin and the number of labels come from the rules."""
    events = tabulate(simulate(ARMS, 1000, seed=13))
    (pair,) = summarise(events, "old", GateRules(min_labelled=5000)).pairs

    assert pair.gate is not None
    assert "wait" == pair.gate.action
    assert "1,000 events have labels (5,000 needed)" in pair.gate.words


def test_the_reference_is_the_published_arm_unless_told_otherwise() -> None:
    """Offline nothing is published, and the first arm is taken."""
    events = simulate(ARMS, 50)
    published = [
        replace(it, answers=(it.answers[0], replace(it.answers[1], is_published=True)))
        for it in events
    ]

    assert "old" == tabulate(events).reference()
    assert "new" == tabulate(published).reference()
    with pytest.raises(NotFound, match="'nobody' answered none of these events; old, new did"):
        summarise(tabulate(events), "nobody")


@pytest.mark.parametrize("events", [0, 1, 3])
def test_little_or_nothing_is_no_reason_to_fail(events: int) -> None:
    """An empty window, one event, three."""
    summary = summarise(tabulate(simulate(ARMS, events)))

    assert events == summary.events
    assert Summary.model_validate_json(summary.model_dump_json(by_alias=True)) == summary


def test_an_arm_that_always_fails_is_described() -> None:
    """No verdicts: no agreement, no latency, no cost; a rate of failure."""
    arms = {"old": ARMS["old"], "dead": Habit(unparsable=0.0, failing=1.0)}
    summary = summarise(tabulate(simulate(arms, 100)), "old")
    (pair,) = summary.pairs

    assert 0 == summary.arms[1].verdicts
    assert summary.arms[1].busySecondsPerVerdict is None
    assert 1.0 == summary.arms[1].failed.value
    assert Number() == summary.arms[1].unparsable
    assert "no event on which both gave a verdict" in " ".join(pair.conclusion)


def test_descriptions_without_a_verdict_are_not_compared() -> None:
    """VSS's free-text answers say neither yes nor no."""
    first, *_ = simulate(ARMS, 1)
    described = [replace(it, outcome=Outcome.NONE) for it in first.answers]
    events = tabulate([replace(first, answers=tuple(described))])

    assert 0 == summarise(events, "old").pairs[0].compared


def test_latencies_are_compared_as_pairs_and_the_same_way_every_time() -> None:
    """Second is first plus 100 ms, whatever the event: that is certain, the levels are not."""
    first = np.random.default_rng(1).lognormal(6, 0.8, 500)
    found, again = compare_latency(first, first + 100), compare_latency(first, first + 100)

    assert found == again
    assert found.median_difference.value == pytest.approx(100)
    assert found.median_difference.low == pytest.approx(100)
    assert found.p95_difference.value == pytest.approx(100)
    assert found.first[0].low is not None
    assert found.first[0].low < found.first[0].value < found.first[0].high  # type: ignore[operator]


def test_bootstrap_intervals_of_a_median_cover_it_in_95_of_100_runs() -> None:
    """200 runs of 100 exponential latencies, whose median is ln 2."""
    random = np.random.default_rng(2)
    found = [percentiles(random.exponential(1.0, 100))[0] for _ in range(200)]
    covered = sum((it.low or 0) <= np.log(2) <= (it.high or 0) for it in found)

    assert 180 <= covered <= 199


def test_an_arm_is_busy_while_any_question_is_on_its_way() -> None:
    """Overlapping questions count once, pauses not at all."""
    decided = np.array([10.0, 11.0, 20.0])
    latency = np.array([2000.0, 2000.0, 1000.0])

    assert busy_seconds(decided, latency) == pytest.approx(4.0)
    assert 0.0 == busy_seconds(decided[:0], latency[:0])
