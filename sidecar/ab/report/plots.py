"""The plots of the report. Each takes what was estimated and draws it; none estimates."""

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import numpy as np
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.patches import FancyBboxPatch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator, PercentFormatter

from sidecar.ab.columns import Comparisons, Floats
from sidecar.ab.curves import Curve
from sidecar.ab.drift import FLIPS
from sidecar.ab.report.drawing import (
    BAD,
    GOOD,
    INK,
    LINE,
    MUTED,
    Plot,
    arm_colour,
    as_svg,
    figure,
)
from sidecar.ab.summary import ArmSummary, DriftSummary, Number, PairSummary, Slice

MOST_ROWS: Final = 25
"""Of a forest plot; the largest slices come first."""

_RATES: Final = (
    ("accuracy", "right (failures count)"),
    ("sensitivity", "true events confirmed"),
    ("specificity", "false events rejected"),
    ("precision", "confirmations that are true"),
    ("balancedAccuracy", "balanced accuracy"),
    ("confirms", "verdicts that confirm"),
    ("failed", "events without a verdict"),
)
_ECDF_POINTS: Final = 300
_WIDE, _HALF = 10.7, 5.1


def rates(arms: Sequence[ArmSummary]) -> Plot:
    """Draw every rate of every arm with its interval."""
    title = "Rates of each arm, with 95% intervals"
    shown = [(name, label) for name, label in _RATES if any(_rate(arm, name).n for arm in arms)]
    with figure(_WIDE, 0.9 + len(shown) * (0.2 + 0.17 * len(arms))) as (drawn, (axes,)):
        for place, arm in enumerate(arms):
            offset = (place - (len(arms) - 1) / 2) * 0.75 / max(len(arms), 2)
            for row, (name, _) in enumerate(shown):
                label = arm.name if row == 0 else None
                _interval(axes, _rate(arm, name), row + offset, arm_colour(place), label)
        _rows(axes, [label for _, label in shown])
        axes.set_xlim(-0.01, 1.01)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        _legend(axes, len(arms))
        return Plot("rates", title, "", as_svg(drawn, "rates", title))


def agreement(pair: PairSummary, number: int) -> Plot:
    """Draw how often each outcome of one arm met each of the other."""
    title = f"What {pair.candidate} says where {pair.reference} says …"
    name = f"agreement-{number}"
    counts = np.array(pair.matrix)
    total = max(int(counts.sum()), 1)
    with figure(_HALF, 3.1) as (drawn, (axes,)):
        for row, column in np.ndindex(counts.shape):
            count = int(counts[row, column])
            share = count / total
            colour = GOOD if row == column else BAD
            box = (column - 0.47, row - 0.47)
            axes.add_patch(_tile(box, colour, 0.08 + 0.62 * math.sqrt(share) if count else 0.04))
            axes.text(column, row - 0.06, f"{count:,}", ha="center", va="center", fontsize=13)
            text = f"{share:.1%}" if count else ""
            axes.text(column, row + 0.25, text, ha="center", va="center", fontsize=8.5, color=MUTED)
        axes.set_xlim(-0.5, 2.5)
        axes.set_ylim(2.5, -0.5)
        axes.set_xticks(range(3), pair.outcomes)
        axes.set_yticks(range(3), pair.outcomes, rotation=90, va="center")
        axes.set_xlabel(pair.candidate, color=arm_colour(number))
        axes.set_ylabel(pair.reference, color=arm_colour(0))
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        caption = "Events of both arms; the diagonal is agreement."
        return Plot(name, title, caption, as_svg(drawn, name, title))


def forest(pair: PairSummary, slices: Sequence[Slice], kind: str, number: int) -> Plot | None:
    """Draw the difference between two arms in each slice; None when there is nothing to compare."""
    is_judged = any(it.accuracyDifference.value is not None for it in slices)
    what = "right" if is_judged else "confirms"
    rows = [(it, it.accuracyDifference if is_judged else it.confirmsDifference) for it in slices]
    rows = [(it, number) for it, number in rows if number.value is not None][:MOST_ROWS]
    if not rows:
        return None
    title = f"How much more often {pair.candidate} {'is ' if is_judged else ''}{what}, by {kind}"
    name = f"forest-{kind.replace(' ', '-')}-{number}"
    overall = pair.accuracyDifference if is_judged else pair.confirmsDifference
    with figure(_WIDE, 1.0 + 0.3 * (len(rows) + 1)) as (drawn, (axes,)):
        axes.axvline(0, color=MUTED, linewidth=1)
        for row, (it, difference) in enumerate(rows):
            colour = arm_colour(number) if it.isDifferent else MUTED
            _interval(axes, difference, row, colour)
        _interval(axes, overall, len(rows), INK, marker="D")
        labels = [f"{_short(it.name)}  ({difference.n:,})" for it, difference in rows]
        _rows(axes, [*labels, f"all  ({overall.n:,})"])
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _points(x)))
        axes.set_xlabel(
            f"← {pair.reference} more often  |  points  |  {pair.candidate} more often →"
        )
        caption = (
            "Differences with 95% intervals; in brackets the events behind them. Coloured: "
            "beyond chance after Holm's correction for the number of rows."
        )
        left_out = len(slices) - len(rows)
        if left_out:
            caption += f" {left_out} smaller or empty ones are not drawn."
        return Plot(name, title, caption, as_svg(drawn, name, title))


def latencies(events: Comparisons, arms: Sequence[ArmSummary]) -> Plot | None:
    """Draw the share of verdicts that had come after each time; None without verdicts."""
    title = "Share of verdicts that had come after …"
    shares = np.linspace(0, 1, _ECDF_POINTS)
    drawable = [(place, arm) for place, arm in enumerate(arms) if arm.verdicts]
    if not drawable:
        return None
    with figure(_WIDE, 3.2) as (drawn, (axes,)):
        for place, arm in drawable:
            columns = events.arms[arm.name]
            seconds = np.quantile(columns.latency_ms[columns.has_verdict], shares) / 1000
            colour = arm_colour(place)
            axes.plot(np.maximum(seconds, 1e-3), shares, color=colour, label=arm.name)
            p95 = arm.latencyMs.p95.value
            if p95 is not None:
                axes.plot([max(p95 / 1000, 1e-3)], [0.95], "o", color=colour, markersize=5)
        axes.axhline(0.95, color=MUTED, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: _seconds(x)))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.set_ylim(0, 1.02)
        axes.legend(loc="lower right")
        caption = "From the question to the verdict, decoding included. Dots: 95th percentiles."
        return Plot("latency", title, caption, as_svg(drawn, "latency", title))


def curves(arms: Sequence[ArmSummary], found: Mapping[str, Curve]) -> Plot | None:
    """Draw what thresholds on the confidence would do; None when no arm tells its confidence."""
    if not found:
        return None
    title = "What a threshold on the confidence would do"
    with figure(_WIDE, 3.5, columns=2) as (drawn, (left, right)):
        left.plot([0, 1], [0, 1], color=LINE, linewidth=1)
        for place, arm in enumerate(arms):
            curve = found.get(arm.name)
            if curve is None:
                continue
            colour = arm_colour(place)
            label = f"{arm.name}: area {_interval_text(arm.rocArea)}"
            left.plot(1 - curve.specificity, curve.sensitivity, color=colour, label=label)
            threshold = np.clip(curve.thresholds, 0, 1)
            right.plot(threshold, curve.sensitivity, color=colour, label=f"{arm.name}: sensitivity")
            right.plot(
                threshold,
                curve.specificity,
                color=colour,
                linestyle=(0, (4, 2)),
                label=f"{arm.name}: specificity",
            )
        left.set_xlabel("false events that would be confirmed")
        left.set_ylabel("true events that would be confirmed")
        right.set_xlabel("probability from which an event counts as confirmed")
        for axes in (left, right):
            axes.set_xlim(-0.02, 1.02)
            axes.set_ylim(-0.02, 1.02)
            axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        left.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        left.legend(loc="lower right", fontsize=8)
        right.legend(loc="lower center", fontsize=8)
        caption = (
            "Left: ROC curves with the area below them. Right: what each threshold gives. An alert "
            "type's abstain band acts on the same probability."
        )
        return Plot("curves", title, caption, as_svg(drawn, "curves", title))


def drift(pair: PairSummary, number: int) -> Plot | None:
    """Draw flips and confirmations over time; None without events of both arms."""
    if not pair.drift or not pair.drift[0].spans:
        return None
    title = f"Over time: {pair.candidate} beside {pair.reference}"
    name = f"drift-{number}"
    colours = (INK, arm_colour(0), arm_colour(number))
    with figure(_WIDE, 3.9) as (drawn, (axes,)):
        for series, colour in zip(pair.drift, colours, strict=True):
            _series(axes, series, colour)
        axes.set_ylim(-0.02, 1.02)
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        locator = AutoDateLocator(minticks=3, maxticks=8, tz=UTC)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator, tz=UTC))
        _legend(axes, 3)
        caption = f"Shares in equal spans of time, with 95% intervals; times are UTC. {_told(pair)}"
        return Plot(name, title, caption, as_svg(drawn, name, title))


def costs(arms: Sequence[ArmSummary], gpus: Mapping[str, float]) -> Plot | None:
    """Draw seconds of GPUs and tokens for each verdict; None without verdicts."""
    judged = [(place, arm) for place, arm in enumerate(arms) if arm.verdicts]
    if not judged:
        return None
    title = "What a verdict costs"
    with figure(_WIDE, 0.95 + 0.34 * len(judged), columns=2, sharey=True) as (drawn, axes):
        left, right = axes
        for row, (place, arm) in enumerate(judged):
            seconds = (arm.busySecondsPerVerdict or 0.0) * gpus.get(arm.name, 1.0)
            colour = arm_colour(place)
            left.barh(row, seconds, color=colour, height=0.6)
            _bar_label(left, seconds, row, f"{seconds:.3g} s" if seconds else "no GPU")
            prompt, completion = arm.promptTokens or 0.0, arm.completionTokens or 0.0
            right.barh(row, prompt, color=colour, height=0.6)
            right.barh(row, completion, left=prompt, color=colour, alpha=0.5, height=0.6)
            tokens = f"{prompt:,.0f} + {completion:,.0f}"
            _bar_label(right, prompt + completion, row, tokens if prompt else "not told")
        _rows(left, [arm.name for _, arm in judged])
        left.set_xlabel("GPU-seconds per verdict")
        right.set_xlabel("tokens per verdict: prompt + answer")
        for one in axes:
            one.margins(x=0.28)
            one.set_xlim(left=0)
            one.grid(visible=False, axis="y")
        caption = (
            "GPU-seconds: time with at least one question on its way to the arm, shared among its "
            "verdicts, times its GPUs. Higher load makes it smaller as long as the server keeps up."
        )
        return Plot("costs", title, caption, as_svg(drawn, "costs", title))


def _told(pair: PairSummary) -> str:
    """Say what the test for a change found."""
    if all(it.pValue is None for it in pair.drift):
        return "There are too few events to tell whether a rate changed."
    if any(it.isAlarm for it in pair.drift):
        return "Vertical lines: where a rate changed for certain."
    return "No rate changed beyond chance (CUSUM test, Holm's correction)."


def _series(axes: Axes, series: DriftSummary, colour: str) -> None:
    spans = [it for it in series.spans if it.rate.value is not None]
    times = [it.start.astimezone(UTC) for it in spans]
    values, low, high = (
        [getattr(it.rate, part) for it in spans] for part in ("value", "low", "high")
    )
    label = "the arms differ" if series.name == FLIPS else series.name
    axes.plot(_dates(times), values, "o-", color=colour, markersize=3, label=label)
    axes.fill_between(_dates(times), low, high, color=colour, alpha=0.12, linewidth=0)
    if series.isAlarm and series.changedAt is not None:
        at = _dates([series.changedAt])[0]
        axes.axvline(at, color=colour, linewidth=1.2, linestyle=(0, (2, 2)))


def _dates(moments: Sequence[datetime]) -> Floats:
    return np.asarray(date2num(list(moments)), dtype=np.float64)


def _interval(
    axes: Axes, number: Number, row: float, colour: str, label: str | None = None, marker: str = "o"
) -> None:
    if number.value is None or number.low is None or number.high is None:
        if label:
            axes.plot([], [], marker, color=colour, label=label)
        return
    axes.plot([number.low, number.high], [row, row], color=colour, linewidth=1.6)
    axes.plot([number.value], [row], marker, color=colour, markersize=5.5, label=label)


def _rows(axes: Axes, labels: Sequence[str]) -> None:
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)


def _legend(axes: Axes, columns: int) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2)


def _bar_label(axes: Axes, x: float, row: int, text: str) -> None:
    axes.annotate(text, (x, row), (5, 0), textcoords="offset points", va="center", fontsize=9)


def _tile(corner: tuple[float, float], colour: str, alpha: float) -> FancyBboxPatch:
    style = "round,pad=0,rounding_size=0.06"
    return FancyBboxPatch(corner, 0.94, 0.94, boxstyle=style, facecolor=colour, alpha=alpha, lw=0)


def _rate(arm: ArmSummary, name: str) -> Number:
    found = getattr(arm, name)
    assert isinstance(found, Number)
    return found


def _interval_text(number: Number) -> str:
    if number.value is None:
        return "unknown"
    if number.low is None or number.high is None:
        return f"{number.value:.2f}"
    return f"{number.value:.2f} ({number.low:.2f} to {number.high:.2f})"


def _points(x: float) -> str:
    return f"{100 * x:+.0f}" if round(100 * x) else "0"


def _seconds(x: float) -> str:
    return f"{x:g} s" if x >= 1 else f"{1000 * x:g} ms"


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"{name[:27]}…"  # noqa: PLR2004 - what fits beside a plot
