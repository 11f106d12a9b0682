"""A recorder that answers like VSS's VST, on a real socket, with failures on demand."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
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
        times: for how many requests; 0 is for all.
    """

    status: int = 0
    body: str = ""
    delay_s: float = 0.0
    times: int = 0


@dataclass(slots=True)
class FakeVst:
    """Lists sensors, names clips and serves them.

    Attributes:
        clip: the file that every clip URL leads to; None serves 404.
        streams: stream ids by sensor name.
        script: what the endpoints `SENSORS`, `CLIP` and `FILE` do instead of their work.
        overlay_status: answer to requests for a clip with an overlay; 0 gives the clip.
        recorded_until: what is later is not recorded yet; None records everything.
        origin: scheme, host and port of clip URLs; "" is `url`.
        queries: query parameters of each request for a clip, in order.
        counts: how often each endpoint was asked.
        files: paths of stored files by their ids.
    """

    clip: Path | None = None
    streams: Mapping[str, str] = field(default_factory=dict)
    script: dict[str, Scripted] = field(default_factory=dict)
    overlay_status: int = 0
    recorded_until: datetime | None = None
    origin: str = ""
    queries: list[dict[str, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    url: str = ""
    _runner: web.AppRunner | None = None

    async def start(self) -> None:
        """Listen on a free port of 127.0.0.1; `url` is the base URL from then on."""
        app = web.Application()
        app.router.add_get("/vst/api/v1/sensor/streams", self._sensors)
        app.router.add_get("/vst/api/v1/storage/file/{stream}/url", self._clip_url)
        app.router.add_get("/vst/storage/temp_files/{name}", self._file)
        app.router.add_get("/api/v1/storage/file/path", self._path)
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

    async def _path(self, request: web.Request) -> web.StreamResponse:
        path = self.files.get(request.query.get("id", ""))
        return web.json_response({"mediaFilePath": path}, status=200 if path else 404)

    async def _clip_url(self, request: web.Request) -> web.StreamResponse:
        self.queries.append(dict(request.query))
        return await self._scripted(CLIP) or self._recorded(request)

    def _recorded(self, request: web.Request) -> web.Response:
        query, until = request.query, self.recorded_until
        if self.overlay_status and "overlay" in json.loads(query["configuration"]):
            return web.Response(status=self.overlay_status)
        if until is None:
            return web.json_response(self._named(request, query["endTime"]))
        if until <= datetime.fromisoformat(query["startTime"]):
            return web.Response(status=404)
        end = min(until, datetime.fromisoformat(query["endTime"]))
        return web.json_response(self._named(request, end.isoformat()))

    def _named(self, request: web.Request, end: str) -> dict[str, Any]:
        stream, query = request.match_info["stream"], request.query
        name = f"{stream.replace('/', '_')}.mp4"
        return {
            "absolutePath": f"/home/vst/temp_files/{name}",
            "baseUrl": self.origin or self.url,
            "endTime": end,
            "expiryMinutes": int(query["expiryMinutes"]),
            "fileName": name,
            "startTime": query["startTime"],
            "streamId": stream,
            "videoUrl": f"{self.origin or self.url}/vst/storage/temp_files/{name}",
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
        self._use_up(endpoint, scripted)
        await asyncio.sleep(scripted.delay_s)
        if not scripted.status:
            return None
        return web.Response(status=scripted.status, text=scripted.body)

    def _use_up(self, endpoint: str, scripted: Scripted) -> None:
        if scripted.times == 1:
            del self.script[endpoint]
        elif scripted.times:
            self.script[endpoint] = replace(scripted, times=scripted.times - 1)
