"""`cv_metadata_overlay`: boxes of the detector on the frames that the model sees."""

import base64
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from review_samples import CV_METADATA, full, reviewing

from sidecar.testing.media import HEIGHT, WIDTH

FRAMES_ARM = {"evidence": "frames"}
BOX = {"lX": 80, "tY": 48, "rX": 240, "bY": 144}


def _described(timestamp_s: float, **facts: Any) -> dict[str, Any]:
    """Describe a frame with one object, as VSS's CV pipeline does."""
    tracked = {"id": 7, "type": "person", "bbox": BOX, "conf": 0.9, "misc": []}
    size = {"frameWidth": WIDTH, "frameHeight": HEIGHT}
    return {"frameNo": 0, "timestamp": timestamp_s * 1e9, "objects": [tracked], **size, **facts}


async def _pictures(folder: Path, *, overlay: bool) -> list[Any]:
    """Return the pictures that the model was sent, one for each second."""
    request = full(num_frames_per_chunk=6, cv_metadata_overlay=overlay, vlm_input_width=0)
    async with reviewing(folder, arm=FRAMES_ARM) as (service, vlm):
        status, body = await service.post("/reviewAlert", request)
        assert status == 200, body
        (asked,) = vlm.requests
    parts = asked["messages"][-1]["content"][:-1]
    jpegs = [base64.b64decode(part["image_url"]["url"].partition(",")[2]) for part in parts]
    return [cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) for jpeg in jpegs]


def _changed(drawn: Any, plain: Any) -> Any:
    """Mark the pixels that differ by more than a decoder's rounding."""
    return np.abs(drawn.astype(int) - plain.astype(int)).max(axis=2) > 60


async def test_boxes_are_drawn_where_and_when_the_metadata_says(folder: Path) -> None:
    """The frames near a described one carry its box and the id; the others stay as they are."""
    (folder / CV_METADATA).write_text(json.dumps([_described(2.0), _described(3.0)]))
    plain = await _pictures(folder, overlay=False)
    drawn = await _pictures(folder, overlay=True)

    marked = [_changed(*pair) for pair in zip(drawn, plain, strict=True)]
    assert [False, False, True, True, False, False] == [bool(it.any()) for it in marked]
    top, bottom, left, right = _extent(marked[2])
    height, width = marked[2].shape
    corners = [left * WIDTH / width, top * HEIGHT / height]
    corners += [right * WIDTH / width, bottom * HEIGHT / height]
    assert [80, 48, 240, 144] == pytest.approx(corners, abs=4)
    inside = marked[2][top + 4 : bottom - 4, left + 4 : right - 4]
    assert inside.any(), "the id stands inside of the box"


async def test_pixels_of_the_metadata_are_those_of_its_own_frames(folder: Path) -> None:
    """A detector that looked at twice the size says so; without a size it is the clip's."""
    plain = (await _pictures(folder, overlay=False))[0]
    widths = []
    for described in ({"frameWidth": WIDTH * 2, "frameHeight": HEIGHT * 2}, {"frameWidth": 0}):
        (folder / CV_METADATA).write_text(json.dumps([_described(0.0, **described)]))
        drawn = (await _pictures(folder, overlay=True))[0]
        widths.append(_extent(_changed(drawn, plain))[3] * WIDTH / plain.shape[1])

    assert [120, 240] == pytest.approx(widths, abs=4)


def _extent(marked: Any) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right."""
    rows, columns = np.nonzero(marked)
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())
