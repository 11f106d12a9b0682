"""The page about arms."""

import pytest
from playwright.async_api import expect
from ui_scene import Scene
from ui_window import Window

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_an_arm_is_switched_and_switched_back_by_keys(window: Window, scene: Scene) -> None:
    """What will happen is said before; who and why stand in the history."""
    page = await window.settled("/ab")
    await page.get_by_role("combobox", name="Arm", exact=True).select_option("cosmos3-nano")
    await page.get_by_role("combobox", name="Shadow arm").select_option("")
    await page.get_by_role("button", name="Change…").press("Enter")
    dialog = page.get_by_role("dialog")
    await expect(dialog).to_contain_text("For every event: cosmos3-nano answers.")
    await page.keyboard.type("the night shift")
    await page.keyboard.press("Enter")
    await expect(page.locator(".sentences")).to_contain_text("cosmos3-nano answers")
    await expect(page.locator("main")).to_contain_text("the night shift")
    _, switched = await scene.service.get("/api/v1/arms")

    await page.get_by_role("button", name="Roll back to version 1").press("Enter")
    await page.keyboard.press("Enter")
    await expect(page.locator(".sentences")).to_contain_text("reason2 answers")
    _, back = await scene.service.get("/api/v1/arms")

    assert ("cosmos3-nano", "the night shift") == (switched["primary"], switched["reason"])
    assert {"rules": [{"use": {"kind": "fixed", "arm": "reason2"}}]}.items() <= back[
        "policy"
    ].items()
    assert "cosmos3-nano" == back["policy"]["shadow"]["arm"]


async def test_a_change_can_be_left_alone(window: Window, scene: Scene) -> None:
    """Escape does nothing but close the question."""
    page = await window.settled("/ab")
    _, before = await scene.service.get("/api/v1/arms")
    await page.get_by_role("button", name="Change…").press("Enter")
    await page.keyboard.press("Escape")
    await expect(page.locator("dialog")).to_have_count(0)
    _, after = await scene.service.get("/api/v1/arms")

    assert before["version"] == after["version"]


async def test_a_policy_that_makes_no_sense_is_refused_in_words(window: Window) -> None:
    """Those of the API, beside what was written."""
    page = await window.settled("/ab")
    await page.get_by_role("radio", name="A policy with rules").press("Space")
    await page.get_by_role("textbox", name="Policy").fill('{"rules": [{"use": "nobody"}]}')
    await page.get_by_role("button", name="Change…").press("Enter")
    await page.keyboard.press("Enter")

    await expect(page.locator(".problem")).to_contain_text("nobody")


async def test_an_arm_is_promoted_and_the_promotion_ended(window: Window, scene: Scene) -> None:
    """The gate says where it stands in words and in steps; ending it restores what was."""
    page = await window.settled("/ab")
    _, before = await scene.service.get("/api/v1/arms")
    await page.get_by_role("button", name="Promote…").press("Enter")
    await page.keyboard.type("it looks good")
    await page.keyboard.press("Enter")
    gate = page.locator(".gate", has_text="cosmos3-nano in the place of reason2")
    await expect(gate.locator("[aria-current=step]")).to_have_text("Observing")
    _, during = await scene.service.get("/api/v1/ab/gate")

    await page.get_by_role("button", name="End the promotion…").press("Enter")
    await page.keyboard.press("Enter")
    await expect(page.locator("main")).to_contain_text("No arm is being promoted.")
    _, after = await scene.service.get("/api/v1/arms")

    assert "cosmos3-nano" == during["promotion"]["candidate"]
    assert before["policy"] == after["policy"]
