"""The page of prompts."""

import pytest
from playwright.async_api import expect
from ui_scene import R2, Scene, says
from ui_window import Window

pytestmark = pytest.mark.asyncio(loop_scope="session")
TYPE = "fire"


async def test_a_prompt_is_edited_tried_published_and_rolled_back(
    window: Window, scene: Scene
) -> None:
    """By keys: what changes is shown before, what a trial found too, and all versions stay."""
    for number in range(2):
        identity = await scene.happen(says(number == 0), category=TYPE, both=False)
    await scene.service.put(f"/api/v1/verdicts/{identity}/label", {"truth": True})
    page = await window.settled(f"/prompts/{TYPE}")
    before = await page.get_by_role("textbox", name="Prompt", exact=True).input_value()
    await page.get_by_role("textbox", name="Prompt", exact=True).press("Control+End")
    await page.keyboard.type(" Steam does not count.")
    await expect(page.locator("ins")).to_contain_text("Steam does not count.")

    scene.script.answers[R2] = says(True)
    await page.get_by_role("button", name="Try", exact=True).press("Enter")
    await expect(page.locator("main")).to_contain_text("The same as version 1 on 1 of 2 clips.")
    await expect(page.locator("main")).to_contain_text(
        "Of 1 clip with a label, the new prompt is right on 1 and version 1 on 0."
    )
    _, unchanged = await scene.service.get(f"/api/v1/prompts/{TYPE}")

    await page.get_by_role("button", name="Publish…").press("Enter")
    await page.keyboard.type("too many kettles")
    await page.keyboard.press("Enter")
    await expect(page.locator(".versions")).to_contain_text("too many kettles")
    _, published = await scene.service.get(f"/api/v1/prompts/{TYPE}")

    await page.get_by_role("button", name="Roll back to version 1").press("Enter")
    await page.keyboard.press("Enter")
    await expect(page.locator(".versions")).to_contain_text("Version 3")
    _, back = await scene.service.get(f"/api/v1/prompts/{TYPE}")

    assert (1, before) == (unchanged["version"], unchanged["user"])
    assert (2, before + " Steam does not count.") == (published["version"], published["user"])
    assert (3, before) == (back["version"], back["user"])


async def test_what_somebody_else_changed_meanwhile_is_not_lost(
    window: Window, scene: Scene
) -> None:
    """A version that is not the one that was seen is refused, in words."""
    page = await window.settled("/prompts/fall")
    await scene.service.put("/api/v1/prompts/fall", {"user": "Did somebody fall?"})
    await page.get_by_role("textbox", name="Prompt", exact=True).fill("Is somebody lying there?")
    await page.get_by_role("button", name="Publish…").press("Enter")
    await page.keyboard.press("Enter")

    await expect(page.locator(".problem")).to_be_visible()
    _, kept = await scene.service.get("/api/v1/prompts/fall")
    assert "Did somebody fall?" == kept["user"]


async def test_a_verdict_tells_what_changed_in_its_prompt_since(
    window: Window, scene: Scene
) -> None:
    """It was asked with one version, and another one is in force now."""
    identity = await scene.happen(says(True), category="presence", both=False)
    _, asked = await scene.service.get("/api/v1/prompts/presence")
    edited = asked["user"].replace("Pictures", "Statues, pictures")
    await scene.service.put("/api/v1/prompts/presence", {"user": edited})
    page = await window.settled(f"/verdicts/{identity}")
    changed = page.get_by_role("group", name="What changed")

    await expect(page.locator("main")).to_contain_text("To version 2, which is in force now")
    await expect(changed.locator("ins")).to_have_text("Statues, pictures")
    await expect(changed.locator("del")).to_have_text("Pictures")
