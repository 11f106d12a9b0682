"""Signing in to the operator's page, on the service as it runs."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_keys import ADMIN, LABELLER, READER, a_key, one_of_each, write_keys
from harness import Running, running

SESSION = "/api/v1/session"


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncGenerator[Running]:
    """A service with a key for each scope."""
    async with running(tmp_path, security={"keys": one_of_each()}) as service:
        yield service


class Browser:
    """Keeps cookies, and shows what its page knows."""

    def __init__(self, service: Running, client: aiohttp.ClientSession) -> None:
        self.url = service.url
        self.client = client
        self.cookie = SimpleCookie[str]()

    async def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, self.url + path, json=body, headers=shown) as answer:
            self.cookie = answer.cookies or self.cookie
            is_stream = answer.content_type == "text/event-stream"
            return answer.status, {} if is_stream else await answer.json()

    async def sign_in(self, key: str, **headers: str) -> dict[str, Any]:
        status, session = await self.ask("POST", SESSION, {"key": key}, **headers)
        assert status == 200, session
        return session


@asynccontextmanager
async def browsing(service: Running) -> AsyncGenerator[Browser]:
    jar = aiohttp.CookieJar(unsafe=True)  # keeps cookies of addresses
    async with aiohttp.ClientSession(cookie_jar=jar) as client:
        yield Browser(service, client)


async def test_a_key_opens_a_session_with_its_scopes(guarded: Running) -> None:
    """The cookie stands for the key, for reading and for streams, and for no more than it may."""
    async with browsing(guarded) as browser:
        before = await browser.ask("GET", "/api/v1/verdicts")
        session = await browser.sign_in(READER)
        read = await browser.ask("GET", "/api/v1/verdicts")
        followed = await browser.ask("GET", "/api/v1/verdicts/stream")
        told = await browser.ask("GET", SESSION)
        refused = await browser.ask("GET", "/api/v1/audit")

    assert (401, 200, 200) == (before[0], read[0], followed[0])
    assert ("read", ["read"], True, False) == tuple(
        session[it] for it in ("name", "scopes", "signedIn", "needsKey")
    )
    assert (session["csrf"], 43_200) == (told[1]["csrf"], round(told[1]["secondsLeft"], -2))
    assert (403, "The key 'read' lacks the scope 'admin'.") == (refused[0], refused[1]["message"])


async def test_a_cookie_is_for_this_api_and_no_script(guarded: Running) -> None:
    """It has no path, so that it stays below the prefix of a proxy; with TLS it needs TLS."""
    async with browsing(guarded) as browser:
        await browser.sign_in(READER)
        plain = browser.cookie["sidecar_session"]
        await browser.sign_in(READER, X_Forwarded_Proto="https")
        private = browser.cookie["sidecar_session"]

    assert (True, "Strict", "", "43200") == (
        plain["httponly"],
        plain["samesite"].capitalize(),
        plain["path"],
        plain["max-age"],
    )
    assert ("", True) == (plain["secure"], private["secure"])


async def test_an_unknown_key_opens_nothing(guarded: Running) -> None:
    """It is refused as on any other route, and counted."""
    async with browsing(guarded) as browser:
        status, body = await browser.ask("POST", SESSION, {"key": "wrong"})

        assert (401, "unauthenticated") == (status, body["error"])
        assert not browser.cookie


@pytest.mark.parametrize("shown", ["", "wrong"])
async def test_changes_need_the_token_of_the_session(guarded: Running, shown: str) -> None:
    """What another page makes a browser send has the cookie, and nothing else."""
    path, body = "/api/v1/verification/config", {"alert_type": "queue", "prompt": "Is there one?"}
    async with browsing(guarded) as browser:
        csrf = (await browser.sign_in(ADMIN))["csrf"]
        forged = await browser.ask("POST", path, body, X_CSRF_Token=shown)
        ours = await browser.ask("POST", path, body, X_CSRF_Token=csrf)
        _, audit = await browser.ask("GET", "/api/v1/audit?limit=1")

    assert (403, 201) == (forged[0], ours[0])
    assert "X-CSRF-Token" in forged[1]["message"]
    assert "admin" == audit["entries"][0]["actor"]


async def test_pages_of_others_cannot_sign_a_browser_in(guarded: Running) -> None:
    """Else its user would work under a name that somebody else chose."""
    async with browsing(guarded) as browser:
        status, _ = await browser.ask(
            "POST", SESSION, {"key": READER}, Origin="https://evil.example"
        )

    assert 403 == status


async def test_a_websocket_does_not_open_to_a_cookie(guarded: Running) -> None:
    """Pages may open WebSockets to any address, and browsers send the cookies with them."""
    async with browsing(guarded) as browser:
        await browser.sign_in(ADMIN)
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await browser.client.ws_connect(f"{guarded.url}/ws/alerts")

    assert 401 == caught.value.status


async def test_signing_out_ends_the_session(guarded: Running) -> None:
    """Only our page can do it, and the cookie is worth nothing afterwards."""
    async with browsing(guarded) as browser:
        csrf = (await browser.sign_in(LABELLER))["csrf"]
        forged = await browser.ask("DELETE", SESSION)
        ended = await browser.ask("DELETE", SESSION, X_CSRF_Token=csrf)
        after = await browser.ask("GET", "/api/v1/verdicts")

    assert (403, 200, 401) == (forged[0], ended[0], after[0])
    assert ended[1]["needsKey"]


async def test_an_expired_session_is_over(tmp_path: Path) -> None:
    """The next request is refused, and the page asks for the key again."""
    security = {"keys": one_of_each(), "session_s": 0.001}
    async with running(tmp_path, security=security) as service, browsing(service) as browser:
        await browser.sign_in(READER)
        refused = await browser.ask("GET", "/api/v1/verdicts")
        told = await browser.ask("GET", SESSION)

    assert (401, True, False) == (refused[0], told[1]["needsKey"], told[1]["signedIn"])


async def test_a_key_that_is_gone_takes_its_sessions_along(tmp_path: Path) -> None:
    """They stand for the key as it is now."""
    file = write_keys(tmp_path / "keys.yaml", "first", "second")
    async with (
        running(tmp_path, security={"keys_file": file}) as service,
        browsing(service) as browser,
    ):
        await browser.sign_in("second")
        before = await browser.ask("GET", "/api/v1/verdicts")
        write_keys(file, "first")
        after = await browser.ask("GET", "/api/v1/verdicts")

    assert (200, 401) == (before[0], after[0])


async def test_on_loopback_nobody_signs_in(tmp_path: Path) -> None:
    """Where no key is known the page is for everybody on this machine."""
    async with running(tmp_path) as service, browsing(service) as browser:
        status, session = await browser.ask("GET", SESSION)

    assert (200, "anonymous@127.0.0.1") == (status, session["name"])
    assert not session["needsKey"]


async def test_a_session_counts_against_the_rate_of_its_key(tmp_path: Path) -> None:
    """A browser cannot ask more often than whoever shows the key."""
    keys = [a_key(READER, "read", rate_per_minute=1)]
    async with running(tmp_path, security={"keys": keys}) as service, browsing(service) as browser:
        await browser.sign_in(READER)
        statuses = [(await browser.ask("GET", "/api/v1/verdicts"))[0] for _ in range(2)]

    assert [200, 429] == statuses
