"""Evidence about a mean that may be looked at after every event, however often. Pure.

A bet against the hypothesis «the mean of x is at most b» multiplies its capital by 1 + r (x - b)
with each x. Whatever the events do, as long as the hypothesis holds for each of them given those
before, the capital is a non-negative supermartingale that starts at 1, so the chance that it ever
reaches 1/alpha is at most alpha (Ville's inequality). That holds at any time one cares to look and
for any number of looks, which a repeated fixed-sample test does not. The capital here is the mean
over many stakes r (the method of mixtures: Robbins, Annals of Mathematical Statistics 41, 1970;
as betting: Waudby-Smith and Ramdas, Journal of the Royal Statistical Society B 86, 2024). Since x
is -1, 0 or 1, it depends on three counts only, and on no order of the events.
"""

import math
from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import logsumexp

_STAKES: Final = np.geomspace(0.03, 0.8, 48)
"""Shares of the capital that a bet risks at most. With events of which the arms disagree on 2 to 30
in 100, the best single stake lies between these."""

Counts = int | npt.NDArray[np.int64]


def log_evidence(
    lower: Counts, equal: Counts, higher: Counts, bound: float
) -> npt.NDArray[np.float64]:
    """Return the logarithm of the capital that was won against «the mean is at most `bound`».

    Args:
        lower: how often x was -1, an array or an integer, as the next two.
        equal: how often it was 0.
        higher: how often it was 1.
        bound: in (-1, 1).
    """
    stakes = _STAKES / (1 + bound)
    counts = (np.asarray(count, dtype=np.float64)[..., None] for count in (lower, equal, higher))
    won = (np.log1p(stakes * (x - bound)) for x in (-1, 0, 1))
    logs = sum(count * gain for count, gain in zip(counts, won, strict=True))
    return np.asarray(logsumexp(logs, axis=-1) - math.log(len(_STAKES)))


def is_shown(lower: int, equal: int, higher: int, bound: float, alpha: float) -> bool:
    """Tell whether the mean was shown to be above `bound`; false with chance `alpha` at most."""
    return bool(log_evidence(lower, equal, higher, bound) >= -math.log(alpha))


def lower_bound(lower: int, equal: int, higher: int, alpha: float) -> float:
    """Return what the mean was shown to be above; -1 without events.

    A lower confidence sequence: with chance 1 - `alpha` it stays below the mean for ever.
    """
    total = lower + equal + higher
    if not total:
        return -1.0
    threshold = -math.log(alpha)

    def surplus(bound: float) -> float:
        return float(log_evidence(lower, equal, higher, bound)) - threshold

    least, most = -1 + 1e-9, (higher - lower) / total
    if surplus(least) <= 0:
        return -1.0
    return float(brentq(surplus, least, min(most, 1 - 1e-9)))
