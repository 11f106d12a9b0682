"""A whole service for tests: the real wiring, a real HTTP server, a throw-away ledger."""

import asyncio
import io
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn

from sidecar.app import App, build
from sidecar.doors.http import create_http_app
from sidecar.settings import Settings


@dataclass(frozen=True)
class Running:
    """A service that answers at `url`."""

    app: App
    url: str
    client: aiohttp.ClientSession

    async def get(self, path: str) -> tuple[int, Any]:
        async with self.client.get(self.url + path) as answer:
            return answer.status, await answer.json(content_type=None)

    async def post(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        async with self.client.post(self.url + path, json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    async def put(self, path: str, body: Mapping[str, Any]) -> tuple[int, Any]:
        async with self.client.put(self.url + path, json=body) as answer:
            return answer.status, await answer.json(content_type=None)

    async def post_bytes(
        self, path: str, body: bytes, content_type: str = "application/json"
    ) -> tuple[int, Any]:
        headers = {"Content-Type": content_type}
        data = io.BytesIO(body)
        async with self.client.post(self.url + path, data=data, headers=headers) as answer:
            return answer.status, await answer.json(content_type=None)

    async def decided(self, identity: str, timeout_s: float = 20.0) -> dict[str, Any]:
        """Wait for the verdict and return the public form of it."""
        give_up = time.monotonic() + timeout_s
        while time.monotonic() < give_up:
            status, body = await self.get(f"/api/v1/verdicts/{identity}")
            if status == 200:
                return dict(body)
            assert status == 202, body
            await asyncio.sleep(0.02)
        raise AssertionError(f"no verdict on {identity} within {timeout_s} s")

    async def verdict_on(self, incident: Mapping[str, Any]) -> dict[str, Any]:
        """Submit an incident and return the published document."""
        status, answer = await self.post("/api/v1/incidents", incident)
        assert status == 202, answer
        return dict((await self.decided(answer["id"]))["event"])


@asynccontextmanager
async def running(folder: Path, **sections: Mapping[str, Any]) -> AsyncGenerator[Running]:
    """Run a service with these settings until the context ends."""
    settings = Settings(
        **{
            "ledger": {"path": folder / "ledger.db"},
            "metrics": {"enabled": False},
            "canary": {"enabled": False},
            **sections,
            # a test's clips are few; a process for them would take longer to start than they
            "media": {"decode_processes": 0, **sections.get("media", {})},
        }
    )
    app = build(settings)
    try:
        async with _serving(app, settings) as service:
            yield service
    finally:
        await app.close()


@asynccontextmanager
async def _serving(app: App, settings: Settings) -> AsyncGenerator[Running]:
    await app.prepare()
    http = create_http_app(app.service, app.faces, settings.http, settings.metrics)
    config = uvicorn.Config(
        http, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    async with app.running():
        serving = asyncio.create_task(server.serve())
        while not server.started:
            await asyncio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        async with aiohttp.ClientSession() as client:
            yield Running(app, f"http://127.0.0.1:{port}", client)
        server.should_exit = True
        await serving
