"""`/ws/alerts` and `/ws`: the frames of the 2.4 bridge, and clients that do not behave."""

import asyncio
import base64
import json
import os
import re
import socket
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import pytest
import websockets
from bridge_samples import ENHANCED, INCIDENTS, INPUT, entry
from harness import Running, running
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis
from redis_process import RedisProcess
from review_samples import FULL, reviewing
from service_process import ServiceProcess
from storing_service import storing

from sidecar import app
from sidecar.doors.ws import WebSocketDoor
from sidecar.errors import StoreUnavailable
from sidecar.observe.audience_metrics import PrometheusAudienceMeter
from sidecar.settings import BridgeSettings, WebSocketSettings
from sidecar.testing.mock_vlm import ScriptedAnswer

REDIS_ID = r"\d{13}-\d+"
STAMP = r"\d{4}-\d\d-\d\dT[\d:.]+Z"
CLIENTS = 150


@asynccontextmanager
async def listening(
    service: Running, path: str = "/ws/alerts"
) -> AsyncGenerator[aiohttp.ClientWebSocketResponse]:
    async with service.client.ws_connect(service.url + path) as client:
        yield client


async def frames(client: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    async with asyncio.timeout(20):
        return [await client.receive_json() for _ in range(count)]


def incident(number: int, **changes: Any) -> dict[str, Any]:
    """Write an incident that the built-in arm cannot look at, and so decides at once."""
    moment = f"2026-01-31T08:{number // 60 % 60:02}:{number % 60:02}Z"
    facts = {"sensorId": f"camera-{number}", "category": "collision", "timestamp": moment}
    return {"id": f"i-{number}", **facts, "end": moment, **changes}


async def test_an_alert_is_shown_as_it_comes_and_when_it_is_reviewed(
    folder: Path, server: RedisProcess
) -> None:
    """Two frames with the fields of 2.4, around the fields of the streams' entries."""
    bridge = {"url": server.url}
    async with (
        reviewing(folder, ScriptedAnswer("Yes"), bridge=bridge) as (service, _),
        listening(service) as client,
        Redis.from_url(server.url) as redis,
    ):
        await redis.xadd(INPUT, dict(entry(FULL)))
        original, enhanced = await frames(client, 2)
        async with asyncio.timeout(10):
            while not (entries := await redis.xrange(ENHANCED)):
                await asyncio.sleep(0.02)

    assert re.fullmatch(REDIS_ID, original.pop("message_id"))
    assert re.fullmatch(STAMP, original.pop("timestamp"))
    came = original.pop("data")
    assert {"type": "alert", "alert_type": "original", "stream_name": INPUT} == original
    assert FULL == json.loads(came["data"])
    assert {"data", "timestamp", "metadata"} == came.keys()

    assert re.fullmatch(REDIS_ID, enhanced.pop("message_id"))
    assert re.fullmatch(STAMP, enhanced.pop("timestamp"))
    went = enhanced.pop("data")
    assert {"type": "alert", "alert_type": "enhanced", "stream_name": ENHANCED} == enhanced
    assert {name.encode(): text.encode() for name, text in went.items()} == entries[0][1]


async def test_other_verdicts_are_shown_too(tmp_path: Path) -> None:
    """An incident of 3.x has one frame, when it is decided, and its own stream's name."""
    async with running(tmp_path) as service, listening(service, "/ws") as client:
        await service.post("/api/v1/incidents", incident(1))
        (frame,) = await frames(client, 1)

    assert ("enhanced", INCIDENTS) == (frame["alert_type"], frame["stream_name"])
    assert "verification-failed" == json.loads(frame["data"]["data"])["info"]["verdict"]


async def test_a_client_may_ask(tmp_path: Path) -> None:
    """`ping` and `get_status` are answered; anything else is ignored, as in 2.4."""
    async with (
        running(tmp_path) as service,
        listening(service) as client,
        listening(service),
    ):
        for message in ("hello", "[]", '{"type": "subscribe"}', "7", '{"type": ["ping"]}'):
            await client.send_str(message)
        await client.send_bytes(b"\xff")
        await client.send_json({"type": "ping"})
        await client.send_json({"type": "get_status"})
        pong, status = await frames(client, 2)

    assert re.fullmatch(STAMP, pong.pop("timestamp"))
    assert re.fullmatch(STAMP, status.pop("timestamp"))
    assert ({"type": "pong"}, {"type": "status", "total_connections": 2}) == (pong, status)


async def test_it_tells_when_it_is_switched_off(tmp_path: Path) -> None:
    """One frame that says so, then close code 1013."""
    async with running(tmp_path, websocket={"enabled": False}) as service:
        async with listening(service) as client:
            (frame,) = await frames(client, 1)
            closed = await client.receive()
        _, health = await service.get("/ws/health")

    assert {"type", "error", "message", "timestamp"} == frame.keys()
    assert "service_disabled" == frame["type"]
    assert (aiohttp.WSMsgType.CLOSE, 1013) == (closed.type, closed.data)
    assert "degraded" == health["status"]


async def test_there_are_only_so_many_clients(tmp_path: Path) -> None:
    """The next one is told to try later, and finds a place when another one goes."""
    async with running(tmp_path, websocket={"max_clients": 1}) as service:
        async with listening(service) as first:
            async with listening(service) as second:
                closed = await second.receive()
            await first.send_json({"type": "ping"})
            (pong,) = await frames(first, 1)
        async with asyncio.timeout(10):
            while (await service.get("/ws/health"))[1]["active_connections"]:
                await asyncio.sleep(0.01)
        async with listening(service) as third:
            await third.send_json({"type": "get_status"})
            (status,) = await frames(third, 1)

    assert (1013, "too many connections") == (closed.data, closed.extra)
    assert ("pong", 1) == (pong["type"], status["total_connections"])


async def test_the_health_tells_who_listens(tmp_path: Path) -> None:
    """With the keys of 2.4."""
    async with running(tmp_path) as service, listening(service):
        status, health = await service.get("/ws/health")

    assert re.fullmatch(STAMP, health.pop("timestamp"))
    consumer = health.pop("redis_consumer")
    assert (200, {"status": "healthy", "service": "websocket", "active_connections": 1}) == (
        status,
        health,
    )
    assert (True, [INPUT, ENHANCED]) == (consumer["is_running"], consumer["streams"])


async def test_every_client_gets_every_verdict_in_order(tmp_path: Path) -> None:
    """However many there are, and with the client of another library among them."""
    connector = aiohttp.TCPConnector(limit=0)
    async with running(tmp_path) as service, aiohttp.ClientSession(connector=connector) as session:
        url = service.url.replace("http", "ws", 1) + "/ws/alerts"
        clients = [await session.ws_connect(url) for _ in range(CLIENTS)]
        async with websockets.connect(url) as other:
            for number in range(5):
                await service.verdict_on(incident(number))
            seen = [await frames(client, 5) for client in clients]
            async with asyncio.timeout(20):
                seen.append([json.loads(await other.recv()) for _ in range(5)])
        for client in clients:
            await client.close()

    found = {tuple(json.loads(it["data"]["data"])["id"] for it in one) for one in seen}
    assert {("i-0", "i-1", "i-2", "i-3", "i-4")} == found


async def test_a_client_that_does_not_read_is_dropped_and_delays_nobody(tmp_path: Path) -> None:
    """Verdicts go on, the others get them all, and the place is free again."""
    ballast = "x" * 700_000
    count = 24
    async with (
        running(tmp_path, websocket={"max_behind": 2}) as service,
        _deaf(service.url) as deaf,
        listening(service) as client,
    ):
        seen = []
        for number in range(count):
            await service.verdict_on(incident(number, vendor=ballast))
            seen += await frames(client, 1)
        async with asyncio.timeout(20):
            while (await service.get("/ws/health"))[1]["active_connections"] > 1:
                await asyncio.sleep(0.02)
        dropped = service.app.meter.registry.get_sample_value(
            "sidecar_websocket_refused_total", {"reason": "slow"}
        )
        del deaf

    assert [f"i-{n}" for n in range(count)] == [json.loads(it["data"]["data"])["id"] for it in seen]
    assert 1 == dropped


@asynccontextmanager
async def _deaf(url: str) -> AsyncGenerator[socket.socket]:
    """Connect a client that says what it must and never reads again."""
    address = urlsplit(url)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(connection, (str(address.hostname), int(address.port or 0)))
    key = base64.b64encode(os.urandom(16)).decode()
    request = (
        f"GET /ws/alerts HTTP/1.1\r\nHost: {address.netloc}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    await loop.sock_sendall(connection, request.encode())
    answer = await loop.sock_recv(connection, 1024)
    assert answer.startswith(b"HTTP/1.1 101 "), answer
    try:
        yield connection
    finally:
        connection.close()


async def test_a_service_process_pings_and_limits_its_clients(tmp_path: Path) -> None:
    """A client that does not answer pings is closed, as is one that sends too much."""
    settings = {"SIDECAR_WEBSOCKET__PING_S": "0.2", "SIDECAR_WEBSOCKET__PING_TIMEOUT_S": "0.5"}
    service = ServiceProcess(tmp_path, {**settings, "SIDECAR_CANARY__ENABLED": "false"})
    await service.start()
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.ws_connect(service.url + "/ws") as alive,
            session.ws_connect(service.url + "/ws") as talker,
            _deaf(service.url) as deaf,
        ):
            listening_to = asyncio.create_task(frames(alive, 1))  # answers pings meanwhile
            await talker.send_str("x" * 100_000)
            async with asyncio.timeout(10):
                too_much = await talker.receive()
                loop = asyncio.get_running_loop()
                while await loop.sock_recv(deaf, 1024):  # pings, a close frame, then the end
                    pass
            await alive.send_json({"type": "get_status"})
            (status,) = await listening_to
    finally:
        stopped = await service.stop()

    assert 1009 == too_much.data
    assert 1 == status["total_connections"]
    assert 0 == stopped


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="of Linux")
def test_a_client_that_never_reads_loses_its_connection() -> None:
    """The system cuts off what takes nothing for a minute, also after it was dropped."""
    with (
        app._listen("127.0.0.1", 0) as server,
        socket.create_connection(server.getsockname()),
        server.accept()[0] as accepted,
    ):
        patience_ms = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)

    assert app.STALLED_MS == patience_ms


async def test_a_stop_does_not_wait_for_clients(tmp_path: Path) -> None:
    """They are told that the server restarts."""
    service = ServiceProcess(tmp_path, {})
    await service.start()
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(service.url + "/ws/alerts") as client,
    ):
        status = await service.stop()
        closed = await client.receive()

    assert (0, 1012) == (status, closed.data)


class _Unsteady:
    """A ledger that cannot be read at first."""

    def __init__(self, ledger: Any) -> None:
        self._ledger = ledger
        self.is_away = True

    def __getattr__(self, name: str) -> Any:
        if self.is_away:
            raise StoreUnavailable("The ledger is away.")
        return getattr(self._ledger, name)


class _Client:
    """The server's end of a connection, as far as the door uses it."""

    def __init__(self) -> None:
        self.accepted = asyncio.Event()
        self.gone: asyncio.Future[dict[str, str]] = asyncio.get_running_loop().create_future()

    async def accept(self) -> None:
        self.accepted.set()

    async def receive(self) -> dict[str, str]:
        return await self.gone

    async def send_text(self, text: str) -> None:
        del text


@pytest.mark.parametrize("is_away", [False, True])
async def test_a_ledger_that_is_away_keeps_no_client_out(tmp_path: Path, is_away: bool) -> None:
    """It is said in the health, and over when the ledger is back."""
    async with storing(tmp_path) as store:
        ledger = _Unsteady(store.ledger)
        ledger.is_away = is_away
        service = store.service
        object.__setattr__(service, "ledger", ledger)
        meter = PrometheusAudienceMeter(CollectorRegistry())
        door = WebSocketDoor(service, WebSocketSettings(), BridgeSettings(), meter)
        running_door = asyncio.create_task(door.run())
        client = _Client()
        serving = asyncio.create_task(door.serve(client))  # type: ignore[arg-type]
        async with asyncio.timeout(10):
            await client.accepted.wait()
            before = door.health().status, bool(await door.ping())
            ledger.is_away = False
            while await door.ping():
                await asyncio.sleep(0.02)
        client.gone.set_result({"type": "websocket.disconnect"})
        await serving
        running_door.cancel()
        with suppress(asyncio.CancelledError):
            await running_door

    assert (("degraded", True) if is_away else ("healthy", False)) == before
    assert 0 == door.health().active_connections


async def test_clients_of_every_replica_are_told(tmp_path: Path, server: RedisProcess) -> None:
    """Who listens to one replica hears what another one decides."""
    shared = {"redis": {"url": server.url, "lease_s": 2}}
    async with (
        running(tmp_path, ledger=shared) as here,
        running(tmp_path, ledger=shared) as there,
        listening(there) as client,
    ):
        await here.verdict_on(incident(1))
        (frame,) = await frames(client, 1)

    assert "i-1" == json.loads(frame["data"]["data"])["id"]
