"""What axe-core finds on every page, and that keys alone reach everything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect
from ui_scene import Scene
from ui_window import DESKTOP, PAGES, PHONE, Window

pytestmark = pytest.mark.asyncio(loop_scope="session")
AXE = (Path(__file__).parent / "axe.min.js").read_text("utf-8")
RULES = "{runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice']}"


async def _findings(page: Page) -> list[str]:
    await page.evaluate(AXE)
    found = await page.evaluate(f"axe.run(document, {RULES})")
    return [
        f"{it['id']}: {node['target']} {node['failureSummary']}"
        for it in found["violations"]
        if it["impact"] in {"serious", "critical", "moderate"}
        for node in it["nodes"]
    ]


@pytest.mark.parametrize(("size", "scheme"), [(DESKTOP, "light"), (PHONE, "dark")])
async def test_axe_finds_nothing(
    scene: Scene, opened: Callable[..., Any], size: tuple[int, int], scheme: str
) -> None:
    """No page has a finding that matters: names, roles, contrast, headings, landmarks."""
    found = {}
    async with opened(scene.service.url, size, color_scheme=scheme, reduced_motion="reduce") as it:
        for name, path in PAGES.items():
            page = await it.settled(path)
            for folded in await page.locator("summary").all():
                await folded.click()
            found[name] = await _findings(page)

    assert {name: [] for name in PAGES} == found


async def test_axe_finds_nothing_in_dialogs(window: Window) -> None:
    """The list of keys, and a question before a change."""
    page = await window.settled("/ab")
    await page.keyboard.press("?")
    await page.get_by_role("dialog").wait_for()
    found = await _findings(page)
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Change…").press("Enter")
    await page.get_by_role("dialog").wait_for()

    assert ([], []) == (found, await _findings(page))


async def test_keys_lead_everywhere(window: Window) -> None:
    """They are listed, can be switched off, and change the page and its colours."""
    page = await window.settled()
    await page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("pause, or go on")
    await page.keyboard.press("Escape")
    await page.keyboard.press("t")
    assert "dark" == await page.evaluate("document.documentElement.dataset.theme")
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await page.wait_for_url("**/ui/ab")
    assert "dark" == await page.evaluate("document.documentElement.dataset.theme")


async def test_single_keys_can_be_switched_off(window: Window) -> None:
    """Who speaks to the browser instead of typing triggers nothing by accident."""
    page = await window.settled()
    await page.keyboard.press("?")
    await page.get_by_role("checkbox", name="Shortcuts of single keys").press("Space")
    await page.keyboard.press("Escape")
    await page.keyboard.press("p")

    await expect(page.get_by_role("button", name="Pause")).to_be_visible()


async def test_the_focus_can_be_seen_and_skips_the_frame(window: Window) -> None:
    """The first stop is the way past the navigation; each stop has an outline."""
    page = await window.settled()
    await page.keyboard.press("Tab")
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    first = await page.evaluate(f"[document.activeElement.textContent, {outline}]")
    await page.keyboard.press("Enter")
    where = await page.evaluate("document.activeElement.id")
    await page.keyboard.press("Tab")

    assert (["Skip to the content", "solid"], "main") == (first, where)
    assert "Pause" == await page.evaluate("document.activeElement.textContent")
