"""What a server's limits do to the evidence: slower clips, fewer pictures, and both told."""

import io
from collections.abc import AsyncIterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest

from sidecar.model import Clip, Evidence, EvidenceForm, MediaType, SamplePlan
from sidecar.outside.decode import exact_area
from sidecar.outside.frames import PyavSampler, to_mp4
from sidecar.outside.sampling import thin_out
from sidecar.settings import MediaSettings
from sidecar.testing.media import moving_square, write_image, write_motion, write_video

FRAMES = SamplePlan(EvidenceForm.FRAMES, fps=4.0, max_frames=40, max_pixels=40 * 320 * 192)
VIDEO = replace(FRAMES, form=EvidenceForm.VIDEO)


@pytest.fixture
async def sampler() -> AsyncIterator[PyavSampler]:
    pyav = PyavSampler(MediaSettings())
    yield pyav
    await pyav.close()


def video(path: Path) -> Clip:
    return Clip(MediaType.VIDEO, (path,))


def told_by_opencv(evidence: Evidence, folder: Path) -> tuple[float, float]:
    """Rate and number of frames, as the loaders of vLLM read them."""
    path = folder / "evidence.mp4"
    path.write_bytes(evidence.video)
    capture = cv2.VideoCapture(str(path))
    told = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    return told


def pictures_in(content: bytes) -> list[np.ndarray[Any, np.dtype[np.uint8]]]:
    with av.open(io.BytesIO(content)) as container:
        return [
            frame.reformat(format="bgr24", interpolation=exact_area()).to_ndarray()
            for frame in container.decode(video=0)
        ]


async def test_a_clip_for_a_thinning_loader_is_written_slower(
    sampler: PyavSampler, tmp_path: Path
) -> None:
    """A 4 fps plan written at 2 fps plays twice as long, holds every frame, and says so."""
    path = write_motion(tmp_path / "a.mp4", seconds=4, fps=20)

    evidence = await sampler.sample(video(path), replace(VIDEO, written_fps=2.0))

    assert told_by_opencv(evidence, tmp_path) == (2.0, 16.0)
    assert (evidence.stretch, evidence.frames_sent, evidence.frames_asked) == (2.0, 16, 16)
    assert evidence.timestamps_s == tuple(i / 4 for i in range(16))
    assert evidence.duration_s == 4.0


async def test_the_written_rate_changes_no_pixel(sampler: PyavSampler, tmp_path: Path) -> None:
    """A slowed-down clip shows what the clip at its true rate shows."""
    path = write_motion(tmp_path / "a.mp4", seconds=2, fps=20)

    true = await sampler.sample(video(path), VIDEO)
    slow = await sampler.sample(video(path), replace(VIDEO, written_fps=1.0))

    assert slow.stretch == 4.0
    assert np.array_equal(pictures_in(true.video), pictures_in(slow.video))


@pytest.mark.parametrize("written_fps", [None, 2.0, 30.0])
async def test_a_clip_that_is_slow_enough_keeps_its_true_rate(
    written_fps: float | None, sampler: PyavSampler, tmp_path: Path
) -> None:
    """Where the frame limit thins the clip below the written rate, its times stay true."""
    path = write_motion(tmp_path / "a.mp4", seconds=5, fps=20)
    plan = replace(VIDEO, max_frames=5, written_fps=written_fps)

    evidence = await sampler.sample(video(path), plan)

    assert told_by_opencv(evidence, tmp_path) == (1.0, 5.0)
    assert evidence.stretch == 1.0


async def test_the_stretch_of_an_odd_rate_leads_back_to_true_times(
    sampler: PyavSampler, tmp_path: Path
) -> None:
    """Times read in the written clip, divided by the stretch, are the clip's own."""
    path = write_motion(tmp_path / "a.mp4", seconds=4, fps=25)
    plan = replace(VIDEO, fps=3.0, written_fps=2.0)

    evidence = await sampler.sample(video(path), plan)

    with av.open(io.BytesIO(evidence.video)) as container:
        written = [float(frame.time) for frame in container.decode(video=0)]
    corrected = [time_s / evidence.stretch for time_s in written]
    assert evidence.stretch == pytest.approx(1.5, rel=0.01)
    assert corrected == pytest.approx(evidence.timestamps_s, abs=0.05)


async def test_a_server_of_few_pictures_gets_them_from_the_whole_clip(
    sampler: PyavSampler, tmp_path: Path
) -> None:
    """Five pictures of sixteen reach from the first to the last, and sixteen were asked for."""
    path = write_motion(tmp_path / "a.mp4", seconds=4, fps=20)

    evidence = await sampler.sample(video(path), replace(FRAMES, max_images=5))

    assert evidence.timestamps_s == (0.0, 0.75, 1.75, 2.75, 3.75)
    assert [frame.timestamp_s for frame in evidence.frames] == list(evidence.timestamps_s)
    assert (evidence.frames_sent, evidence.frames_asked) == (5, 16)


async def test_few_pictures_may_be_larger(sampler: PyavSampler, tmp_path: Path) -> None:
    """The pixels of the plan are shared by the pictures that are sent."""
    path = write_motion(tmp_path / "a.mp4", seconds=4, width=640, height=384)
    plan = replace(FRAMES, max_frames=16, max_pixels=16 * 320 * 192, max_images=4)

    evidence = await sampler.sample(video(path), plan)

    assert (evidence.width, evidence.height) == (640, 384)


async def test_the_number_of_pictures_does_not_limit_a_video(
    sampler: PyavSampler, tmp_path: Path
) -> None:
    """An MP4 is one item, whatever it holds."""
    path = write_motion(tmp_path / "a.mp4", seconds=4, fps=20)

    evidence = await sampler.sample(video(path), replace(VIDEO, max_images=5))

    assert (evidence.frames_sent, evidence.frames_asked) == (16, 16)


@pytest.mark.parametrize("form", [EvidenceForm.FRAMES, EvidenceForm.VIDEO])
async def test_images_beyond_the_limit_are_left_out_evenly(
    form: EvidenceForm, sampler: PyavSampler, tmp_path: Path
) -> None:
    """Of seven images three are sent: the first, the middle one and the last."""
    sizes = [(64 + 32 * i, 64) for i in range(7)]
    paths = tuple(write_image(tmp_path / f"{i}.png", *size) for i, size in enumerate(sizes))
    plan = replace(FRAMES, form=form, max_images=3)

    evidence = await sampler.sample(Clip(MediaType.IMAGE, paths), plan)

    widths = [
        cv2.imdecode(np.frombuffer(frame.jpeg, np.uint8), cv2.IMREAD_COLOR).shape[1]
        for frame in evidence.frames
    ]
    assert widths == [64, 160, 256]
    assert (evidence.form, evidence.frames_sent, evidence.frames_asked) == (
        EvidenceForm.FRAMES,
        3,
        7,
    )


async def test_images_within_the_limit_are_all_sent(sampler: PyavSampler, tmp_path: Path) -> None:
    """A limit that is not reached changes nothing."""
    paths = tuple(write_image(tmp_path / f"{i}.png") for i in range(2))
    clip = Clip(MediaType.IMAGE, paths)

    evidence = await sampler.sample(clip, FRAMES)
    limited = await sampler.sample(clip, replace(FRAMES, max_images=2))

    assert limited == evidence
    assert (evidence.frames_sent, evidence.frames_asked, evidence.stretch) == (2, 2, 1.0)


@pytest.mark.parametrize("form", [EvidenceForm.FRAMES, EvidenceForm.VIDEO])
async def test_a_clip_with_few_frames_is_asked_for_what_it_has(
    form: EvidenceForm, sampler: PyavSampler, tmp_path: Path
) -> None:
    """Four frames per second of a clip that has one a second are one a second."""
    path = write_motion(tmp_path / "a.mp4", seconds=8, fps=1)

    evidence = await sampler.sample(video(path), replace(FRAMES, form=form))

    assert (evidence.frames_sent, evidence.frames_asked) == (8, 8)


async def test_a_frame_that_cannot_be_decoded_is_not_missed(
    sampler: PyavSampler, tmp_path: Path
) -> None:
    """A clip with a damaged end is asked for the frames that it really has."""
    path = tmp_path / "a.mp4"
    write_video(path, moving_square(120), fps=30, options={"crf": "5", "g": "10", "bf": "0"})
    with av.open(path) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    content = bytearray(path.read_bytes())
    for start, size in places[113:]:
        content[start : start + size] = bytes(size)
    path.write_bytes(content)

    evidence = await sampler.sample(video(path), replace(FRAMES, fps=30.0, max_frames=120))

    assert 108 <= (evidence.frames_sent or 0) < 120
    assert evidence.frames_sent == evidence.frames_asked


@pytest.mark.parametrize("form", [EvidenceForm.FRAMES, EvidenceForm.VIDEO])
async def test_the_size_of_the_clip_is_told(
    form: EvidenceForm, sampler: PyavSampler, tmp_path: Path
) -> None:
    """Boxes can be given in pixels of the clip, not only of the resized frames."""
    path = write_motion(tmp_path / "a.mp4", seconds=1, width=640, height=360)

    evidence = await sampler.sample(
        video(path), replace(FRAMES, form=form, max_pixels=4 * 160 * 96)
    )

    assert (evidence.width, evidence.height) == (160, 96)
    assert (evidence.source_width, evidence.source_height) == (640, 360)


@pytest.mark.parametrize(
    ("rotation", "size"), [(90, (64, 128)), (180, (128, 64)), (270, (64, 128))]
)
async def test_the_size_of_a_rotated_clip_is_that_of_its_upright_frames(
    rotation: int, size: tuple[int, int], sampler: PyavSampler, tmp_path: Path
) -> None:
    """A clip that was stored on its side is as high as it is shown."""
    plain = write_video(tmp_path / "plain.mp4", moving_square(10, 128, 64))
    path = tmp_path / "a.mp4"
    with av.open(plain) as source, av.open(path, "w") as target:
        track = source.streams.video[0]
        stream = target.add_stream_from_template(track)
        stream.set_display_rotation(rotation)
        for packet in source.demux(track):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)

    evidence = await sampler.sample(video(path), FRAMES)

    assert (evidence.source_width, evidence.source_height) == size


@pytest.mark.parametrize(
    ("sizes", "told"),
    [([(320, 192), (320, 192)], (320, 192)), ([(320, 192), (192, 320)], (0, 0))],
)
async def test_the_size_of_images_is_told_when_they_share_one(
    sizes: list[tuple[int, int]], told: tuple[int, int], sampler: PyavSampler, tmp_path: Path
) -> None:
    """Several sizes are no size."""
    paths = tuple(write_image(tmp_path / f"{i}.png", *size) for i, size in enumerate(sizes))

    evidence = await sampler.sample(Clip(MediaType.IMAGE, paths), FRAMES)

    assert (evidence.source_width, evidence.source_height) == told


async def test_the_limits_do_not_touch_urls(sampler: PyavSampler) -> None:
    """A clip that the server loads for itself has no known frames, size or stretch."""
    clip = Clip(MediaType.VIDEO, (), ("http://h/x.mp4",), "http://h/x.mp4")
    plan = replace(FRAMES, form=EvidenceForm.URL, written_fps=1.0, max_images=1)

    evidence = await sampler.sample(clip, plan)

    assert evidence == Evidence(EvidenceForm.URL, MediaType.VIDEO, urls=("http://h/x.mp4",))
    assert (evidence.frames_sent, evidence.frames_asked) == (None, None)


@pytest.mark.parametrize("rate", [1, 2, 8, 30])
def test_the_written_clip_is_nearly_lossless(rate: int) -> None:
    """No sample is more than 3 of 255 levels off, whatever rate the clip is written at."""
    pictures = moving_square(8)
    noise = np.random.default_rng(3).integers(-5, 6, pictures[0].shape)
    pictures = [
        np.clip(p + np.roll(noise, i, 1), 0, 255).astype(np.uint8) for i, p in enumerate(pictures)
    ]
    drawn = [
        av.VideoFrame.from_ndarray(p, "bgr24").reformat(
            format="yuv420p", interpolation=exact_area()
        )
        for p in pictures
    ]

    content = to_mp4(pictures, Fraction(rate))

    with av.open(io.BytesIO(content)) as container:
        written = list(container.decode(video=0))
    assert all(_difference(a, b) <= 3 for a, b in zip(drawn, written, strict=True))


def _difference(a: av.VideoFrame, b: av.VideoFrame) -> int:
    return int(np.abs(a.to_ndarray().astype(int) - b.to_ndarray()).max())


@pytest.mark.parametrize(
    ("count", "most", "chosen"),
    [
        (10, None, list(range(10))),
        (10, 10, list(range(10))),
        (10, 4, [0, 3, 6, 9]),
        (10, 2, [0, 9]),
        (10, 1, [0]),
        (1, 5, [0]),
        (5, 4, [0, 1, 2, 4]),
    ],
)
def test_a_series_is_thinned_evenly(count: int, most: int | None, chosen: list[int]) -> None:
    """The first and the last always stay; one alone is the first."""
    thinned = thin_out(range(count), most)

    assert chosen == list(thinned)
