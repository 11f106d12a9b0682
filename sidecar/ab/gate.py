"""When to promote an arm, step by step, and when to take it back. A pure state machine.

A candidate is promoted when it is not worse than the reference by more than a margin, with a chance
of at most `alpha` to be promoted though it is, however often one looks (`sidecar.ab.sequential`);
when its 95th percentile of latency is within a factor; and when it does not answer more often what
is no verdict. All three have to hold at the same look, which only makes a wrong promotion rarer.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import pairwise
from typing import Final

from sidecar.ab.sequential import is_shown, lower_bound
from sidecar.ab.statistics import UNKNOWN, Estimate, PairedCounts, events_needed
from sidecar.errors import SettingsError

NO_COUNTS: Final = PairedCounts(0, 0, 0, 0)


class Stage(StrEnum):
    """How far a promotion got.

    OBSERVING: the candidate answers in the shadow. RECOMMENDED: it could be promoted, and somebody
    has to do it. CANARY: a share of the events is the candidate's. PROMOTED: all are. ROLLED_BACK:
    it was taken back, and stays so until somebody starts anew.
    """

    OBSERVING = "observing"
    RECOMMENDED = "recommended"
    CANARY = "canary"
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled-back"


class Action(StrEnum):
    """What a look leads to."""

    WAIT = "wait"
    RECOMMEND = "recommend"
    ADVANCE = "advance"
    ROLL_BACK = "roll-back"


@dataclass(frozen=True, slots=True)
class GateRules:
    """What a candidate has to show.

    Attributes:
        margin: how much less often it may be right, such as 0.02 for two points.
        alpha: chance of promoting one that is worse by the margin or more.
        min_labelled: labelled events that both arms were asked about, at least.
        max_p95_ratio: its 95th percentile of latency over the reference's, at most.
        unparsable_allowance: how much more often its answers may be no verdict.
        acts: False only recommends.
        shares: of the events, step by step.
        step_events: compared events between two steps.
    """

    margin: float = 0.02
    alpha: float = 0.05
    min_labelled: int = 300
    max_p95_ratio: float = 1.2
    unparsable_allowance: float = 0.005
    acts: bool = False
    shares: tuple[float, ...] = (0.01, 0.1, 0.5, 1.0)
    step_events: int = 200

    def __post_init__(self) -> None:
        """Refuse rules that promote anything or nothing.

        Raises:
            SettingsError: names the rule that is wrong.
        """
        wrong = {
            "margin must lie between 0 and 1": not 0 < self.margin < 1,
            "alpha must lie between 0 and 0.5": not 0 < self.alpha < 0.5,  # noqa: PLR2004
            "max_p95_ratio must be positive": not self.max_p95_ratio > 0,
            "unparsable_allowance must lie between 0 and 1": not 0 <= self.unparsable_allowance < 1,
            "shares must grow from above 0 up to 1 at most": not _grows(self.shares),
            "min_labelled and step_events must not be negative": min(
                self.min_labelled, self.step_events
            )
            < 0,
        }
        problems = [words for words, is_wrong in wrong.items() if is_wrong]
        if problems:
            raise SettingsError("Wrong rules of the promotion gate: " + "; ".join(problems) + ".")


@dataclass(frozen=True, slots=True)
class GateEvidence:
    """What is known about a pair of arms. `first` is the reference, `second` the candidate.

    Attributes:
        right: labelled events by who was right.
        unparsable: events that both models answered, by whose answer is no verdict.
        p95_ratio: candidate's 95th percentile of latency over the reference's.
        compared: events that both arms were asked about.
    """

    right: PairedCounts = NO_COUNTS
    unparsable: PairedCounts = NO_COUNTS
    p95_ratio: Estimate = UNKNOWN
    compared: int = 0


@dataclass(frozen=True, slots=True)
class GateState:
    """Where a promotion stands.

    Attributes:
        share: of the events that the candidate answers, 0..1.
        begun: what was known when the canary began; what breaks it is judged on what came after.
        stepped_at: compared events at the latest step.
    """

    stage: Stage = Stage.OBSERVING
    share: float = 0.0
    begun: GateEvidence = GateEvidence()
    stepped_at: int = 0


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
        share: of the events that the candidate shall answer from now on.
        words: a sentence.
    """

    action: Action
    share: float
    checks: tuple[Check, ...]
    words: str


def look(
    state: GateState, evidence: GateEvidence, rules: GateRules
) -> tuple[GateState, GateDecision]:
    """Look at the evidence: what to do now, and the state to keep for the next look."""
    checks = check(evidence, rules)
    if state.stage is Stage.ROLLED_BACK:
        words = "The candidate was rolled back; start a new promotion to try it again."
        return state, GateDecision(Action.WAIT, 0.0, checks, words)
    if state.stage in {Stage.CANARY, Stage.PROMOTED}:
        return _watch(state, evidence, rules)
    missing = [it.words for it in checks if not it.passed]
    if missing:
        waiting = replace(state, stage=Stage.OBSERVING)
        words = "Not yet. " + " ".join(missing)
        return waiting, GateDecision(Action.WAIT, 0.0, checks, words)
    if not rules.acts:
        recommended = replace(state, stage=Stage.RECOMMENDED)
        words = "Promote the candidate. " + " ".join(it.words for it in checks)
        return recommended, GateDecision(Action.RECOMMEND, 0.0, checks, words)
    return _step(replace(state, begun=evidence), evidence, rules, checks)


def check(evidence: GateEvidence, rules: GateRules) -> tuple[Check, ...]:
    """Check the conditions one by one."""
    return (
        _enough_labels(evidence, rules),
        _not_worse(evidence.right, rules),
        _fast_enough(evidence.p95_ratio, rules),
        _as_readable(evidence.unparsable, rules),
    )


def _watch(
    state: GateState, evidence: GateEvidence, rules: GateRules
) -> tuple[GateState, GateDecision]:
    """Go on with a canary, or take it back when something broke since it began."""
    since = replace(
        evidence,
        right=_minus(evidence.right, state.begun.right),
        unparsable=_minus(evidence.unparsable, state.begun.unparsable),
    )
    checks = check(since, rules)
    broken = [it.words for it in checks if it.breached]
    if broken:
        back = replace(state, stage=Stage.ROLLED_BACK, share=0.0)
        words = f"Roll back from {state.share:.0%}. " + " ".join(broken)
        return back, GateDecision(Action.ROLL_BACK, 0.0, checks, words)
    if state.stage is Stage.PROMOTED:
        words = "The candidate answers everything, and nothing speaks against it."
        return state, GateDecision(Action.WAIT, state.share, checks, words)
    seen = evidence.compared - state.stepped_at
    if seen < rules.step_events:
        words = f"Canary at {state.share:.0%}: {seen} of {rules.step_events} events seen."
        return state, GateDecision(Action.WAIT, state.share, checks, words)
    return _step(state, evidence, rules, checks)


def _step(
    state: GateState, evidence: GateEvidence, rules: GateRules, checks: tuple[Check, ...]
) -> tuple[GateState, GateDecision]:
    share = next((it for it in rules.shares if it > state.share), rules.shares[-1])
    stage = Stage.PROMOTED if share >= rules.shares[-1] else Stage.CANARY
    stepped = replace(state, stage=stage, share=share, stepped_at=evidence.compared)
    words = f"Give the candidate {share:.0%} of the events (before: {state.share:.0%})."
    return stepped, GateDecision(Action.ADVANCE, share, checks, words)


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


def _grows(shares: Sequence[float]) -> bool:
    return (
        bool(shares)
        and all(low < high for low, high in pairwise((0.0, *shares)))
        and shares[-1] <= 1
    )


def _minus(now: PairedCounts, then: PairedCounts) -> PairedCounts:
    """Count what came since; a label that was changed meanwhile cannot make a count negative."""
    pairs: Sequence[tuple[int, int]] = (
        (now.both, then.both),
        (now.only_first, then.only_first),
        (now.only_second, then.only_second),
        (now.neither, then.neither),
    )
    return PairedCounts(*(max(after - before, 0) for after, before in pairs))
