"""When to promote an arm, step by step, and when to take it back. Pure.

A candidate is promoted when it is not worse than the reference by more than a margin, with a chance
of at most `alpha` to be promoted though it is, however often one looks (`sidecar.ab.sequential`);
when its 95th percentile of latency is within a factor; and when it does not answer more often what
is no verdict. All three have to hold at the same look, which only makes a wrong promotion rarer.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sidecar.ab.rules import GateRules
from sidecar.ab.sequential import is_shown, lower_bound
from sidecar.ab.statistics import UNKNOWN, Estimate, PairedCounts, events_needed
from sidecar.policy import Stage

NO_COUNTS: Final = PairedCounts(0, 0, 0, 0)


class Action(StrEnum):
    """What a look leads to."""

    WAIT = "wait"
    RECOMMEND = "recommend"
    ADVANCE = "advance"
    ROLL_BACK = "roll-back"


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """What is known about a pair of arms. `first` is the reference, `second` the candidate.

    Once the candidate answers a share of the events, all of it must have come since then: many good
    events from before would outweigh the bad ones that break a canary.

    Attributes:
        right: labelled events by who was right.
        unparsable: events that both models answered, by whose answer is no verdict.
        p95_ratio: candidate's 95th percentile of latency over the reference's.
        at_share: events that the candidate answered since it was given its share.
    """

    right: PairedCounts = NO_COUNTS
    unparsable: PairedCounts = NO_COUNTS
    p95_ratio: Estimate = UNKNOWN
    at_share: int = 0


@dataclass(frozen=True, slots=True)
class Check:
    """One condition.

    Attributes:
        passed: whether it holds.
        breached: whether it was shown not to hold.
        words: what is known, in a sentence.
    """

    name: str
    passed: bool
    breached: bool
    words: str


@dataclass(frozen=True, slots=True)
class GateDecision:
    """What a look leads to, and why.

    Attributes:
        stage: from now on.
        share: of the events that the candidate shall answer from now on.
        words: a sentence or more.
    """

    action: Action
    stage: Stage
    share: float
    checks: tuple[Check, ...]
    words: str


def look(stage: Stage, share: float, evidence: GateEvidence, rules: GateRules) -> GateDecision:
    """Look at the evidence, and decide what to do now.

    Args:
        stage: how far the promotion got.
        share: of the events that the candidate answers, 0..1.
        evidence: since then, as `GateEvidence` says.
        rules: what the candidate has to show.
    """
    checks = check(evidence, rules)
    if stage is Stage.ROLLED_BACK:
        words = "The candidate was rolled back; start a new promotion to try it again."
        return GateDecision(Action.WAIT, stage, 0.0, checks, words)
    if stage in {Stage.CANARY, Stage.PROMOTED}:
        return _watch(stage, share, evidence, rules, checks)
    missing = [it.words for it in checks if not it.passed]
    if missing:
        words = "Not yet. " + " ".join(missing)
        return GateDecision(Action.WAIT, Stage.OBSERVING, 0.0, checks, words)
    if not rules.acts:
        words = "Promote the candidate. " + " ".join(it.words for it in checks)
        return GateDecision(Action.RECOMMEND, Stage.RECOMMENDED, 0.0, checks, words)
    return _step(0.0, rules, checks)


def check(evidence: GateEvidence, rules: GateRules) -> tuple[Check, ...]:
    """Check the conditions one by one."""
    return (
        _enough_labels(evidence, rules),
        _not_worse(evidence.right, rules),
        _fast_enough(evidence.p95_ratio, rules),
        _as_readable(evidence.unparsable, rules),
    )


def _watch(
    stage: Stage,
    share: float,
    evidence: GateEvidence,
    rules: GateRules,
    checks: tuple[Check, ...],
) -> GateDecision:
    """Go on with a canary, or take it back when something broke since it began."""
    broken = [it.words for it in checks if it.breached]
    if broken:
        words = f"Roll back from {share:.0%}. " + " ".join(broken)
        return GateDecision(Action.ROLL_BACK, Stage.ROLLED_BACK, 0.0, checks, words)
    if stage is Stage.PROMOTED:
        words = "The candidate has all of its events, and nothing speaks against it."
        return GateDecision(Action.WAIT, stage, share, checks, words)
    if evidence.at_share < rules.step_events:
        words = (
            f"Canary at {share:.0%}: the candidate answered {evidence.at_share} of "
            f"{rules.step_events} events that come before the next step."
        )
        return GateDecision(Action.WAIT, stage, share, checks, words)
    return _step(share, rules, checks)


def _step(share: float, rules: GateRules, checks: tuple[Check, ...]) -> GateDecision:
    more = next((it for it in rules.shares if it > share), rules.shares[-1])
    stage = Stage.PROMOTED if more >= rules.shares[-1] else Stage.CANARY
    words = f"Give the candidate {more:.0%} of the events (before: {share:.0%})."
    if not share:
        words += " " + " ".join(it.words for it in checks)
    return GateDecision(Action.ADVANCE, stage, more, checks, words)


def _enough_labels(evidence: GateEvidence, rules: GateRules) -> Check:
    total = evidence.right.total
    passed = total >= rules.min_labelled
    words = f"{total:,} events have labels ({rules.min_labelled:,} needed)."
    return Check("labels", passed, False, words)


def _not_worse(right: PairedCounts, rules: GateRules) -> Check:
    same = right.both + right.neither
    passed = is_shown(right.only_first, same, right.only_second, -rules.margin, rules.alpha)
    breached = is_shown(right.only_second, same, right.only_first, rules.margin, rules.alpha)
    points = 100 * rules.margin
    if breached:
        words = f"It is right less often, by more than {points:g} points."
    elif passed:
        worst = 100 * lower_bound(right.only_first, same, right.only_second, rules.alpha)
        words = f"It is right {_at_worst(worst)} (margin: {points:g} points less)."
    else:
        needed = events_needed(rules.margin, right.total, right.discordant)
        words = (
            f"It is not shown yet to be right at most {points:g} points less often; "
            f"equal arms take about {needed:,} labels, {right.total:,} are there."
        )
    return Check("accuracy", passed, breached, words)


def _at_worst(worst: float) -> str:
    if worst < 0:
        return f"at most {-worst:.1f} points less often"
    return f"at least {worst:.1f} points more often"


def _fast_enough(ratio: Estimate, rules: GateRules) -> Check:
    limit = rules.max_p95_ratio
    if ratio.value is None or ratio.low is None:
        return Check("latency", False, False, "Too few latencies to compare.")
    words = f"Its 95th percentile of latency is {ratio.value:.2f} times the reference's"
    return Check("latency", ratio.value <= limit, ratio.low > limit, f"{words} (limit: {limit:g}).")


def _as_readable(counts: PairedCounts, rules: GateRules) -> Check:
    if not counts.total:
        return Check("unparsable", False, False, "No answers of both arms to compare.")
    allowed = rules.unparsable_allowance
    more = (counts.only_second - counts.only_first) / counts.total
    same = counts.both + counts.neither
    breached = is_shown(counts.only_first, same, counts.only_second, allowed, rules.alpha)
    side = "more" if more > 0 else "less"
    often = f"{abs(100 * more):.1f} points {side} often" if more else "equally often"
    words = f"Its answers are no verdict {often} (limit: {100 * allowed:g} points more)."
    return Check("unparsable", more <= allowed, breached, words)
