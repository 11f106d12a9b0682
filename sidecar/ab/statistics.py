"""Estimates from counts, each with its uncertainty. Pure.

scipy and statsmodels do the work; what stands here chooses among their methods, names them, and
says what happens where there is nothing to estimate. Intervals cover the truth in 95 of 100 cases.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.inter_rater import cohens_kappa
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import confint_proportions_2indep, proportion_confint

ALPHA: Final = 0.05
POWER: Final = 0.8


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its 95 % interval; all None where `n` observations tell nothing.

    Attributes:
        n: observations that it rests on.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int


UNKNOWN: Final = Estimate(None, None, None, 0)


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """A fourfold table of two arms over the same events, such as who was right.

    Attributes:
        both, only_first, only_second, neither: events of which it is true for so many arms.
    """

    both: int
    only_first: int
    only_second: int
    neither: int

    @classmethod
    def of(
        cls,
        first: npt.NDArray[np.bool_],
        second: npt.NDArray[np.bool_],
        chosen: npt.NDArray[np.bool_],
    ) -> "PairedCounts":
        """Count over the chosen rows."""
        one, two = first[chosen], second[chosen]
        return cls(
            int((one & two).sum()),
            int((one & ~two).sum()),
            int((~one & two).sum()),
            int((~one & ~two).sum()),
        )

    @property
    def total(self) -> int:
        """All events."""
        return self.both + self.only_first + self.only_second + self.neither

    @property
    def discordant(self) -> int:
        """Events of which it is true for one arm only."""
        return self.only_first + self.only_second


def proportion(successes: int, total: int) -> Estimate:
    """Estimate a rate, with Wilson's score interval."""
    if not total:
        return UNKNOWN
    low, high = proportion_confint(successes, total, alpha=ALPHA, method="wilson")
    return Estimate(successes / total, float(low), float(high), total)


def kappa(counts: PairedCounts) -> Estimate:
    """Estimate Cohen's kappa: agreement beyond chance, with its asymptotic interval.

    Unknown when an arm gives one verdict only, because then chance explains all agreement.
    """
    table = np.array([[counts.both, counts.only_first], [counts.only_second, counts.neither]])
    if not table.sum(axis=0).all() or not table.sum(axis=1).all():
        return Estimate(None, None, None, counts.total)
    found = cohens_kappa(table)
    low, high = max(float(found.kappa_low), -1.0), min(float(found.kappa_upp), 1.0)
    return Estimate(float(found.kappa), low, high, counts.total)


def balanced_accuracy(
    hits: int, positives: int, correct_rejections: int, negatives: int
) -> Estimate:
    """Estimate the mean of sensitivity and specificity.

    It is half of one plus Youden's J, the difference between the rates of "confirmed" among true
    and among false events; J has Newcombe's interval for independent rates.
    """
    if not positives or not negatives:
        return UNKNOWN
    false_alarms = negatives - correct_rejections
    low, high = confint_proportions_2indep(
        hits, positives, false_alarms, negatives, method="newcomb", compare="diff", alpha=ALPHA
    )
    value = (hits / positives + correct_rejections / negatives) / 2
    return Estimate(value, (1 + float(low)) / 2, (1 + float(high)) / 2, positives + negatives)


def paired_difference(counts: PairedCounts) -> Estimate:
    """Estimate rate of the second arm minus rate of the first, over the same events.

    Newcombe's method 10 (Statistics in Medicine 17, 1998, 2635-2650): Wilson's intervals of both
    rates, combined under the correlation that pairing brings. statsmodels 0.15 has no interval for
    this difference.
    """
    n = counts.total
    if not n:
        return UNKNOWN
    ones, twos = counts.both + counts.only_second, counts.both + counts.only_first
    p1, p2 = ones / n, twos / n
    low1, high1 = proportion_confint(ones, n, alpha=ALPHA, method="wilson")
    low2, high2 = proportion_confint(twos, n, alpha=ALPHA, method="wilson")
    phi = _correlation(counts)
    down = _combined(p1 - low1, high2 - p2, phi)
    up = _combined(high1 - p1, p2 - low2, phi)
    return Estimate(p1 - p2, max(p1 - p2 - down, -1.0), min(p1 - p2 + up, 1.0), n)


def mcnemar_p(counts: PairedCounts) -> float | None:
    """Test whether both arms have the same rate: McNemar's exact test, two-sided.

    None when they never differ.
    """
    if not counts.discordant:
        return None
    table = [[counts.both, counts.only_first], [counts.only_second, counts.neither]]
    return float(mcnemar(table, exact=True).pvalue)


def corrected(
    p_values: Sequence[float | None], method: Literal["holm", "fdr_bh"] = "holm"
) -> list[float | None]:
    """Correct for the number of looks.

    Args:
        p_values: None stands for a look that could show nothing, and does not count.
        method: `holm` bounds the chance of any false alarm among them; `fdr_bh`
            (Benjamini-Hochberg) the share of false ones among the alarms.
    """
    known = [p for p in p_values if p is not None]
    if not known:
        return list(p_values)
    adjusted = iter(multipletests(known, method=method)[1])
    return [None if p is None else float(next(adjusted)) for p in p_values]


def detectable_difference(events: int, discordant: int) -> float | None:
    """Return the smallest difference in accuracy that so many events show with 80 % power.

    For a two-sided test at 5 % of the mean of paired differences, whose variance is the share of
    events that one arm alone gets right; that share is taken one event higher than seen, so that
    arms which never differed do not count as known to be equal. None: no difference is large
    enough.
    """
    if events < 2:  # noqa: PLR2004 - a variance needs two
        return None
    share = (discordant + 1) / (events + 2)
    effect = NormalIndPower().solve_power(
        nobs1=events, alpha=ALPHA, power=POWER, ratio=0, alternative="two-sided"
    )
    difference = float(effect) * math.sqrt(share / (1 + float(effect) ** 2))
    return difference if difference < share else None


def events_needed(margin: float, events: int, discordant: int) -> int:
    """Return how many labelled events show non-inferiority with 80 % power if the arms are equal.

    For one look at the end, one-sided at 5 %. The sequential gate needs as many in half of the
    cases and about twice as many in four of five.

    Args:
        margin: how much worse is still good enough, such as 0.02.
        events: labelled so far.
        discordant: of these, the ones that one arm alone got right.
    """
    share = (discordant + 1) / (events + 2)
    needed = NormalIndPower().solve_power(
        effect_size=margin / math.sqrt(share),
        alpha=ALPHA,
        power=POWER,
        ratio=0,
        alternative="larger",
    )
    return math.ceil(float(np.squeeze(needed)))


def _correlation(counts: PairedCounts) -> float:
    """Return Newcombe's phi, with the continuity correction that his method 10 asks for."""
    n = counts.total
    product = (
        (counts.both + counts.only_first)
        * (counts.only_second + counts.neither)
        * (counts.both + counts.only_second)
        * (counts.only_first + counts.neither)
    )
    if not product:
        return 0.0
    covariance = counts.both * counts.neither - counts.only_first * counts.only_second
    if covariance > 0:
        return max(covariance - n / 2, 0.0) / math.sqrt(product)
    return covariance / math.sqrt(product)


def _combined(first: float, second: float, phi: float) -> float:
    """Combine two half-widths; rounding may bring the root's argument below zero."""
    return math.sqrt(max(first**2 - 2 * phi * first * second + second**2, 0.0))
