"""How the clip of each event gets to where it is looked at."""

import asyncio
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

from aiohttp import web

from sidecar.density.clips import ClipMaker
from sidecar.density.events import Attached
from sidecar.density.scenario import Clip
from sidecar.errors import SettingsError


class Media(Protocol):
    """Gives events their clips."""

    async def open(self) -> None:
        """Get ready."""

    def expect(self, count: int) -> None:
        """Be told how many clips a run needs."""

    async def attach(self, name: str, number: int) -> Attached:
        """Return the clip of an event."""

    def release(self, name: str) -> None:
        """Let go of the clip of an event that has ended."""

    async def close(self) -> None:
        """Let go of everything."""


class NoClips:
    """Names a URL for each event that leads nowhere: for models that look at no clip."""

    _URL: Final = "http://127.0.0.1:9/{}.mp4"

    async def open(self) -> None:
        """Do nothing."""

    def expect(self, count: int) -> None:
        """Do nothing."""

    async def attach(self, name: str, number: int) -> Attached:
        """Return a URL."""
        del number
        return Attached(url=self._URL.format(name))

    def release(self, name: str) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class InlineClips:
    """Gives the clip itself.

    Args:
        clip: its form.
    """

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._maker: ClipMaker | None = None
        self._count = 0
        self._first = 0
        self._run = 0

    async def open(self) -> None:
        """Do nothing: clips are made when it is known how many."""

    def expect(self, count: int) -> None:
        """Encode what clips are made of; the clips of the runs before do not come again."""
        self._first += self._run
        self._run = count
        needed = self._first + count
        if self._maker is None or not self._maker.holds(needed):
            self._maker = ClipMaker(self._clip, max(needed * 4, 10_000))

    async def attach(self, name: str, number: int) -> Attached:
        """Return the MP4 file."""
        del name
        return Attached(data=await self.make(number))

    async def make(self, number: int) -> bytes:
        """Make the clip of an event of this run."""
        assert self._maker is not None, "`expect` comes first"
        return await asyncio.to_thread(self._maker.make, self._first + number)

    def release(self, name: str) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


class FiledClips(InlineClips):
    """Writes each clip into a folder until its event has ended.

    Args:
        clip: its form.
        folder: on a disk that is shared with whoever looks at it; of its own.
        seen_as: the same folder as those see it; None: the same path.
    """

    def __init__(self, clip: Clip, folder: Path, seen_as: Path | None = None) -> None:
        super().__init__(clip)
        self._folder = folder
        self._seen_as = seen_as or folder.resolve()

    async def open(self) -> None:
        """Make the folder.

        Raises:
            SettingsError: it cannot be written.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(
                f"--clips-dir: cannot write {self._folder}: {error.strerror}."
            ) from None

    async def attach(self, name: str, number: int) -> Attached:
        """Write the file and return its path."""
        data = await self.make(number)
        await asyncio.to_thread((self._folder / f"{name}.mp4").write_bytes, data)
        return Attached(path=str(self._seen_as / f"{name}.mp4"))

    def release(self, name: str) -> None:
        """Remove the file."""
        (self._folder / f"{name}.mp4").unlink(missing_ok=True)


class ServedClips(InlineClips):
    """Serves each clip by HTTP until its event has ended.

    Args:
        clip: its form.
        url: `http://HOST:PORT` where this driver listens, as those who fetch see it; port 0 takes
            a free one.
    """

    def __init__(self, clip: Clip, url: str) -> None:
        super().__init__(clip)
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname or parts.port is None:
            raise SettingsError(f"--serve-clips: {url!r} is not like http://HOST:PORT.")
        self._host, self._port = parts.hostname, parts.port
        self._held: dict[str, bytes] = {}
        self._runner: web.AppRunner | None = None

    async def open(self) -> None:
        """Listen on all addresses when the host is not this machine's loopback."""
        app = web.Application()
        app.add_routes([web.get("/clips/{name}.mp4", self._serve)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        is_local = self._host in {"127.0.0.1", "localhost"}
        await web.TCPSite(self._runner, "127.0.0.1" if is_local else None, self._port).start()
        self._port = self._runner.addresses[0][1]

    async def attach(self, name: str, number: int) -> Attached:
        """Hold the clip and return its URL."""
        self._held[name] = await self.make(number)
        return Attached(url=f"http://{self._host}:{self._port}/clips/{name}.mp4")

    def release(self, name: str) -> None:
        """Forget the clip."""
        self._held.pop(name, None)

    async def close(self) -> None:
        """Stop listening."""
        self._held.clear()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _serve(self, request: web.Request) -> web.Response:
        data = self._held.get(request.match_info["name"])
        if data is None:
            raise web.HTTPNotFound
        return web.Response(body=data, content_type="video/mp4")
