"""The plots of the report. Each takes what was measured and draws it; none estimates."""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from sidecar.ab.report.drawing import (
    BAD,
    GOOD,
    INK,
    MUTED,
    Plot,
    arm_colour,
    as_svg,
    figure,
)
from sidecar.density.judge import SENSOR_SHARE, Observed
from sidecar.density.scenario import Promise, Scenario
from sidecar.density.summary import Density

_WIDE, _HALF = 10.7, 5.1
_MOST_DOTS: Final = 4000
_NINES: Final = (0.5, 0.9, 0.95, 0.99, 0.999)


def found(results: Sequence[Density], promises: Sequence[Promise]) -> Plot | None:
    """Draw the percentile that was promised against the number of streams; None of one number."""
    if len({run.streams for it in results for run in it.runs}) < 2:  # noqa: PLR2004 - a line
        return None
    first = promises[0]
    title = f"p95 by the number of streams, and the promise of {first.within_s:g} s"
    with figure(_WIDE, 3.2) as (drawn, (axes,)):
        for place, result in enumerate(results):
            _runs(axes, result, arm_colour(place))
        axes.axhline(first.within_s, color=MUTED, linestyle="--", linewidth=1)
        _log_seconds(axes)
        axes.set_xlabel("streams")
        axes.set_ylabel("p95, from the scheduled time")
        axes.legend(loc="upper left")
        caption = (
            "Filled: every condition was kept. Open: one was broken. At the upper edge: so many "
            "events had no verdict that there is no p95."
        )
        return Plot("found", title, caption, as_svg(drawn, "found", title))


def latencies(shown: Mapping[str, Observed], promises: Sequence[Promise]) -> Plot:
    """Draw every percentile of each target's run, as HdrHistogram's plots do."""
    title = "Latency by percentile"
    with figure(_HALF, 3.4) as (drawn, (axes,)):
        for place, (name, observed) in enumerate(shown.items()):
            times = np.sort(_times(observed))
            if not len(times):
                continue
            share = (np.arange(len(times)) + 0.5) / len(times)
            label = f"{name}, {observed.streams} streams"
            axes.step(_nines(share), times, where="post", color=arm_colour(place), label=label)
        for promise in promises:
            axes.plot(
                _nines(np.array([promise.percent / 100])),
                [promise.within_s],
                marker="v",
                color=INK,
                linestyle="none",
            )
        _log_seconds(axes)
        axes.set_xticks(_nines(np.array(_NINES)), [f"{it:.3g}".lstrip("0") for it in _NINES])
        axes.set_xlim(0, 3.3)
        axes.set_xlabel("share of the events")
        axes.set_ylabel("seconds")
        axes.legend(loc="upper left")
        caption = "Triangles are what was promised. Events without a verdict end the line early."
        return Plot("latencies", title, caption, as_svg(drawn, "latencies", title))


def backlog(shown: Mapping[str, Observed]) -> Plot:
    """Draw how many events were in the system over time."""
    title = "Events in the system"
    with figure(_HALF, 3.4) as (drawn, (axes,)):
        for place, (name, observed) in enumerate(shown.items()):
            times, counts = observed.in_system()
            axes.plot(times, counts, color=arm_colour(place), label=name, linewidth=1.2)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("seconds of the board")
        axes.set_ylabel("offered, not ended")
        axes.legend(loc="upper left")
        caption = "A line that keeps rising is a load that is not carried, whatever its latencies."
        return Plot("backlog", title, caption, as_svg(drawn, "backlog", title))


def moments(name: str, observed: Observed, number: int) -> Plot:
    """Draw the latency of each event of one target at its scheduled time."""
    title = f"Every event of {name}, {observed.streams} streams"
    plot = f"moments-{number}"
    samples = observed.measured
    kept = samples[:: max(1, math.ceil(len(samples) / _MOST_DOTS))]
    with figure(_WIDE, 2.8) as (drawn, (axes,)):
        good = [(it.offer.at_s, it.latency_s) for it in kept if it.is_verified]
        bad = [(it.offer.at_s, it.latency_s) for it in kept if not it.is_verified and it.latency_s]
        for dots, colour, label in ((good, GOOD, "verified"), (bad, BAD, "failed or shed")):
            if dots:
                x, y = zip(*dots, strict=True)
                axes.scatter(x, y, s=6, color=colour, alpha=0.6, linewidths=0, label=label)
        axes.axhline(observed.scenario.limit_s, color=MUTED, linestyle="--", linewidth=1)
        if good or bad:
            _log_seconds(axes)
            axes.legend(loc="upper right")
        axes.set_xlabel("scheduled, seconds of the board")
        axes.set_ylabel("seconds")
        return Plot(plot, title, "", as_svg(drawn, plot, title))


def sensors(name: str, observed: Observed, number: int) -> Plot:
    """Draw what share of each sensor's events ended within the promise."""
    title = f"Fairness: each sensor of {name}"
    plot = f"sensors-{number}"
    late: dict[int, list[bool]] = defaultdict(list)
    for sample in observed.measured:
        late[sample.offer.sensor].append(sample.is_late(observed.scenario.limit_s))
    shares = sorted((1 - sum(it) / len(it) for it in late.values()), reverse=True)
    with figure(_WIDE, 2.2) as (drawn, (axes,)):
        colours = [GOOD if share >= SENSOR_SHARE else BAD for share in shares]
        axes.bar(range(len(shares)), shares, color=colours, width=0.8)
        axes.axhline(SENSOR_SHARE, color=MUTED, linestyle="--", linewidth=1)
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("sensors, best first")
        axes.set_ylabel(f"within {observed.scenario.limit_s:g} s")
        caption = (
            "A sensor below the line is only called starved when chance cannot explain it: one "
            "late event of seven is 86 %."
        )
        return Plot(plot, title, caption, as_svg(drawn, plot, title))


def all_plots(
    scenario: Scenario, results: Sequence[Density], shown: Mapping[str, Observed]
) -> list[tuple[Plot, bool]]:
    """Draw all plots, each with whether it is as wide as the page."""
    drawn: list[tuple[Plot, bool]] = []
    searched = found(results, scenario.promises)
    if searched is not None:
        drawn.append((searched, True))
    if shown:
        drawn += [(latencies(shown, scenario.promises), False), (backlog(shown), False)]
    for number, (name, observed) in enumerate(shown.items(), start=1):
        drawn.append((moments(name, observed, number), True))
        drawn.append((sensors(name, observed, number), True))
    return drawn


def _runs(axes: Axes, result: Density, colour: str) -> None:
    top = 2 * max((it.latency.p95 for it in result.runs if it.latency.p95 is not None), default=1)
    points = sorted(
        (it.streams, it.latency.p95 if it.latency.p95 is not None else top, it.passed)
        for it in result.runs
    )
    steps = sorted({it[0] for it in points})
    middle = [median(it[1] for it in points if it[0] == streams) for streams in steps]
    axes.plot(steps, middle, color=colour, linewidth=0.8)
    for passed in (True, False):
        chosen = [it for it in points if it[2] is passed]
        axes.plot(
            [it[0] for it in chosen],
            [it[1] for it in chosen],
            marker="o",
            linestyle="none",
            color=colour,
            markerfacecolor=colour if passed else "none",
            label=result.target if passed else None,
        )


def _times(observed: Observed) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    times = [
        it.latency_s if it.is_verified and it.latency_s is not None else math.nan
        for it in observed.measured
    ]
    return np.array(times)


def _nines(share: "np.ndarray[tuple[int], np.dtype[np.float64]]") -> list[float]:
    """Stretch the tail: 0.9, 0.99 and 0.999 are equally far from each other."""
    return [-math.log10(1 - it) for it in share]


def _log_seconds(axes: Axes) -> None:
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(_seconds))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _seconds(value: float, _place: int | None = None) -> str:
    return f"{value:g} s"
