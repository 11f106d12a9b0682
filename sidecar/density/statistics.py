"""What a run proves, and what it does not. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from scipy import special, stats

CONFIDENCE: Final = 0.99
"""Of MLPerf's early stopping (mlcommons/inference_policies, inference_rules.adoc)."""
_BLOCKS: Final = 20
_SLOPE_CONFIDENCE: Final = 0.95

Floats = np.ndarray[Any, np.dtype[np.float64]]


def proves(percent: float, events: int, late: int) -> bool:
    """Tell whether so few late events prove that the percentile is kept, at 99 % confidence.

    MLPerf's rule with tolerance 0: with h events in time and t late ones, `I_p(h, t + 1) <= 1 - c`.
    """
    share = percent / 100
    return bool(special.betainc(events - late, late + 1, share) <= 1 - CONFIDENCE)


def events_needed(percent: float, late: int) -> int:
    """Return how many events prove a percentile when so many of them are late."""
    low, high = late, late + 1
    while not proves(percent, high, late):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if proves(percent, middle, late) else (middle, high)
    return high


def late_allowed(percent: float, events: int) -> int:
    """Return how many of so many events may be late; -1 when even none proves anything."""
    if events < 1 or not proves(percent, events, 0):
        return -1
    low, high = 0, events
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if proves(percent, events, middle) else (low, middle)
    return low


def quantile(values: Sequence[float], percent: float) -> float | None:
    """Return the smallest value that so many percent do not exceed; None of nothing.

    Missing events stand as infinity.
    """
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(math.ceil(len(ordered) * percent / 100), 1) - 1]


@dataclass(frozen=True, slots=True)
class Trend:
    """How the number of events in the system moved while it was measured.

    Attributes:
        per_s: slope of the least-squares line, in events per second of the board.
        low: lower end of its 95 % t-interval.
        high: its upper end.
    """

    per_s: float
    low: float
    high: float


def trend_of(times: Sequence[float], counts: Sequence[float]) -> Trend:
    """Fit a line through the number of events in the system.

    Neighbouring counts are alike, so that a line through all of them would look far surer than it
    is. The line goes through the means of 20 blocks, which are nearly independent.

    Args:
        times: when was counted, rising, at even distances.
        counts: how many were offered and had not ended.
    """
    blocks = min(_BLOCKS, len(times))
    if blocks < 3:  # noqa: PLR2004 - no line has an interval through fewer
        return Trend(0.0, -math.inf, math.inf)
    x: Floats = np.array([part.mean() for part in np.array_split(np.asarray(times), blocks)])
    y: Floats = np.array([part.mean() for part in np.array_split(np.asarray(counts), blocks)])
    fit = stats.linregress(x, y)
    reach = float(stats.t.ppf(0.5 + _SLOPE_CONFIDENCE / 2, blocks - 2)) * float(fit.stderr)
    slope = float(fit.slope)
    return Trend(slope, slope - reach, slope + reach)


def jain(shares: Sequence[float]) -> float | None:
    """Return Jain's index of fairness: 1 when all get the same, 1/n when one gets everything."""
    squares = sum(it * it for it in shares)
    return sum(shares) ** 2 / (len(shares) * squares) if squares > 0 else None


def is_starved(events: int, late: int, allowed: float, sensors: int) -> bool:
    """Tell whether a sensor surely has more late events than a share allows.

    A single late event of seven is no proof. The test is one-sided, at 1 % for all sensors of the
    run together (Bonferroni).

    Args:
        events: of the sensor.
        late: of them.
        allowed: share of them that may be late.
        sensors: how many are looked at.
    """
    if events == 0:
        return False
    chance = float(stats.binom.sf(late - 1, events, allowed))
    return chance < (1 - CONFIDENCE) / max(sensors, 1)


@dataclass(frozen=True, slots=True)
class Difference:
    """A median of paired differences with its 95 % interval, in seconds."""

    median: float
    low: float
    high: float
    pairs: int


def paired_difference(pairs: Sequence[tuple[float, float]]) -> Difference | None:
    """Estimate by how much the second of each pair is longer.

    The interval is that of the sign test: order statistics of the differences, no assumption about
    their distribution.
    """
    if not pairs:
        return None
    found = sorted(second - first for first, second in pairs)
    count = len(found)
    reach = int(stats.binom.ppf((1 - _SLOPE_CONFIDENCE) / 2, count, 0.5))
    low, high = found[max(reach - 1, 0)], found[min(count - reach, count - 1)]
    return Difference(float(np.median(found)), low, high, count)
