"""That keys alone reach everything, and what axe-core finds in dialogs."""

import pytest
from playwright.async_api import expect
from ui_window import Window, findings

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_axe_finds_nothing_in_dialogs(window: Window) -> None:
    """The list of keys, and a question before a change."""
    page = await window.settled("/ab")
    await page.keyboard.press("?")
    await page.get_by_role("dialog").wait_for()
    found = await findings(page)
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog")).to_have_count(0)
    await page.get_by_role("button", name="Change…").press("Enter")
    await page.get_by_role("dialog").wait_for()

    assert ([], []) == (found, await findings(page))


async def test_keys_lead_everywhere(window: Window) -> None:
    """They are listed, can be switched off, and change the page and its colours."""
    page = await window.settled()
    await page.keyboard.press("?")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("pause, or go on")
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog")).to_have_count(0)
    await page.keyboard.press("t")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    await page.keyboard.press("g")
    await page.keyboard.press("a")
    await page.wait_for_url("**/ui/ab")
    await expect(page.locator("html")).to_have_attribute("data-theme", "dark")


async def test_single_keys_can_be_switched_off(window: Window) -> None:
    """Who speaks to the browser instead of typing triggers nothing by accident."""
    page = await window.settled()
    await page.keyboard.press("?")
    await page.get_by_role("checkbox", name="Shortcuts of single keys").press("Space")
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog")).to_have_count(0)
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
