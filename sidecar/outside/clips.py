"""From an event to its media: URLs that it names, files that it names, or VSS's recorder."""

import asyncio
import stat
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, TypeAlias

import structlog

from sidecar.errors import (
    EmptyMediaList,
    MediaEmpty,
    MediaForbidden,
    MediaMissing,
    MediaNotStored,
    MediaRoute,
    MediaUnreachable,
    NoMedia,
    RecordingNotFound,
)
from sidecar.model import Anchor, Clip, MediaRequest, MediaType, VerifyEvent
from sidecar.outside.fetch import GuardedFetcher, not_stored
from sidecar.outside.vst import Recording, VstClient
from sidecar.settings import MediaSettings

_NO_RECORDER: Final = (
    "The event names no media. Put URLs into info.media_urls or a file path into "
    "info.video_path, or set SIDECAR_VST__BASE_URL so that the clip is asked from VST."
)
_NEEDS_URL: Final = (
    "This arm's evidence form is `url`, but the event names a local file, which has no URL. "
    "Put a URL into info.media_urls, or set the arm's evidence to `video` or `frames`."
)
_ROOM_PAUSES_S: Final = (0.5, 1.0, 2.0, 4.0, 8.0)
"""How long a full disk is waited for."""
_NOT_YET: Final = (RecordingNotFound, MediaUnreachable, MediaEmpty)
"""How a recorder fails while it still writes the clip."""

Folder: TypeAlias = "tempfile.TemporaryDirectory[str]"

_log = structlog.get_logger()


class Clips:
    """Finds the media of events; `sidecar.ports.ClipSource`.

    Args:
        media: limits and allowed folders.
        fetcher: downloads and checks URLs. Closed together with this object.
        vst: the recorder, closed as well; None when there is none.
        sleep: waits for the recorder.
    """

    def __init__(
        self,
        media: MediaSettings,
        fetcher: GuardedFetcher,
        vst: VstClient | None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._media = media
        self._fetcher = fetcher
        self._vst = vst
        self._sleep = sleep

    @asynccontextmanager
    async def open(
        self, event: VerifyEvent, *, download: bool, anchor: Anchor | None = None
    ) -> AsyncIterator[Clip]:
        """Give the clip; its downloads are deleted when the context ends.

        Args:
            event: whose media to find.
            download: False gives checked URLs only.
            anchor: which part of the event a recorder's clip shows; None leaves it to the settings.

        Raises:
            MediaError: there is no usable clip.
        """
        if not download:
            yield await self._find(event, anchor, None)
            return
        clip, folder = await self._stored(event, anchor)
        with folder:
            yield clip

    async def ping(self) -> str:
        """Return "" when the recorder answers or there is none, else what is wrong."""
        return await self._vst.ping() if self._vst is not None else ""

    async def close(self) -> None:
        """Close the fetcher and the recorder's client."""
        await self._fetcher.close()
        if self._vst is not None:
            await self._vst.close()

    async def _stored(self, event: VerifyEvent, anchor: Anchor | None) -> tuple[Clip, Folder]:
        """Find the clip and keep it in a folder of its own; wait a while for room on the disk."""
        for pause_s in _ROOM_PAUSES_S:
            try:
                return await self._store(event, anchor)
            except MediaNotStored as error:
                _log.warning("no_room_for_a_clip", key=event.key, detail=error.detail)
                await self._sleep(pause_s)
        return await self._store(event, anchor)

    async def _store(self, event: VerifyEvent, anchor: Anchor | None) -> tuple[Clip, Folder]:
        folder = _make_folder()
        try:
            return await self._find(event, anchor, Path(folder.name)), folder
        except BaseException:
            folder.cleanup()
            raise

    async def _find(self, event: VerifyEvent, anchor: Anchor | None, folder: Path | None) -> Clip:
        match event.media.route:
            case MediaRoute.DIRECT:
                return await self._direct(event.media, folder)
            case MediaRoute.LOCAL:
                return await self._local(event.media, folder)
            case MediaRoute.RECORDER:
                return await self._recorded(event, anchor, folder)

    async def _direct(self, media: MediaRequest, folder: Path | None) -> Clip:
        if not media.refs:
            raise EmptyMediaList
        urls = self._selected(media)
        paths = []
        for url in urls:
            if folder is None:
                await self._fetcher.check(url)
            else:
                paths.append(await self._fetcher.download(url, folder))
        source = media.refs[0] if len(media.refs) == 1 else ""
        return Clip(media.type, tuple(paths), urls, source, total=len(media.refs))

    async def _local(self, media: MediaRequest, folder: Path | None) -> Clip:
        if folder is None:
            raise MediaForbidden(_NEEDS_URL)
        if not media.refs:
            raise NoMedia(_NO_RECORDER)
        paths = [
            await asyncio.to_thread(find_file, ref, self._media.allowed_roots)
            for ref in self._selected(media)
        ]
        return Clip(media.type, tuple(paths), total=len(media.refs))

    async def _recorded(
        self, event: VerifyEvent, anchor: Anchor | None, folder: Path | None
    ) -> Clip:
        """Wait for a clip that is just being recorded, and at last take what there is."""
        if self._vst is None:
            raise NoMedia(_NO_RECORDER)
        window = self._vst.window(event, anchor)
        for pause_s in self._vst.pauses(window):
            try:
                recording = await self._vst.resolve(event, window)
                if recording.is_whole:
                    return await self._fetched(recording, event.media.type, folder)
            except _NOT_YET:
                pass
            await self._sleep(pause_s)
        recording = await self._vst.resolve(event, window)
        return await self._fetched(recording, event.media.type, folder)

    async def _fetched(self, recording: Recording, kind: MediaType, folder: Path | None) -> Clip:
        source, start = recording.public_url, recording.start
        if folder is None:
            await self._fetcher.probe(recording.url, trusted=True)
            return Clip(kind, (), (recording.model_url,), source, start=start)
        path = await self._fetcher.download(recording.url, folder, trusted=True)
        return Clip(kind, (path,), (recording.url,), source, start=start)

    def _selected(self, media: MediaRequest) -> tuple[str, ...]:
        return media.refs[: 1 if media.type is MediaType.VIDEO else self._media.max_items]


def _make_folder() -> Folder:
    try:
        return tempfile.TemporaryDirectory(prefix="sidecar-clip-", ignore_cleanup_errors=True)
    except OSError as error:
        place = Path(tempfile.tempdir or tempfile.gettempprefix())
        raise not_stored(place / "clip", error) from error


def find_file(ref: str, roots: tuple[Path, ...]) -> Path:
    """Return the real path of a file below one of `roots`.

    Args:
        ref: absolute, or relative to any of the roots. Links are followed before the check.
        roots: folders whose files may be read.

    Raises:
        MediaForbidden: outside of every root, or not a regular file.
        MediaMissing: below a root, but there is no such file.
    """
    if not roots:
        raise MediaForbidden(
            "The event names a local file, but no folder is allowed. "
            "List folders in SIDECAR_MEDIA__ALLOWED_ROOTS."
        )
    inside = [path for root in roots if (path := _resolved(root, ref)) is not None]
    name = Path(ref).name[:80]
    if not inside:
        raise MediaForbidden(
            f"{name} is not below an allowed folder. Move it there, or add its folder to "
            "SIDECAR_MEDIA__ALLOWED_ROOTS."
        )
    modes = {path: mode for path in inside if (mode := _mode(path))}
    if not modes:
        raise MediaMissing(f"{name} does not exist or cannot be read. Check info.video_path.")
    found, mode = next(iter(modes.items()))
    if not stat.S_ISREG(mode):
        raise MediaForbidden(f"{name} is not a regular file.")
    return found


def _resolved(root: Path, ref: str) -> Path | None:
    """Follow `ref` from `root`; None when it leads out, through links or `..`, or is no path."""
    try:
        real_root = root.resolve()
        path = (real_root / ref).resolve()
    except (OSError, ValueError, RuntimeError):  # name too long, NUL byte, loop of links
        return None
    return path if path.is_relative_to(real_root) else None


def _mode(path: Path) -> int:
    """Return type and permissions of a file; 0 when it cannot be looked at."""
    try:
        return path.stat().st_mode
    except OSError:
        return 0
