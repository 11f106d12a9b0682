"""From video and picture files to small pictures. Synchronous: runs in a worker thread.

A clip is read twice: first without decoding, which gives the time of every frame whatever the
headers claim; then decoding only what the wanted frames depend on.
"""

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sidecar.errors import MediaTooLong, MediaTruncated
from sidecar.outside.container import (
    decode_packet,
    not_image,
    open_image,
    open_video,
    read_packets,
    too_many_pixels,
)
from sidecar.outside.sampling import Size
from sidecar.settings import MediaSettings

if TYPE_CHECKING:
    import numpy as np
    from av.container import InputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

    Picture = np.ndarray[Any, np.dtype[np.uint8]]
    """Height x width x 3, blue-green-red."""

MAX_RATE: Final = 240
"""Frames per second that a clip of the longest allowed duration may hold."""
COMPLETE: Final = 0.9
"""A clip that lacks more than a tenth of the length in its header counts as truncated."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture as it is shown: resized and upright.

    Attributes:
        picture: height x width x 3, blue-green-red.
        source: width and height that the upright picture had before it was resized.
    """

    picture: "Picture"
    source: Size


@dataclass(frozen=True, slots=True)
class Timeline:
    """When the frames of a clip are shown.

    Attributes:
        time_base: seconds in one tick.
        ticks: presentation time of each packet, in the order of decoding.
        keys: positions in `ticks` where decoding can start; the first packet always counts.
        shown: ticks of the frames that a viewer sees, ascending, each once.
        duration_s: from the first frame to the end of the last.
        width, height: pixels as the header states them.
        timed: False when the container stores no presentation times (AVI): then the packets'
            ticks are those of decoding, and only the order of the decoded frames tells theirs.
    """

    time_base: Fraction
    ticks: tuple[int, ...]
    keys: tuple[int, ...]
    shown: tuple[int, ...]
    duration_s: float
    width: int
    height: int
    timed: bool = True

    def seconds(self, tick: int) -> float:
        """Return the time of a tick in seconds from the first frame."""
        return float((tick - self.shown[0]) * self.time_base)


def read_timeline(path: Path, limits: MediaSettings) -> Timeline:
    """Read the times of all frames without decoding any.

    Raises:
        MediaNotVideo, MediaWithoutVideo: not a clip.
        MediaTooLong, MediaTooManyPixels: beyond the limits.
        MediaTruncated: much shorter than its header says.
    """
    with open_video(path, limits) as (container, stream):
        header_s = _header_length_s(container, stream)
        if header_s > limits.max_duration_s:
            raise _too_long(path, limits)
        if stream.width * stream.height > limits.max_frame_pixels:
            raise too_many_pixels(path, limits)
        timeline = _scan(container, stream, path, limits)
    if timeline is None or timeline.duration_s < COMPLETE * header_s:
        found_s = timeline.duration_s if timeline is not None else 0.0
        raise MediaTruncated(
            f"{path.name} is cut off: its header says {header_s:.1f} s, it holds {found_s:.1f} s."
        )
    return timeline


def decode_pictures(
    path: Path,
    timeline: Timeline,
    wanted: Sequence[int],
    size: Size,
    limits: MediaSettings,
    stop: threading.Event,
) -> dict[int, Sample]:
    """Decode and resize the wanted frames, each as it comes: one at full size is held at a time.

    Args:
        path: the clip that `timeline` was read from.
        timeline: of that clip.
        wanted: ticks, ascending.
        size: width and height before the clip's rotation is applied.
        limits: pixels of a frame.
        stop: set to give up early; the result is then incomplete.

    Returns:
        Samples by tick. A frame that cannot be decoded is replaced by the one shown before it.

    Raises:
        MediaTruncated: less than nine tenths of the stretch can be decoded.
        MediaTooManyPixels: a frame is larger than the header says and than the limit.
    """
    samples: dict[int, Sample] = {}
    if timeline.timed:
        chosen = frozenset(wanted)
        frames = _decode(path, timeline, chosen, limits, stop)
        samples = {t: _resized(f, size) for f in frames if (t := _tick(f)) in chosen}
    if len(samples) < len(wanted):
        # Damaged, or a stream that cannot be entered at its key frames.
        every = _decode_all(path, timeline, limits, stop)
        samples = {tick: _resized(f, size) for tick, f in _last_before(every, wanted)}
    last_s = timeline.seconds(max(samples, default=timeline.shown[0]))
    if not stop.is_set() and (not samples or last_s < COMPLETE * timeline.seconds(wanted[-1])):
        raise MediaTruncated(f"{path.name} is damaged: only the first {last_s:.1f} s decode.")
    return samples


def decode_image(path: Path, limits: MediaSettings, fit: Callable[[int, int], Size]) -> Sample:
    """Decode a picture and resize it to `fit(width, height)`.

    Raises:
        MediaNotVideo: not a picture.
        MediaTooManyPixels: beyond the limit.
    """
    with open_image(path, limits) as (container, stream):
        for packet in read_packets(container, stream):
            for frame in decode_packet(stream.codec_context, packet, path, limits):
                return _resized(frame, fit(frame.width, frame.height))
    raise not_image(path)


def needed_packets(timeline: Timeline, wanted: Collection[int]) -> bytearray:
    """Mark with 1 the packets that must be decoded to see the wanted frames.

    Decoding starts at the key frame before a wanted frame; for a frame that is decoded after a
    key frame but shown before it, at the key frame before that.
    """
    needed = bytearray(len(timeline.ticks))
    for position, tick in enumerate(timeline.ticks):
        if tick in wanted:
            key = bisect_right(timeline.keys, position) - 1
            if tick < timeline.ticks[timeline.keys[key]]:
                key = max(key - 1, 0)
            start = timeline.keys[key]
            needed[start : position + 1] = b"\x01" * (position + 1 - start)
    return needed


def _header_length_s(container: "InputContainer", stream: "VideoStream") -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / 1_000_000


def _scan(
    container: "InputContainer", stream: "VideoStream", path: Path, limits: MediaSettings
) -> Timeline | None:
    """Collect the times of all packets; None when there is none to show."""
    ticks: list[int] = []
    keys = [0]
    lengths: dict[int, int] = {}
    tick = 0
    for packet in read_packets(container, stream):
        known = packet.pts if packet.pts is not None else packet.dts
        tick = tick if known is None else known
        if packet.is_keyframe and ticks:
            keys.append(len(ticks))
        ticks.append(tick)
        if not (packet.is_discard or packet.is_corrupt):
            lengths[tick] = packet.duration or 0
        if len(ticks) > MAX_RATE * limits.max_duration_s:
            raise _too_long(path, limits)
    if not lengths:
        return None
    shown = tuple(sorted(lengths))
    mean = (shown[-1] - shown[0]) / max(len(shown) - 1, 1)
    time_base = stream.time_base or Fraction(1)
    duration_s = float((shown[-1] - shown[0] + (lengths[shown[-1]] or mean)) * time_base)
    if duration_s > limits.max_duration_s:
        raise _too_long(path, limits)
    return Timeline(
        time_base,
        tuple(ticks),
        tuple(keys),
        shown,
        duration_s,
        stream.width,
        stream.height,
        timed=container.format.name != "avi",
    )


def _decode(
    path: Path,
    timeline: Timeline,
    wanted: frozenset[int],
    limits: MediaSettings,
    stop: threading.Event,
) -> "Iterator[VideoFrame]":
    """Give at least the wanted frames, in the order of their times, and as few others as can be."""
    needed = needed_packets(timeline, wanted)
    end = needed.rfind(1) + 1
    with open_video(path, limits) as (container, stream):
        codec = stream.codec_context
        for position, packet in enumerate(read_packets(container, stream)):
            if stop.is_set() or position >= end:
                break
            if needed[position]:
                codec.skip_frame = "DEFAULT" if timeline.ticks[position] in wanted else "NONREF"
                yield from decode_packet(codec, packet, path, limits)
            elif position and needed[position - 1]:
                yield from decode_packet(codec, None, path, limits)
                codec.flush_buffers()
        yield from decode_packet(codec, None, path, limits)


def _decode_all(
    path: Path, timeline: Timeline, limits: MediaSettings, stop: threading.Event
) -> "Iterable[tuple[int, VideoFrame]]":
    """Give all frames with their ticks."""
    frames = _decode(path, timeline, frozenset(timeline.ticks), limits, stop)
    if timeline.timed:
        return ((_tick(frame), frame) for frame in frames)
    return zip(timeline.shown, frames, strict=False)


def _last_before(
    frames: "Iterable[tuple[int, VideoFrame]]", wanted: Sequence[int]
) -> "Iterator[tuple[int, VideoFrame]]":
    """Give for each wanted tick the last frame up to it, with its own tick."""
    queue = deque(wanted)
    previous = None
    for tick, frame in frames:
        while previous is not None and queue and tick > queue[0]:
            yield previous
            queue.popleft()
        previous = (tick, frame)
    if previous is not None and queue:
        yield previous


def _tick(frame: "VideoFrame") -> int:
    tick = frame.pts if frame.pts is not None else frame.dts
    return 0 if tick is None else tick


def _resized(frame: "VideoFrame", size: Size) -> Sample:
    """Resize by area and turn upright. swscale does both colour and size in one pass."""
    import numpy as np

    small = frame.reformat(size[0], size[1], "bgr24", interpolation=exact_area())
    quarters = round(frame.rotation / 90) % 4
    picture = np.ascontiguousarray(np.rot90(small.to_ndarray(), quarters), dtype=np.uint8)
    on_its_side = quarters % 2 == 1
    source = (frame.height, frame.width) if on_its_side else (frame.width, frame.height)
    return Sample(picture, source)


def exact_area() -> int:
    """Return swscale's flags for averaging without its usual loss of up to 5 grey levels."""
    from av.video.reformatter import Interpolation

    flags = Interpolation.AREA | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
    return int(flags)


def _too_long(path: Path, limits: MediaSettings) -> MediaTooLong:
    return MediaTooLong(
        f"{path.name} is longer than {limits.max_duration_s:g} s (SIDECAR_MEDIA__MAX_DURATION_S)."
    )
