"""Opening media files with PyAV, within limits: the border where its errors become ours."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, cast

from sidecar.errors import (
    MediaEmpty,
    MediaError,
    MediaMissing,
    MediaNotVideo,
    MediaTooLarge,
    MediaTooManyPixels,
    MediaTruncated,
    MediaWithoutVideo,
)
from sidecar.settings import MediaSettings

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

VIDEO_FORMATS: Final = "mov,mp4,matroska,webm,mpegts,mpeg,avi,flv,asf"
"""FFmpeg's names of the accepted containers. Playlists (HLS, DASH, concat) are not among them:
they would make FFmpeg open further files and URLs."""
IMAGE_FORMATS: Final = "jpeg_pipe,png_pipe,gif,webp_pipe,bmp_pipe"


def check_file(path: Path, max_bytes: int) -> None:
    """Check that there is a file of a sensible size.

    Raises:
        MediaMissing, MediaEmpty, MediaTooLarge: there is not.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise MediaMissing(f"{path.name} does not exist or cannot be read.") from error
    if size == 0:
        raise MediaEmpty(f"{path.name} is empty (0 bytes).")
    if size > max_bytes:
        raise MediaTooLarge(
            f"{path.name} has {size} bytes, more than {max_bytes} (SIDECAR_MEDIA__MAX_BYTES)."
        )


@contextmanager
def open_video(path: Path, limits: MediaSettings) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """Open a clip and find its video track, ready to be decoded in this thread only.

    Raises:
        MediaNotVideo, MediaTruncated, MediaWithoutVideo: there is none.
    """
    from av.stream import Disposition

    with path.open("rb") as source, _opened(source, path, VIDEO_FORMATS, limits) as container:
        for stream in container.streams.video:
            codec = cast("VideoCodecContext | None", stream.codec_context)
            cover = stream.disposition & Disposition.attached_pic
            if codec is not None and codec.width and codec.height and not cover:
                codec.thread_count = 1
                codec.options = _codec_options(limits)
                yield container, stream
                return
        raise MediaWithoutVideo(
            f"{path.name} holds no video track that can be decoded; is it audio only?"
        )


@contextmanager
def open_image(path: Path, limits: MediaSettings) -> "Iterator[tuple[InputContainer, VideoStream]]":
    """Open a picture, which FFmpeg takes for a clip of one frame.

    Raises:
        MediaNotVideo: it is none.
    """
    # FFmpeg would open a file object's name itself, and read `%d` in it as a series of files.
    source = io.BytesIO(path.read_bytes())
    with _opened(source, path, IMAGE_FORMATS, limits) as container:
        stream = container.streams.video[0]
        stream.codec_context.options = _codec_options(limits)
        yield container, stream


def read_packets(
    container: "InputContainer", stream: "VideoStream"
) -> "Iterator[Packet[VideoStream]]":
    """Read packets up to the end, or to where the file is damaged."""
    import av

    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except av.FFmpegError:
        return


def decode_packet(
    codec: "VideoCodecContext",
    packet: "Packet[VideoStream] | None",
    path: Path,
    limits: MediaSettings,
) -> "Iterator[VideoFrame]":
    """Decode one packet, or drain the decoder with None. A damaged packet gives nothing.

    Raises:
        MediaTooManyPixels: the picture is larger than the limit, whatever the header said.
    """
    import av

    try:
        frames = codec.decode(packet)
    except av.ArgumentError as error:
        raise too_many_pixels(path, limits) from error
    except av.FFmpegError:
        return
    yield from (frame for frame in frames if not frame.is_corrupt)


def not_image(path: Path) -> MediaNotVideo:
    """Say that a file is no picture."""
    return MediaNotVideo(f"{path.name} is not a picture in JPEG, PNG, GIF, WebP or BMP.")


def too_many_pixels(path: Path, limits: MediaSettings) -> MediaTooManyPixels:
    """Say that pictures are too large."""
    return MediaTooManyPixels(
        f"{path.name} has frames of more than {limits.max_frame_pixels} pixels "
        "(SIDECAR_MEDIA__MAX_FRAME_PIXELS)."
    )


@contextmanager
def _opened(
    source: IO[bytes], path: Path, formats: str, limits: MediaSettings
) -> "Iterator[InputContainer]":
    import av

    try:
        container = av.open(
            source,
            "r",
            options=_codec_options(limits),
            container_options={"format_whitelist": formats},
        )
    except (av.FFmpegError, ValueError) as error:
        if formats == IMAGE_FORMATS:
            raise not_image(path) from error
        raise _unreadable(source, path) from error
    with container:
        yield container


def _codec_options(limits: MediaSettings) -> dict[str, str]:
    """Let decoders refuse a larger picture before they allocate it."""
    return {"max_pixels": str(limits.max_frame_pixels)}


def _unreadable(source: IO[bytes], path: Path) -> MediaError:
    """Tell an MP4 that was cut off before its index from a file that is no clip."""
    source.seek(4)
    if source.read(4) == b"ftyp":
        return MediaTruncated(
            f"{path.name} is cut off: its index (moov) is missing. Was it still being written?"
        )
    return MediaNotVideo(
        f"{path.name} is not a video in MP4, MOV, MKV, WebM, MPEG-TS, AVI, FLV or WMV. "
        "Send pictures with media_type image."
    )
