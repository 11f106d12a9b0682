"""The page, the Markdown, and what a browser makes of them."""

import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ab.samples import Habit, simulate

from sidecar.ab.columns import tabulate
from sidecar.ab.compare import summarise
from sidecar.ab.report.examples import choose_disagreements, examples_of
from sidecar.ab.report.page import Material, write_html, write_markdown
from sidecar.compared import ComparedEvent
from sidecar.model import Outcome

CREATED = datetime(2026, 2, 1, tzinfo=UTC)
ARMS = {
    "reason2": Habit(0.85, 0.6, 0.03, has_confidence=True),
    "cosmos3-nano": Habit(0.93, 0.8, 0.01, has_confidence=True),
}
PLOTS = (
    *("rates", "agreement-1", "forest-alert-type-1", "forest-sensor-1", "drift-1"),
    *("latency", "curves", "costs"),
)
PIXEL = "data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="needs Chromium: apt-get install -y chromium"
)


def _page(events: Sequence[ComparedEvent], frames: dict[str, list[str]] | None = None) -> str:
    columns = tabulate(events)
    summary = summarise(columns)
    reference = summary.pairs[0].reference if summary.pairs else ""
    chosen = choose_disagreements(events, reference, 6)
    known = {it.key: [PIXEL, PIXEL] for it in chosen[:1]} if frames is None else frames
    examples = examples_of(chosen, known)
    return write_html(Material(summary, columns, CREATED, "compared.jsonl", examples))


@pytest.fixture(scope="module")
def page() -> str:
    return _page(simulate(ARMS, 600, seed=1))


@pytest.mark.parametrize("plot", PLOTS)
def test_every_plot_is_on_the_page(page: str, plot: str) -> None:
    """As an inline SVG that names what it shows."""
    assert 1 == page.count(f'<svg id="plot-{plot}" role="img" aria-label="')


def test_the_page_says_what_to_do_and_how_sure_that_is(page: str) -> None:
    """The conclusion, the gate's checks, and the frames of a disagreement."""
    assert "Promote cosmos3-nano" in page
    assert "McNemar&#39;s exact test" in page
    assert 4 == page.count('class="check passed"')
    assert 2 == page.count(PIXEL)
    assert "The clip is not at hand." in page


def test_the_page_needs_nothing_else(page: str) -> None:
    """No script, no address but the names of XML, and a policy that lets nothing in."""
    addresses = set(re.findall(r"https?://[^\"'\s<)]+", page))

    assert {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"} == addresses
    assert "<script" not in page
    assert "default-src 'none'" in page


def test_colours_follow_the_page(page: str) -> None:
    """Nothing in a plot has a colour of its own that dark pages would hide."""
    plots = "".join(re.findall(r"<svg.*?</svg>", page, re.DOTALL))

    assert "var(--arm-1)" in plots
    assert set() == set(re.findall(r"#[0-9a-f]{6}\b", plots))


def test_the_same_comparison_gives_the_same_page(page: str) -> None:
    """So that two reports can be compared."""
    assert page == _page(simulate(ARMS, 600, seed=1))


def test_names_and_answers_are_text_wherever_they_stand() -> None:
    """An attacker's camera, alert type, arm and answer stay words: on the page, in Markdown."""
    evil = '<img src=x onerror="alert(1)">$a_b$|`'
    events = simulate({evil: Habit(), "plain": Habit()}, 200, categories=(evil, "fall"))
    said = [
        replace(
            it,
            sensor_id=evil,
            id=evil,
            answers=tuple(replace(answer, text=evil, model=evil) for answer in it.answers),
        )
        for it in events
    ]
    page = _page(said, {})
    markdown = write_markdown(summarise(tabulate(said)))

    assert "<img" not in page
    assert "&lt;img src=x" in page
    assert "<img" not in markdown
    assert all(line.count(" | ") >= 10 for line in markdown.splitlines() if line.startswith("| "))


@pytest.mark.parametrize(
    ("events", "text"),
    [
        ([], "There are no answers of arms"),
        (simulate({"reason2": Habit()}, 5), "Only one arm answered"),
        (simulate(ARMS, 1), "cosmos3-nano beside"),
        (simulate(ARMS, 30, labelled=0.0), "Nobody labelled any"),
        (
            simulate({"a": Habit(failing=1.0), "b": Habit(failing=1.0)}, 30),
            "no event on which both",
        ),
    ],
)
def test_little_material_still_makes_a_page(events: list[ComparedEvent], text: str) -> None:
    """It says what is missing instead of failing."""
    assert text in _page(events).replace("</span>", "").replace("\n", " ") or text in re.sub(
        r"<[^>]+>", "", _page(events)
    )


def test_markdown_has_a_row_for_each_arm_and_the_conclusion() -> None:
    """For a pull request."""
    text = write_markdown(summarise(tabulate(simulate(ARMS, 600, seed=1))))

    assert "\n| reason2 | " in text
    assert "\n| cosmos3-nano | " in text
    assert "\n- Promotion gate: Promote the candidate." in text


def test_disagreements_are_chosen_by_turns_and_by_sureness() -> None:
    """The reference wrong, the reference right, nobody knows; the surest mistake first."""
    events = simulate(ARMS, 400, seed=2, labelled=0.5)
    chosen = choose_disagreements(events, "reason2", 6)
    kinds = [_kind(it) for it in chosen]
    wrong = [
        answer.confidence for it in events if _kind(it) == "missed" for answer in it.answers[:1]
    ]

    assert ["missed", "kept", "open"] * 2 == kinds
    assert max(it for it in wrong if it is not None) == chosen[0].answers[0].confidence
    assert [] == choose_disagreements(events, "nobody", 6)


def _kind(event: ComparedEvent) -> str:
    outcomes = [answer.outcome for answer in event.answers]
    if Outcome.FAILED in outcomes or outcomes[0] is outcomes[1]:
        return "none"
    if event.label is None:
        return "open"
    return "kept" if (outcomes[0] is Outcome.CONFIRMED) == event.label.truth else "missed"


def _in_chromium(file: Path, folder: Path, *options: str) -> str:
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    offline = ["--host-resolver-rules=MAP * ~NOTFOUND", "--proxy-server=127.0.0.1:9"]
    profile = f"--user-data-dir={folder / 'profile'}"
    found = subprocess.run(
        [*command, *offline, profile, *options, file.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return found.stdout


_LOOK = """
<script>
addEventListener("load", () => {
  const drawn = {};
  for (const svg of document.querySelectorAll("svg[id^=plot-]")) {
    const box = svg.getBoundingClientRect();
    const shapes = [...svg.querySelectorAll("path, use, text")].filter(shape => {
      const size = shape.getBoundingClientRect();
      return size.width + size.height > 0;
    });
    const styles = shapes.map(shape => getComputedStyle(shape));
    const colours = new Set(styles.flatMap(style => [style.fill, style.stroke]));
    drawn[svg.id] = {width: box.width, height: box.height, shapes: shapes.length,
                     colours: colours.size};
  }
  const loaded = performance.getEntriesByType("resource").map(it => it.name)
    .filter(name => !name.startsWith("data:"));
  const wide = document.documentElement.scrollWidth > innerWidth;
  const found = document.createElement("pre");
  found.id = "found";
  found.textContent = JSON.stringify({drawn, loaded, wide});
  document.body.replaceChildren(found);
});
</script>
"""
"""Measures the page from within; only in a copy, because the page itself forbids scripts."""


@needs_chromium
@pytest.mark.timeout(180)
@pytest.mark.parametrize("width", [1200, 420])
def test_a_browser_without_a_network_draws_every_plot(
    page: str, tmp_path: Path, width: int
) -> None:
    """Each has a size, shapes and colours; nothing is loaded, nothing sticks out sideways."""
    copy = tmp_path / "copy.html"
    open_page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    copy.write_text(open_page.replace("</body>", f"{_LOOK}</body>"))
    size = f"--window-size={width},900"
    dom = _in_chromium(copy, tmp_path, size, "--virtual-time-budget=5000", "--dump-dom")
    content = re.search(r'<pre id="found">(.*?)</pre>', dom, re.DOTALL)
    assert content is not None
    found: dict[str, Any] = json.loads(content[1])

    assert {f"plot-{name}" for name in PLOTS} == set(found["drawn"])
    for name, drawn in found["drawn"].items():
        assert drawn["width"] > 200, name
        assert drawn["height"] > 50, name
        assert drawn["shapes"] > 15, name
        assert drawn["colours"] > 3, name
    assert [] == found["loaded"]
    assert not found["wide"]


@needs_chromium
@pytest.mark.timeout(180)
def test_a_browser_shows_the_page_in_light_and_in_dark(page: str, tmp_path: Path) -> None:
    """Screenshots of the page as it is, whose background is light or dark by the system's wish."""
    from PIL import Image

    file = tmp_path / "page.html"
    file.write_text(page)
    corners = {}
    for scheme, wish in (("light", 1), ("dark", 0)):
        picture = tmp_path / f"{scheme}.png"
        option = f"--blink-settings=preferredColorScheme={wish}"
        _in_chromium(file, tmp_path, "--window-size=1200,900", option, f"--screenshot={picture}")
        with Image.open(picture) as image:
            corners[scheme] = sum(image.convert("RGB").getpixel((2, 2)))
            assert len(image.convert("RGB").getcolors(1_000_000)) > 50

    assert corners["dark"] < 120
    assert corners["light"] > 650
