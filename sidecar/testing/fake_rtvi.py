"""RT-VLM without a model: streams and captions on a real socket, with failures on demand."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from uuid import uuid4

import orjson
from aiohttp import web


@dataclass(slots=True)
class FakeRtvi:
    """Keeps streams and captions in memory, which `restart` loses as RT-VLM does.

    Attributes:
        streams: what was added and not deleted, by id.
        captions: bodies of the captions that run, by the ids that were answered in `X-Request-ID`.
        calls: method and path of every call but those of `ready` and `get-stream-info`, in order.
        is_ready: whether `GET /v1/ready` answers 200.
        unreadable: URLs of cameras that cannot be read: their captions break off.
        refusals: path below `/v1` -> status to refuse calls with.
        tells_ids: whether captions are answered with `X-Request-ID`, as the newest RT-VLM does.
        names_stream: whether the answer to `streams/add` has the id of the stream.
    """

    streams: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    captions: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    is_ready: bool = True
    unreadable: set[str] = field(default_factory=set)
    refusals: dict[str, int] = field(default_factory=dict)
    tells_ids: bool = True
    names_stream: bool = True
    url: str = ""
    _open: dict[str, asyncio.Event] = field(default_factory=dict)
    _broken: set[str] = field(default_factory=set)
    _runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; `url` is the URL including `/v1` from then on."""
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/v1/ready", self._ready),
                web.get("/v1/streams/get-stream-info", self._list),
                web.post("/v1/streams/add", self._add),
                web.delete("/v1/streams/delete/{id}", self._delete),
                web.post("/v1/generate_captions", self._caption),
                web.delete("/v1/generate_captions/{id}", self._stop_captions),
            ]
        )
        self._runner = web.AppRunner(
            app, shutdown_timeout=0.1, access_log=None, handler_cancellation=True
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}/v1"

    async def stop(self) -> None:
        """Stop listening."""
        self.lose_all()
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    def lose_all(self) -> None:
        """Forget streams and captions and break all open answers, as a restart does."""
        self.streams.clear()
        for request_id in list(self.captions):
            self.break_captions(request_id)

    def break_captions(self, request_id: str) -> None:
        """Break the open answer of captions."""
        self._broken.add(request_id)
        self._end(request_id)

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        path = request.path.removeprefix("/v1")
        if path not in ("/ready", "/streams/get-stream-info"):
            self.calls.append(f"{request.method} {path}")
        status = self.refusals.get(path, 0)
        if status:
            return _problem(status, "as the test wants it")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _ready(self, _: web.Request) -> web.Response:
        return web.Response(text="Service is healthy", status=200 if self.is_ready else 503)

    async def _list(self, _: web.Request) -> web.Response:
        return web.json_response(list(self.streams.values()))

    async def _add(self, request: web.Request) -> web.Response:
        stream = orjson.loads(await request.read())["streams"][0]
        stream_id = stream["id"] or str(uuid4())
        self.streams[stream_id] = {**stream, "id": stream_id}
        return web.json_response({"results": [{"id": stream_id}] if self.names_stream else []})

    async def _delete(self, request: web.Request) -> web.Response:
        stream_id = request.match_info["id"]
        if self.streams.pop(stream_id, None) is None:
            return _problem(404, f"no stream {stream_id}")
        for request_id in self._of_stream(stream_id):
            self._end(request_id)
        return web.json_response({"id": stream_id, "deleted": True})

    async def _caption(self, request: web.Request) -> web.StreamResponse:
        body = orjson.loads(await request.read())
        stream = self.streams.get(body["id"])
        if stream is None:
            return _problem(400, f"no stream {body['id']}")
        request_id = str(uuid4())
        self.captions[request_id] = body
        ended = self._open[request_id] = asyncio.Event()
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        if self.tells_ids:
            answer.headers["X-Request-ID"] = request_id
        await answer.prepare(request)
        if stream["liveStreamUrl"] in self.unreadable:
            self.break_captions(request_id)
        await ended.wait()
        if request_id in self._broken and request.transport is not None:
            request.transport.abort()
        return answer

    async def _stop_captions(self, request: web.Request) -> web.Response:
        asked = request.query.get("request_id")
        running = [asked] if asked else self._of_stream(request.match_info["id"])
        for request_id in running:
            self._end(request_id)
        return web.json_response({"status": "stopped"})

    def _of_stream(self, stream_id: str) -> list[str]:
        return [name for name, body in self.captions.items() if body["id"] == stream_id]

    def _end(self, request_id: str) -> None:
        self.captions.pop(request_id, None)
        ended = self._open.pop(request_id, None)
        if ended is not None:
            ended.set()


def _problem(status: int, message: str) -> web.Response:
    return web.json_response({"code": "Scripted", "message": message}, status=status)
