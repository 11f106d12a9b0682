"""The feed, as its reader sees it."""

import json
from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import pytest
from playwright.async_api import Page, Route, expect
from ui_scene import HOSTILE, Scene, says
from ui_window import DESKTOP, Window

pytestmark = pytest.mark.asyncio(loop_scope="session")
ROW = ".feed-row"
LIVE = ".state.is-live"
TURNED = "\u2039U+202E\u203a"


async def _live(window: Window, search: str = "") -> Page:
    page = await window.open(search)
    await page.locator(LIVE).wait_for()
    await page.locator(ROW).first.wait_for()
    return page


async def test_a_verdict_appears_as_it_is_decided(window: Window, scene: Scene) -> None:
    """At the top, without loading again, with what is known about it and with its frames."""
    page = await _live(window)
    await scene.happen(says(False, 0.93), sensorId="just-now", both=False)
    row = page.locator(ROW).first
    await expect(row).to_contain_text("just-now")
    await row.locator(".thumb img").first.wait_for()

    text = await row.inner_text()
    for told in ("Rejected", "reason2", "93 %", "0:00.0"):
        assert told in text


async def test_filters_stand_in_the_address_and_survive_a_reload(window: Window) -> None:
    """Whoever gets the address sees the same verdicts."""
    page = await _live(window)
    await page.get_by_role("combobox", name="Verdict").select_option("Rejected")
    await page.get_by_label("Sensor").fill("aisle-14")
    await page.keyboard.press("Tab")
    assert page.url.endswith("/ui?verdict=rejected&sensorId=aisle-14")

    await page.reload()
    await page.locator(ROW).first.wait_for()
    kinds = set(await page.locator(f"{ROW} .badge").all_text_contents())
    places = await page.locator(f"{ROW} .feed-where").all_text_contents()
    assert ({"Rejected"}, True) == (kinds, all(it.startswith("aisle-14") for it in places))
    assert "aisle-14" == await page.get_by_label("Sensor").input_value()


async def test_a_paused_feed_counts_what_is_new(window: Window, scene: Scene) -> None:
    """Rows stay where they are until the reader wants the new ones, by key or by mouse."""
    page = await _live(window)
    await page.keyboard.press("p")
    first = await page.locator(ROW).first.get_attribute("data-key")
    for _ in range(2):
        await scene.happen(says(True), sensorId="while-paused", both=False)
    await expect(page.locator(".pill")).to_have_text("2 new")
    assert first == await page.locator(ROW).first.get_attribute("data-key")

    await page.keyboard.press("n")
    await expect(page.locator(ROW).first).to_contain_text("while-paused")
    await expect(page.locator(".pill")).to_be_hidden()


async def test_a_lost_connection_resumes_without_a_gap(window: Window, scene: Scene) -> None:
    """What was decided while it was away is there afterwards, once each and in order."""
    page = await _live(window)
    await scene.happen(says(True), sensorId="before-1", both=False)
    await expect(page.locator(ROW).first).to_contain_text("before-1")
    await page.context.set_offline(True)
    for number in range(3):
        await scene.happen(says(True), sensorId=f"away-{number}", both=False)
    await page.context.set_offline(False)
    await expect(page.locator(ROW).first).to_contain_text("away-2")

    places = await page.locator(f"{ROW} .feed-where").all_text_contents()
    assert ["away-2", "away-1", "away-0", "before-1"] == [it.split(" ")[0] for it in places[:4]]


async def test_a_stream_that_breaks_off_resumes_behind_the_last_event(
    window: Window, scene: Scene
) -> None:
    """The page asks for what follows the last verdict that it got."""
    asked: list[str | None] = []

    async def once(route: Route) -> None:
        asked.append(route.request.headers.get("last-event-id"))
        if len(asked) == 1:
            _, page = await scene.service.get("/api/v1/verdicts?limit=1")
            event = _as_event(page["verdicts"][0])
            await route.fulfill(content_type="text/event-stream", body=event)
        else:
            await route.continue_()

    await window.page.route("**/api/v1/verdicts/stream", once)
    page = await window.open()
    await page.locator(ROW).first.wait_for()
    await scene.happen(says(True), sensorId="after-the-break", both=False)
    await expect(page.locator(ROW).first).to_contain_text("after-the-break")

    assert [None, "7"] == asked


def _as_event(verdict: dict[str, Any]) -> str:
    return f"event: verdict\nid: 7\ndata: {json.dumps(verdict)}\n\n"


async def test_hostile_text_stays_text(window: Window) -> None:
    """Markup is shown as it was written, and what turns the direction is shown by its name."""
    page = await _live(window, "?sensorId=" + "%3Cb%3Eevil%3C%2Fb%3E%E2%80%AEcamera")
    text = await page.locator(ROW).first.inner_text()
    await page.locator(".feed-link").first.click()
    await page.locator("main[data-is-ready]").wait_for()
    for folded in await page.locator("summary").all():
        await folded.click()
    shown = await page.locator("main").inner_text()
    hurt = await page.evaluate("window.hurt")

    assert f"<b>evil</b>{TURNED}camera" in text
    assert HOSTILE.replace("\u202e", TURNED) in shown
    assert "\u202e" not in shown
    assert hurt is None


async def test_many_verdicts_a_second_stay_smooth(scene: Scene, opened: Callable[..., Any]) -> None:
    """A burst is drawn in few steps, none of them long, and rows do not pile up."""
    _, page = await scene.service.get("/api/v1/verdicts?limit=1")
    template = page["verdicts"][0]
    burst = "".join(
        _as_event({**template, "verdictKey": f"burst-{number}", "sensorId": f"s{number}"})
        for number in range(1000)
    )

    async def flood(route: Route) -> None:
        await route.fulfill(content_type="text/event-stream", body=burst)

    async with opened(scene.service.url, DESKTOP) as window:
        await window.page.route("**/api/v1/verdicts/stream", flood)
        page = await window.open()
        await expect(page.locator(ROW).first).to_contain_text("s999")
        rows = await page.locator(ROW).count()

    assert 200 == rows


async def test_the_feed_works_without_a_mouse(window: Window) -> None:
    """From the first row by keys to its verdict."""
    page = await _live(window)
    await page.keyboard.press("j")
    await page.keyboard.press("j")
    await page.keyboard.press("k")
    focused = await page.evaluate("document.activeElement.closest('.feed-row').dataset.key")
    await page.keyboard.press("Enter")
    await page.locator("main[data-is-ready] .badge.is-large").wait_for()

    assert focused in unquote(page.url)
