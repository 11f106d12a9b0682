"""Estimates against published worked examples, and against simulation."""

import numpy as np
import pytest

from sidecar.ab.statistics import (
    PairedCounts,
    balanced_accuracy,
    corrected,
    detectable_difference,
    events_needed,
    kappa,
    mcnemar_p,
    paired_difference,
    proportion,
)


@pytest.mark.parametrize(
    ("successes", "total", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_rates_have_the_intervals_of_newcombes_comparison_of_seven_methods(
    successes: int, total: int, low: float, high: float
) -> None:
    """Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3 (Wilson's score)."""
    found = proportion(successes, total)

    assert successes / total == found.value
    assert (low, high) == (pytest.approx(found.low, abs=5e-5), pytest.approx(found.high, abs=5e-5))


@pytest.mark.parametrize(
    ("table", "difference", "low", "high"),
    [
        # Cavo et al. (2012), complete response before and after consolidation therapy
        ((59, 6, 16, 80), -0.0621, -0.1186, -0.0046),
        # Bentur et al. (2009), airway hyper-responsiveness before and after transplantation
        ((1, 1, 7, 12), -0.286, -0.507, -0.026),
    ],
)
def test_differences_of_paired_rates_have_newcombes_interval(
    table: tuple[int, int, int, int], difference: float, low: float, high: float
) -> None:
    """Fagerland, Lydersen, Laake: Statistical Analysis of Contingency Tables (2017), chapter 8.

    Their difference is first minus second, ours second minus first.
    """
    both, first, second, neither = table
    found = paired_difference(PairedCounts(both, second, first, neither))

    assert (difference, low, high) == (
        pytest.approx(found.value, abs=6e-4),
        pytest.approx(found.low, abs=6e-4),
        pytest.approx(found.high, abs=6e-4),
    )


def test_the_exact_test_of_mcnemar_has_the_p_value_of_a_published_table() -> None:
    """Bentur et al. (2009) in Fagerland, Lydersen, Laake (2017), section 8.5: exact P = 0.0703."""
    assert pytest.approx(0.0703, abs=5e-5) == mcnemar_p(PairedCounts(1, 1, 7, 12))


def test_kappa_is_that_of_a_worked_example() -> None:
    """Two readers of 50 grant applications (20 both yes, 15 both no, 5 and 10 split): 0.40.

    https://en.wikipedia.org/wiki/Cohen%27s_kappa#Simple_example
    """
    found = kappa(PairedCounts(20, 5, 10, 15))

    assert pytest.approx(0.40) == found.value
    assert found.low is not None
    assert found.high is not None
    assert 0.1 < found.low < 0.2
    assert 0.6 < found.high < 0.7


def test_holm_and_benjamini_hochberg_decide_as_published() -> None:
    """Benjamini and Hochberg, JRSS B 57 (1995) 289-300, section 4.1: 15 tests of one trial.

    Bonferroni-type control, and so Holm's, rejects three of them at 5 %; theirs rejects four.
    """
    p_values = [
        *(0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459),
        *(0.3240, 0.4262, 0.5719, 0.6528, 0.7590, 1.0000),
    ]
    holm = [p for p in corrected(p_values) if p is not None and p <= 0.05]
    hochberg = [p for p in corrected(p_values, "fdr_bh") if p is not None and p <= 0.05]

    assert (3, 4) == (len(holm), len(hochberg))


def test_looks_that_can_show_nothing_do_not_count() -> None:
    """None stays None and does not make the others stricter."""
    assert [None, pytest.approx(0.04)] == corrected([None, 0.04])
    assert [None, None] == corrected([None, None])


def test_balanced_accuracy_covers_the_truth_in_95_of_100_simulations() -> None:
    """Sensitivity 0.9 of 80 events and specificity 0.7 of 60: the mean is 0.8."""
    random = np.random.default_rng(1)
    hits, rejections = random.binomial(80, 0.9, 1000), random.binomial(60, 0.7, 1000)
    found = [
        balanced_accuracy(int(h), 80, int(r), 60) for h, r in zip(hits, rejections, strict=True)
    ]
    covered = sum((it.low or 0) <= 0.8 <= (it.high or 0) for it in found)

    assert 0.93 <= covered / 1000 <= 0.98


def test_paired_differences_cover_the_truth_in_95_of_100_simulations() -> None:
    """Arms that are right in 88 and 90 of 100 events, mostly in the same ones."""
    random = np.random.default_rng(2)
    tables = random.multinomial(250, [0.84, 0.04, 0.06, 0.06], 1000)
    found = [paired_difference(PairedCounts(*map(int, table))) for table in tables]
    covered = sum((it.low or 0) <= 0.02 <= (it.high or 0) for it in found)

    assert 0.93 <= covered / 1000 <= 0.98


def test_the_detectable_difference_is_detected_four_times_of_five() -> None:
    """Simulated at the difference that 800 events are said to detect, by McNemar's test."""
    difference = detectable_difference(800, 80)
    assert difference is not None
    share = 81 / 802
    worse, better = (share - difference) / 2, (share + difference) / 2
    random = np.random.default_rng(3)
    tables = random.multinomial(800, [0.8, worse, better, 0.2 - share], 500)
    p_values = [mcnemar_p(PairedCounts(*map(int, table))) for table in tables]
    power = np.mean([p is not None and p < 0.05 for p in p_values])

    assert 0.72 <= power <= 0.84  # the exact test is a little conservative


def test_as_many_events_as_needed_show_non_inferiority_four_times_of_five() -> None:
    """Equal arms that differ in 10 of 100 events; one look, one-sided, by the normal interval."""
    needed = events_needed(0.02, 998, 99)
    random = np.random.default_rng(4)
    tables = random.multinomial(needed, [0.05, 0.9, 0.05], 4000)
    mean = (tables[:, 2] - tables[:, 0]) / needed
    variance = (tables[:, 2] + tables[:, 0]) / needed - mean**2
    shown = mean - 1.645 * np.sqrt(variance / needed) > -0.02

    assert 0.78 <= shown.mean() <= 0.82


def test_nothing_is_claimed_where_nothing_was_seen() -> None:
    """No events, no labels, or an arm with one verdict only."""
    nothing = PairedCounts(0, 0, 0, 0)

    assert proportion(0, 0).value is None
    assert paired_difference(nothing).value is None
    assert kappa(nothing).value is None
    assert kappa(PairedCounts(40, 0, 0, 0)).value is None
    assert kappa(PairedCounts(40, 3, 0, 0)).value is None
    assert mcnemar_p(PairedCounts(9, 0, 0, 1)) is None
    assert balanced_accuracy(5, 5, 0, 0).value is None
    assert detectable_difference(0, 0) is None
    assert detectable_difference(5, 0) is None


def test_perfect_agreement_still_has_an_interval() -> None:
    """Ten of ten events do not show that arms never differ."""
    found = paired_difference(PairedCounts(10, 0, 0, 0))

    assert 0 == found.value
    assert found.low is not None
    assert found.high is not None
    assert found.low < -0.1
    assert found.high > 0.1
