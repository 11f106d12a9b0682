"""The media of a chat: data URIs, `file://` URLs below the allowed folders, and web URLs."""

import asyncio
import binascii
import tempfile
from base64 import b64decode
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from sidecar.errors import MediaForbidden, MediaNotVideo, MediaRoute, MediaTooLarge
from sidecar.model import Anchor, Clip, MediaRequest, MediaType, VerifyEvent
from sidecar.ports import ClipSource

_BASE64: Final = ";base64"
_INLINE: Final = "data:"
_FILE: Final = "file:"
_WEB: Final = ("http:", "https:")


@dataclass(frozen=True, slots=True)
class ChatMedia:
    """Opens what a chat names; `sidecar.ports.ClipSource`.

    Attributes:
        clips: fetches web URLs and finds local files, with all checks; closed by its owner.
        max_bytes: largest decoded data URI.
    """

    clips: ClipSource
    max_bytes: int

    @asynccontextmanager
    async def open(
        self, event: VerifyEvent, *, download: bool, anchor: Anchor | None = None
    ) -> AsyncIterator[Clip]:
        """Give the clip, or all the pictures; temporary files live until the context ends.

        Args:
            event: its media are looked at by what each URL says, whatever the route.
            download: False passes URLs on, data URIs too, and checks the others.
            anchor: not used; a chat names its media itself.

        Raises:
            MediaError: one of them cannot be had.
        """
        media = event.media
        async with AsyncExitStack() as stack:
            opened = [
                await stack.enter_async_context(self._one(event, ref, download, anchor))
                for ref in media.refs
            ]
            yield Clip(
                media.type,
                tuple(chain.from_iterable(clip.paths for clip in opened)),
                tuple(chain.from_iterable(clip.urls for clip in opened)),
                total=len(media.refs),
            )

    async def ping(self) -> str:
        """Return what is wrong with the source of other clips."""
        return await self.clips.ping()

    async def close(self) -> None:
        """Do nothing: `clips` belongs to the caller."""

    def _one(
        self, event: VerifyEvent, ref: str, download: bool, anchor: Anchor | None
    ) -> AbstractAsyncContextManager[Clip]:
        kind = event.media.type
        if ref[: len(_INLINE)].lower() == _INLINE:
            return self._inline(ref, kind) if download else _passed(ref, kind)
        if ref[: len(_FILE)].lower() == _FILE:
            request = MediaRequest(MediaRoute.LOCAL, kind, (_path(ref),))
        elif ref.lower().startswith(_WEB):
            request = MediaRequest(MediaRoute.DIRECT, kind, (ref,))
        else:
            raise MediaForbidden("Media are named by http, https, file:/// or data URLs.")
        return self.clips.open(replace(event, media=request), download=download, anchor=anchor)

    @asynccontextmanager
    async def _inline(self, uri: str, kind: MediaType) -> AsyncIterator[Clip]:
        with tempfile.TemporaryDirectory(prefix="sidecar-chat-") as folder:
            path = Path(folder) / kind.value
            await asyncio.to_thread(self._decode, uri, path)
            yield Clip(kind, (path,))

    def _decode(self, uri: str, path: Path) -> None:
        head, _, payload = uri.partition(",")
        if not head.lower().endswith(_BASE64):
            raise MediaNotVideo("A data URI must be written as `data:<type>;base64,<data>`.")
        if len(payload) * 3 // 4 > self.max_bytes:
            raise MediaTooLarge(
                f"An inline medium is larger than {self.max_bytes} bytes "
                "(SIDECAR_MEDIA__MAX_BYTES)."
            )
        try:
            path.write_bytes(b64decode(payload, validate=True))
        except (binascii.Error, ValueError):
            raise MediaNotVideo(
                "A data URI does not hold base64. Lists of frames (`data:video/jpeg`) are not "
                "taken: send an MP4, or pictures as image_url."
            ) from None


@asynccontextmanager
async def _passed(ref: str, kind: MediaType) -> AsyncIterator[Clip]:
    yield Clip(kind, urls=(ref,))


def _path(url: str) -> str:
    """Return the path of a `file://` URL.

    Raises:
        MediaForbidden: it names another host.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise MediaForbidden("A file URL cannot be read as a URL.") from None
    if parts.netloc not in {"", "localhost"}:
        raise MediaForbidden("A file URL must not name a host: write file:///path/clip.mp4.")
    return unquote(parts.path)
