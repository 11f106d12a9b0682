"""One browser and one service for all tests of the page."""

import os
import shutil
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio
from playwright.async_api import Browser, async_playwright
from ui_scene import Scene, fill, setting
from ui_window import DESKTOP, WAIT_MS, Window

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a browser where there is none."""
    skip = pytest.mark.skipif(
        CHROMIUM is None, reason="needs Chromium: apt-get install -y chromium"
    )
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(skip)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Scene]:
    """A service in which something happened."""
    for name in [it for it in os.environ if it.startswith("SIDECAR_")]:
        del os.environ[name]
    async with setting(tmp_path_factory.mktemp("ui")) as scene:
        await fill(scene)
        yield scene


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def browser() -> AsyncGenerator[Browser]:
    """Debian's Chromium, without a window."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        await browser.close()


OpenWindow = Callable[..., Any]


@pytest.fixture
def opened(browser: Browser) -> OpenWindow:
    """Open windows that report their errors; a test fails when a page had one."""

    @asynccontextmanager
    async def opening(url: str, size: tuple[int, int] = DESKTOP, **options: Any) -> Any:
        viewport = {"width": size[0], "height": size[1]}
        context = await browser.new_context(viewport=viewport, locale="en-GB", **options)  # type: ignore[arg-type]
        context.set_default_timeout(WAIT_MS)
        page = await context.new_page()
        window = Window(page, url, [])
        page.on("pageerror", lambda error: window.errors.append(str(error)))
        page.on(
            "console",
            lambda it: window.errors.append(it.text) if _is_bad(it.type, it.text) else None,
        )
        yield window
        await context.close()
        assert [] == window.errors

    return opening


def _is_bad(kind: str, text: str) -> bool:
    """Browsers log every answer above 399, which pages may well expect."""
    return kind == "error" and "Failed to load resource" not in text


@pytest_asyncio.fixture(loop_scope="session")
async def window(scene: Scene, opened: OpenWindow) -> AsyncGenerator[Window]:
    """A window of a desktop on the service, which asks for no key."""
    async with opened(scene.service.url) as window:
        yield window
