"""The page about the service itself."""

import pytest
from playwright.async_api import expect
from ui_scene import Scene
from ui_window import Window

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_the_state_of_the_service_is_told(window: Window) -> None:
    """Queue, verdicts, arms with their servers and dialects, sinks, findings."""
    page = await window.settled("/system")
    for folded in await page.locator("summary").all():
        await folded.click()
    text = await page.locator("main").inner_text()

    for told in (
        *("Ready", "Undecided", "In flight", "Deadline missed", "unparsable_answer"),
        *("cosmos3-nano", "gets requests", "webhook", "What sidecar check finds"),
    ):
        assert told in text, told


async def test_a_dead_letter_is_delivered_again_by_keys(window: Window, scene: Scene) -> None:
    """It is gone from the list, and the receiver has got the verdict."""
    page = await window.settled("/system")
    taken = scene.receiver.taken
    await expect(page.locator("main")).to_contain_text("refused the verdict with 400")
    await page.get_by_role("button", name="Deliver again: incident-001").press("Enter")
    await page.keyboard.type("the receiver is back")
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_contain_text("Every delivery was made")
    for _ in range(200):
        if scene.receiver.taken > taken:
            break
        await page.wait_for_timeout(25)

    assert taken + 1 == scene.receiver.taken
