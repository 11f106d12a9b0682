"""The feed, as its reader sees it."""

import pytest
from ui_scene import Scene, says
from ui_window import Window

pytestmark = pytest.mark.asyncio(loop_scope="session")
ROW = ".feed-row"


async def test_a_verdict_appears_as_it_is_decided(window: Window, scene: Scene) -> None:
    """At the top, without loading again, with what is known about it."""
    page = await window.open()
    await page.locator(".state.is-live").wait_for()
    identity = await scene.happen(says(False, 0.93), sensorId="just-now", both=False)
    row = page.locator(ROW, has_text="just-now")
    await row.wait_for()

    text = await page.locator(ROW).first.inner_text()
    assert identity
    assert "just-now" in text
    assert ["Rejected", "reason2", "93 %"] == [
        it for it in ("Rejected", "reason2", "93 %") if it in text
    ]
