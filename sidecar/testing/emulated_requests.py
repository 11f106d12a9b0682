"""What a chat request costs a model's server, read off the request itself.

Sampling is that of vLLM 0.32, as measured: its loader shows two frames for each second of a video,
or as many as `media_io_kwargs` ask for, and of frames that are sent as JPEGs the first 32.
"""

import base64
import binascii
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from sidecar.testing.emulated_boards import Shape, image_shape, load_emulator, video_shape

_LOADER_FPS: Final = 2.0
_MOST_JPEGS: Final = 32
_CHARS_A_TOKEN: Final = 4
_MESSAGE_TOKENS: Final = 6
"""Tokens of the template around a message, about."""
_FULL_HD: Final = (1920, 1080)
_JPEGS: Final = "data:video/jpeg;base64,"


class BadMedia(ValueError):
    """A request whose media no server could read."""


@dataclass(frozen=True, slots=True)
class _Video:
    """A clip as its file tells: frames, frames/s, and pixels of a frame."""

    frames: int
    fps: float
    width: int
    height: int


def shape_of(body: Mapping[str, Any], answer_tokens: int) -> Shape:
    """Return the shape of a chat request; media that are no data URL count as VSS's usual ones.

    Blocks while it reads the heads of the media files.

    Args:
        body: of the request.
        answer_tokens: of the answer when nothing limits it.

    Raises:
        BadMedia: a data URL cannot be read.
    """
    answer_tokens = max(1, min(answer_tokens, _limit(body)))
    text = sum(map(_text_tokens, body.get("messages", ())))
    parts = list(_media(body))
    shapes = [_video(part, body) for kind, part in parts if kind == "video_url"]
    sizes = [_image_size(part) for kind, part in parts if kind == "image_url"]
    if sizes:
        shapes.append(image_shape(sizes, 0))
    return Shape(
        decoded_mpixels=sum(it.decoded_mpixels for it in shapes),
        vision_tokens=sum(it.vision_tokens for it in shapes),
        grid_tokens=max((it.grid_tokens for it in shapes), default=0),
        text_tokens=text + sum(it.text_tokens for it in shapes),
        answer_tokens=answer_tokens,
    )


def _limit(body: Mapping[str, Any]) -> int:
    given = body.get("max_completion_tokens") or body.get("max_tokens")
    return given if isinstance(given, int) else 2**31


def _text_tokens(message: Mapping[str, Any]) -> int:
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"text": content}]
    chars = sum(len(part.get("text") or "") for part in parts)
    return _MESSAGE_TOKENS + math.ceil(chars / _CHARS_A_TOKEN)


def _media(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Give the kind and URL of each part that is no text; a part without a URL is a cached one."""
    for message in body.get("messages", ()):
        content = message.get("content")
        for part in content if isinstance(content, list) else ():
            for kind in ("video_url", "image_url"):
                url = (part.get(kind) or {}).get("url")
                if isinstance(url, str):
                    yield kind, url


def _video(url: str, body: Mapping[str, Any]) -> Shape:
    pixels = _pixels(body)
    if url.startswith(_JPEGS):
        jpegs = url.removeprefix(_JPEGS).split(",")
        width, height = _size(_decoded(jpegs[0]))
        seen = min(len(jpegs), _MOST_JPEGS)
        return video_shape(
            width, height, seen, text_tokens=0, decoded_frames=len(jpegs), pixels=pixels
        )
    video = _clip(url)
    rate = _rate(body)
    seen = max(1, min(video.frames, int(video.frames / video.fps * rate)))
    return video_shape(
        video.width,
        video.height,
        seen,
        text_tokens=0,
        decoded_frames=video.frames,
        pixels=pixels,
    )


def _clip(url: str) -> _Video:
    if not url.startswith("data:"):
        alert = load_emulator().alert
        frames = round(alert.seconds.value * alert.camera_fps.value)
        return _Video(frames, alert.camera_fps.value, *_FULL_HD)
    return _probe(_decoded(url.partition(",")[2]))


def _image_size(url: str) -> tuple[int, int]:
    if not url.startswith("data:"):
        return _FULL_HD
    return _size(_decoded(url.partition(",")[2]))


def _size(content: bytes) -> tuple[int, int]:
    picture = _probe(content)
    return picture.width, picture.height


def _rate(body: Mapping[str, Any]) -> float:
    """Return the frames that the loader shows for a second."""
    loader = (body.get("media_io_kwargs") or {}).get("video") or {}
    processor = body.get("mm_processor_kwargs") or {}
    given = loader.get("fps") or processor.get("fps")
    return float(given) if isinstance(given, int | float) and given > 0 else _LOADER_FPS


def _pixels(body: Mapping[str, Any]) -> int | None:
    size = (body.get("mm_processor_kwargs") or {}).get("size") or {}
    longest = size.get("longest_edge")
    return longest if isinstance(longest, int) and longest > 0 else None


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadMedia(f"The media are not base64: {error}.") from error


def _probe(content: bytes) -> _Video:
    import av

    try:
        with av.open(io.BytesIO(content), "r", metadata_errors="ignore") as container:
            stream = container.streams.video[0]
            fps = float(stream.average_rate or 0) or _LOADER_FPS
            seconds = (container.duration or 0) / av.time_base
            frames = stream.frames or max(1, round(seconds * fps))
            return _Video(frames, fps, stream.width, stream.height)
    except (av.FFmpegError, IndexError, ValueError) as error:
        raise BadMedia(f"The media cannot be read: {error}.") from error
