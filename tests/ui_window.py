"""A window of the browser on the operator's page."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from playwright.async_api import Page

DESKTOP, PHONE = (1366, 768), (390, 844)
WAIT_MS: Final = 15_000
PAGES: Final = {
    "feed": "",
    "verdict": "/verdicts/incident-005",
    "compare": "/compare/incident-010",
    "disagreements": "/disagreements",
    "ab": "/ab",
    "prompts": "/prompts/tailgating",
    "system": "/system",
}
"""Every page, by a name for its pictures."""

_AXE: Final = (Path(__file__).parent / "ui" / "axe.min.js").read_text("utf-8")
ALL_RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice")
COLOURS: Final = ("color-contrast",)
"""Tags of axe-core's rules, and the one about colours, which are others in the dark."""


@dataclass
class Window:
    """A page in the browser, and what went wrong in it."""

    page: Page
    url: str
    errors: list[str]

    async def open(self, path: str = "") -> Page:
        """Go to a page and wait until its heading is there."""
        await self.page.goto(f"{self.url}/ui{path}")
        await self.page.locator("h1").first.wait_for()
        return self.page

    async def settled(self, path: str = "") -> Page:
        """Go to a page and wait until all of it is there, its pictures too."""
        page = await self.open(path)
        await page.locator("main[data-is-ready]").wait_for()
        waiting = (
            "[...document.images].some(it => !it.complete && it.loading !== 'lazy') "
            "|| document.querySelector('.is-loading') !== null"
        )
        while await page.evaluate(waiting):
            await asyncio.sleep(0.05)
        return page

    async def gone(self, selector: str) -> None:
        """Wait until nothing fits a selector."""
        await self.page.locator(selector).first.wait_for(state="detached")


async def findings(page: Page, rules: tuple[str, ...] = ALL_RULES) -> list[str]:
    """Return what axe-core finds on a page that matters, its folded parts included."""
    for folded in await page.locator("summary").all():
        await folded.click()
    await page.evaluate(_AXE)
    found = await page.evaluate(f"axe.run(document, {{runOnly: {list(rules)}}})")
    return [
        f"{it['id']}: {node['target']} {node['failureSummary']}"
        for it in found["violations"]
        if it["impact"] in {"serious", "critical", "moderate"}
        for node in it["nodes"]
    ]
