"""What media cost in tokens on a stub server: decoded, thinned and counted as the real ones do."""

import io
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

STAMP_TOKENS: Final = 8
IMAGE_MARK_TOKENS: Final = 2
_LEAST_IMAGE_TOKENS: Final = 64  # smaller pictures are enlarged to 65536 pixels
_PIXELS_PER_TOKEN: Final = 32 * 32
_FRAMES_PER_GRID: Final = 2
_MIN_FRAMES: Final = 4
_PROCESSOR_FPS: Final = 2.0
_RT_VLM_SIZE: Final = (608, 320)

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Clip:
    """What a container tells."""

    frames: int
    fps: float
    width: int
    height: int

    def sampled(self, fps: float) -> int:
        """Return how many frames vLLM's Qwen3-VL loader takes."""
        return min(max(int(self.frames / self.fps * fps), _MIN_FRAMES), self.frames)


def parts_of(body: Body, kind: str) -> list[Body]:
    """Return the parts of that type in all messages of a request."""
    contents = [message["content"] for message in body["messages"]]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [part for part in parts if part["type"] == kind]


def open_clip(part: Body) -> Clip:
    """Read the clip in a `video_url` part with a data URI."""
    import av

    mp4 = b64decode(part["video_url"]["url"].partition(",")[2])
    with av.open(io.BytesIO(mp4)) as container:
        stream = container.streams.video[0]
        rate = float(stream.average_rate or 1)
        return Clip(stream.frames, rate, stream.width, stream.height)


def vllm_frames(clip: Clip, body: Body, loader_fps: float) -> int:
    """Count the frames that reach the model on vLLM: `fps` is obeyed, `num_frames` ignored.

    When the loader took all frames, the processor samples them again, unless it is told not to.
    """
    fps = (body.get("media_io_kwargs") or {}).get("video", {}).get("fps")
    if not fps:
        return clip.sampled(loader_fps)
    loaded = clip.sampled(fps)
    resamples = (body.get("mm_processor_kwargs") or {}).get("do_sample_frames") is not False
    return clip.sampled(_PROCESSOR_FPS) if loaded == clip.frames and resamples else loaded


def rt_vlm_frames(clip: Clip, body: Body) -> int:
    """Count the frames that reach the model on RT-VLM: one, unless its own fields ask for more."""
    wanted = body.get("num_frames_per_second_or_fixed_frames_chunk") or 0
    if body.get("use_fps_for_chunking"):
        wanted = wanted * clip.frames / clip.fps
    return min(max(int(wanted), 1), clip.frames)


def rt_vlm_size(body: Body) -> tuple[int, int]:
    """Return the pixels that RT-VLM resizes every frame and picture to."""
    width, height = body.get("vlm_input_width"), body.get("vlm_input_height")
    return (width, height) if width and height else _RT_VLM_SIZE


def video_tokens(frames: int, width: int, height: int) -> int:
    """Count the tokens of a clip, the time before each grid included."""
    grids = -(-frames // _FRAMES_PER_GRID)
    return grids * (width * height // _PIXELS_PER_TOKEN + STAMP_TOKENS)


def image_tokens(part: Body) -> int:
    """Count the tokens of the picture in an `image_url` part with a data URI."""
    import cv2
    import numpy as np

    jpeg = b64decode(part["image_url"]["url"].partition(",")[2])
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    pixels = 0 if picture is None else picture.shape[0] * picture.shape[1]
    return max(pixels // _PIXELS_PER_TOKEN, _LEAST_IMAGE_TOKENS) + IMAGE_MARK_TOKENS
