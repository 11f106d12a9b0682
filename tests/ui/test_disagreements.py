"""The queue of disagreements, worked off by keys."""

import pytest
from playwright.async_api import expect
from ui_scene import NANO, R2, Scene, says
from ui_window import Window

pytestmark = pytest.mark.asyncio(loop_scope="session")
SENSOR = "disputed"
PAGE = f"/disagreements?sensor={SENSOR}"


async def _dispute(scene: Scene, *verdicts: bool) -> list[str]:
    return [
        await scene.happen(says(it), says(not it), sensorId=SENSOR, category="fall")
        for it in verdicts
    ]


async def _accuracy(scene: Scene) -> dict[str, tuple[float, int]]:
    summary = await scene.service.get(f"/api/v1/ab/summary?sensor={SENSOR}")
    return {it["name"]: (it["accuracy"]["value"], it["labelled"]) for it in summary[1]["arms"]}


async def test_disagreements_are_labelled_by_keys(window: Window, scene: Scene) -> None:
    """One key each: who was right, neither, skip, undo; the summary follows."""
    first, second, third = await _dispute(scene, True, False, True)
    page = await window.settled(PAGE)
    await page.keyboard.press("1")
    await expect(page.get_by_role("status").first).to_contain_text("1 label by you")
    await expect(page.locator(".labelled")).to_contain_text("1 of 3 compared events labelled")
    after_one = await _accuracy(scene)

    await page.keyboard.press("u")
    await expect(page.get_by_role("status").first).to_contain_text("0 labels by you")
    await expect(page.locator("main")).to_contain_text("none of them labelled")

    await page.keyboard.press("s")
    await expect(page.get_by_role("button", name="Undo")).to_be_enabled()
    await page.keyboard.press("2")
    await expect(page.get_by_role("status").first).to_contain_text("1 label by you")
    await page.keyboard.press("3")
    await expect(page.locator("main")).to_contain_text("That was the last one.")

    labels = [
        (await scene.service.get(f"/api/v1/verdicts/{it}/answers"))[1]["labels"]
        for it in (third, second, first)
    ]
    assert {R2: (1.0, 1), NANO: (0.0, 1)} == after_one
    assert [True, True, None] == [it[-1]["truth"] for it in labels]
    assert labels[0][-1]["withdrawnBy"]  # taken back, and kept in the history
    assert "both wrong" == labels[2][-1]["note"]


async def test_a_label_by_somebody_else_is_not_taken_back(window: Window, scene: Scene) -> None:
    """The last one counts, and the page says why it cannot be undone."""
    [only] = await _dispute(scene, True)
    page = await window.settled(PAGE)
    await page.keyboard.press("2")
    await expect(page.get_by_role("status").first).to_contain_text("1 label by you")
    await scene.service.app.faces.comparing.label(only, truth=True, labeller="night shift")
    await page.keyboard.press("u")

    await expect(page.locator(".toast.is-bad")).to_contain_text("night shift")
