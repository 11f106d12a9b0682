"""Media that come with their event, as files in one folder until the event is decided.

For `<name>` beside it lies `<name>.key`, which tells whose it is. Both are on the disk before the
event is accepted, so that an accepted event never misses its media.
"""

import asyncio
import hashlib
import io
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final

from sidecar.errors import BodyTooLarge, InvalidRequest, Issue, Overloaded, StoreUnavailable
from sidecar.model import Frame
from sidecar.settings import MediaSettings

KEY_SUFFIX: Final = ".key"
UNCLAIMED_S: Final = 3600.0
"""Files are on the disk before their event; after so long no event will come any more."""

_TICKS: Final = 1000


class InlineMediaFolder:
    """Fulfils `ports.InlineMedia`.

    Args:
        folder: is made when missing.
        limits: of one event's media and of all together.
    """

    def __init__(self, folder: Path, limits: MediaSettings) -> None:
        self._folder = folder
        self._limits = limits
        self._kept_bytes = 0

    async def ping(self) -> str:
        """Return "" when the folder can be written, else what is wrong."""
        try:
            await asyncio.to_thread(self._prepare)
        except StoreUnavailable as error:
            return error.detail
        return ""

    async def close(self) -> None:
        """Do nothing: there is nothing here to release."""

    async def keep_clip(self, key: str, clip: bytes) -> str:
        """Store a video file durably and return its name for `info.video_path`."""
        if not clip:
            raise _invalid("event.clip", "The clip is empty.")
        return await self._keep(key, clip, ".mp4")

    async def keep_frames(self, key: str, frames: Sequence[Frame]) -> str:
        """Store pictures durably as one clip with their times; a single one as a picture."""
        self._check(frames)
        if len(frames) == 1:
            return await self._keep(key, frames[0].jpeg, ".jpg")
        clip = await asyncio.to_thread(join_frames, frames)
        return await self._keep(key, clip, ".mkv")

    async def forget(self, name: str, key: str) -> None:
        """Remove what was kept under a name for this key."""
        if (self._folder / name).parent == self._folder:
            await asyncio.to_thread(self._forget, name, key)

    async def sweep(self, is_decided: Callable[[str], Awaitable[bool | None]]) -> None:
        """Remove what nobody needs any more, and count the rest anew."""
        kept = 0
        for name, key, age_s in await asyncio.to_thread(self._list):
            decided = await is_decided(key)
            if decided or (decided is None and age_s > UNCLAIMED_S):
                await self.forget(name, key)
            else:
                kept += _size(self._folder / name)
        self._kept_bytes = kept

    def _check(self, frames: Sequence[Frame]) -> None:
        if not 0 < len(frames) <= self._limits.inline_max_frames:
            raise _invalid(
                "event.frames",
                f"There are {len(frames)} frames; send 1 to {self._limits.inline_max_frames} "
                "(SIDECAR_MEDIA__INLINE_MAX_FRAMES).",
            )
        times = [round(frame.timestamp_s * _TICKS) for frame in frames]
        if times[0] < 0 or any(late <= early for early, late in pairwise(times)):
            raise _invalid(
                "event.frames",
                "The offsets must grow from frame to frame by a millisecond or more.",
            )
        if not all(frame.jpeg.startswith(b"\xff\xd8\xff") for frame in frames):
            raise _invalid("event.frames", "Every frame must be a JPEG picture.")

    async def _keep(self, key: str, content: bytes, suffix: str) -> str:
        size, limits = len(content), self._limits
        if size > limits.max_bytes:
            raise BodyTooLarge(
                f"The inline media have {size} bytes; {limits.max_bytes} are allowed "
                "(SIDECAR_MEDIA__MAX_BYTES)."
            )
        if self._kept_bytes + size > limits.inline_max_total_bytes:
            raise Overloaded(
                f"Inline media of {self._kept_bytes} bytes wait for their verdicts. Send again in "
                "a moment, or raise SIDECAR_MEDIA__INLINE_MAX_TOTAL_BYTES."
            )
        self._kept_bytes += size
        digest = hashlib.sha256(key.encode() + b"\0" + content).hexdigest()
        await asyncio.to_thread(self._write, digest + suffix, key, content)
        return digest + suffix

    def _write(self, name: str, key: str, content: bytes) -> None:
        self._prepare()
        with self._border():
            _write_durably(self._folder / f"{name}{KEY_SUFFIX}", key.encode())
            _write_durably(self._folder / name, content)
            _sync_folder(self._folder)

    def _prepare(self) -> None:
        with self._border():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if not os.access(self._folder, os.W_OK | os.X_OK):
                raise PermissionError(13, "Permission denied")

    def _forget(self, name: str, key: str) -> None:
        path, owner = self._folder / name, self._folder / f"{name}{KEY_SUFFIX}"
        if _read(owner) != key:
            return
        with self._border():
            self._kept_bytes -= min(_size(path), self._kept_bytes)
            path.unlink(missing_ok=True)
            owner.unlink(missing_ok=True)

    def _list(self) -> list[tuple[str, str, float]]:
        """List name, key and age in seconds of what is kept."""
        now = time.time()
        return [
            (owner.name.removesuffix(KEY_SUFFIX), _read(owner), now - owner.stat().st_mtime)
            for owner in sorted(self._folder.glob(f"*{KEY_SUFFIX}"))
        ]

    @contextmanager
    def _border(self) -> Iterator[None]:
        """Translate trouble with the folder."""
        try:
            yield
        except OSError as error:
            raise StoreUnavailable(
                f"Inline media cannot be kept in {self._folder} ({error.strerror}). Make it "
                "writable and make room, or set SIDECAR_MEDIA__INLINE_DIR."
            ) from error


def join_frames(frames: Sequence[Frame]) -> bytes:
    """Write JPEG pictures as a Matroska clip; the pictures stay as they are, to the byte.

    Raises:
        InvalidRequest: they cannot be read.
    """
    import av
    from av.video.stream import VideoStream

    target = io.BytesIO()
    try:
        with av.open(io.BytesIO(frames[0].jpeg), format="jpeg_pipe") as first:
            template = first.streams.video[0]
            with av.open(target, "w", format="matroska") as clip:
                stream = clip.add_stream_from_template(template)
                assert isinstance(stream, VideoStream)
                stream.time_base = Fraction(1, _TICKS)
                for frame in frames:
                    packet = av.Packet(frame.jpeg)
                    packet.stream, packet.time_base = stream, Fraction(1, _TICKS)
                    packet.pts = packet.dts = round(frame.timestamp_s * _TICKS)
                    packet.is_keyframe = True
                    clip.mux(packet)
    except av.FFmpegError as error:
        text = f"The frames cannot be read as JPEG pictures ({error.strerror})."
        raise _invalid("event.frames", text) from error
    return target.getvalue()


def _write_durably(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; its folder is synced by the caller."""
    draft = path.with_name(f"{path.name}.{os.urandom(4).hex()}.draft")
    with draft.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _read(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _invalid(field: str, message: str) -> InvalidRequest:
    return InvalidRequest((Issue(field, "media_invalid", message),))
