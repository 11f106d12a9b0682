"""Whether a run kept its promise: the conditions of «max streams at SLO», one by one. Pure."""

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.density.account import Accounts, Ending, Sample
from sidecar.density.scenario import Promise, Scenario
from sidecar.density.statistics import (
    is_starved,
    jain,
    late_allowed,
    proves,
    quantile,
    trend_of,
)
from sidecar.density.summary import Accounting, Check, Fairness, Latency, Run

COUNTS: Final = 400
"""Moments at which the events in the system are counted."""
SENSOR_SHARE: Final = 0.9
"""Of a single sensor's events that must end within the first promise's time."""
GROWTH: Final = 0.1
"""Of the events that may be in the system by the promise; a smaller growth is no backlog. One that
is surely there but tiny is chance: every fortieth stable run has it."""
AGREEMENT: Final = 0.99
LATE_SENDING: Final = 0.1
"""Of the strictest promise that the driver itself may be late, at its 99th percentile."""


@dataclass(frozen=True, slots=True)
class Observed:
    """A run as it was.

    Attributes:
        scenario: what was offered.
        streams: by how many sensors.
        seed: of their times.
        accounts: what became of it.
        window: start and end of what counts, seconds of the board.
        stopped_early: it was given up when it could not pass any more.
        cpu_ms: of a watched process, per verdict; None when none was watched.
    """

    scenario: Scenario
    streams: int
    seed: int
    accounts: Accounts
    window: tuple[float, float]
    stopped_early: bool = False
    cpu_ms: float | None = None

    @property
    def measured(self) -> list[Sample]:
        """The events that the promise is about."""
        return [it for it in self._in_window if not it.offer.is_noisy]

    @property
    def noisy(self) -> list[Sample]:
        """Those of sensors that flood."""
        return [it for it in self._in_window if it.offer.is_noisy]

    @property
    def _in_window(self) -> list[Sample]:
        start, end = self.window
        return [it for it in self.accounts.samples if start <= it.offer.at_s < end]

    def in_system(self) -> tuple[list[float], list[int]]:
        """Count, at even distances and at last at the end, the events that are due and go on.

        Those of sensors that flood are left out: that they wait is as it should be.
        """
        start, end = self.window
        quiet = [it for it in self.accounts.samples if not it.offer.is_noisy]
        due = sorted(it.offer.at_s for it in quiet)
        ended = sorted(it.ended_s for it in quiet if it.ended_s is not None)
        times = [start + (end - start) * (i + 1) / COUNTS for i in range(COUNTS)]
        return times, [bisect_right(due, it) - bisect_right(ended, it) for it in times]


def judge(observed: Observed) -> Run:
    """Look at every condition."""
    scenario, measured = observed.scenario, observed.measured
    start, end = observed.window
    times, counts = observed.in_system()
    trend = trend_of(times, counts)
    accounting = _accounting(observed.accounts)
    fairness = _fairness(measured, scenario.limit_s)
    agreement = _agreement(observed.accounts.samples)
    sent_late = _sent_late(measured)
    at_end = counts[-1]
    growth = trend.per_s * (end - start)
    allowed = scenario.offered_per_s(observed.streams) * scenario.limit_s
    material = max(GROWTH * allowed, 1.0)
    checks = [
        *(_promise(it, measured) for it in scenario.promises),
        _check(
            "stability",
            not (trend.low > 0 and growth > material) and at_end <= max(allowed, 1),
            f"{growth:+.1f} events in the system over the window, {at_end} at its end",
        ),
        _check(
            "fairness",
            not fairness.starved,
            f"the worst sensor got {_percent(fairness.lowest_share)} in time"
            + (f"; starved: {', '.join(fairness.starved[:5])}" if fairness.starved else ""),
        ),
        _accounted(accounting),
        _shed(measured),
        Check(
            name="quality",
            passed=None if agreement is None else agreement >= AGREEMENT,
            detail="no known answers to compare with"
            if agreement is None
            else f"{_percent(agreement)} of the verdicts are the known ones",
        ),
        _check(
            "driver",
            sent_late <= LATE_SENDING * min(it.within_s for it in scenario.promises),
            f"events were sent up to {sent_late * 1000:.0f} ms late (p99)",
        ),
    ]
    binding = [it.name for it in checks if it.passed is False]
    verified = sum(
        it.is_verified and it.ended_s is not None and start <= it.ended_s < end
        for it in observed.accounts.samples
    )
    return Run(
        streams=observed.streams,
        seed=observed.seed,
        window=observed.window,
        measured=len(measured),
        per_s_offered=len(measured) / (end - start),
        per_s_verified=verified / (end - start),
        latency=latency_of(measured),
        noisy_latency=latency_of(observed.noisy) if observed.noisy else None,
        slope_per_s=trend.per_s,
        in_system_at_end=at_end,
        sent_late_p99=sent_late,
        agreement=agreement,
        accounting=accounting,
        fairness=fairness,
        checks=checks,
        passed=not binding and not observed.stopped_early,
        binding=binding or (["stopped early"] if observed.stopped_early else []),
        stopped_early=observed.stopped_early,
        cpu_ms=observed.cpu_ms,
    )


def latency_of(samples: Sequence[Sample]) -> Latency:
    """Summarise latencies; an event without a verdict is later than any other."""
    times = [
        it.latency_s if it.is_verified and it.latency_s is not None else math.inf for it in samples
    ]
    known = [it for it in times if math.isfinite(it)]

    def at(percent: float) -> float | None:
        found = quantile(times, percent)
        return found if found is not None and math.isfinite(found) else None

    return Latency(
        mean=sum(known) / len(known) if known else None,
        p50=at(50),
        p90=at(90),
        p95=at(95),
        p99=at(99),
        longest=at(100),
    )


def is_lost(scenario: Scenario, streams: int, samples: Sequence[Sample], now_s: float) -> bool:
    """Tell whether a run cannot pass any more, whatever comes.

    Args:
        scenario: its promises.
        streams: how many sensors.
        samples: the measured events that are due.
        now_s: seconds of the board.
    """
    # a Poisson load brings more events than expected now and then
    expected = scenario.offered_per_s(streams) * scenario.measure_s(streams)
    most = math.ceil(expected + 4 * math.sqrt(expected))
    return any(
        sum(_is_surely_late(it, promise.within_s, now_s) for it in samples)
        > max(late_allowed(promise.percent, most), 0)
        for promise in scenario.promises
    )


def _is_surely_late(sample: Sample, within_s: float, now_s: float) -> bool:
    if sample.end is None:
        return now_s - sample.offer.at_s > within_s
    return sample.is_late(within_s)


def _promise(promise: Promise, measured: Sequence[Sample]) -> Check:
    late = sum(it.is_late(promise.within_s) for it in measured)
    count = len(measured)
    share = (count - late) / count if count else 0.0
    passed = count > 0 and proves(promise.percent, count, late)
    detail = f"{share:.2%} of {count} events within {promise.within_s:g} s"
    if not passed and share * 100 >= promise.percent:
        detail += "; too few events to be sure"
    return _check(f"p{promise.percent:g}", passed, detail)


def _accounting(accounts: Accounts) -> Accounting:
    failed: Counter[str] = Counter()
    shed: Counter[str] = Counter()
    verified = missing = 0
    for sample in accounts.samples:
        if sample.end is None:
            missing += 1
        elif sample.end.ending is Ending.VERIFIED:
            verified += 1
        else:
            (shed if sample.end.ending is Ending.SHED else failed)[sample.end.reason] += 1
    return Accounting(
        offered=len(accounts.samples),
        verified=verified,
        failed=dict(failed),
        shed=dict(shed),
        missing=missing,
        duplicates=accounts.duplicates.total(),
        strangers=accounts.strangers,
    )


def _accounted(found: Accounting) -> Check:
    ended = found.verified + sum(found.failed.values()) + sum(found.shed.values())
    passed = ended == found.offered and not found.missing and not found.duplicates
    return _check(
        "accounting",
        passed,
        f"{found.offered} offered = {found.verified} verified + {sum(found.failed.values())} "
        f"failed + {sum(found.shed.values())} shed; {found.missing} missing, "
        f"{found.duplicates} ended twice",
    )


def _shed(measured: Sequence[Sample]) -> Check:
    shed = sum(it.end is not None and it.end.ending is Ending.SHED for it in measured)
    return _check("shed", shed == 0, f"{shed} of {len(measured)} events were not looked at")


def _fairness(measured: Sequence[Sample], limit_s: float) -> Fairness:
    late: dict[int, list[bool]] = defaultdict(list)
    for sample in measured:
        late[sample.offer.sensor].append(sample.is_late(limit_s))
    shares = {sensor: 1 - sum(found) / len(found) for sensor, found in late.items()}
    starved = [
        f"sensor {sensor} ({len(found) - sum(found)} of {len(found)})"
        for sensor, found in sorted(late.items())
        if is_starved(len(found), sum(found), 1 - SENSOR_SHARE, len(late))
    ]
    return Fairness(
        jain=jain(list(shares.values())),
        lowest_share=min(shares.values(), default=None),
        highest_share=max(shares.values(), default=None),
        starved=starved,
    )


def _agreement(samples: Sequence[Sample]) -> float | None:
    compared = [it.agrees for it in samples if it.agrees is not None]
    return sum(compared) / len(compared) if compared else None


def _sent_late(samples: Sequence[Sample]) -> float:
    late = [it.sent_s - it.offer.at_s for it in samples if it.sent_s is not None]
    return quantile(late, 99) or 0.0


def _check(name: str, passed: bool, detail: str) -> Check:
    return Check(name=name, passed=passed, detail=detail)


def _percent(share: float | None) -> str:
    return "nothing" if share is None else f"{share:.1%}"
