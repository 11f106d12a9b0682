"""The report itself: one HTML page that needs nothing else, and Markdown for a pull request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sidecar.ab import words
from sidecar.ab.columns import Comparisons
from sidecar.ab.curves import curve_of
from sidecar.ab.report import plots
from sidecar.ab.report.drawing import ARMS, Plot
from sidecar.ab.report.examples import Example
from sidecar.ab.summary import ArmSummary, Number, PairSummary, Summary

_TEMPLATES: Final = Environment(
    loader=PackageLoader("sidecar.ab.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
NOTHING: Final = "\N{EN DASH}"
"""Stands where there is nothing to estimate."""

_COLUMNS: Final = (
    ("accuracy", "right"),
    ("sensitivity", "sensitivity"),
    ("specificity", "specificity"),
    ("precision", "precision"),
    ("balancedAccuracy", "balanced"),
    ("unparsable", "unreadable"),
    ("failed", "no verdict"),
)
_BREACHES: Final = {
    "accuracy": "is right less often",
    "latency": "is too slow",
    "unparsable": "gives unreadable answers more often",
}
"""What it means that a check of the gate is breached, by its name."""


@dataclass(frozen=True, slots=True)
class PairPage:
    """What the page shows of one pair: its numbers, its colour, its plots."""

    pair: PairSummary
    colour: int
    status: str
    headline: str
    plots: tuple[Plot, ...]


@dataclass(frozen=True, slots=True)
class Material:
    """What a report is made of.

    Attributes:
        summary: the numbers.
        events: the columns that they come from, for curves.
        created: when.
        source: what was read.
        examples: disagreements to show.
        gpus: that each arm has, by name.
    """

    summary: Summary
    events: Comparisons
    created: datetime
    source: str
    examples: Sequence[Example] = ()
    gpus: Mapping[str, float] = field(default_factory=dict)


def write_html(material: Material) -> str:
    """Build the page."""
    summary = material.summary
    arms = in_order(summary)
    found = {
        arm.name: curve
        for arm in arms
        if (curve := curve_of(material.events, arm.name)) is not None
    }
    optional = [
        plots.latencies(material.events, arms),
        plots.curves(arms, found),
        plots.costs(arms, material.gpus),
    ]
    return _TEMPLATES.get_template("page.html.j2").render(
        summary=summary,
        arms=arms,
        created=material.created,
        source=material.source,
        columns=_COLUMNS,
        rates=plots.rates(arms) if arms else None,
        pairs=[_pair(pair, number) for number, pair in enumerate(summary.pairs, start=1)],
        shared=[plot for plot in optional if plot is not None],
        examples=material.examples,
        colour_of={arm.name: place % len(ARMS) for place, arm in enumerate(arms)},
        number=show_number,
        points=show_points,
        raw=Markup,
    )


def write_markdown(summary: Summary) -> str:
    """Write the numbers and the conclusion as Markdown."""
    return _TEMPLATES.get_template("page.md.j2").render(
        summary=summary,
        arms=in_order(summary),
        columns=_COLUMNS,
        number=lambda value: _markdown_safe(show_number(value)),
        safe=lambda text: Markup(_markdown_safe(text)),  # noqa: S704 - Markdown, and escaped for it
    )


def in_order(summary: Summary) -> list[ArmSummary]:
    """Return the arms, the reference first."""
    references = {pair.reference for pair in summary.pairs}
    return sorted(summary.arms, key=lambda arm: arm.name not in references)


def show_number(number: Number) -> str:
    """Write a rate with its interval."""
    return words.percent(number) if number.value is not None else NOTHING


def show_points(number: Number) -> str:
    """Write a difference of rates with its interval."""
    return words.points(number) if number.value is not None else NOTHING


def _pair(pair: PairSummary, number: int) -> PairPage:
    drawn = [
        plots.agreement(pair, number),
        plots.forest(pair, pair.byAlertType, "alert type", number),
        plots.forest(pair, pair.bySensor, "sensor", number) if len(pair.bySensor) > 1 else None,
        plots.drift(pair, number),
    ]
    status, headline = _verdict(pair)
    colour = number % len(ARMS)
    return PairPage(pair, colour, status, headline, tuple(it for it in drawn if it is not None))


def _verdict(pair: PairSummary) -> tuple[str, str]:
    """Say in a few words what to do; the status chooses the colour."""
    gate = pair.gate
    if gate is not None and gate.action == "recommend":
        return "good", f"Promote {pair.candidate}"
    broken = [_BREACHES[it.name] for it in gate.checks if it.breached] if gate else []
    difference = pair.accuracyDifference.high
    if not broken and difference is not None and difference < 0:
        broken = [_BREACHES["accuracy"]]
    if broken:
        return "bad", f"Keep {pair.reference}: {pair.candidate} {' and '.join(broken)}"
    return "open", f"Not decided: {pair.reference} or {pair.candidate}"


def _markdown_safe(text: Any) -> str:
    """Keep names from breaking a table or becoming markup, HTML's too."""
    kept = escape(str(text).replace("\\", "\\\\"), quote=False)
    for sign in "|`*_$[]":
        kept = kept.replace(sign, f"\\{sign}")
    return " ".join(kept.split())
