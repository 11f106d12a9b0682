"""Clips of which no two are alike."""

import io

import av
import pytest

from sidecar.density.clips import ClipMaker
from sidecar.density.scenario import Clip

TINY = Clip(seconds=2, width=64, height=64, fps=4, megabits=0.1)


@pytest.fixture(scope="module")
def maker() -> ClipMaker:
    return ClipMaker(TINY, 60)


def test_a_clip_has_the_form_that_was_asked_for(maker: ClipMaker) -> None:
    """Length, rate and size, with every picture decodable."""
    with av.open(io.BytesIO(maker.make(7)), "r") as container:
        stream = container.streams.video[0]
        pictures = list(container.decode(stream))

        assert 8 == len(pictures)
        assert (64, 64) == (pictures[0].width, pictures[0].height)
        assert [it / 4 for it in range(8)] == [it.time for it in pictures]
        assert 4 == stream.average_rate


def test_neither_bytes_nor_pictures_repeat(maker: ClipMaker) -> None:
    """A cache of either kind finds nothing."""
    files = [maker.make(number) for number in range(60)]
    pictures = set()
    for file in files:
        with av.open(io.BytesIO(file), "r") as container:
            shown = [it.to_ndarray(format="gray").tobytes() for it in container.decode(video=0)]
            pictures.add(b"".join(shown))

    assert 60 == len(set(files))
    assert 60 == len(pictures)


def test_there_are_as_many_as_were_asked_for(maker: ClipMaker) -> None:
    """More are refused by saying so before a clip would come twice."""
    sequences = {tuple(maker.sequence(number)) for number in range(60)}

    assert 60 == len(sequences)
    assert maker.holds(60)
    assert not maker.holds(65)
