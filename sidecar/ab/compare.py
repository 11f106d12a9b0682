"""From columns to the summary: every arm by itself, and every candidate beside the reference."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

import numpy as np
from scipy import stats

from sidecar.ab import words
from sidecar.ab.columns import ArmColumns, Bools, Comparisons, Floats, Said, names_by_code
from sidecar.ab.curves import curve_of
from sidecar.ab.drift import Drift, watch
from sidecar.ab.gate import GateEvidence, look
from sidecar.ab.latency import LatencyComparison, busy_seconds, compare_latency, percentiles
from sidecar.ab.rules import GateRules
from sidecar.ab.statistics import (
    ALPHA,
    Estimate,
    PairedCounts,
    balanced_accuracy,
    corrected,
    detectable_difference,
    events_needed,
    kappa,
    mcnemar_p,
    paired_difference,
    proportion,
)
from sidecar.ab.summary import (
    ArmSummary,
    CheckSummary,
    DriftSummary,
    GateSummary,
    Number,
    PairSummary,
    Percentiles,
    Slice,
    Span,
    Summary,
)
from sidecar.errors import NotFound
from sidecar.policy import Stage

MOST_SLICES: Final = 100
"""Alert types and sensors that are listed, the largest first; all count in the correction."""

_OUTCOMES: Final = (Said.CONFIRMED, Said.REJECTED, Said.FAILED)
_SELECTED_P: Final = 1e-3


def summarise(events: Comparisons, reference: str = "", rules: GateRules | None = None) -> Summary:
    """Build the summary.

    Args:
        events: compared events.
        reference: the arm to compare the others with; "" takes the one published most often.
        rules: of the promotion gate.

    Raises:
        NotFound: the reference answered none of the events.
    """
    if not events.arms:
        return Summary(events=events.total, labelled=int(events.is_labelled.sum()))
    reference = reference or events.reference()
    if reference not in events.arms:
        known = ", ".join(events.arms)
        raise NotFound(f"Arm {reference!r} answered none of these events; {known} did.")
    arms = [_arm(events, name) for name in events.arms]
    candidates = [name for name in events.arms if name != reference]
    pairs = [_pair(events, reference, name, rules or GateRules()) for name in candidates]
    for pair in pairs:
        pair.conclusion = words.conclude(pair, {arm.name: arm for arm in arms})
    return Summary(
        events=events.total,
        labelled=int(events.is_labelled.sum()),
        firstEvent=_moment(events.timestamp.min()) if events.total else None,
        lastEvent=_moment(events.timestamp.max()) if events.total else None,
        arms=arms,
        pairs=pairs,
    )


def evidence_of(events: Comparisons, reference: str, candidate: str) -> GateEvidence:
    """Gather what the promotion gate wants to know about a pair of arms."""
    latency = _latency(events, reference, candidate)
    return _evidence(events, reference, candidate, latency.p95_ratio)


def judged_of(events: Comparisons, reference: str, candidate: str) -> PairedCounts:
    """Count the labelled events about which both arms were asked, by who was right."""
    both = events.arms[reference].is_asked & events.arms[candidate].is_asked
    return _right(events, reference, candidate, both)


def _arm(events: Comparisons, name: str) -> ArmSummary:
    arm = events.arms[name]
    asked, verdicts = int(arm.is_asked.sum()), int(arm.has_verdict.sum())
    curve = curve_of(events, name)
    found = ArmSummary(
        name=name,
        models=list(arm.models),
        adapters=list(arm.adapters),
        asked=asked,
        verdicts=verdicts,
        confirms=_rate(arm.said == Said.CONFIRMED, arm.has_verdict),
        failed=_rate(arm.said == Said.FAILED, arm.is_asked),
        unparsable=_rate(arm.is_unparsable, _answered(arm)),
        failures=dict(arm.reasons),
        rocArea=_number(curve.area) if curve else Number(),
        promptTokens=_mean(arm.prompt_tokens),
        completionTokens=_mean(arm.completion_tokens),
        busySeconds=busy_seconds(arm.decided_at[arm.is_asked], arm.latency_ms[arm.is_asked]),
    )
    p50, p95, p99 = map(_number, percentiles(arm.latency_ms[arm.has_verdict]))
    found.latencyMs = Percentiles(p50=p50, p95=p95, p99=p99)
    if verdicts:
        found.busySecondsPerVerdict = found.busySeconds / verdicts
    return _judged(found, events)


def _judged(found: ArmSummary, events: Comparisons) -> ArmSummary:
    """Add what labels tell."""
    arm = events.arms[found.name]
    labelled, verdict = events.is_labelled & arm.is_asked, arm.has_verdict
    true, false = verdict & (events.truth == 1), verdict & (events.truth == 0)
    confirmed = arm.said == Said.CONFIRMED
    found.labelled = int(labelled.sum())
    found.accuracy = _rate(events.is_right(found.name), labelled)
    found.sensitivity = _rate(confirmed, true)
    found.specificity = _rate(~confirmed, false)
    found.precision = _rate(events.truth == 1, confirmed & events.is_labelled)
    found.balancedAccuracy = _number(
        balanced_accuracy(
            int((confirmed & true).sum()),
            int(true.sum()),
            int((~confirmed & false).sum()),
            int(false.sum()),
        )
    )
    return found


def _pair(events: Comparisons, reference: str, candidate: str, rules: GateRules) -> PairSummary:
    first, second = events.arms[reference], events.arms[candidate]
    both = first.is_asked & second.is_asked
    verdicts = first.has_verdict & second.has_verdict
    confirms = PairedCounts.of(
        first.said == Said.CONFIRMED, second.said == Said.CONFIRMED, verdicts
    )
    agreed = confirms.both + confirms.neither
    found = PairSummary(
        reference=reference,
        candidate=candidate,
        compared=int(both.sum()),
        matrix=[
            [int(((first.said == row) & (second.said == column)).sum()) for column in _OUTCOMES]
            for row in _OUTCOMES
        ],
        agreement=_number(proportion(agreed, confirms.total)),
        kappa=_number(kappa(confirms)),
        confirmsDifference=_number(paired_difference(confirms)),
        confirmsP=mcnemar_p(confirms),
        drift=[_drift(it) for it in watch(events, reference, candidate)],
    )
    latency = _latency(events, reference, candidate)
    evidence = _evidence(events, reference, candidate, latency.p95_ratio)
    _add_labels(found, events, both, rules)
    found.unparsableDifference = _number(paired_difference(evidence.unparsable))
    found.medianLatencyDifferenceMs = _number(latency.median_difference)
    found.p95LatencyDifferenceMs = _number(latency.p95_difference)
    found.p95LatencyRatio = _number(latency.p95_ratio)
    found.byAlertType, left_out = _slices(
        events, found, names_by_code(events.category, events.categories, both)
    )
    found.bySensor, more_left_out = _slices(
        events, found, names_by_code(events.sensor, events.sensors, both)
    )
    found.slicesLeftOut = left_out + more_left_out
    found.gate = _gate(evidence, rules)
    return found


def _add_labels(found: PairSummary, events: Comparisons, both: Bools, rules: GateRules) -> None:
    right = _right(events, found.reference, found.candidate, both)
    differ = both & (events.arms[found.reference].said != events.arms[found.candidate].said)
    labelled = events.is_labelled & both
    found.labelled = right.total
    found.labelledDisagreements = int((labelled & differ).sum())
    found.labelsAreSelected = _is_selected(labelled, differ, both)
    found.onlyReferenceRight, found.onlyCandidateRight = right.only_first, right.only_second
    found.accuracyDifference = _number(paired_difference(right))
    found.mcnemarP = mcnemar_p(right)
    found.detectableDifference = detectable_difference(right.total, right.discordant)
    found.labelsNeeded = events_needed(rules.margin, right.total, right.discordant)


def _latency(events: Comparisons, reference: str, candidate: str) -> LatencyComparison:
    first, second = events.arms[reference], events.arms[candidate]
    timed = first.has_verdict & second.has_verdict
    return compare_latency(first.latency_ms[timed], second.latency_ms[timed])


def _evidence(
    events: Comparisons, reference: str, candidate: str, p95_ratio: Estimate
) -> GateEvidence:
    first, second = events.arms[reference], events.arms[candidate]
    both = first.is_asked & second.is_asked
    answered = _answered(first) & _answered(second)
    return GateEvidence(
        right=_right(events, reference, candidate, both),
        unparsable=PairedCounts.of(first.is_unparsable, second.is_unparsable, answered),
        p95_ratio=p95_ratio,
    )


def _slices(
    events: Comparisons, pair: PairSummary, parts: Sequence[tuple[str, Bools]]
) -> tuple[list[Slice], int]:
    """Compare within each part; returns the largest ones, and how many are left out."""
    found = [_slice(events, pair, name, chosen) for name, chosen in parts]
    for it, p_value in zip(found, corrected([it.pValue for it in found]), strict=True):
        it.correctedP = p_value
        it.isDifferent = p_value is not None and p_value < ALPHA
    return found[:MOST_SLICES], max(len(found) - MOST_SLICES, 0)


def _slice(events: Comparisons, pair: PairSummary, name: str, chosen: Bools) -> Slice:
    first, second = events.arms[pair.reference], events.arms[pair.candidate]
    verdicts = chosen & first.has_verdict & second.has_verdict
    confirms = PairedCounts.of(
        first.said == Said.CONFIRMED, second.said == Said.CONFIRMED, verdicts
    )
    right = _right(events, pair.reference, pair.candidate, chosen)
    return Slice(
        name=name,
        compared=int(chosen.sum()),
        agreement=_number(proportion(confirms.both + confirms.neither, confirms.total)),
        labelled=right.total,
        accuracyDifference=_number(paired_difference(right)),
        confirmsDifference=_number(paired_difference(confirms)),
        pValue=mcnemar_p(right if pair.labelled else confirms),
    )


def _gate(evidence: GateEvidence, rules: GateRules) -> GateSummary:
    decision = look(Stage.OBSERVING, 0.0, evidence, replace(rules, acts=False))
    return GateSummary(
        action="recommend" if decision.action == "recommend" else "wait",
        words=decision.words,
        checks=[
            CheckSummary(name=it.name, passed=it.passed, breached=it.breached, words=it.words)
            for it in decision.checks
        ],
    )


def _drift(drift: Drift) -> DriftSummary:
    return DriftSummary(
        name=drift.name,
        pValue=drift.p_value,
        isAlarm=drift.is_alarm,
        changedAt=None if drift.changed_at is None else _moment(drift.changed_at),
        before=_number(drift.before),
        after=_number(drift.after),
        spans=[Span(start=_moment(it.start), rate=_number(it.rate)) for it in drift.buckets],
    )


def _right(events: Comparisons, first: str, second: str, chosen: Bools) -> PairedCounts:
    asked = events.arms[first].is_asked & events.arms[second].is_asked
    labelled = events.is_labelled & chosen & asked
    return PairedCounts.of(events.is_right(first), events.is_right(second), labelled)


def _answered(arm: ArmColumns) -> Bools:
    """Tell which events the model answered, with a verdict or not."""
    return arm.has_verdict | arm.is_unparsable


def _is_selected(labelled: Bools, differ: Bools, both: Bools) -> bool:
    """Tell whether disagreements were labelled clearly more often than agreements."""
    table = [
        [int((labelled & differ).sum()), int((both & differ & ~labelled).sum())],
        [int((labelled & ~differ).sum()), int((both & ~differ & ~labelled).sum())],
    ]
    return bool(stats.fisher_exact(table, alternative="greater").pvalue < _SELECTED_P)


def _rate(hits: Bools, chosen: Bools) -> Number:
    return _number(proportion(int((hits & chosen).sum()), int(chosen.sum())))


def _mean(values: Floats) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _number(estimate: Estimate) -> Number:
    return Number.model_validate(estimate)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(float(seconds), UTC)
