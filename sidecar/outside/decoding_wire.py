"""What goes between the service and a decoder process: a JSON header and the bytes of pictures.

No pickles: a decoder reads files from outside, and what it answers is read here as data, never run.
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import TypeAdapter

from sidecar import errors
from sidecar.errors import MediaError
from sidecar.model import Clip, Evidence, Frame, SamplePlan
from sidecar.settings import MediaSettings

_LENGTH: Final = struct.Struct(">I")
HEADER_BYTES: Final = _LENGTH.size
"""A message begins with the length of its header."""


@dataclass(frozen=True, slots=True)
class Job:
    """A clip to decode, within limits."""

    clip: Clip
    plan: SamplePlan
    limits: MediaSettings


@dataclass(frozen=True, slots=True)
class _Header:
    """Beginning of an answer.

    Attributes:
        evidence: without its pictures; None when there is none.
        times_s: of the frames that follow.
        sizes: lengths of what follows the header: the frames, or the video.
        error: name of the error; "" when there is none.
    """

    evidence: Evidence | None = None
    times_s: tuple[float, ...] = ()
    sizes: tuple[int, ...] = ()
    error: str = ""
    detail: str = ""


_JOBS: Final = TypeAdapter(Job)
_HEADERS: Final = TypeAdapter(_Header)


def dump_job(job: Job) -> bytes:
    """Write a message that asks for a clip."""
    return _framed(_JOBS.dump_json(job))


def load_job(header: bytes) -> Job:
    """Read what `dump_job` wrote, without its length."""
    return _JOBS.validate_json(header)


def dump_evidence(evidence: Evidence) -> Iterator[bytes]:
    """Write the pieces of an answer."""
    pictures = [frame.jpeg for frame in evidence.frames] or [evidence.video]
    header = _Header(
        evidence=replace(evidence, frames=(), video=b""),
        times_s=tuple(frame.timestamp_s for frame in evidence.frames),
        sizes=tuple(map(len, pictures)),
    )
    yield _framed(_HEADERS.dump_json(header))
    yield from pictures


def dump_error(error: MediaError) -> bytes:
    """Write the answer that there is none."""
    header = _Header(error=type(error).__name__, detail=error.detail)
    return _framed(_HEADERS.dump_json(header))


class Answer:
    """An answer whose header was read, and that waits for its pictures.

    Args:
        header: without its length.
    """

    def __init__(self, header: bytes) -> None:
        self._header = _HEADERS.validate_json(header)

    @property
    def sizes(self) -> Sequence[int]:
        """Lengths of what follows."""
        return self._header.sizes

    def evidence(self, pictures: Sequence[bytes]) -> Evidence:
        """Put the evidence together.

        Raises:
            MediaError: what the decoder raised.
        """
        header = self._header
        if header.evidence is None:
            raise _error(header.error, header.detail)
        times = header.times_s
        if not times:
            return replace(header.evidence, video=pictures[0])
        frames = tuple(Frame(*it) for it in zip(times, pictures, strict=True))
        return replace(header.evidence, frames=frames)


def length_of(prefix: bytes) -> int:
    """Return how long the header is."""
    (length,) = _LENGTH.unpack(prefix)
    return int(length)


def _error(name: str, detail: str) -> MediaError:
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, MediaError):
        return kind(detail)
    raise ValueError(f"a decoder answered with {name[:100]!r}")


def _framed(header: bytes) -> bytes:
    return _LENGTH.pack(len(header)) + header
