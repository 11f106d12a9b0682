"""What a run proves."""

import random

import pytest

from sidecar.density.statistics import (
    events_needed,
    is_starved,
    jain,
    late_allowed,
    paired_difference,
    proves,
    quantile,
    trend_of,
)


@pytest.mark.parametrize(
    ("percent", "late", "events"),
    [
        *((90, 0, 44), (90, 1, 64), (90, 5, 127)),
        *((95, 0, 90), (95, 1, 130), (95, 50, 1372)),
        *((99, 0, 459), (99, 1, 662), (99, 20, 3304)),
    ],
)
def test_early_stopping_is_that_of_mlperf(percent: float, late: int, events: int) -> None:
    """The least numbers of events agree with LoadGen's."""
    assert events == events_needed(percent, late)
    assert proves(percent, events, late)
    assert not proves(percent, events - 1, late)
    assert late == late_allowed(percent, events)
    assert late - 1 == late_allowed(percent, events - 1)


def test_a_percentile_is_a_value_that_was_seen() -> None:
    """The smallest one that enough do not exceed."""
    values = [5.0, 1.0, 4.0, 2.0, 3.0]

    assert [1.0, 3.0, 5.0, 5.0] == [quantile(values, it) for it in (20, 60, 81, 100)]
    assert quantile([], 95) is None


def test_a_growing_backlog_has_a_slope_that_is_surely_positive() -> None:
    """Two events a second, found in spite of noise."""
    draw = random.Random(1)
    times = [it / 4 for it in range(400)]
    trend = trend_of(times, [2 * it + draw.gauss(0, 5) for it in times])

    assert 2.0 == pytest.approx(trend.per_s, abs=0.1)
    assert 0 < trend.low < trend.per_s < trend.high


def test_a_steady_backlog_has_none() -> None:
    """Though neighbouring counts are alike, as they are in a queue."""
    draw, level, sure = random.Random(2), 0.0, 0
    for _ in range(40):
        counts = []
        for _ in range(400):
            level = 0.8 * level + draw.gauss(0, 1)
            counts.append(10 + level)
        sure += trend_of([float(it) for it in range(400)], counts).low > 0

    assert sure <= 4  # 2.5 % of them are expected by chance


def test_jain_tells_even_from_uneven() -> None:
    """One when all get the same, a quarter when one of four gets all."""
    assert 1.0 == pytest.approx(jain([0.9] * 7))
    assert 0.25 == pytest.approx(jain([1.0, 0, 0, 0]))
    assert jain([0.0, 0.0]) is None


def test_a_sensor_is_starved_only_when_chance_cannot_explain_it() -> None:
    """One late event of seven is more than a tenth, and proves nothing."""
    assert not is_starved(7, 1, 0.1, 50)
    assert not is_starved(0, 0, 0.1, 50)
    assert is_starved(40, 25, 0.1, 50)


def test_pairs_show_a_difference_that_the_spread_hides() -> None:
    """20 ms beside latencies between 0 and 1 s."""
    draw = random.Random(4)
    firsts = [draw.random() for _ in range(200)]
    found = paired_difference([(it, it + 0.02 + draw.gauss(0, 0.004)) for it in firsts])

    assert found is not None
    assert 200 == found.pairs
    assert 0.018 < found.low < found.median < found.high < 0.022
    assert paired_difference([]) is None
