"""Small pictures of what models saw, one ZIP for each event, in a folder of bounded size.

It is a cache: nothing is synced to the disk, and what is lost is made again from the clip where
that is still to be had.
"""

import asyncio
import hashlib
import io
import os
import zipfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import structlog

from sidecar.model import Evidence, EvidenceForm, Frame, KeptFrames
from sidecar.outside.sampling import thin_out
from sidecar.ports import Clock
from sidecar.settings import FrameSettings

if TYPE_CHECKING:
    import numpy as np

    Picture = np.ndarray[Any, np.dtype[np.uint8]]

QUALITY: Final = 80
_SUFFIX: Final = ".zip"
_UNFINISHED: Final = ".part"
_FACTS: Final = "frames.json"
_DAY_S: Final = 86_400.0
_LEFT: Final = 0.9
"""Share of the room that is kept when it is exceeded, so that the folder is not listed each time.
"""

_log = structlog.get_logger()


class FolderFrames:
    """Fulfils `ports.FrameStore`; one thread of its own shrinks and writes.

    Args:
        folder: is made when missing. None keeps nothing.
        settings: how much to keep.
        clock: tells what is too old.
    """

    def __init__(self, folder: Path | None, settings: FrameSettings, clock: Clock) -> None:
        self._folder = folder if settings.keep_bytes else None
        self._settings = settings
        self._clock = clock
        self._bytes = 0
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="frames")

    @property
    def keeps(self) -> bool:
        """Whether anything is kept."""
        return self._folder is not None

    async def keep(
        self, key: str, evidence: Evidence, start: datetime | None, *, exact: bool
    ) -> KeptFrames:
        """Shrink what a model saw, and store it where there is room."""
        work = partial(self._keep, key, evidence, start, exact)
        return await asyncio.get_running_loop().run_in_executor(self._worker, work)

    async def find(self, key: str) -> KeptFrames | None:
        """Return what is kept for an event, or None."""
        if self._folder is None:
            return None
        return await asyncio.to_thread(_read, _path(self._folder, key))

    async def narrow(self, jpeg: bytes, width: int) -> bytes:
        """Return a picture with at most `width` pixels in a row."""
        return await asyncio.to_thread(_narrow, jpeg, width)

    async def sweep(self) -> None:
        """Remove what is too old, and the oldest of what is too much."""
        await asyncio.get_running_loop().run_in_executor(self._worker, self._sweep)

    async def close(self) -> None:
        """End the thread. Safe to call twice."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _keep(
        self, key: str, evidence: Evidence, start: datetime | None, exact: bool
    ) -> KeptFrames:
        kept = KeptFrames(
            frames=tuple(_shrink(evidence, self._settings)),
            start=start,
            asked=evidence.frames_asked,
            sent=evidence.frames_sent,
            exact=exact,
        )
        if self._folder is not None:
            try:
                self._bytes += _write(_path(self._folder, key), _pack(kept))
            except OSError as error:
                _log.warning("frames_not_stored", folder=str(self._folder), detail=error.strerror)
            if self._bytes > self._settings.keep_bytes:
                self._sweep()
        return kept

    def _sweep(self) -> None:
        if self._folder is None:
            return
        oldest = self._clock.now().timestamp() - self._settings.keep_days * _DAY_S
        found = sorted(_list(self._folder))
        total, most = sum(size for _, size, _ in found), self._settings.keep_bytes
        room = most if total <= most else int(most * _LEFT)
        for changed_at, size, path in found:
            if changed_at >= oldest and total <= room:
                break
            with suppress(OSError):
                os.unlink(path)  # noqa: PTH108 - as it was listed
            total -= size
        self._bytes = total


def _shrink(evidence: Evidence, settings: FrameSettings) -> Iterator[Frame]:
    places = list(range(len(evidence.timestamps_s)))
    chosen = thin_out(places, settings.per_event)
    for place, picture in _pictures(evidence, set(chosen)):
        yield Frame(evidence.timestamps_s[place], _jpeg(_resized(picture, settings.width)))


def _pictures(evidence: Evidence, chosen: set[int]) -> "Iterator[tuple[int, Picture]]":
    if evidence.form is EvidenceForm.VIDEO:
        yield from _decode(evidence.video, chosen)
        return
    for place, frame in enumerate(evidence.frames):
        if place in chosen:
            yield place, _picture(frame.jpeg)


def _decode(video: bytes, chosen: set[int]) -> "Iterator[tuple[int, Picture]]":
    import av
    import numpy as np

    with av.open(io.BytesIO(video), "r", format="mp4") as container:
        for place, frame in enumerate(container.decode(video=0)):
            if place in chosen:
                yield place, np.asarray(frame.to_ndarray(format="bgr24"), np.uint8)


def _picture(jpeg: bytes) -> "Picture":
    import cv2
    import numpy as np

    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


def _resized(picture: "Picture", width: int) -> "Picture":
    import cv2
    import numpy as np

    height, given = picture.shape[:2]
    if given <= width:
        return picture
    size = (width, max(1, round(height * width / given)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _jpeg(picture: "Picture") -> bytes:
    import cv2

    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return jpeg.tobytes()


def _narrow(jpeg: bytes, width: int) -> bytes:
    picture = _picture(jpeg)
    return jpeg if picture.shape[1] <= width else _jpeg(_resized(picture, width))


def _pack(kept: KeptFrames) -> bytes:
    facts = {
        "times": [frame.timestamp_s for frame in kept.frames],
        "start": kept.start.isoformat() if kept.start else None,
        "asked": kept.asked,
        "sent": kept.sent,
        "exact": kept.exact,
    }
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_FACTS, orjson.dumps(facts))
        for number, frame in enumerate(kept.frames):
            archive.writestr(f"{number}.jpg", frame.jpeg)
    return packed.getvalue()


def _read(path: Path) -> KeptFrames | None:
    """Read a file of `_pack`; None when there is none, or it was cut off."""
    try:
        with zipfile.ZipFile(path) as archive:
            facts = orjson.loads(archive.read(_FACTS))
            frames = [
                Frame(time_s, archive.read(f"{number}.jpg"))
                for number, time_s in enumerate(facts["times"])
            ]
    except (OSError, zipfile.BadZipFile, KeyError, orjson.JSONDecodeError):
        return None
    start = facts["start"]
    return KeptFrames(
        frames=tuple(frames),
        start=datetime.fromisoformat(start) if start else None,
        asked=facts["asked"],
        sent=facts["sent"],
        exact=facts["exact"],
    )


def _path(folder: Path, key: str) -> Path:
    digest = hashlib.sha256(key.encode()).hexdigest()
    return folder / digest[:2] / f"{digest}{_SUFFIX}"


def _write(path: Path, content: bytes) -> int:
    """Write a file as a whole or not at all; returns its size."""
    for folder in (path.parent.parent, path.parent):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_suffix(_UNFINISHED)
    try:
        unfinished.write_bytes(content)
        unfinished.replace(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    return len(content)


def _list(folder: Path) -> Sequence[tuple[float, int, str]]:
    """List when each file was written, its size, and its path."""
    found: list[tuple[float, int, str]] = []
    with suppress(OSError):
        for part in os.scandir(folder):
            with suppress(OSError):
                for entry in os.scandir(part):
                    stat = entry.stat()
                    found.append((stat.st_mtime, stat.st_size, entry.path))
    return found
