"""Pictures of every page, dark and light, on a desktop and on a phone, which people look at."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ui_scene import Scene
from ui_window import DESKTOP, PAGES, PHONE

pytestmark = pytest.mark.asyncio(loop_scope="session")
DOCS = Path(__file__).parents[2] / "docs" / "ui"
KEEP = "UI_SCREENSHOTS"
"""This variable writes the pictures into docs/ui, from where they are committed."""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("device", "size"), [("desktop", DESKTOP), ("phone", PHONE)])
async def test_pages_fit_their_window(
    scene: Scene,
    opened: Callable[..., Any],
    tmp_path: Path,
    device: str,
    size: tuple[int, int],
    scheme: str,
) -> None:
    """Nothing makes a page wider than its window, and pictures of it are made."""
    folder = DOCS if os.environ.get(KEEP) else tmp_path
    wide = []
    async with opened(scene.service.url, size, color_scheme=scheme) as window:
        for name, path in PAGES.items():
            page = await window.settled(path)
            if await page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                wide.append(name)
            await page.screenshot(
                path=folder / f"{name}-{device}-{scheme}.png",
                full_page=name != "feed" and device == "desktop",
            )

    assert [] == wide
