"""What a comparison means, in plain sentences that say how sure they are. Pure."""

from collections.abc import Iterator, Mapping
from typing import Final

from sidecar.ab.drift import FLIPS
from sidecar.ab.statistics import ALPHA
from sidecar.ab.summary import ArmSummary, Number, PairSummary, Slice

_FAIR: Final = ((0.2, "slight"), (0.4, "fair"), (0.6, "moderate"), (0.8, "substantial"))
"""Landis and Koch, Biometrics 33 (1977) 159-174; above the last, almost perfect."""
_NAMED: Final = 5
"""Slices that a sentence names."""


def conclude(pair: PairSummary, arms: Mapping[str, ArmSummary]) -> list[str]:
    """Say what is known about a candidate beside the reference, most important first."""
    reference, candidate = arms[pair.reference], arms[pair.candidate]
    return [
        *_who_is_right(pair, reference, candidate),
        *_who_agrees(pair),
        *_who_is_fast(pair),
        *_who_fails(pair, reference, candidate),
        *_where_they_differ(pair),
        *_what_changed(pair),
        *_what_to_do(pair),
    ]


def percent(number: Number) -> str:
    """Write a rate with its interval."""
    if number.value is None or number.low is None or number.high is None:
        return "unknown"
    return f"{number.value:.1%} ({100 * number.low:.1f} to {100 * number.high:.1f})"


def points(number: Number) -> str:
    """Write a difference of rates in percentage points, with its interval."""
    if number.value is None or number.low is None or number.high is None:
        return "unknown"
    value, low, high = (100 * it for it in (number.value, number.low, number.high))
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f})"


def _who_is_right(pair: PairSummary, reference: ArmSummary, candidate: ArmSummary) -> Iterator[str]:
    if not pair.labelled:
        disagreements = pair.compared - pair.matrix[0][0] - pair.matrix[1][1] - pair.matrix[2][2]
        yield (
            f"Nobody labelled any of these events, so it cannot be told which arm is right. They "
            f"differ on {disagreements:,} of {pair.compared:,} events; label a random sample of "
            f"all of them, about {pair.labelsNeeded:,} to tell apart two points."
        )
        return
    yield (
        f"Of {pair.labelled:,} labelled events, {candidate.name} got {percent(candidate.accuracy)} "
        f"right and {reference.name} {percent(reference.accuracy)}: "
        f"{points(pair.accuracyDifference)} for {candidate.name}."
    )
    yield _is_it_chance(pair)
    if pair.labelsAreSelected:
        yield (
            "Disagreements were labelled more often than agreements: rates of single arms against "
            "the labels mislead, because easy events are missing among them."
        )


def _is_it_chance(pair: PairSummary) -> str:
    tally = (
        f"Only {pair.candidate} was right in {pair.onlyCandidateRight:,} events, only "
        f"{pair.reference} in {pair.onlyReferenceRight:,}"
    )
    if pair.mcnemarP is None:
        return f"{tally}: no difference was seen."
    p = _p(pair.mcnemarP)
    if pair.mcnemarP < ALPHA:
        return f"{tally}, which chance hardly explains (McNemar's exact test, {p})."
    seen = pair.detectableDifference
    limit = (
        f"; with so many labels, a difference of {100 * seen:.1f} points would have shown in four "
        "of five cases"
        if seen
        else ""
    )
    return f"{tally}, which chance alone may explain (McNemar's exact test, {p}){limit}."


def _who_agrees(pair: PairSummary) -> Iterator[str]:
    agreement, kappa = pair.agreement, pair.kappa
    if agreement.value is None:
        yield "There is no event on which both gave a verdict."
        return
    sentence = f"They give the same verdict in {percent(agreement)} of {agreement.n:,} events"
    if kappa.value is not None and kappa.low is not None and kappa.high is not None:
        degree = next((word for limit, word in _FAIR if kappa.value < limit), "almost perfect")
        sentence += (
            f", a {degree} agreement beyond chance "
            f"(kappa {kappa.value:.2f}, {kappa.low:.2f} to {kappa.high:.2f})"
        )
    yield f"{sentence}."
    if pair.confirmsP is not None and pair.confirmsP < ALPHA:
        yield (
            f"{pair.candidate} confirms at a different rate: {points(pair.confirmsDifference)} "
            f"({_p(pair.confirmsP)})."
        )


def _who_is_fast(pair: PairSummary) -> Iterator[str]:
    ratio, median = pair.p95LatencyRatio, pair.medianLatencyDifferenceMs
    if ratio.value is None or ratio.low is None or ratio.high is None or median.value is None:
        return
    side = "slower" if median.value > 0 else "faster"
    yield (
        f"{pair.candidate} is {abs(median.value):,.0f} ms {side} for half of the events, and its "
        f"95th percentile is {ratio.value:.2f} times that of {pair.reference} "
        f"({ratio.low:.2f} to {ratio.high:.2f})."
    )


def _who_fails(pair: PairSummary, reference: ArmSummary, candidate: ArmSummary) -> Iterator[str]:
    if not reference.failed.value and not candidate.failed.value:
        yield "Both answered every event with a verdict."
        return
    yield (
        f"No verdict came from {candidate.name} for {percent(candidate.failed)} of its events and "
        f"from {reference.name} for {percent(reference.failed)}; answers that cannot be read: "
        f"{points(pair.unparsableDifference)} for {candidate.name}."
    )


def _where_they_differ(pair: PairSummary) -> Iterator[str]:
    for kind, slices in (("alert types", pair.byAlertType), ("sensors", pair.bySensor)):
        found = [it for it in slices if it.isDifferent]
        if not found or len(slices) == 1:
            continue
        if len(found) == len(slices):
            yield f"They differ beyond chance in each of {len(slices)} {kind}."
            continue
        named = ", ".join(_named(it, labelled=bool(pair.labelled)) for it in found[:_NAMED])
        more = f", and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        verb = "differs" if len(found) == 1 else "differ"
        yield (
            f"Of {len(slices)} {kind}, {len(found)} {verb} beyond chance after Holm's correction: "
            f"{named}{more}."
        )


def _named(part: Slice, *, labelled: bool) -> str:
    if labelled:
        return f"{part.name} (accuracy {points(part.accuracyDifference)})"
    return f"{part.name} (confirms {points(part.confirmsDifference)})"


def _what_changed(pair: PairSummary) -> Iterator[str]:
    for drift in pair.drift:
        if drift.isAlarm and drift.changedAt is not None:
            yield (
                f"Drift: the share of {_about(drift.name)} went from {percent(drift.before)} to "
                f"{percent(drift.after)} "
                f"around {drift.changedAt:%Y-%m-%d %H:%M} UTC ({_p(drift.pValue or 0.0)})."
            )


def _about(name: str) -> str:
    """Word what a rate over time is about."""
    return "events on which they differ" if name == FLIPS else f"events that {name}"


def _what_to_do(pair: PairSummary) -> Iterator[str]:
    if pair.gate is not None:
        yield f"Promotion gate: {pair.gate.words}"


def _p(p_value: float) -> str:
    return "p < 0.001" if p_value < 0.001 else f"p = {p_value:.3f}"  # noqa: PLR2004 - as is usual
