"""What a threshold on the confidence would do: ROC and threshold curves. Pure."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from statsmodels.stats.nonparametric import rank_compare_2indep

from sidecar.ab.columns import Comparisons, Floats, Said
from sidecar.ab.statistics import ALPHA, UNKNOWN, Estimate

LEAST_EACH: Final = 10
"""True and false events that a curve needs at least."""
_POINTS: Final = 200


@dataclass(frozen=True, slots=True)
class Curve:
    """How an arm separates true from false events by the probability that it gives to "confirmed".

    Attributes:
        area: below the ROC curve: the chance that a true event gets a higher probability than a
            false one.
        thresholds: descending probabilities from which an event would count as confirmed.
        sensitivity, specificity: at each threshold.
    """

    area: Estimate
    thresholds: Floats
    sensitivity: Floats
    specificity: Floats


def curve_of(events: Comparisons, arm: str) -> Curve | None:
    """Draw the curve of an arm; None without enough labelled verdicts that have a confidence."""
    columns = events.arms[arm]
    usable = events.is_labelled & columns.has_verdict & np.isfinite(columns.confidence)
    confidence = columns.confidence[usable]
    probability = np.where(columns.said[usable] == Said.CONFIRMED, confidence, 1 - confidence)
    truth = events.truth[usable] == 1
    if min(truth.sum(), (~truth).sum()) < LEAST_EACH:
        return None
    order = np.argsort(-probability, kind="stable")
    ordered, is_true = probability[order], truth[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    hits = np.cumsum(is_true)[last_of_ties] / truth.sum()
    alarms = np.cumsum(~is_true)[last_of_ties] / (~truth).sum()
    kept = np.unique(np.linspace(0, len(last_of_ties) - 1, _POINTS).astype(np.int64))
    return Curve(
        area=_area(probability[truth], probability[~truth]),
        thresholds=np.append(np.inf, ordered[last_of_ties][kept]),
        sensitivity=np.append(0.0, hits[kept]),
        specificity=np.append(1.0, 1 - alarms[kept]),
    )


def _area(of_true: Floats, of_false: Floats) -> Estimate:
    """Estimate the area below the ROC curve with the interval of Brunner and Munzel."""
    n = len(of_true) + len(of_false)
    if of_true.min() > of_false.max():
        return Estimate(1.0, None, 1.0, n)
    found = rank_compare_2indep(of_true, of_false, use_t=False)
    if not found.var > 0:
        return UNKNOWN
    low, high = found.conf_int(alpha=ALPHA)
    return Estimate(float(found.prob1), max(float(low), 0.0), min(float(high), 1.0), n)
