"""How a long clip is cut into chunks that are looked at one by one. Pure."""

from dataclasses import dataclass
from typing import Final

SHORTEST_S: Final = 1.0
"""A shorter rest belongs to the chunk before it: containers often state their length only about."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of a clip, in seconds from its start."""

    start_s: float
    end_s: float

    @property
    def label(self) -> str:
        """Whole seconds, as VSS 2.4 heads the text about a chunk."""
        return f"{int(self.start_s)}-{int(self.end_s)} sec"


def cut(start_s: float, end_s: float, length_s: int, overlap_s: int) -> tuple[Chunk, ...]:
    """Cut a clip, or a part of it.

    Args:
        start_s: where the first chunk starts.
        end_s: where the last one ends.
        length_s: of a chunk; 0 does not cut.
        overlap_s: how much of its end a chunk shares with the next one; less than its length.
    """
    if length_s == 0:
        return (Chunk(start_s, end_s),)
    chunks: list[Chunk] = []
    begun_s = start_s
    while True:
        ends_s = begun_s + length_s
        if end_s - ends_s < SHORTEST_S:
            return (*chunks, Chunk(begun_s, end_s))
        chunks.append(Chunk(begun_s, ends_s))
        begun_s += length_s - overlap_s
