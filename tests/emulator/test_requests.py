"""What a chat request costs is read off the request."""

import base64
import io
from typing import Any

import av
import numpy as np
import pytest

from sidecar.testing.emulated_boards import alert_shape, video_shape
from sidecar.testing.emulated_requests import BadMedia, shape_of


def _mp4(frames: int, fps: int, width: int = 448, height: int = 448) -> str:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for _ in range(frames):
            picture = av.VideoFrame.from_ndarray(np.zeros((height, width, 3), np.uint8), "rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return f"data:video/mp4;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _jpeg(width: int, height: int) -> str:
    import cv2

    done, encoded = cv2.imencode(".jpg", np.zeros((height, width, 3), np.uint8))
    assert done
    return base64.b64encode(encoded.tobytes()).decode()


def _body(kind: str, *urls: str, **fields: Any) -> dict[str, Any]:
    parts = [{"type": kind, kind: {"url": url}} for url in urls]
    text = {"type": "text", "text": "Is there smoke?"}
    return {"messages": [{"role": "user", "content": [*parts, text]}], **fields}


def test_the_loader_shows_two_frames_a_second() -> None:
    """Of 40 frames written at 4 a second the model sees 20; all of them are decoded."""
    shape = shape_of(_body("video_url", _mp4(40, 4)), 1)

    assert video_shape(448, 448, 20, text_tokens=0).vision_tokens == shape.vision_tokens
    assert pytest.approx(40 * 448 * 448 / 1e6) == shape.decoded_mpixels


def test_a_request_may_ask_for_more_frames_and_fewer_pixels() -> None:
    """As VSS does, by `media_io_kwargs` and `mm_processor_kwargs`."""
    more = {
        "media_io_kwargs": {"video": {"num_frames": -1, "fps": 4}},
        "mm_processor_kwargs": {"size": {"longest_edge": 1_000_000}},
    }
    shape = shape_of(_body("video_url", _mp4(40, 4), **more), 1)

    wanted = video_shape(448, 448, 40, text_tokens=0, pixels=1_000_000)
    assert wanted.vision_tokens == shape.vision_tokens < 1000


def test_frames_sent_as_jpegs_are_cut_off_at_32() -> None:
    """Silently, as the real server does."""
    frame = _jpeg(448, 448)
    shape = shape_of(_body("video_url", f"data:video/jpeg;base64,{','.join([frame] * 40)}"), 1)

    assert video_shape(448, 448, 32, text_tokens=0).vision_tokens == shape.vision_tokens


def test_pictures_cost_their_own_pixels() -> None:
    """Two of them, as `image_url` parts."""
    picture = f"data:image/jpeg;base64,{_jpeg(640, 360)}"

    assert 440 == shape_of(_body("image_url", picture, picture), 1).vision_tokens


def test_a_clip_elsewhere_is_taken_for_the_one_vss_sends() -> None:
    """10 s of 1080p; what the request asks of it counts."""
    asked = {
        "media_io_kwargs": {"video": {"fps": 4}},
        "mm_processor_kwargs": {"size": {"longest_edge": 3_960_000}},
    }
    shape = shape_of(_body("video_url", "http://vst/clip.mp4", **asked), 1)

    assert alert_shape().vision_tokens == shape.vision_tokens
    assert alert_shape().decoded_mpixels == shape.decoded_mpixels


def test_text_and_the_limit_of_the_answer_count() -> None:
    """A longer prompt has more tokens, and an answer no more than `max_tokens`."""
    short = shape_of({"messages": [{"role": "user", "content": "yes?"}]}, 50)
    long = shape_of({"messages": [{"role": "user", "content": "yes? " * 100}], "max_tokens": 8}, 50)

    assert short.text_tokens + 100 < long.text_tokens
    assert (50, 8) == (short.answer_tokens, long.answer_tokens)
    assert 0 == short.vision_tokens


@pytest.mark.parametrize("content", ["!!!", base64.b64encode(b"no video").decode(), ""])
def test_media_that_cannot_be_read_are_refused(content: str) -> None:
    """As a server answers 400."""
    with pytest.raises(BadMedia, match="The media"):
        shape_of(_body("video_url", f"data:video/mp4;base64,{content}"), 1)
