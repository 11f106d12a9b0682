"""The OpenAI face over a real socket, before a server whose answers the test gives."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio
import uvicorn
from aiohttp import web
from fastapi import FastAPI

from sidecar.app import App, build
from sidecar.doors.http import create_http_app
from sidecar.settings import Settings

REASON2 = "nvidia/cosmos-reason2-8b"
PROBED = "yes"


@dataclass
class ModelServer:
    """Answers chats with what `reply` gives for their text; None there answers the probe's way.

    Attributes:
        reply: from the text of a request to a `choices[0]`, or to a whole response.
        requests: bodies of the chats that `reply` answered.
        waiting: when set, what each of these answers waits for.
        arrived: set when the first of these chats arrives.
        cancelled: how many clients went away before their answer.
        counts: whether completions have `usage`.
    """

    reply: Callable[[str], dict[str, Any] | web.Response | None] = lambda _: None
    model: str = REASON2
    requests: list[dict[str, Any]] = field(default_factory=list)
    waiting: asyncio.Event | None = None
    arrived: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: int = 0
    counts: bool = False

    async def complete(self, request: web.Request) -> web.Response:
        body = await request.json()
        reply = self.reply(_text(body))
        if reply is None:
            return web.json_response(self._completion({"message": {"content": PROBED}}))
        self.requests.append(body)
        self.arrived.set()
        if self.waiting is not None:
            try:
                await self.waiting.wait()
            except asyncio.CancelledError:
                self.cancelled += 1
                raise
        return (
            reply if isinstance(reply, web.Response) else web.json_response(self._completion(reply))
        )

    def _completion(self, choice: Mapping[str, Any]) -> dict[str, Any]:
        usage = {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}
        choice = {"index": 0, "finish_reason": "stop", **choice}
        return {"object": "chat.completion", "model": self.model, "choices": [choice]} | (
            {"usage": usage} if self.counts else {}
        )

    async def models(self, _: web.Request) -> web.Response:
        return web.json_response({"data": [{"id": self.model}]})

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[str]:
        app = web.Application(client_max_size=2**27)
        app.add_routes(
            [web.post("/v1/chat/completions", self.complete), web.get("/v1/models", self.models)]
        )
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2
        )
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        finally:
            await runner.cleanup()


def _text(body: Mapping[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content)


@dataclass
class Face:
    """A running face.

    Attributes:
        url: including `/v1`.
        client: the official package, as a user makes it.
    """

    url: str
    server: ModelServer
    client: openai.AsyncOpenAI


@asynccontextmanager
async def facing(
    folder: Path, server: ModelServer, *, arm: str = "reason2", **sections: Any
) -> AsyncGenerator[Face]:
    """Run a face before this server."""
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(server.serving())
        own = {"url": upstream, "retries": 0, "reconnect_s": 0}
        defaults: dict[str, Any] = {
            "ledger": {"path": folder / "ledger.db"},
            "metrics": {"enabled": False},
            "arms": {arm: own | sections.pop("arm_settings", {})},
            "ab": {"primary": arm},
            "media": {"allowed_networks": ["127.0.0.0/8"], "allowed_roots": [folder]},
        }
        settings = Settings(**(defaults | sections))
        app = build(settings)
        stack.push_async_callback(app.close)
        url = await stack.enter_async_context(serving(wired(app, settings)))
        client = openai.AsyncOpenAI(base_url=url, api_key="not-used", max_retries=0)
        await stack.enter_async_context(client)
        yield Face(url, server, client)


def wired(app: App, settings: Settings) -> FastAPI:
    """Build the HTTP door as the service does."""
    return create_http_app(app.service, app.faces, settings.http, settings.metrics)


@asynccontextmanager
async def serving(http: FastAPI) -> AsyncGenerator[str]:
    """Serve an application; gives its URL, `/v1` included."""
    config = uvicorn.Config(
        http, port=0, log_config=None, lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    serving = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
def run_face() -> Any:
    return facing


@pytest.fixture
def serve_face() -> Any:
    return serving


@pytest.fixture
def model_server() -> type[ModelServer]:
    return ModelServer


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared_face(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[Face]:
    root = tmp_path_factory.getbasetemp()
    media = {"allowed_networks": ["127.0.0.0/8"], "allowed_roots": [root]}
    folder = tmp_path_factory.mktemp("face")
    async with facing(folder, ModelServer(counts=True), media=media) as running:
        await running.client.chat.completions.create(
            model="", messages=[{"role": "user", "content": "Hello"}]
        )
        yield running


@pytest.fixture
def face(shared_face: Face) -> Face:
    """A face whose server says yes, after a thought that its parser set apart."""
    said = {"message": {"content": "Yes.", "reasoning": "A person falls."}}
    shared_face.server.reply = lambda text: said if text.startswith("Is somebody") else None
    shared_face.server.requests.clear()
    return shared_face
