"""Whether arms change over time: how often they disagree, and how often each confirms. Pure."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from statsmodels.stats.diagnostic import breaks_cusumolsresid

from sidecar.ab.columns import Bools, Comparisons, Floats, Said
from sidecar.ab.statistics import Estimate, corrected, proportion

FLIPS: Final = "flips"
"""Name of the rate at which two arms differ."""
ALARM: Final = 0.01
"""Corrected p-value below which a change is an alarm."""
LEAST_EVENTS: Final = 60
"""Fewer events tell nothing about a change."""
MOST_BUCKETS: Final = 48

_MINUTE: Final = 60.0
_WIDTHS: Final = (
    *(m * _MINUTE for m in (1, 5, 15, 60, 180, 360, 720)),
    *(86_400.0 * d for d in (1, 7)),
)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A span of time: when it begins, in seconds since the epoch, and the rate in it."""

    start: float
    rate: Estimate


@dataclass(frozen=True, slots=True)
class Drift:
    """One rate over time.

    Attributes:
        name: what the rate is about.
        p_value: of the hypothesis that it never changed, corrected for the rates that are watched
            together; None when there is too little to tell.
        changed_at: the most likely moment of a change, in seconds since the epoch.
        before, after: the rate on both sides of it.
    """

    name: str
    buckets: tuple[Bucket, ...]
    p_value: float | None
    changed_at: float | None
    before: Estimate
    after: Estimate

    @property
    def is_alarm(self) -> bool:
        """Whether it changed for certain."""
        return self.p_value is not None and self.p_value < ALARM


def watch(events: Comparisons, first: str, second: str) -> tuple[Drift, ...]:
    """Watch how often two arms differ (a flip) and how often each of them confirms."""
    one, two = events.arms[first], events.arms[second]
    both = one.has_verdict & two.has_verdict
    rates = {
        FLIPS: one.said != two.said,
        f"{first} confirms": one.said == Said.CONFIRMED,
        f"{second} confirms": two.said == Said.CONFIRMED,
    }
    order = np.argsort(events.timestamp[both], kind="stable")
    time = events.timestamp[both][order]
    found = [_drift(name, time, flags[both][order]) for name, flags in rates.items()]
    p_values = corrected([drift.p_value for drift in found])
    return tuple(
        Drift(it.name, it.buckets, p, it.changed_at, it.before, it.after)
        for it, p in zip(found, p_values, strict=True)
    )


def _drift(name: str, time: Floats, flags: Bools) -> Drift:
    """Test with the CUSUM of residuals (Ploberger and Kraemer, Econometrica 60, 1992)."""
    n, hits = len(flags), int(flags.sum())
    buckets = _buckets(time, flags)
    if n < LEAST_EVENTS or hits in {0, n}:
        rate = proportion(hits, n)
        return Drift(name, buckets, None, None, rate, rate)
    residuals = flags - flags.mean()
    _, p_value, _ = breaks_cusumolsresid(residuals)
    at = int(np.abs(np.cumsum(residuals)[:-1]).argmax()) + 1
    return Drift(
        name=name,
        buckets=buckets,
        p_value=float(p_value),
        changed_at=float(time[at]),
        before=proportion(int(flags[:at].sum()), at),
        after=proportion(int(flags[at:].sum()), n - at),
    )


def _buckets(time: Floats, flags: Bools) -> tuple[Bucket, ...]:
    if not len(time):
        return ()
    width = _width(float(time[-1] - time[0]))
    index = np.floor(time / width).astype(np.int64)
    found, begins, counts = np.unique(index, return_index=True, return_counts=True)
    hits = np.add.reduceat(flags.astype(np.int64), begins)
    return tuple(
        Bucket(float(at * width), proportion(int(hit), int(count)))
        for at, hit, count in zip(found, hits, counts, strict=True)
    )


def _width(span_s: float) -> float:
    """Choose a round width that makes a readable number of buckets."""
    fitting = (width for width in _WIDTHS if span_s / width < MOST_BUCKETS)
    weeks = _WIDTHS[-1]
    return next(fitting, weeks * math.ceil(span_s / weeks / MOST_BUCKETS))
