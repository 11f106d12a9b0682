"""From clips to what a model is shown: few, small, evenly spaced frames with true times."""

import asyncio
import io
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sidecar.errors import MediaSingleFrame
from sidecar.model import Clip, Evidence, EvidenceForm, Frame, MediaType, SamplePlan
from sidecar.outside.container import check_file
from sidecar.outside.decode import (
    Sample,
    Timeline,
    decode_image,
    decode_pictures,
    exact_area,
    read_timeline,
)
from sidecar.outside.overlay import draw_overlays
from sidecar.outside.sampling import MIN_FRAMES, Size, fit_size, sample_times, shown_at, thin_out
from sidecar.settings import MediaSettings

if TYPE_CHECKING:
    import numpy as np

    Picture = np.ndarray[Any, np.dtype[np.uint8]]

JPEG_QUALITY: Final = 92
_X264: Final = {"qp": "4", "preset": "ultrafast"}
"""At most about 2 grey levels off, in a profile that every decoder knows; `qp` does so at any
frame rate, while `crf` takes a clip of 2 fps for one whose pictures are looked at for long. Slower
presets save up to a fifth of the bytes and take twice the time, here and in the server."""
_RATE_DENOMINATOR: Final = 10_000
_EPSILON_S: Final = 1e-6


@dataclass(frozen=True, slots=True)
class _Sampled:
    """Pictures of one clip with their times in seconds.

    Attributes:
        asked: how many pictures the plan asks for, of those that the clip has.
        duration_s: 0.0 for images.
    """

    samples: tuple[Sample, ...]
    times_s: tuple[float, ...]
    asked: int
    duration_s: float = 0.0

    @property
    def pictures(self) -> "list[Picture]":
        return [sample.picture for sample in self.samples]

    @property
    def source(self) -> Size:
        sizes = {sample.source for sample in self.samples}
        return sizes.pop() if len(sizes) == 1 else (0, 0)


class PyavSampler:
    """Decodes with FFmpeg; `sidecar.ports.FrameSampler`.

    Each clip is decoded by one thread and `decode_workers` clips at the same time: FFmpeg's own
    threads would shorten one decode, but add none to the clips per second of a busy machine.
    """

    def __init__(self, settings: MediaSettings) -> None:
        self._settings = settings
        self._under_way = 0
        self._pool = ThreadPoolExecutor(settings.decode_workers, thread_name_prefix="decode")

    @property
    def waiting(self) -> int:
        """How many clips wait until others are decoded."""
        return max(0, self._under_way - self._settings.decode_workers)

    async def sample(self, clip: Clip, plan: SamplePlan) -> Evidence:
        """Decode and sample; a form `url` passes the URLs on, and images are always frames.

        Raises:
            MediaError: the clip cannot be decoded within the limits.
        """
        if plan.form is EvidenceForm.URL:
            return Evidence(EvidenceForm.URL, clip.type, urls=clip.urls)
        stop = threading.Event()
        work = partial(sample_clip, clip, plan, self._settings, stop)
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, work)
        finally:
            self._under_way -= 1
            stop.set()

    async def close(self) -> None:
        """Give up clips that wait; those being decoded end by themselves. Safe to call twice."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def sample_clip(
    clip: Clip, plan: SamplePlan, limits: MediaSettings, stop: threading.Event
) -> Evidence:
    """Decode and sample, in the calling thread.

    Args:
        clip: with files.
        plan: what to show; of any form but `url`.
        limits: of the media.
        stop: set when nobody waits for it any more.

    Raises:
        MediaError: the clip cannot be decoded within the limits.
    """
    for path in clip.paths:
        check_file(path, limits.max_bytes)
    if clip.type is MediaType.IMAGE:
        return _as_frames(clip, _read_images(clip, plan, limits))
    sampled = _read_clip(clip, plan, limits, stop)
    if plan.form is EvidenceForm.VIDEO:
        return _as_video(clip, sampled, plan)
    return _as_frames(clip, sampled)


def _read_clip(
    clip: Clip, plan: SamplePlan, limits: MediaSettings, stop: threading.Event
) -> _Sampled:
    path = clip.paths[0]
    timeline = read_timeline(path, limits)
    if len(timeline.shown) == 1:
        raise MediaSingleFrame(
            f"{path.name} is a video with a single frame. Send it with media_type image."
        )
    shown, duration_s = _part(timeline, clip.span)
    times = sample_times(duration_s, plan)
    asked = shown_at(shown, timeline.time_base, times)
    wanted = asked if plan.form is EvidenceForm.VIDEO else thin_out(asked, plan.max_images)
    size = fit_size(timeline.width, timeline.height, len(wanted), plan)
    samples = decode_pictures(path, timeline, wanted, size, limits, stop)
    if clip.overlays:
        draw_overlays({timeline.seconds(t): it.picture for t, it in samples.items()}, clip.overlays)
    seconds = tuple(timeline.seconds(tick) for tick in samples)
    undecodable = len(wanted) - len(samples)
    count = len(asked) - undecodable
    return _Sampled(tuple(samples.values()), seconds, count, duration_s)


def _part(timeline: Timeline, span: tuple[float, float] | None) -> tuple[Sequence[int], float]:
    """Return the ticks of the frames shown in a span, at least one, and the span's length."""
    if span is None:
        return timeline.shown, timeline.duration_s
    start_s, end_s = span[0], min(span[1], timeline.duration_s)
    first = bisect_right(timeline.shown, start_s, key=timeline.seconds) - 1
    if timeline.seconds(timeline.shown[first]) < start_s - _EPSILON_S:
        first += 1  # what is shown from before the span belongs to the part before it
    end = bisect_left(timeline.shown, end_s - _EPSILON_S, key=timeline.seconds)
    first = min(first, len(timeline.shown) - 1)
    return timeline.shown[first : max(end, first + 1)], max(end_s - start_s, _EPSILON_S)


def _read_images(clip: Clip, plan: SamplePlan, limits: MediaSettings) -> _Sampled:
    paths = thin_out(clip.paths, plan.max_images)
    fit = partial(fit_size, count=len(paths), plan=plan)
    samples = tuple(decode_image(path, limits, fit) for path in paths)
    return _Sampled(samples, (0.0,) * len(paths), len(clip.paths))


def _as_frames(clip: Clip, sampled: _Sampled) -> Evidence:
    frames = (Frame(t, to_jpeg(p)) for t, p in zip(sampled.times_s, sampled.pictures, strict=True))
    return replace(_evidence(EvidenceForm.FRAMES, clip, sampled), frames=tuple(frames))


def _as_video(clip: Clip, sampled: _Sampled, plan: SamplePlan) -> Evidence:
    true = written_rate(sampled.times_s, plan.fps)
    rate = true if plan.written_fps is None else min(true, _rate(plan.written_fps))
    return replace(
        _evidence(EvidenceForm.VIDEO, clip, sampled),
        video=to_mp4(sampled.pictures, rate),
        stretch=float(true / rate),
    )


def _evidence(form: EvidenceForm, clip: Clip, sampled: _Sampled) -> Evidence:
    height, width = sampled.samples[0].picture.shape[:2]
    source_width, source_height = sampled.source
    return Evidence(
        form,
        clip.type,
        timestamps_s=sampled.times_s,
        width=width,
        height=height,
        source_width=source_width,
        source_height=source_height,
        duration_s=sampled.duration_s,
        frames_asked=sampled.asked,
    )


def written_rate(times_s: Sequence[float], fps: float) -> Fraction:
    """Return the rate to write frames of these times with: the mean of their true rate.

    Where frames could not be taken exactly every `1 / fps`, the true rate may lie a little above
    `fps`. A loader that samples at `fps` would then count one frame less, so it is not exceeded,
    except by the few frames of a short clip, which loaders always take whole.
    """
    rate = (len(times_s) - 1) / (times_s[-1] - times_s[0]) if len(times_s) > 1 else fps
    if len(times_s) > MIN_FRAMES:
        rate = min(rate, fps)
    return _rate(rate)


def _rate(fps: float) -> Fraction:
    return Fraction(fps).limit_denominator(_RATE_DENOMINATOR)


def to_jpeg(picture: "Picture") -> bytes:
    """Compress a picture as JPEG."""
    import cv2

    _, jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return jpeg.tobytes()


def to_mp4(pictures: "Sequence[Picture]", rate: Fraction) -> bytes:
    """Write pictures of one even size as an H.264 MP4 of `rate` frames per second.

    Nearly lossless; without reordered frames, so that each loader counts them alike.
    """
    import av

    target = io.BytesIO()
    height, width = pictures[0].shape[:2]
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options=_X264)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1
        for picture in pictures:
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            yuv = frame.reformat(format="yuv420p", interpolation=exact_area())
            container.mux(stream.encode(yuv))
        container.mux(stream.encode(None))
    return target.getvalue()
