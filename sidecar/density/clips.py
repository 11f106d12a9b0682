"""Clips of which no two are alike, made in milliseconds.

A media cache that knows a clip would make a model's server look faster than it is, so neither bytes
nor pictures may repeat. Encoding a clip for each event would cost more than verifying it. So a few
one-second pieces are encoded once, each a closed group of pictures, and every clip is another
sequence of them.
"""

import io
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from sidecar.density.scenario import Clip

if TYPE_CHECKING:
    import numpy as np

_LEAST_BITS: Final = 3
_SCATTER: Final = 0x9E3779B1
"""Odd, so that multiplying by it modulo a power of two maps numbers one to one."""
_GRAIN: Final = 16
"""Pixels of the finest pattern in the pictures."""


@dataclass(frozen=True, slots=True)
class _Piece:
    """One second of video: an MP4 file that serves as template, and its packets."""

    file: bytes
    packets: tuple[bytes, ...]


class ClipMaker:
    """Makes clips by number.

    Args:
        clip: their form.
        count: how many different ones are needed.
    """

    def __init__(self, clip: Clip, count: int) -> None:
        self._clip = clip
        needed = max(count - 1, 1).bit_length()
        self._bits = max(_LEAST_BITS, -(-needed // clip.seconds))
        self._pieces = [_encode(clip, number) for number in range(2**self._bits)]

    def holds(self, count: int) -> bool:
        """Tell whether there are so many different clips."""
        return count.bit_length() <= self._bits * self._clip.seconds

    def make(self, number: int) -> bytes:
        """Return the MP4 file of a clip; another number is another sequence of pictures."""
        import av

        target = io.BytesIO()
        with (
            av.open(io.BytesIO(self._pieces[0].file)) as template,
            av.open(target, "w", format="mp4") as container,
        ):
            stream = container.add_stream_from_template(template.streams.video[0])
            time_base = template.streams.video[0].time_base
            assert time_base is not None, "MP4 has one"
            ticks = round(1 / (time_base * self._clip.fps))
            for place, packet in enumerate(self._packets(number)):
                packet.stream = stream
                packet.pts = packet.dts = place * ticks
                packet.duration = ticks
                packet.time_base = time_base
                container.mux(packet)
        return target.getvalue()

    def _packets(self, number: int) -> "list[Any]":
        import av

        packets = []
        for piece in self.sequence(number):
            for place, data in enumerate(self._pieces[piece].packets):
                packet = av.Packet(data)
                packet.is_keyframe = place == 0
                packets.append(packet)
        return packets

    def sequence(self, number: int) -> list[int]:
        """Return which pieces a clip consists of: no two numbers have the same."""
        width = self._bits * self._clip.seconds
        scattered = number * _SCATTER % 2**width
        mask = 2**self._bits - 1
        return [scattered >> (place * self._bits) & mask for place in range(self._clip.seconds)]


def _encode(clip: Clip, number: int) -> _Piece:
    import av
    from av.video.stream import VideoStream

    target = io.BytesIO()
    options = {
        "preset": "ultrafast",
        "bf": "0",
        "g": str(clip.fps),
        "sc_threshold": "0",
        "maxrate": f"{clip.megabits}M",
        "bufsize": f"{clip.megabits}M",
    }
    with av.open(target, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=clip.fps, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, "yuv420p"
        stream.bit_rate = round(clip.megabits * 1e6)
        for frame in range(clip.fps):
            pixels = _picture(clip, number, frame)
            drawn = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            drawn = drawn.reformat(clip.width, clip.height, "yuv420p")
            drawn.pts = frame
            drawn.time_base = Fraction(1, clip.fps)
            container.mux(stream.encode(drawn))
        container.mux(stream.encode(None))
    file = target.getvalue()
    with av.open(io.BytesIO(file), "r") as written:
        packets = [bytes(it) for it in written.demux(video=0) if it.size]
    return _Piece(file, tuple(packets))


def _picture(clip: Clip, number: int, frame: int) -> "np.ndarray[Any, np.dtype[np.uint8]]":
    """Draw a scene that moves on with each frame, with some grain in it that changes."""
    import numpy as np

    shape = (max(clip.height // _GRAIN, 4), max(clip.width // _GRAIN, 4), 3)
    scene = np.random.default_rng(number).integers(30, 220, shape, dtype=np.uint8)
    grain = np.random.default_rng((number, frame)).integers(0, 24, shape, dtype=np.uint8)
    return np.ascontiguousarray(np.roll(scene, frame, axis=1) + grain)
