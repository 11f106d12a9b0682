"""matplotlib figures as inline SVG whose colours follow the page, light or dark.

Figures are drawn in marker colours that stand for the page's CSS variables, and are exchanged for
them in the SVG. Text stays text, so that it has the page's font and can be searched.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any, Final

import matplotlib as mpl
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

INK: Final = "#010101"
MUTED: Final = "#020202"
LINE: Final = "#030303"
PANEL: Final = "#040404"
GOOD: Final = "#050505"
BAD: Final = "#060606"
ARMS: Final = ("#111111", "#121212", "#131313", "#141414", "#151515", "#161616")
"""Of the reference, then of the candidates in their order, which begin again after the last."""

_VARIABLES: Final = {
    INK: "ink",
    MUTED: "muted",
    LINE: "line",
    PANEL: "panel",
    GOOD: "good",
    BAD: "bad",
    **{colour: f"arm-{number}" for number, colour in enumerate(ARMS)},
}
_STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a dollar in a name is a dollar
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "font.size": 9.5,
    "axes.labelsize": 9.5,
    "legend.frameon": False,
    "legend.labelcolor": INK,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
}
_PROLOGUE: Final = re.compile(r"\A.*?(?=<svg)", re.DOTALL)
_METADATA: Final = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
_ROOT: Final = re.compile(r'<svg [^>]*viewBox="0 0 ([\d.]+) ([\d.]+)"[^>]*>')
_UNUSED_ID: Final = re.compile(r' id="(?![a-z][0-9a-f]{10}")[^"]*"')
"""Of elements that nothing refers to; matplotlib's others are hashes."""
_HEX: Final = re.compile(r"#[0-9a-f]{6}\b")


@dataclass(frozen=True, slots=True)
class Plot:
    """A figure.

    Attributes:
        name: unique on the page.
        title: what it shows, for those who do not see it, too.
        caption: how to read it; "" when there is nothing to say.
        svg: the figure.
    """

    name: str
    title: str
    caption: str
    svg: str


@contextmanager
def figure(
    width: float, height: float, columns: int = 1, **options: Any
) -> Iterator[tuple[Figure, list[Axes]]]:
    """Give a figure of a size in inches with axes side by side."""
    with mpl.style.context("default"), mpl.rc_context(_STYLE):
        drawn = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(drawn)
        axes = drawn.subplots(1, columns, squeeze=False, **options)
        yield drawn, list(axes[0])


def as_svg(drawn: Figure, name: str, title: str) -> str:
    """Write a figure as SVG for the page.

    Args:
        drawn: within the context of `figure`.
        name: unique on the page; its ids are made from it.
        title: read aloud in place of the picture.
    """
    target = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        drawn.savefig(target, format="svg", metadata={"Date": None})
    text = _METADATA.sub("", _PROLOGUE.sub("", target.getvalue()))
    text = _UNUSED_ID.sub("", text)
    root = _ROOT.match(text)
    assert root is not None, "matplotlib writes a viewBox"
    head = (
        f'<svg id="plot-{name}" role="img" aria-label="{escape(title)}" '
        f'viewBox="0 0 {root[1]} {root[2]}" '
        'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    )
    return head + _HEX.sub(lambda found: _variable(found[0]), text[root.end() :])


def arm_colour(number: int) -> str:
    """Return the marker colour of an arm by its place."""
    return ARMS[number % len(ARMS)]


def _variable(colour: str) -> str:
    name = _VARIABLES.get(colour)
    return colour if name is None else f"var(--{name})"
