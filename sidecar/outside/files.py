"""Uploaded files: one folder for each, with the content and a small JSON file that describes it."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from typing import BinaryIO, Final
from uuid import UUID, uuid4

import orjson

from sidecar.errors import MediaError, ReviewRefused
from sidecar.model import Footage, MediaType, StoredFile
from sidecar.outside.review_media import LocalReviewMedia, measure
from sidecar.settings import MediaSettings, ReviewSettings

_CONTENT: Final = "content"
_FACTS: Final = "file.json"
_NEW: Final = ".new-"


class FolderFileStore:
    """Keeps files in a folder; `sidecar.ports.FileStore`. For one process.

    Args:
        settings: the folder and its limit.
        media: limits of one file.
        local: finds files that are taken where they lie.
    """

    def __init__(
        self, settings: ReviewSettings, media: MediaSettings, local: LocalReviewMedia
    ) -> None:
        self._folder = settings.files_dir
        self._most = settings.max_files_bytes
        self._media = media
        self._local = local
        self._users: Counter[str] = Counter()
        self._adding = asyncio.Lock()

    async def add(
        self, content: BinaryIO, name: str, media_type: MediaType, camera_id: str
    ) -> StoredFile:
        """Copy a file.

        Raises:
            ReviewRefused: it is not such a medium, or there is no room.
        """
        async with self._adding:
            return await asyncio.to_thread(self._copy, content, name, media_type, camera_id)

    async def link(self, path: str, media_type: MediaType, camera_id: str) -> StoredFile:
        """Take a file where it lies.

        Raises:
            ReviewRefused: it is not such a medium, or cannot be read.
        """
        return await asyncio.to_thread(self._link, path, media_type, camera_id)

    async def list(self) -> Sequence[StoredFile]:
        """Return all files, oldest first."""
        return await asyncio.to_thread(self._all)

    async def find(self, file_id: str) -> StoredFile:
        """Return a file.

        Raises:
            ReviewRefused: there is none.
        """
        return await asyncio.to_thread(self._read, file_id)

    @asynccontextmanager
    async def use(self, file_id: str) -> AsyncGenerator[StoredFile]:
        """Keep a file from being deleted while the context lasts.

        Raises:
            ReviewRefused: on entering, when there is none.
        """
        self._users[file_id] += 1
        try:
            yield await self.find(file_id)
        finally:
            self._users[file_id] -= 1
            if not self._users[file_id]:
                del self._users[file_id]

    async def measure(self, file: StoredFile) -> Footage:
        """Return a file as a clip.

        Raises:
            MediaError: it cannot be read any more.
        """
        return await asyncio.to_thread(measure, file.path, file.media_type, self._media)

    async def delete(self, file_id: str) -> None:
        """Forget a file. One that was named stays where it lies.

        Raises:
            ReviewRefused: there is none, or it is in use.
        """
        await self.find(file_id)
        if file_id in self._users:
            raise ReviewRefused(409, "ResourceInUse", f"Resource {file_id} is being used")
        with suppress(FileNotFoundError):  # somebody else was faster
            await asyncio.to_thread(shutil.rmtree, self._folder / file_id)

    def _copy(
        self, content: BinaryIO, name: str, media_type: MediaType, camera_id: str
    ) -> StoredFile:
        file_id = str(uuid4())
        size = content.seek(0, 2)
        content.seek(0)
        if sum(file.size for file in self._all() if _is_copy(file)) + size > self._most:
            raise ReviewRefused(
                503,
                "ServerBusy",
                f"The store holds {self._most} bytes at most (SIDECAR_REVIEW__MAX_FILES_BYTES). "
                "Delete files.",
            )
        with self._made(file_id) as folder:
            path = folder / _CONTENT
            with path.open("wb") as target:
                shutil.copyfileobj(content, target)
            _require_medium(path, name, media_type, self._media)
            final = self._folder / file_id / _CONTENT
            file = StoredFile(file_id, name, size, media_type, final, camera_id)
            (folder / _FACTS).write_bytes(_write(file))
        return file

    def _link(self, path: str, media_type: MediaType, camera_id: str) -> StoredFile:
        file_id = str(uuid4())
        try:
            found = self._local.locate(path)
        except MediaError as error:
            raise ReviewRefused(400, "InvalidFile", error.detail) from error
        _require_medium(found, found.name, media_type, self._media)
        size = found.stat().st_size
        file = StoredFile(file_id, found.name, size, media_type, found, camera_id)
        with self._made(file_id) as folder:
            (folder / _FACTS).write_bytes(_write(file))
        return file

    @contextmanager
    def _made(self, file_id: str) -> Generator[Path]:
        """Give a folder that gets its name when the context ends, or is gone when it fails."""
        folder = self._folder / f"{_NEW}{file_id}"
        try:
            folder.mkdir(parents=True)
            yield folder
            folder.rename(self._folder / file_id)
        except OSError as error:
            raise ReviewRefused(
                503, "ServerBusy", f"The file cannot be stored: {error.strerror}."
            ) from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _all(self) -> Sequence[StoredFile]:
        found = []
        for facts in self._folder.glob(f"[!.]*/{_FACTS}"):
            with suppress(OSError, ReviewRefused):  # deleted meanwhile
                found.append((facts.stat().st_mtime_ns, self._read(facts.parent.name)))
        return [file for _, file in sorted(found, key=itemgetter(0))]

    def _read(self, file_id: str) -> StoredFile:
        try:
            UUID(file_id)
            facts = orjson.loads((self._folder / file_id / _FACTS).read_bytes())
        except (OSError, ValueError) as error:
            raise ReviewRefused(400, "BadParameter", f"No such resource {file_id}") from error
        own = self._folder / file_id / _CONTENT
        return StoredFile(
            id=file_id,
            name=facts["name"],
            size=facts["size"],
            media_type=MediaType(facts["media_type"]),
            path=Path(facts["path"]) if facts["path"] else own,
            camera_id=facts["camera_id"],
        )


def _is_copy(file: StoredFile) -> bool:
    return file.path.name == _CONTENT and file.path.parent.name == file.id


def _write(file: StoredFile) -> bytes:
    return orjson.dumps(
        {
            "name": file.name,
            "size": file.size,
            "media_type": file.media_type.value,
            "path": "" if _is_copy(file) else str(file.path),
            "camera_id": file.camera_id,
        }
    )


def _require_medium(path: Path, name: str, media_type: MediaType, limits: MediaSettings) -> None:
    try:
        measure(path, media_type, limits)
    except MediaError as error:
        text = error.detail.replace(path.name, name)
        raise ReviewRefused(400, "InvalidFile", text) from error
