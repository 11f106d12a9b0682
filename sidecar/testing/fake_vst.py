"""A recorder that answers like VSS's VST, on a real socket, with failures on demand."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web

SENSORS: Final = "sensors"
CLIP: Final = "clip"
FILE: Final = "file"


@dataclass(frozen=True, slots=True)
class Scripted:
    """What an endpoint does instead of its work.

    Attributes:
        status: of the answer; 0 keeps the normal answer, only later.
        body: of the answer.
        delay_s: wait before it.
    """

    status: int = 0
    body: str = ""
    delay_s: float = 0.0


@dataclass(slots=True)
class FakeVst:
    """Lists sensors, names clips and serves them.

    Attributes:
        clip: the file that every clip URL leads to; None serves 404.
        streams: stream ids by sensor name.
        script: what the endpoints `SENSORS`, `CLIP` and `FILE` do instead of their work.
        queries: query parameters of each request for a clip, in order.
        counts: how often each endpoint was asked.
    """

    clip: Path | None = None
    streams: Mapping[str, str] = field(default_factory=dict)
    script: dict[str, Scripted] = field(default_factory=dict)
    queries: list[dict[str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    url: str = ""
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1; `url` is the base URL from then on."""
        app = web.Application()
        app.router.add_get("/vst/api/v1/sensor/streams", self._sensors)
        app.router.add_get("/vst/api/v1/storage/file/{stream}/url", self._clip_url)
        app.router.add_get("/vst/storage/temp_files/{name}", self._file)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site.port}"

    async def close(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.close()

    async def _sensors(self, request: web.Request) -> web.StreamResponse:
        del request
        listed = [
            {f"sensor-{stream}": [{"name": name, "streamId": stream, "vodUrl": f"{self.url}/vod"}]}
            for name, stream in self.streams.items()
        ]
        return await self._scripted(SENSORS) or web.json_response(listed)

    async def _clip_url(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        stream = request.match_info["stream"]
        return await self._scripted(CLIP) or web.json_response(self._named(stream, request.query))

    def _named(self, stream: str, query: Mapping[str, str]) -> dict[str, Any]:
        name = f"{stream.replace('/', '_')}.mp4"
        return {
            "absolutePath": f"/home/vst/temp_files/{name}",
            "baseUrl": self.url,
            "endTime": query["endTime"],
            "expiryMinutes": int(query["expiryMinutes"]),
            "fileName": name,
            "startTime": query["startTime"],
            "streamId": stream,
            "videoUrl": f"{self.url}/vst/storage/temp_files/{name}",
        }

    async def _file(self, request: web.Request) -> web.StreamResponse:
        del request
        scripted = await self._scripted(FILE)
        if scripted is not None:
            return scripted
        return web.FileResponse(self.clip) if self.clip is not None else web.Response(status=404)

    async def _scripted(self, endpoint: str) -> web.Response | None:
        self.counts[endpoint] = self.counts.get(endpoint, 0) + 1
        scripted = self.script.get(endpoint)
        if scripted is None:
            return None
        await asyncio.sleep(scripted.delay_s)
        if not scripted.status:
            return None
        return web.Response(status=scripted.status, text=scripted.body)
