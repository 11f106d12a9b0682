"""Who may do what over HTTP, on the service as it runs."""

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from api_keys import ADMIN, READER, SCOPES, SUBMITTER, a_key, bearer, one_of_each, write_keys
from harness import Running, running
from prometheus_client import generate_latest

from sidecar.ab.reporting import Wanted, _compared
from sidecar.doors.access import Guards
from sidecar.doors.http import create_http_app
from sidecar.doors.scopes import ROUTES
from sidecar.errors import SettingsError

UNKNOWN = "00000000-0000-4000-8000-000000000000"
CONFIG = "/api/v1/verification/config"
EXPOSED = {"host": "0.0.0.0"}  # what the settings say; tests listen on loopback all the same
SOCKETS = sorted(route for route in ROUTES if route.startswith("WEBSOCKET "))
NEEDING = sorted(route for route, scope in ROUTES.items() if scope and route not in SOCKETS)
SIGN_IN = "POST /api/v1/session"  # open to whoever shows a key in its body
OPEN = sorted(set(ROUTES) - set(NEEDING) - set(SOCKETS) - {SIGN_IN})


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncGenerator[Running]:
    """A service with a key for each scope."""
    async with running(tmp_path, security={"keys": one_of_each()}) as service:
        yield service


async def _ask(
    service: Running, route: str, key: str = "", **headers: str
) -> tuple[int, aiohttp.ClientResponse, bytes]:
    """Ask a route without a body that it would take; streams are not followed."""
    method, _, template = route.partition(" ")
    path = re.sub(r"{\w+}", UNKNOWN, template.replace("{page}", "system"))
    shown = {**headers, **(bearer(key) if key else {})}
    async with service.client.request(method, service.url + path, headers=shown) as answer:
        is_stream = answer.content_type == "text/event-stream"
        return answer.status, answer, b"" if is_stream else await answer.read()


async def test_every_route_is_in_the_table_of_scopes(guarded: Running) -> None:
    """A route without a line fails here, and so does a line without a route."""
    app, settings = guarded.app, guarded.app.settings
    http = create_http_app(app.service, app.faces, settings.http, settings.metrics)
    served = {
        f"{method} {it.path}"
        for it in Guards(http.routes)
        for method in it.methods or ("any",)
        if method != "HEAD"
    }

    assert set(ROUTES) == served


async def test_a_route_opens_to_the_keys_with_its_scope(guarded: Running) -> None:
    """No key: 401. A key without the scope: 403. With it, the route itself answers."""
    wrong: list[Any] = []
    for route in NEEDING:
        for key, scope in SCOPES.items():
            status, _, body = await _ask(guarded, route, key)
            if status == 401 or (status == 403) == (scope in {ROUTES[route], "admin"}):
                wrong.append((route, scope, status, body))
        for key in ("", "wrong"):
            status, answer, body = await _ask(guarded, route, key)
            if (status, answer.headers["WWW-Authenticate"]) != (401, 'Bearer realm="sidecar"'):
                wrong.append((route, key, status, body))

    assert [] == wrong


@pytest.mark.parametrize("route", SOCKETS)
async def test_a_websocket_opens_to_the_keys_with_its_scope(guarded: Running, route: str) -> None:
    """It is refused before it is opened, with the same status as any other route."""
    statuses = {key: await _open(guarded, route, key) for key in (*SCOPES, "", "wrong")}

    expected = {key: 101 if it in {ROUTES[route], "admin"} else 403 for key, it in SCOPES.items()}
    assert {**expected, "": 401, "wrong": 401} == statuses


async def _open(service: Running, route: str, key: str) -> int:
    url = service.url + route.removeprefix("WEBSOCKET ")
    try:
        async with service.client.ws_connect(url, headers=bearer(key) if key else {}):
            return 101
    except aiohttp.WSServerHandshakeError as refused:
        return refused.status


async def test_probes_and_descriptions_are_open(guarded: Running) -> None:
    """They answer without a key, and with a wrong one."""
    statuses = {
        (route, key): (await _ask(guarded, route, key))[0]
        for route in OPEN
        for key in ("", "wrong")
    }

    assert len(statuses) > 10
    assert {200} == set(statuses.values())


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": f"Bearer {READER}"}, 200),
        ({"Authorization": f"bearer  {READER}"}, 200),
        ({"X-API-Key": READER}, 200),
        ({"X-API-Key": READER, "Authorization": "Bearer not-used"}, 200),
        ({"X-API-Key": "wrong", "Authorization": f"Bearer {READER}"}, 401),
        ({"Authorization": READER}, 401),
        ({"Authorization": f"Basic {READER}"}, 401),
        ({"X-Forwarded-For": "127.0.0.1"}, 401),
    ],
)
async def test_a_key_is_shown_in_one_of_two_headers(
    guarded: Running, headers: dict[str, str], status: int
) -> None:
    """`X-API-Key` counts more, as clients of OpenAI always send a bearer token."""
    async with guarded.client.get(f"{guarded.url}/api/v1/verdicts", headers=headers) as answer:
        assert status == answer.status


async def test_a_key_in_the_query_is_none(guarded: Running) -> None:
    """Query strings end up in logs."""
    status, body = await guarded.get(f"/api/v1/verdicts?api_key={READER}")

    assert (401, "unauthenticated") == (status, body["error"])


async def test_unknown_paths_and_methods_are_told_as_before(guarded: Running) -> None:
    """There is nothing behind them to guard."""
    assert 404 == (await _ask(guarded, "GET /nothing"))[0]
    assert 405 == (await _ask(guarded, "DELETE /api/v1/incidents"))[0]


@pytest.mark.parametrize(
    ("route", "key", "expected"),
    [
        ("GET /api/v1/verdicts", "", {"status": "error", "error": "unauthenticated"}),
        ("GET /api/v1/audit", READER, {"status": "error", "error": "forbidden"}),
        ("POST /reviewAlert", "", {"code": "Unauthenticated"}),
        ("POST /v1/reviewAlert", READER, {"code": "Forbidden"}),
    ],
)
async def test_refusals_have_the_form_of_their_face(
    guarded: Running, route: str, key: str, expected: dict[str, str]
) -> None:
    """VSS 3's clients and 2.4's find what they look for."""
    async with guarded.client.request(
        *_split(guarded, route), headers=bearer(key) if key else {}
    ) as answer:
        body = await answer.json()

    assert expected == {name: body[name] for name in expected}
    assert body["message"]


@pytest.mark.parametrize(
    ("key", "status", "kind", "code"),
    [
        ("wrong", 401, "invalid_request_error", "invalid_api_key"),
        (READER, 403, "invalid_request_error", "insufficient_permissions"),
    ],
)
async def test_openai_clients_get_errors_that_they_know(
    guarded: Running, key: str, status: int, kind: str, code: str
) -> None:
    """The body is OpenAI's."""
    got, _, _ = await _ask(guarded, "POST /v1/chat/completions", key)
    async with guarded.client.post(
        f"{guarded.url}/v1/chat/completions", headers=bearer(key)
    ) as answer:
        error = (await answer.json())["error"]

    assert (status, kind, code, None) == (got, error["type"], error["code"], error["param"])


async def test_too_many_requests_are_refused_with_the_time_to_wait(tmp_path: Path) -> None:
    """One rate for all routes, worded as each face words it."""
    keys = [a_key("k", "read,submit", rate_per_minute=1), a_key(ADMIN, "admin")]
    async with running(tmp_path, security={"keys": keys}) as service:
        first, _, _ = await _ask(service, "GET /api/v1/verdicts", "k")
        second, answer, body = await _ask(service, "GET /api/v1/verdicts", "k")
        chat, _, chat_body = await _ask(service, "POST /v1/chat/completions", "k")
        review, _, review_body = await _ask(service, "POST /reviewAlert", "k")
        other, _, _ = await _ask(service, "GET /api/v1/verdicts", ADMIN)

    assert (200, 429, 429, 429, 200) == (first, second, chat, review, other)
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert b'"rate_limited"' in body
    assert b'"rate_limit_exceeded"' in chat_body
    assert b'"RateLimited"' in review_body


async def test_a_revoked_key_is_refused_from_then_on(tmp_path: Path) -> None:
    """The file of keys is read again when it changes, without a restart."""
    file = write_keys(tmp_path / "keys.yaml", "old")
    async with running(tmp_path, security={"keys_file": file}) as service:
        before, _, _ = await _ask(service, "GET /api/v1/audit", "old")
        write_keys(file, "new")
        after, _, _ = await _ask(service, "GET /api/v1/audit", "old")
        new, _, _ = await _ask(service, "GET /api/v1/audit", "new")

    assert (200, 401, 200) == (before, after, new)


async def test_changes_are_recorded_under_the_name_of_the_key(guarded: Running) -> None:
    """The audit trail tells who it was."""
    config = {"alert_type": "queueing", "prompt": "Do people queue?"}
    async with guarded.client.post(
        guarded.url + CONFIG, json=config, headers=bearer(ADMIN)
    ) as answer:
        assert 201 == answer.status
    async with guarded.client.get(f"{guarded.url}/api/v1/audit", headers=bearer(ADMIN)) as answer:
        entry = (await answer.json())["entries"][0]

    assert ("admin", "alert_config.create") == (entry["actor"], entry["action"])


async def test_a_report_is_made_of_a_service_that_asks_for_a_key(guarded: Running) -> None:
    """`sidecar ab report URL` shows the key of SIDECAR_API_KEY, and says when it needs one."""
    shown = [it async for it in _compared(Wanted(guarded.url, api_key=READER))]
    with pytest.raises(SettingsError, match="answers 401"):
        _ = [it async for it in _compared(Wanted(guarded.url))]

    assert [] == shown


async def test_without_keys_the_service_is_open_on_loopback(tmp_path: Path) -> None:
    """Somebody who tries it out on a laptop needs nothing."""
    async with running(tmp_path) as service:
        status, _ = await service.get("/api/v1/audit")

    assert 200 == status


@pytest.mark.parametrize(("network", "status"), [("127.0.0.0/8", 200), ("10.0.0.0/8", 401)])
async def test_only_trusted_networks_need_no_key_elsewhere(
    tmp_path: Path, network: str, status: int
) -> None:
    """As in VSS's own network, where services send no keys."""
    security = {"trusted_networks": network}
    async with running(tmp_path, http=EXPOSED, security=security) as service:
        got, _, _ = await _ask(service, "GET /api/v1/audit", "not-used")

    assert status == got


async def test_refusals_are_counted(guarded: Running) -> None:
    """A scraper sees how often who was not let in."""
    await _ask(guarded, "GET /api/v1/audit")
    await _ask(guarded, "GET /api/v1/audit", "wrong")
    await _ask(guarded, "GET /api/v1/audit", READER)
    counted = generate_latest(guarded.app.meter.registry).decode()

    for line in (
        'sidecar_access_refused_total{door="http",reason="unauthenticated"} 2.0',
        'sidecar_access_refused_total{door="http",reason="forbidden"} 1.0',
        'sidecar_access_refused_total{door="http",reason="rate_limited"} 0.0',
    ):
        assert line in counted.splitlines()


async def test_a_page_of_others_is_refused_and_counted(tmp_path: Path) -> None:
    """Without keys, a browser on this machine is no way in for whoever wrote the page."""
    async with running(tmp_path) as service:
        status, _, body = await _ask(service, "POST /api/v1/incidents", Origin="https://evil")
        counted = generate_latest(service.app.meter.registry).decode()

    assert 403 == status
    assert b"https://evil" in body
    assert 'sidecar_access_refused_total{door="http",reason="forbidden"} 1.0' in counted


async def test_readiness_tells_why_to_readers_only(tmp_path: Path) -> None:
    """A probe learns that a part does not work, and not where it is."""
    sinks = {"webhook": {"url": "http://127.0.0.1:9/hook"}}
    arms = {"generic": {"adapter": "generic", "url": "http://127.0.0.1:9/v1"}}
    sections: dict[str, Any] = {"sinks": sinks, "arms": arms, "ab": {"primary": "generic"}}
    async with running(tmp_path, security={"keys": one_of_each()}, **sections) as service:
        _, _, probe = await _ask(service, "GET /ready")
        status, _, reader = await _ask(service, "GET /ready", READER)
        _, _, openai = await _ask(service, "GET /v1/health/ready", SUBMITTER)

    assert 503 == status
    assert b"127.0.0.1:9" in reader
    assert b"127.0.0.1" not in probe + openai
    assert b"scope read" in probe
    assert b"scope read" in openai


async def test_requests_have_a_limit_and_health_has_none(tmp_path: Path) -> None:
    """Followers of verdicts fill it up; a probe is answered all the same."""
    async with running(tmp_path, http={"max_requests": 1}) as service:
        stream = f"{service.url}/api/v1/verdicts/stream"
        async with service.client.get(stream) as following:
            assert 200 == following.status
            full, answer, body = await _ask(service, "GET /api/v1/verdicts")
            health, _, _ = await _ask(service, "GET /health")
        async with asyncio.timeout(10):
            while (await _ask(service, "GET /api/v1/verdicts"))[0] != 200:
                await asyncio.sleep(0.01)

    assert (503, "1", 200) == (full, answer.headers["Retry-After"], health)
    assert b"SIDECAR_HTTP__MAX_REQUESTS" in body


async def test_a_refused_upload_is_not_read(guarded: Running) -> None:
    """Somebody without a key cannot make the service take megabytes."""
    sent = 0

    async def upload() -> AsyncGenerator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"x" * 65_536

    url = f"{guarded.url}/files"
    try:
        async with guarded.client.post(url, data=upload()) as answer:
            assert 401 == answer.status
    except aiohttp.ClientConnectionError:
        pass  # it hung up before the client had said everything

    assert sent < 1000


async def test_the_description_of_the_api_tells_where_keys_are_needed(guarded: Running) -> None:
    """Code generators and the page /docs ask for them."""
    _, document = await guarded.get("/openapi.json")
    paths, schemes = document["paths"], document["components"]["securitySchemes"]

    assert {"bearer", "key"} == set(schemes)
    assert "submit" == paths["/api/v1/incidents"]["post"]["x-scope"]
    assert [{"bearer": []}, {"key": []}] == paths["/api/v1/audit"]["get"]["security"]
    assert "security" not in paths["/health"]["get"]
    undocumented = [
        (method, path)
        for path, item in paths.items()
        for method, operation in item.items()
        if "security" in operation and not {"401", "403", "429"} <= set(operation["responses"])
    ]
    assert [] == undocumented


async def test_where_nobody_needs_a_key_the_description_asks_for_none(tmp_path: Path) -> None:
    """A client that follows it sends what is needed, and no more."""
    async with running(tmp_path) as service:
        _, document = await service.get("/openapi.json")

    assert "security" not in document["paths"]["/api/v1/audit"]["get"]


def _split(service: Running, route: str) -> tuple[str, str]:
    method, _, path = route.partition(" ")
    return method, service.url + path
