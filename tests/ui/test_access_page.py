"""Who may see and do what on the page."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from api_keys import LABELLER, READER, one_of_each
from harness import Running, running
from playwright.async_api import expect
from ui_window import Window

pytestmark = pytest.mark.asyncio(loop_scope="session")
Opened = Callable[..., Any]


@asynccontextmanager
async def guarded(folder: Path, **more: Any) -> AsyncGenerator[Running]:
    """Run a service that asks for keys."""
    async with running(folder, security={"keys": one_of_each(), **more}) as service:
        yield service


async def _sign_in(window: Window, key: str) -> None:
    await window.page.get_by_label("API key").fill(key)
    await window.page.keyboard.press("Enter")


async def test_a_key_opens_the_page_and_its_stream(tmp_path: Path, opened: Opened) -> None:
    """A wrong one is told so; no script can read what the browser keeps; signing out ends it."""
    async with guarded(tmp_path) as service, opened(service.url) as window:
        page = await window.open()
        await _sign_in(window, "wrong")
        await expect(page.locator(".problem")).to_contain_text("not known")
        await _sign_in(window, READER)
        await page.locator(".state.is-live").wait_for()
        kept = await page.evaluate("document.cookie + JSON.stringify({...localStorage})")
        await page.get_by_role("button", name="Sign out").press("Enter")
        await page.get_by_label("API key").wait_for()

    assert "{}" == kept


async def test_what_a_key_may_not_do_is_said(tmp_path: Path, opened: Opened) -> None:
    """By the name of the scope that is missing."""
    async with guarded(tmp_path) as service:
        async with opened(service.url) as window:
            page = await window.open()
            await _sign_in(window, READER)
            await page.locator(".state.is-live").wait_for()
            await window.open("/ab")
            await expect(page.locator(".lacking").first).to_contain_text("lacks the scope admin")
        async with opened(service.url) as window:
            page = await window.open()
            await _sign_in(window, LABELLER)
            await expect(page.locator(".lacking")).to_contain_text("lacks the scope read")


async def test_a_session_that_ended_asks_for_the_key_again(tmp_path: Path, opened: Opened) -> None:
    """And says why."""
    async with guarded(tmp_path) as service, opened(service.url) as window:
        page = await window.open()
        await _sign_in(window, READER)
        await page.locator(".state.is-live").wait_for()
        service.app.faces.access.sessions._open.clear()  # type: ignore[union-attr]
        await page.get_by_role("combobox", name="Verdict").select_option("Failed")
        await expect(page.locator("main")).to_contain_text("Your session has ended")


@asynccontextmanager
async def _proxy(target: str, prefix: str) -> AsyncGenerator[str]:
    """Put a service behind a prefix, as a reverse proxy does that takes it off."""

    async def passed(request: web.Request) -> web.StreamResponse:
        url = target + str(request.rel_url).removeprefix(prefix)
        async with (
            ClientSession() as client,
            client.request(
                request.method, url, headers=request.headers, data=await request.read()
            ) as answer,
        ):
            headers = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            return response

    app = web.Application()
    app.router.add_route("*", prefix + "/{path:.*}", passed)
    runner = web.AppRunner(app, access_log=None, auto_decompress=False, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}{prefix}"
    await runner.cleanup()


_HOP = {"transfer-encoding", "content-length", "content-encoding", "connection"}


async def test_the_page_works_behind_a_prefix(tmp_path: Path, opened: Opened) -> None:
    """Its files, the API, the stream and the cookie, none of which know the prefix."""
    async with (
        guarded(tmp_path) as service,
        _proxy(service.url, "/alert-bridge") as url,
        opened(url) as window,
    ):
        page = await window.open()
        await _sign_in(window, READER)
        await page.locator(".state.is-live").wait_for()
        await page.get_by_role("link", name="A/B").press("Enter")
        await page.locator("main[data-is-ready]").wait_for()
        [cookie] = await page.context.cookies()

    assert page.url == f"{url}/ui/ab"
    assert ("/alert-bridge/api/v1", True, "Strict") == (
        cookie["path"],
        cookie["httpOnly"],
        cookie["sameSite"],
    )
