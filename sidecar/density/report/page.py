"""The report itself: one HTML page that needs nothing else, and Markdown for a pull request."""

from html import escape
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sidecar.density.report import plots
from sidecar.density.session import Session
from sidecar.density.summary import Density, Report, Run

NOTHING: Final = "\N{EN DASH}"
_TEMPLATES: Final = Environment(
    loader=PackageLoader("sidecar.density.report", "."),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def write_html(session: Session) -> str:
    """Build the page."""
    report = session.report
    return _TEMPLATES.get_template("page.html.j2").render(
        **_shared(report),
        plots=plots.all_plots(report.scenario, report.found, session.shown),
        raw=Markup,
    )


def write_markdown(report: Report) -> str:
    """Write the numbers and the conclusions."""
    return _TEMPLATES.get_template("page.md.j2").render(
        **_shared(report),
        safe=lambda text: Markup(_markdown_safe(text)),  # noqa: S704 - Markdown, escaped for it
    )


def headline(found: Density) -> str:
    """Say in a sentence what was found about one target."""
    if found.streams is None:
        kept = f"kept by {found.confirmed} of {found.confirming} runs"
        broken = f"; broken: {', '.join(found.binding)}" if found.binding else ""
        return f"{found.target}: {found.runs[0].streams} streams, the promise was {kept}{broken}"
    if not found.streams:
        why = f" ({', '.join(found.binding)})" if found.binding else ""
        return f"{found.target}: not even one stream keeps the promise{why}"
    more = (
        f"; {found.failed_at} break it ({', '.join(found.binding)})"
        if found.failed_at is not None
        else "; more were not tried"
    )
    return (
        f"{found.target}: {found.streams} streams keep the promise, "
        f"{found.per_minute:.0f} events a minute{more}"
    )


def deciding(found: Density) -> Run:
    """Return the run that the conclusion stands on: the last that passed, else the last."""
    passed = [it for it in found.runs if it.passed]
    return (passed or found.runs)[-1]


def seconds(value: float | None) -> str:
    """Write a time."""
    return NOTHING if value is None else f"{value:.2f} s"


def _shared(report: Report) -> dict[str, Any]:
    return {
        "report": report,
        "scenario": report.scenario,
        "promises": [f"p{it.percent:g} ≤ {it.within_s:g} s" for it in report.scenario.promises],
        "headline": headline,
        "deciding": deciding,
        "seconds": seconds,
        "pair": _pair,
    }


def _pair(pair: Any) -> str:
    return (
        f"{pair.target} takes {pair.median_s * 1000:+.1f} ms longer than {pair.reference} for the "
        f"same event: median of {pair.pairs} pairs, 95 % interval {pair.low_s * 1000:+.1f} to "
        f"{pair.high_s * 1000:+.1f} ms"
    )


def _markdown_safe(text: Any) -> str:
    kept = escape(str(text).replace("\\", "\\\\"), quote=False)
    for sign in "|`*_$[]":
        kept = kept.replace(sign, f"\\{sign}")
    return " ".join(kept.split())
