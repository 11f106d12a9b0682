"""When which sensor sends: fixed by a seed before the run, whatever the answers do. Pure."""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Final

from sidecar.density.scenario import Burst, Scenario

_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Offer:
    """An event that will be sent.

    Attributes:
        number: its place in the run, from 0.
        sensor: which virtual camera, from 0.
        at_s: when it is due, in seconds of the board from the run's start.
        is_noisy: its sensor is one that floods.
    """

    number: int
    sensor: int
    at_s: float
    is_noisy: bool = False


def plan_offers(scenario: Scenario, streams: int, seed: int, until_s: float) -> list[Offer]:
    """Draw all events of a run, in the order of their times.

    A sensor's times depend on the seed and its number alone, so that a run with more streams offers
    the same events and more.

    Args:
        scenario: rates and patterns.
        streams: how many sensors.
        seed: another one draws other times.
        until_s: end of the run, in seconds of the board.
    """
    noisy = scenario.load.noisy.sensors if scenario.load.noisy else 0
    drawn = [
        Offer(0, sensor, at_s, sensor < noisy)
        for sensor in range(streams)
        for at_s in _times(scenario, sensor, sensor < noisy, seed, until_s)
    ]
    drawn.sort(key=attrgetter("at_s", "sensor"))
    return [Offer(i, it.sensor, it.at_s, it.is_noisy) for i, it in enumerate(drawn)]


def _times(
    scenario: Scenario, sensor: int, is_noisy: bool, seed: int, until_s: float
) -> Iterator[float]:
    load = scenario.load
    draw = random.Random(f"{seed}:{sensor}")  # noqa: S311 - a load is no secret
    factor = load.noisy.factor if load.noisy and is_noisy else 1.0
    rate = load.per_minute / _SECONDS * factor
    burst = load.burst if load.burst and draw.random() < load.burst.share else None
    at_s = 0.0
    if load.arrivals == "periodic":
        at_s = draw.random() / rate
        while at_s < until_s:
            yield at_s
            at_s += 1 / rate
        return
    while (at_s := _later(at_s, draw.expovariate(1.0) / rate, burst)) < until_s:
        yield at_s


def _later(at_s: float, quiet_s: float, burst: Burst | None) -> float:
    """Move on by so many seconds at the usual rate; in a burst they pass faster."""
    if burst is None:
        return at_s + quiet_s
    while True:
        period = math.floor(at_s / burst.every_s) * burst.every_s
        is_burst = at_s - period < burst.lasts_s
        until = period + (burst.lasts_s if is_burst else burst.every_s)
        factor = burst.factor if is_burst else 1.0
        if (until - at_s) * factor > quiet_s:
            return at_s + quiet_s / factor
        quiet_s -= (until - at_s) * factor
        at_s = until
