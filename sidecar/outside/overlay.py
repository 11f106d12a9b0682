"""Boxes of a detector on the frames that a model sees: the CV metadata file of VSS 2.4.

The file is a JSON list with one object for each frame: `timestamp` (nanoseconds of the clip),
`frameWidth`, `frameHeight` and `objects`, of which each has an `id`, a `type` and a `bbox` with
`lX`, `tY`, `rX` and `bY` in pixels of that frame.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from sidecar.errors import MediaNotVideo
from sidecar.model import Box, Overlay
from sidecar.outside.container import check_file

if TYPE_CHECKING:
    import numpy as np

    Picture = np.ndarray[Any, np.dtype[np.uint8]]

NEAR_S: Final = 0.5
"""A frame gets the boxes of the nearest described one, unless that is farther away than this."""
COLOUR: Final = (0, 255, 0)
"""Blue-green-red; VST draws green boxes too."""
_NANOSECONDS: Final = 1e9


class _Bbox(BaseModel):
    left: float = Field(alias="lX", allow_inf_nan=False)
    top: float = Field(alias="tY", allow_inf_nan=False)
    right: float = Field(alias="rX", allow_inf_nan=False)
    bottom: float = Field(alias="bY", allow_inf_nan=False)


class _Object(BaseModel):
    id: int | str = ""
    bbox: _Bbox


class _DescribedFrame(BaseModel):
    timestamp: float = Field(ge=0, allow_inf_nan=False)
    width: int = Field(0, alias="frameWidth", ge=0)
    height: int = Field(0, alias="frameHeight", ge=0)
    objects: list[_Object] = []


_FRAMES: Final[TypeAdapter[list[_DescribedFrame]]] = TypeAdapter(list[_DescribedFrame])


def read_overlays(path: Path, size: tuple[int, int], max_bytes: int) -> tuple[Overlay, ...]:
    """Read a CV metadata file.

    Args:
        path: the file.
        size: width and height of the clip, for frames that do not state their own.
        max_bytes: larger files are refused.

    Raises:
        MediaMissing, MediaEmpty, MediaTooLarge: there is no such file.
        MediaNotVideo: it is no CV metadata.
    """
    check_file(path, max_bytes)
    try:
        frames = _FRAMES.validate_python(orjson.loads(path.read_bytes()))
    except (orjson.JSONDecodeError, ValidationError) as error:
        raise MediaNotVideo(
            f"{path.name} is not CV metadata: a JSON list of frames with `timestamp` and `objects`."
        ) from error
    overlays = (Overlay(it.timestamp / _NANOSECONDS, _boxes(it, size)) for it in frames)
    return tuple(sorted(overlays, key=lambda overlay: overlay.time_s))


def draw_overlays(pictures: "Mapping[float, Picture]", overlays: Sequence[Overlay]) -> None:
    """Draw into pictures the boxes of the described frame that is nearest to each.

    Args:
        pictures: by their times in seconds; height x width x 3, blue-green-red. They are changed.
        overlays: at least one.
    """
    for time_s, picture in pictures.items():
        nearest = min(overlays, key=lambda overlay: abs(overlay.time_s - time_s))
        if abs(nearest.time_s - time_s) <= NEAR_S:
            for box in nearest.boxes:
                _draw(picture, box)


def _boxes(frame: _DescribedFrame, size: tuple[int, int]) -> tuple[Box, ...]:
    width, height = frame.width or size[0], frame.height or size[1]
    return tuple(
        Box(
            it.bbox.left / width,
            it.bbox.top / height,
            it.bbox.right / width,
            it.bbox.bottom / height,
            label=str(it.id),
        )
        for it in frame.objects
    )


def _draw(picture: "Picture", box: Box) -> None:
    """Draw a box and its label, which stands inside of its upper left corner."""
    import cv2

    height, width = picture.shape[:2]
    left, right = (round(_share(x) * (width - 1)) for x in (box.x1, box.x2))
    top, bottom = (round(_share(y) * (height - 1)) for y in (box.y1, box.y2))
    thickness = max(1, round(height / 240))
    cv2.rectangle(picture, (left, top), (right, bottom), COLOUR, thickness)
    scale = max(0.4, height / 720)
    at = (left + 2 * thickness, top + round(24 * scale))
    cv2.putText(picture, box.label, at, cv2.FONT_HERSHEY_SIMPLEX, scale, COLOUR, thickness)


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)
