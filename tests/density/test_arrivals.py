"""When events are due."""

from collections import Counter
from itertools import pairwise

import pytest
from density.targets import scenario

from sidecar.density.arrivals import plan_offers


def test_rates_are_those_of_the_scenario() -> None:
    """40 sensors at 60 a minute for 100 s are 4,000 events, give or take five deviations."""
    offers = plan_offers(scenario(), 40, seed=1, until_s=100)

    assert len(offers) == pytest.approx(4000, abs=5 * 4000**0.5)
    assert sorted(it.at_s for it in offers) == [it.at_s for it in offers]
    assert list(range(len(offers))) == [it.number for it in offers]


def test_gaps_are_those_of_a_poisson_process() -> None:
    """Their deviation is their mean, as of nothing that is paced."""
    times = [it.at_s for it in plan_offers(scenario(), 1, seed=3, until_s=4000)]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    mean = sum(gaps) / len(gaps)
    deviation = (sum((it - mean) ** 2 for it in gaps) / len(gaps)) ** 0.5

    assert 1.0 == pytest.approx(deviation / mean, abs=0.1)


def test_more_streams_offer_the_same_events_and_more() -> None:
    """A sensor's times do not depend on how many others there are."""
    few, many = (plan_offers(scenario(), count, seed=5, until_s=50) for count in (3, 9))

    assert {(it.sensor, it.at_s) for it in few} == {
        (it.sensor, it.at_s) for it in many if it.sensor < 3
    }


def test_another_seed_draws_other_times() -> None:
    """The same one draws the same."""
    first, again, other = (plan_offers(scenario(), 3, seed, 20) for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_chunks_come_periodically() -> None:
    """Each sensor from a moment of its own, then at even distances."""
    load = {"per_minute": 6, "arrivals": "periodic"}
    offers = plan_offers(scenario(load=load), 20, seed=1, until_s=100)
    firsts = {it.sensor: it.at_s for it in reversed(offers)}

    assert 200 == len(offers)
    assert 20 == len(set(firsts.values()))
    assert all(0 <= at_s < 10 for at_s in firsts.values())


def test_bursts_add_what_they_say() -> None:
    """All sensors, 10 times as much for 10 of 100 s: 1.9 times the load, half of it in bursts."""
    burst = {"share": 1, "factor": 10, "every_s": 100, "lasts_s": 10}
    loaded = scenario(load={"per_minute": 6, "burst": burst})
    offers = plan_offers(loaded, 50, seed=1, until_s=1000)
    in_burst = sum(it.at_s % 100 < 10 for it in offers)

    assert 9.5 == pytest.approx(loaded.offered_per_s(50))
    assert len(offers) == pytest.approx(9500, rel=0.06)
    assert in_burst / len(offers) == pytest.approx(10 / 19, abs=0.03)


def test_a_noisy_sensor_is_marked_and_floods() -> None:
    """It alone, and by its factor."""
    offers = plan_offers(
        scenario(load={"per_minute": 6, "noisy": {"sensors": 1, "factor": 50}}), 5, 1, 200
    )
    counts = Counter(it.sensor for it in offers)

    assert {0} == {it.sensor for it in offers if it.is_noisy}
    assert counts[0] == pytest.approx(1000, rel=0.2)
    assert all(counts[sensor] < 60 for sensor in range(1, 5))
