"""The page of one verdict."""

import json

import pytest
from playwright.async_api import expect
from ui_scene import NANO, R2, Scene, says
from ui_window import Window

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_a_verdict_tells_what_was_seen_and_said(window: Window) -> None:
    """Frames, provenance, stages, both arms, the words of the model and the document."""
    page = await window.settled("/verdicts/incident-010")
    await page.keyboard.press("ArrowRight")
    await expect(page.locator(".stage-words")).to_contain_text("Frame 2 of")
    for folded in await page.locator("summary").all():
        await folded.click()
    text = await page.locator("main").inner_text()

    for told in (
        *("nvidia/cosmos-reason2-8b", "cosmos-reason2", "loitering@1", "71 %", "64 %"),
        *("Frames made", "Model answered", "Every delivery was made", "Two riders come"),
        *('"sidecarVerdictKey"', '"finishReason"', "The prompt in force now is the same"),
    ):
        assert told in text, told


async def test_the_clip_is_played(window: Window) -> None:
    """As long as its source has it."""
    page = await window.settled("/verdicts/incident-010")
    await page.get_by_role("button", name="Play the clip").press("Enter")
    await page.locator("video").wait_for()
    playing = "const v = document.querySelector('video'); v.readyState >= 2 && v.videoWidth"
    for _ in range(100):
        if await page.evaluate(playing):
            break
        await page.wait_for_timeout(50)

    assert 480 == await page.evaluate(playing)


async def test_what_the_model_located_is_drawn(window: Window, scene: Scene) -> None:
    """Boxes, and points as a path; and the same in words."""
    _, verdict = await scene.service.get("/api/v1/verdicts/incident-010")
    verdict["event"]["info"]["sidecarBoxes"] = json.dumps(
        [{"label": "rider <b>1</b>", "box": [0.25, 0.5, 0.5, 1.0]}]
    )
    verdict["event"]["info"]["sidecarPoints"] = json.dumps(
        [{"label": "bag", "point": [0.1, 0.1]}, {"label": "bag", "point": [0.2, 0.3]}]
    )
    await window.page.route(
        "**/api/v1/verdicts/incident-010", lambda route: route.fulfill(json=verdict)
    )
    page = await window.settled("/verdicts/incident-010")
    box = await page.locator(".overlay .box").bounding_box()
    picture = await page.locator(".stage-picture").first.bounding_box()
    path = await page.locator(".overlay .path").get_attribute("points")

    assert box is not None
    assert picture is not None
    assert 0.25 == pytest.approx((box["x"] - picture["x"]) / picture["width"], abs=0.02)
    assert 0.5 == pytest.approx(box["height"] / picture["height"], abs=0.05)
    assert "100,100 200,300" == path
    assert "rider <b>1</b>" in await page.locator("main").inner_text()


async def test_a_label_is_kept_with_its_history(window: Window) -> None:
    """The last one counts, and all are listed."""
    page = await window.settled("/verdicts/incident-002")
    await page.get_by_role("button", name="It happened").press("Enter")
    await expect(page.locator("main")).to_contain_text("Happened, says anonymous@127.0.0.1")
    await page.get_by_role("button", name="It did not happen").press("Enter")
    await expect(page.get_by_text("History (2)")).to_be_visible()


async def test_a_verdict_that_is_not_there_says_so(window: Window) -> None:
    """In the words of the API."""
    page = await window.open("/verdicts/nobody-knows")

    await expect(page.locator(".problem")).to_contain_text("nobody-knows")


async def test_frames_that_are_gone_leave_the_verdict(window: Window) -> None:
    """The page says why there are none, and tells the rest."""
    gone = {"frames": [], "source": "gone", "reason": "The clip was deleted."}
    await window.page.route("**/frames", lambda route: route.fulfill(json=gone))
    page = await window.settled("/verdicts/incident-003")

    await expect(page.locator("main")).to_contain_text("The clip was deleted.")
    await expect(page.locator("main")).to_contain_text("How it was decided")


async def test_asking_again_shows_an_answer_and_keeps_nothing(window: Window, scene: Scene) -> None:
    """With another arm and an edited prompt; the verdict stays as it was."""
    page = await window.settled("/verdicts/incident-003")
    _, before = await scene.service.get("/api/v1/verdicts/incident-003/answers")
    scene.script.answers = {R2: says(False), NANO: says(True, 0.77)}
    await page.get_by_role("combobox", name="Arm").select_option(NANO)
    await page.get_by_role("textbox", name="Prompt", exact=True).fill("Is there a dog?")
    await page.get_by_role("button", name="Ask again").press("Enter")
    tried = page.locator(".tried")
    await expect(tried).to_contain_text("before: Rejected")
    text = await tried.inner_text()
    _, after = await scene.service.get("/api/v1/verdicts/incident-003/answers")

    for told in ("Confirmed", NANO, "77 %"):
        assert told in text
    assert before == after
