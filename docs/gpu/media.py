"""Unique clips, made from pools of groups of pictures (see `make_media.py`) without an encoder."""

import base64
import json
import random
import struct
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

import cv2

JPEG_QUALITY: Final = 92  # as the sidecar's own
_MATRIX: Final = struct.pack(">9I", 0x10000, 0, 0, 0, 0x10000, 0, 0, 0, 0x40000000)


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + kind + body


def _full(kind: bytes, *parts: bytes, flags: int = 0) -> bytes:
    return _box(kind, struct.pack(">I", flags), *parts)


def mp4(
    samples: list[bytes], *, avcc: bytes, size: tuple[int, int], fps: float, group: int
) -> bytes:
    """Wrap H.264 samples into an MP4 of constant frame rate.

    Args:
        samples: access units with length prefixes, in order of display.
        avcc: the AVCDecoderConfigurationRecord they share (ISO/IEC 14496-15).
        size: width and height in pixels.
        fps: frames per second.
        group: a key frame stands at every multiple of this.
    """
    scale = 90_000
    step = round(scale / fps)
    length = step * len(samples)
    width, height = size
    entry = _box(
        b"avc1",
        bytes(6) + struct.pack(">H", 1) + bytes(16) + struct.pack(">HH", width, height),
        struct.pack(">IIIH", 0x480000, 0x480000, 0, 1) + bytes(32) + struct.pack(">Hh", 24, -1),
        _box(b"avcC", avcc),
    )
    keys = range(1, len(samples) + 1, group)
    start = _box(b"ftyp", b"isom", struct.pack(">I", 512), b"isomavc1mp42")

    def moov(offset: int) -> bytes:
        table = _box(
            b"stbl",
            _full(b"stsd", struct.pack(">I", 1), entry),
            _full(b"stts", struct.pack(">III", 1, len(samples), step)),
            _full(b"stss", struct.pack(f">I{len(keys)}I", len(keys), *keys)),
            _full(b"stsc", struct.pack(">4I", 1, 1, len(samples), 1)),
            _full(b"stsz", struct.pack(f">II{len(samples)}I", 0, len(samples), *map(len, samples))),
            _full(b"stco", struct.pack(">II", 1, offset)),
        )
        reference = _full(b"dref", struct.pack(">I", 1), _full(b"url ", flags=1))
        info = _box(b"minf", _full(b"vmhd", bytes(8), flags=1), _box(b"dinf", reference), table)
        media = _box(
            b"mdia",
            _full(b"mdhd", struct.pack(">4IHH", 0, 0, scale, length, 0x55C4, 0)),
            _full(b"hdlr", bytes(4), b"vide", bytes(12), b"video\0"),
            info,
        )
        head = _full(
            b"tkhd",
            struct.pack(">5I", 0, 0, 1, 0, length),
            bytes(16),
            _MATRIX,
            struct.pack(">II", width << 16, height << 16),
            flags=3,
        )
        movie = _full(
            b"mvhd",
            struct.pack(">4I", 0, 0, scale, length),
            struct.pack(">IH", 0x10000, 0x100) + bytes(10) + _MATRIX + bytes(24),
            struct.pack(">I", 2),
        )
        return _box(b"moov", movie, _box(b"trak", head, media))

    offset = len(start) + len(moov(0)) + 8
    return start + moov(offset) + _box(b"mdat", *samples)


@dataclass(frozen=True)
class Pool:
    """Groups of pictures of one encoding.

    Attributes:
        size: width and height in pixels.
        fps: frames per second.
        group: frames in a group.
        avcc: the decoder configuration that all share.
        samples: all frames, group after group.
    """

    size: tuple[int, int]
    fps: float
    group: int
    avcc: bytes
    samples: tuple[bytes, ...]

    @classmethod
    def read(cls, folder: Path, name: str) -> "Pool":
        """Read FOLDER/NAME.json and FOLDER/NAME.bin."""
        about = json.loads((folder / f"{name}.json").read_text())
        data = (folder / f"{name}.bin").read_bytes()
        samples, at = [], 0
        for size in about["sizes"]:
            samples.append(data[at : at + size])
            at += size
        return cls(
            (about["width"], about["height"]),
            about["fps"],
            about["group"],
            bytes.fromhex(about["avcc"]),
            tuple(samples),
        )

    def clip(self, seed: int, frames: int, fps: float | None = None) -> bytes:
        """Return the clip of one seed as an MP4: other seeds give other orders of the groups.

        Args:
            seed: says which groups, and their order.
            frames: how many; a multiple of the group.
            fps: the rate written into the file, where it is not the pool's.
        """
        count = len(self.samples) // self.group
        order = random.Random(seed).sample(range(count), frames // self.group)
        picked = [
            sample for k in order for sample in self.samples[k * self.group : (k + 1) * self.group]
        ]
        return mp4(picked, avcc=self.avcc, size=self.size, fps=fps or self.fps, group=self.group)

    @cached_property
    def jpegs(self) -> tuple[bytes, ...]:
        """All frames of the pool, decoded and compressed again, as base64."""
        whole = mp4(
            list(self.samples), avcc=self.avcc, size=self.size, fps=self.fps, group=self.group
        )
        found = []
        with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
            Path(file.name).write_bytes(whole)
            video = cv2.VideoCapture(file.name)
            while True:
                good, picture = video.read()
                if not good:
                    break
                _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
                found.append(base64.b64encode(data.tobytes()))
            video.release()
        assert len(found) == len(self.samples), (len(found), len(self.samples))
        return tuple(found)

    def frame_list(self, seed: int, frames: int) -> bytes:
        """Return base64 JPEG frames with commas between them, as vLLM's `video/jpeg` wants them."""
        return b",".join(random.Random(seed).sample(self.jpegs, frames))
