"""What a media file is, by its content and not by its name."""

import asyncio
from pathlib import Path
from typing import Final

from sidecar.model import MediaType
from sidecar.outside.container import check_file, open_image, open_video
from sidecar.settings import MediaSettings

_VIDEO: Final = {
    "mov": "video/mp4",
    "matroska": "video/x-matroska",
    "mpegts": "video/mp2t",
    "mpeg": "video/mpeg",
    "avi": "video/x-msvideo",
    "flv": "video/x-flv",
    "asf": "video/x-ms-asf",
}
"""By the first of FFmpeg's names of the container."""
_IMAGE: Final = {
    "jpeg_pipe": "image/jpeg",
    "png_pipe": "image/png",
    "gif": "image/gif",
    "webp_pipe": "image/webp",
    "bmp_pipe": "image/bmp",
}
_WEBM: Final = frozenset({"vp8", "vp9", "av1"})


class PyavMediaTypes:
    """Fulfils `ports.MediaTypes`.

    Args:
        limits: of media files.
    """

    def __init__(self, limits: MediaSettings) -> None:
        self._limits = limits

    async def type_of(self, path: Path, kind: MediaType) -> str:
        """Return the media type of a file."""
        return await asyncio.to_thread(self._type_of, path, kind)

    def _type_of(self, path: Path, kind: MediaType) -> str:
        check_file(path, self._limits.max_bytes)
        if kind is MediaType.IMAGE:
            with open_image(path, self._limits) as (container, _):
                return _IMAGE[container.format.name]
        with open_video(path, self._limits) as (container, stream):
            name = container.format.name.partition(",")[0]
            is_webm = name == "matroska" and stream.codec_context.name in _WEBM
            return "video/webm" if is_webm else _VIDEO[name]
