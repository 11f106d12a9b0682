import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from ipaddress import ip_network
from pathlib import Path

import pytest
from aiohttp import web

from sidecar.errors import MediaRoute
from sidecar.model import EventKind, MediaRequest, MediaType, Origin, VerifyEvent
from sidecar.settings import MediaSettings

Serve = Callable[..., Awaitable[str]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def event_with(
    route: MediaRoute, *refs: str, kind: MediaType = MediaType.VIDEO, sensor: str = "cam-1"
) -> VerifyEvent:
    return VerifyEvent(
        key="k",
        id="i",
        fingerprint="f",
        kind=EventKind.INCIDENT,
        origin=Origin.PIPELINE,
        raw={},
        sensor_id=sensor,
        category="motion",
        timestamp=datetime(2026, 1, 31, 7, 59, 0, tzinfo=UTC),
        end=datetime(2026, 1, 31, 7, 59, 30, tzinfo=UTC),
        media=MediaRequest(route, kind, refs),
    )


@pytest.fixture
def make_event() -> Callable[..., VerifyEvent]:
    return event_with


@pytest.fixture
def local_network(tmp_path: Path) -> MediaSettings:
    """Settings that allow the loopback network and files below `tmp_path`."""
    return MediaSettings(allowed_networks=(ip_network("127.0.0.0/8"),), allowed_roots=(tmp_path,))


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Serve handlers by path on a free port of 127.0.0.1; gives the base URL."""
    runners: list[web.AppRunner] = []

    async def start(routes: dict[str, Handler], host: str = "127.0.0.1") -> str:
        app = web.Application()
        for path, handler in routes.items():
            app.router.add_get(path, handler)
        runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        runners.append(runner)
        site = web.TCPSite(runner, host, 0)
        await site.start()
        return f"http://{host}:{site.port}"

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
def closed_port() -> int:
    """A port of 127.0.0.1 on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
