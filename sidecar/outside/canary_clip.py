"""The clip that the canary asks about: a bright square that crosses a grey picture."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from sidecar.model import Clip, MediaType

FRAMES: Final = 16
FPS: Final = 8
_WIDTH, _HEIGHT, _SQUARE = 320, 192, 48


@asynccontextmanager
async def open_canary_clip() -> AsyncGenerator[Clip]:
    """Give the clip, a file of two seconds that lives until the context ends."""
    with TemporaryDirectory(prefix="sidecar-canary-") as folder:
        path = Path(folder) / "canary.mp4"
        await asyncio.to_thread(_write, path)
        yield Clip(MediaType.VIDEO, paths=(path,))


def _write(path: Path) -> None:
    import numpy as np

    from sidecar.outside.frames import to_mp4

    pictures = []
    for number in range(FRAMES):
        picture = np.full((_HEIGHT, _WIDTH, 3), 90, np.uint8)
        left = number * (_WIDTH - _SQUARE) // (FRAMES - 1)
        picture[72 : 72 + _SQUARE, left : left + _SQUARE] = 230
        pictures.append(picture)
    path.write_bytes(to_mp4(pictures, Fraction(FPS)))
