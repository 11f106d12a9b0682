"""The pictures and clips of the probe, and how many frames of them a server's token counts mean.

The frames that a model saw are told by `usage.prompt_tokens` alone. A clip is sent in two widths:
the difference of the two counts is what the added pixels cost, whatever the text costs. One token
stands for 32 x 32 pixels; two frames share a grid of tokens (Qwen3-VL line), or each has its own
(Cosmos3-Edge), which a clip of four frames tells: loaders take at least so many.
"""

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, Final

CLIP_FRAMES: Final = 24
CLIP_FPS: Final = 8
THIN_FPS: Final = 5
"""Asked of the server; no loader's own habit shows as many frames of the clip."""
THIN_FRAMES: Final = CLIP_FRAMES * THIN_FPS // CLIP_FPS
WIDTHS: Final = (64, 128)
HEIGHT: Final = 64
MANY_IMAGES: Final = 32
FEWER_IMAGES: Final = (16, 10, 5)
_SHORT_FRAMES: Final = 4
_ADDED_PER_GRID: Final = (WIDTHS[1] - WIDTHS[0]) // 32 * (HEIGHT // 32)
_SQUARE: Final = 16
_LIMIT: Final = re.compile(
    r"(?:at most|up to|more than|limit of|maximum of)\s+(\d{1,3})\s+(?:image|picture)",
    re.IGNORECASE,
)

Part = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Tokens:
    """What the same clip cost in the two widths."""

    narrow: int
    wide: int

    @property
    def grids(self) -> int:
        """How many grids of tokens the clip filled; 0 when the server resizes every clip."""
        return (self.wide - self.narrow) // _ADDED_PER_GRID


@dataclass(frozen=True, slots=True)
class Ruler:
    """Turns token counts into frames.

    Attributes:
        text: tokens of the question without any clip.
        short: those of a clip of four frames, one per second.
    """

    text: int
    short: Tokens

    def frames(self, clip: Tokens) -> int:
        """Return how many frames of the clip were seen, an odd number perhaps counted one up."""
        per_grid = 1 if self.short.grids >= _SHORT_FRAMES else 2
        return min(clip.grids * per_grid, CLIP_FRAMES)

    def loader_fps(self, clip: Tokens) -> float | None:
        """Return the rate at which the server samples; see `ServerDialect.loader_fps`."""
        if clip.narrow <= self.text:
            return None  # frames are not counted
        if not clip.grids:
            return self._fps_of_resized(clip)
        if self.short.grids <= 1:
            return 0.0
        return float(self.frames(clip) * CLIP_FPS // CLIP_FRAMES)

    def _fps_of_resized(self, clip: Tokens) -> float:
        """Compare with the short clip, as a server that resizes shows no difference of widths."""
        if clip.narrow <= self.short.narrow:
            return 0.0
        frames = _SHORT_FRAMES * (clip.narrow - self.text) // (self.short.narrow - self.text)
        return float(min(frames, CLIP_FRAMES) * CLIP_FPS // CLIP_FRAMES)


def images_seen(sent: int, tokens: int, one: int, text: int) -> int:
    """Return how many of the pictures the model saw.

    Args:
        sent: pictures in the request.
        tokens: of the request; 0 when the server counts none, and all are taken for seen.
        one: tokens of a request with one picture.
        text: tokens of the question alone.
    """
    if not tokens or one <= text:
        return sent
    return min((tokens - text) // (one - text), sent)


def named_limit(refusal: str, sent: int) -> int | None:
    """Return the number of pictures that a refusal names as the limit."""
    found = _LIMIT.search(refusal)
    return int(found[1]) if found and int(found[1]) < sent else None


def long_video(width: int) -> Part:
    """Return a clip of 24 frames at 8 frames per second."""
    return _video(width, CLIP_FRAMES, CLIP_FPS)


def short_video(width: int) -> Part:
    """Return a clip of 4 frames, one per second."""
    return _video(width, _SHORT_FRAMES, 1)


@cache
def image() -> Part:
    """Return a small picture."""
    import cv2

    _, jpeg = cv2.imencode(".jpg", _picture(WIDTHS[0], 0.0))
    return {"type": "image_url", "image_url": {"url": _data_uri("image/jpeg", jpeg.tobytes())}}


@cache
def _video(width: int, frames: int, fps: int) -> Part:
    from sidecar.outside.frames import to_mp4

    mp4 = to_mp4([_picture(width, number / frames) for number in range(frames)], Fraction(fps))
    return {"type": "video_url", "video_url": {"url": _data_uri("video/mp4", mp4)}}


def _picture(width: int, way: float) -> Any:
    """Draw a square on its way, 0..1, across a grey picture."""
    import numpy as np

    picture = np.full((HEIGHT, width, 3), 90, np.uint8)
    left = int(way * (width - _SQUARE))
    picture[24 : 24 + _SQUARE, left : left + _SQUARE] = 230
    return picture


def _data_uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode('ascii')}"
