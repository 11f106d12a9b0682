"""Small media files for tests: made in milliseconds, with a content that tests can recognise."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Picture = np.ndarray[Any, np.dtype[np.uint8]]

WIDTH, HEIGHT = 320, 192
"""Size of the pictures in pixels unless another one is asked for."""


def still_picture(width: int = WIDTH, height: int = HEIGHT) -> "Picture":
    """Return a textured picture, always the same: height x width x 3, blue-green-red."""
    import cv2
    import numpy as np

    noise = np.random.default_rng(7).integers(40, 200, (12, 20, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def moving_square(count: int, width: int = WIDTH, height: int = HEIGHT) -> "list[Picture]":
    """Return pictures of a white square that crosses a still scene from left to right."""
    scene = still_picture(width, height)
    side = height // 4
    pictures = []
    for i in range(count):
        picture = scene.copy()
        left = (width - side) * i // max(count - 1, 1)
        picture[side : 2 * side, left : left + side] = 255
        pictures.append(picture)
    return pictures


def write_video(
    path: Path,
    pictures: "Sequence[Picture]",
    *,
    fps: float = 10.0,
    times_s: Sequence[float] | None = None,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> Path:
    """Write pictures as a clip; the suffix of `path` chooses the container.

    Args:
        path: the file to make.
        pictures: all of one even size.
        fps: constant frame rate.
        times_s: times of the pictures in seconds instead of a constant rate.
        codec: FFmpeg's name of the encoder.
        options: of the encoder; None is `crf` 18 for libx264.
    """
    import av
    from av.video.reformatter import Interpolation
    from av.video.stream import VideoStream

    exact = int(Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT)
    rate = Fraction(fps).limit_denominator(1000)
    if options is None and codec == "libx264":
        options = {"crf": "18"}
    with av.open(path, "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        assert isinstance(stream, VideoStream)
        stream.pix_fmt = "yuv420p"
        stream.height, stream.width = pictures[0].shape[:2]
        if times_s is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for i, picture in enumerate(pictures):
            drawn = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame = drawn.reformat(format="yuv420p", interpolation=exact)
            frame.time_base = 1 / rate if times_s is None else Fraction(1, 1000)
            frame.pts = i if times_s is None else round(times_s[i] * 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_motion(
    path: Path,
    *,
    seconds: float = 2.0,
    fps: float = 10.0,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Path:
    """Write a clip of a square that moves through a still scene."""
    return write_video(path, moving_square(round(seconds * fps), width, height), fps=fps)


def write_still(path: Path, *, seconds: float = 2.0, fps: float = 10.0) -> Path:
    """Write a clip in which nothing moves."""
    return write_video(path, [still_picture()] * round(seconds * fps), fps=fps)


def write_single_frame(path: Path) -> Path:
    """Write a clip of one frame."""
    return write_video(path, [still_picture()])


def write_long(path: Path, *, hours: float = 10.0) -> Path:
    """Write a tiny clip of many hours: one frame a minute."""
    return write_video(path, [still_picture(64, 64)] * round(hours * 60), fps=1 / 60)


def write_audio_only(path: Path, *, seconds: float = 1.0) -> Path:
    """Write an MP4 that holds a silent audio track and no video."""
    import av
    import numpy as np

    with av.open(path, "w") as container:
        stream = container.add_stream("aac", rate=16_000)
        for i in range(round(seconds * 16_000 / 1024)):
            samples = np.zeros((1, 1024), dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate = 16_000
            frame.pts = i * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_truncated(path: Path, *, index_first: bool, keep: float = 0.6) -> Path:
    """Write a clip of 4 s and cut its file off.

    Args:
        path: the file to make.
        index_first: True leaves the index (moov) whole, which then promises too much; False
            loses it with the end of the file.
        keep: part of the bytes that remain.
    """
    import av

    flags = {"movflags": "faststart"} if index_first else {}
    whole = path.with_suffix(".whole.mp4")
    write_motion(whole, seconds=4.0)
    with av.open(whole) as source, av.open(path, "w", container_options=flags) as target:
        track = source.streams.video[0]
        stream = target.add_stream_from_template(track)
        for packet in source.demux(track):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    whole.unlink()
    content = path.read_bytes()
    path.write_bytes(content[: round(len(content) * keep)])
    return path


def write_image(path: Path, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """Write a picture; the suffix of `path` chooses the format."""
    import cv2

    _, data = cv2.imencode(path.suffix, still_picture(width, height))
    path.write_bytes(data.tobytes())
    return path
