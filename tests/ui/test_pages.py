"""Pictures of every page, dark and light, on a desktop and on a phone, which people look at."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ui_scene import Scene
from ui_window import DESKTOP, PAGES, PHONE, findings

CHECKED = {("desktop", "light"), ("phone", "dark")}
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
    """No page is wider than its window, or has a finding of names, roles, contrast, landmarks."""
    folder = DOCS if os.environ.get(KEEP) else tmp_path
    wrong: dict[str, list[str]] = {}
    async with opened(
        scene.service.url, size, color_scheme=scheme, reduced_motion="reduce"
    ) as window:
        for name, path in PAGES.items():
            page = await window.settled(path)
            picture = folder / f"{name}-{device}-{scheme}.png"
            await page.screenshot(path=picture, full_page=name != "feed" and device == "desktop")
            wrong[name] = await findings(page) if (device, scheme) in CHECKED else []
            if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                wrong[name].append("is wider than its window")

    assert {name: [] for name in PAGES} == wrong
