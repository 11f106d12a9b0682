"""Pictures of every page, dark and light, on a desktop and on a phone, which people look at."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ui_scene import Scene
from ui_window import ALL_RULES, COLOURS, DESKTOP, PAGES, PHONE, findings

SPILT = r"\[object \w+\]|undefined|NaN|Invalid Date"
"""What a program's slip looks like on a page."""
CHECKED = {("desktop", "light"): ALL_RULES, ("phone", "dark"): COLOURS}
pytestmark = pytest.mark.asyncio(loop_scope="session")
DOCS = Path(__file__).parents[2] / "docs" / "ui"
KEEP = "UI_SCREENSHOTS"
"""This variable writes the pictures into docs/ui, from where they are committed."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
async def test_pages_fit_and_axe_finds_nothing(
    scene: Scene,
    opened: Callable[..., Any],
    tmp_path: Path,
    device: str,
    size: tuple[int, int],
    scheme: str,
) -> None:
    """No page is wider than its window, shows a slip, or has a finding of axe-core."""
    folder = DOCS if os.environ.get(KEEP) else tmp_path
    wrong: dict[str, list[str]] = {}
    async with opened(
        scene.service.url, size, color_scheme=scheme, reduced_motion="reduce"
    ) as window:
        for name, path in PAGES.items():
            page = await window.settled(path)
            await page.screenshot(
                path=folder / f"{name}-{device}-{scheme}.jpg",
                quality=85,
                full_page=name != "feed" and device == "desktop",
            )
            rules = CHECKED.get((device, scheme))
            wrong[name] = await findings(page, rules) if rules else []
            if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                wrong[name].append("is wider than its window")
            wrong[name] += re.findall(SPILT, await page.locator("main").inner_text())

    assert {name: [] for name in PAGES} == wrong
