"""How long arms take, and what they cost in time. Pure, and the same for the same seed."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from sidecar.ab.columns import Floats
from sidecar.ab.statistics import UNKNOWN, Estimate

PERCENTILES: Final = (50, 95, 99)
SEED: Final = 20_260_131
LEAST_EVENTS: Final = 20
"""Fewer tell nothing about a 95th percentile."""

_RESAMPLES: Final = (199, 999)
_DRAWS: Final = 20_000_000
"""About so many draws in all: many events need fewer resamples for the same sharpness."""
_BATCH: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class LatencyComparison:
    """Milliseconds of two arms over the same events.

    Attributes:
        first, second: percentiles 50, 95 and 99 of each.
        median_difference: median over the events of second minus first.
        p95_difference: second's 95th percentile minus first's.
        p95_ratio: second's 95th percentile over first's.
    """

    first: tuple[Estimate, ...]
    second: tuple[Estimate, ...]
    median_difference: Estimate
    p95_difference: Estimate
    p95_ratio: Estimate


def percentiles(latency_ms: Floats) -> tuple[Estimate, ...]:
    """Estimate percentiles 50, 95 and 99, with bootstrap intervals."""
    if len(latency_ms) < LEAST_EVENTS:
        return (UNKNOWN,) * len(PERCENTILES)
    return _bootstrap((latency_ms,), _percentiles)


def compare_latency(first_ms: Floats, second_ms: Floats) -> LatencyComparison:
    """Compare over events that both arms answered: whole events are resampled, as pairs.

    Percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13).
    """
    count = len(PERCENTILES)
    if len(first_ms) < LEAST_EVENTS:
        nothing = (UNKNOWN,) * count
        return LatencyComparison(nothing, nothing, UNKNOWN, UNKNOWN, UNKNOWN)
    found = _bootstrap((first_ms, second_ms), _pair_statistics)
    return LatencyComparison(found[:count], found[count : 2 * count], *found[2 * count :])


def busy_seconds(decided_at: Floats, latency_ms: Floats) -> float:
    """Return for how long there was at least one question on its way.

    Args:
        decided_at: when each answer was there, in seconds since the epoch.
        latency_ms: how long each took.
    """
    if not len(decided_at):
        return 0.0
    begun = decided_at - latency_ms / 1000
    order = np.argsort(begun, kind="stable")
    begun, ended = begun[order], decided_at[order]
    latest = np.maximum.accumulate(ended)
    gaps = np.maximum(begun[1:] - latest[:-1], 0.0)
    return float(latest[-1] - begun[0] - gaps.sum())


def _percentiles(sample: Floats, axis: int = -1) -> Floats:
    return np.percentile(sample, PERCENTILES, axis=axis)


def _pair_statistics(first: Floats, second: Floats, axis: int = -1) -> Floats:
    of_first, of_second = _percentiles(first, axis), _percentiles(second, axis)
    middle = np.median(second - first, axis=axis)
    p95_first, p95_second = of_first[1], of_second[1]
    ratio = p95_second / np.maximum(p95_first, 1e-9)
    rest = np.stack([middle, p95_second - p95_first, ratio])
    return np.concatenate([of_first, of_second, rest])


def _bootstrap(
    samples: tuple[Floats, ...], statistic: Callable[..., Floats]
) -> tuple[Estimate, ...]:
    n = len(samples[0])
    resamples = int(np.clip(_DRAWS // n, *_RESAMPLES))
    found = stats.bootstrap(
        samples,
        statistic,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=max(_BATCH // n, 1),
        method="percentile",
        rng=np.random.default_rng(SEED),
    ).confidence_interval
    values = statistic(*samples)
    return tuple(
        Estimate(float(value), float(low), float(high), n)
        for value, low, high in zip(values, found.low, found.high, strict=True)
    )
