"""Where the Event Reviewer API finds the clips and CV metadata that requests name by path."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

from sidecar.errors import MediaForbidden, MediaMissing
from sidecar.model import Clip, Footage, MediaType, Overlay
from sidecar.outside.clips import find_file
from sidecar.outside.container import check_file, open_image
from sidecar.outside.decode import read_timeline
from sidecar.outside.overlay import read_overlays
from sidecar.settings import MediaSettings, ReviewSettings


class LocalReviewMedia:
    """Reads below the allowed folders; `sidecar.ports.ReviewMedia`.

    Args:
        settings: the folder that relative paths start from.
        media: further folders, and limits.
    """

    def __init__(self, settings: ReviewSettings, media: MediaSettings) -> None:
        self._base = settings.media_base_dir
        self._media = media
        self.roots = (self._base, *media.allowed_roots) if self._base else media.allowed_roots

    def absolute(self, path: str) -> str:
        """Return the path from the folder that relative ones start from; "" stays ""."""
        is_relative = path and not path.startswith("/")
        if is_relative and self._base is not None and self._base.is_dir():
            return str(self._base.absolute() / path)
        return path

    async def find(self, path: str) -> Footage:
        """Find a clip and measure it.

        Raises:
            MediaError: there is no usable clip.
        """
        return await asyncio.to_thread(self._measured, path)

    async def overlays(self, path: str, footage: Footage) -> Sequence[Overlay]:
        """Read the CV metadata about a clip.

        Raises:
            MediaError: there is no usable file.
        """
        return await asyncio.to_thread(self._read_overlays, path, footage)

    def locate(self, path: str) -> Path:
        """Return the real path of a file that may be read.

        Raises:
            MediaForbidden, MediaMissing: there is none.
        """
        absolute = self.absolute(path)
        try:
            return find_file(absolute, self.roots)
        except MediaMissing as error:
            raise MediaMissing(f"File {absolute} does not exist or cannot be read.") from error
        except MediaForbidden as error:
            raise MediaForbidden(
                f"File {absolute} is not a file below an allowed folder. Set "
                "SIDECAR_REVIEW__MEDIA_BASE_DIR, or list folders in SIDECAR_MEDIA__ALLOWED_ROOTS."
            ) from error

    def _measured(self, path: str) -> Footage:
        return measure(self.locate(path), MediaType.VIDEO, self._media)

    def _read_overlays(self, path: str, footage: Footage) -> Sequence[Overlay]:
        absolute = self.absolute(path)
        try:
            found = find_file(absolute, self.roots)
        except (MediaMissing, MediaForbidden) as error:
            raise MediaMissing(f"CV metadata file {absolute} does not exist") from error
        return read_overlays(found, (footage.width, footage.height), self._media.max_bytes)


def measure(path: Path, media_type: MediaType, limits: MediaSettings) -> Footage:
    """Look at the header and the packets of a file, without decoding it.

    Raises:
        MediaError: it is no such medium, or beyond the limits.
    """
    check_file(path, limits.max_bytes)
    clip = Clip(media_type, (path,))
    if media_type is MediaType.IMAGE:
        with open_image(path, limits) as (_, stream):
            return Footage(clip, 0.0, stream.width, stream.height)
    timeline = read_timeline(path, limits)
    return Footage(clip, timeline.duration_s, timeline.width, timeline.height)
