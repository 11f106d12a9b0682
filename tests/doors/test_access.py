"""What guards an application whose routes are not in the table, its WebSockets, and browsers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import aiohttp
import pytest
import uvicorn
from api_keys import ADMIN, READER, bearer, one_of_each
from fastapi import APIRouter, Depends, FastAPI, WebSocket
from prometheus_client import CollectorRegistry
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sidecar.access import Principal
from sidecar.core.api_keys import KeyRing
from sidecar.core.gate import Gate, RateLimits
from sidecar.doors.access import HttpAccess, protect
from sidecar.doors.callers import PRINCIPAL, Caller
from sidecar.errors import RequestError, row_of
from sidecar.observe.access_metrics import PrometheusAccessMeter
from sidecar.settings import SecuritySettings
from sidecar.testing.fakes import FrozenClock

UI = "https://ui.example.com"


def _refuse(error: RequestError) -> Response:
    row = row_of(error)
    return JSONResponse({"reason": row.reason, "message": error.detail}, row.wording.code)


def _caller(connection: HTTPConnection) -> Principal:
    principal: Principal = connection.scope[PRINCIPAL]
    return principal


async def _mounted(scope: Any, receive: Any, send: Any) -> None:
    await PlainTextResponse("mounted")(scope, receive, send)


def an_app(*, is_open: bool = False, **security: Any) -> FastAPI:
    """Build an application with routes of every kind, none of them in the table of scopes."""
    settings = SecuritySettings.model_validate(security)
    limits, meter = RateLimits(FrozenClock()), PrometheusAccessMeter(CollectorRegistry())
    trusted = settings.trusted_networks
    gate = Gate("http", KeyRing(settings), limits, meter, trusted=trusted, is_open=is_open)
    app = FastAPI(openapi_url=None)
    protect(app, HttpAccess(gate, settings.cors_origins), _refuse)
    router = APIRouter(prefix="/inner")

    @router.get("/{name:path}")
    async def forgotten(name: str, caller: Caller) -> dict[str, str]:
        return {"name": name, "caller": caller.name}

    @router.post("/change")
    async def change(caller: Caller) -> dict[str, str]:
        return {"caller": caller.name}

    @router.websocket("/socket")
    async def socket(socket: WebSocket, caller: Annotated[Principal, Depends(_caller)]) -> None:
        await socket.accept()
        await socket.send_text(caller.name)
        await socket.close()

    app.include_router(router)
    app.mount("/mount", _mounted)
    return app


@dataclass(frozen=True)
class Served:
    """An application that answers at `url`."""

    url: str
    client: aiohttp.ClientSession

    async def ask(self, method: str, path: str, **headers: str) -> tuple[int, str]:
        shown = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, self.url + path, headers=shown) as answer:
            return answer.status, await answer.text()


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncGenerator[Served]:
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off", proxy_headers=False)
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    running = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with aiohttp.ClientSession() as client:
        yield Served(f"http://127.0.0.1:{port}", client)
    server.should_exit = True
    await running


@pytest.mark.parametrize("path", ["/inner/a/b", "/mount", "/mount/deep/er"])
async def test_a_forgotten_route_needs_admin(path: str) -> None:
    """Nobody has to remember to close a door: routers, parameters and mounts are found."""
    async with serving(an_app(keys=one_of_each())) as served:
        statuses = [
            (await served.ask("GET", path))[0],
            (await served.ask("GET", path, **bearer(READER)))[0],
            (await served.ask("GET", path, **bearer(ADMIN)))[0],
        ]

    assert [401, 403, 200] == statuses


async def test_a_route_learns_who_calls() -> None:
    """The name of the key, or the address where none is needed."""
    async with serving(an_app(keys=one_of_each(), trusted_networks="127.0.0.0/8")) as served:
        named = await served.ask("GET", "/inner/x", **bearer(ADMIN))
        anonymous = await served.ask("GET", "/inner/x")

    assert '"admin"' in named[1]
    assert '"anonymous@127.0.0.1"' in anonymous[1]


async def test_websockets_are_guarded_before_they_open() -> None:
    """Without a key the handshake is refused with the status and the reason of a request."""
    async with serving(an_app(keys=one_of_each())) as served:
        url = f"{served.url}/inner/socket"
        refused = []
        for key in ("wrong", READER):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                await served.client.ws_connect(url, headers=bearer(key))
            refused.append(caught.value.status)
        async with served.client.ws_connect(url, headers=bearer(ADMIN)) as socket:
            greeting = await socket.receive_str(timeout=10)

    assert ([401, 403], "admin") == (refused, greeting)


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://evil.example", 403),
        ("null", 403),
        ("http://127.0.0.1", 403),  # another port is another origin
        (UI, 200),
    ],
)
async def test_pages_of_others_cannot_use_that_no_key_is_needed(origin: str, status: int) -> None:
    """A browser near the service would send what any page tells it to, without asking."""
    async with serving(an_app(is_open=True, cors_origins=UI)) as served:
        posted, body = await served.ask("POST", "/inner/change", Origin=origin)
        opened = 200
        try:
            url = f"{served.url}/inner/socket"
            async with served.client.ws_connect(url, headers={"Origin": origin}) as socket:
                await socket.receive_str(timeout=10)
        except aiohttp.WSServerHandshakeError as error:
            opened = error.status
        own = await served.ask("POST", "/inner/change", Origin=served.url)

    assert (status, status, 200) == (posted, opened, own[0])
    assert status == 200 or "SIDECAR_SECURITY__CORS_ORIGINS" in body


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example:9080", 403),
        ("ui.example.com", 200),
        ("localhost:9080", 200),
        ("sidecar.localhost", 200),
        ("[::1]:9080", 200),
        ("workstation", 200),
    ],
)
async def test_a_name_that_was_made_to_lead_here_does_not_help(host: str, status: int) -> None:
    """DNS rebinding: a page takes the service for its own server."""
    async with serving(an_app(is_open=True, cors_origins=UI)) as served:
        got = await served.ask("GET", "/inner/x", Host=host)
        rebound = await served.ask("POST", "/inner/change", Host=host, Origin=f"http://{host}")

    assert (status, status) == (got[0], rebound[0])


async def test_with_a_key_any_name_and_page_will_do() -> None:
    """No page knows the key unless somebody gave it to it."""
    async with serving(an_app(keys=one_of_each())) as served:
        headers = {"Host": "vss.example.com", "Origin": "https://evil.example", **bearer(ADMIN)}
        status, _ = await served.ask("POST", "/inner/change", **headers)

    assert 200 == status


async def test_in_a_trusted_network_the_service_may_have_any_name() -> None:
    """VSS's services call it by the names that their network gives it."""
    async with serving(an_app(trusted_networks="127.0.0.0/8")) as served:
        named = await served.ask("GET", "/inner/x", Host="alert-bridge.vss.svc.cluster.local")
        evil = await served.ask("POST", "/inner/change", Origin="https://evil.example")

    assert (200, 403) == (named[0], evil[0])


async def _preflight(served: Served, origin: str) -> tuple[int, str | None, str | None]:
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    async with served.client.options(f"{served.url}/inner/change", headers=headers) as answer:
        allowed = answer.headers.get("Access-Control-Allow-Origin")
        return answer.status, allowed, answer.headers.get("Access-Control-Allow-Credentials")


async def test_browsers_are_told_of_no_other_origin_by_default() -> None:
    """CORS is closed: no answer allows a page anything."""
    async with serving(an_app(keys=one_of_each())) as served:
        preflight = await _preflight(served, UI)
        async with served.client.post(
            f"{served.url}/inner/change", headers={**bearer(ADMIN), "Origin": UI}
        ) as answer:
            named = [name for name in answer.headers if name.startswith("Access-Control")]

    assert (405, None, None) == preflight
    assert [] == named


async def test_listed_pages_may_call_from_browsers() -> None:
    """Only they; their preflight needs no key, and they can read why they are refused."""
    async with serving(an_app(keys=one_of_each(), cors_origins=UI)) as served:
        listed, other = await _preflight(served, UI), await _preflight(served, "https://evil")
        async with served.client.post(
            f"{served.url}/inner/change", headers={"Origin": UI}
        ) as answer:
            refused = answer.status, answer.headers.get("Access-Control-Allow-Origin")

    assert (200, UI, None) == listed
    assert (400, None) == other[:2]
    assert (401, UI) == refused


@pytest.mark.parametrize("path", ["/inner/x", "/nothing"])
async def test_browsers_take_answers_for_what_they_say_they_are(path: str) -> None:
    """Whatever is answered, refusals too, is not guessed at, not framed and not told on."""
    async with serving(an_app(is_open=True)) as served, served.client.get(served.url + path) as it:
        headers = it.headers

    assert ("nosniff", "DENY", "no-referrer") == (
        headers["X-Content-Type-Options"],
        headers["X-Frame-Options"],
        headers["Referrer-Policy"],
    )


async def test_what_cannot_be_named_is_not_served() -> None:
    """A kind of route that has no path cannot be guarded, so nothing is answered at all."""
    app = an_app(is_open=True)
    app.host("other.example", _mounted)
    async with serving(app) as served:
        status, _ = await served.ask("GET", "/inner/x")

    assert 500 == status
