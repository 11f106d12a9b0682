import asyncio
import io
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from aiohttp import web

from sidecar.errors import (
    MediaEmpty,
    MediaError,
    MediaMissing,
    MediaNotVideo,
    MediaSingleFrame,
    MediaTooLarge,
    MediaTooLong,
    MediaTooManyPixels,
    MediaTruncated,
    MediaWithoutVideo,
)
from sidecar.model import Clip, Evidence, EvidenceForm, MediaType, SamplePlan
from sidecar.outside.decode import (
    Timeline,
    _decode,
    decode_pictures,
    exact_area,
    needed_packets,
    read_timeline,
)
from sidecar.outside.frames import PyavSampler, written_rate
from sidecar.outside.sampling import fit_size, sample_times, shown_at
from sidecar.settings import MediaSettings
from sidecar.testing.media import (
    moving_square,
    still_picture,
    write_audio_only,
    write_image,
    write_long,
    write_motion,
    write_single_frame,
    write_truncated,
    write_video,
)

PLAN = SamplePlan(EvidenceForm.FRAMES, fps=2.0, max_frames=20, max_pixels=20 * 320 * 192)
LIMITS = MediaSettings()
Picture = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture
async def sampler() -> AsyncIterator[PyavSampler]:
    pyav = PyavSampler(LIMITS)
    yield pyav
    await pyav.close()


def video(*paths: Path) -> Clip:
    return Clip(MediaType.VIDEO, paths)


def images(*paths: Path) -> Clip:
    return Clip(MediaType.IMAGE, paths)


def unpack(jpeg: bytes) -> Picture:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return np.asarray(picture, np.uint8)


def decode_all(content: bytes) -> list[Picture]:
    with av.open(io.BytesIO(content)) as container:
        return [
            f.reformat(f.width, f.height, "bgr24", interpolation=exact_area()).to_ndarray()
            for f in container.decode(video=0)
        ]


def levels(count: int, width: int = 64, height: int = 64) -> list[Picture]:
    """Flat pictures whose grey level tells their number: 6 levels apart."""
    return [np.full((height, width, 3), 10 + 6 * i, np.uint8) for i in range(count)]


def numbers(pictures: Sequence[Picture]) -> list[int]:
    """Read the numbers back."""
    return [round((float(p.mean()) - 10) / 6) for p in pictures]


async def test_a_constant_rate_clip_gives_exact_times(sampler: PyavSampler, tmp_path: Path) -> None:
    """Every sample is the frame shown at its time, and the time is that frame's own."""
    path = write_video(tmp_path / "a.mp4", levels(40), fps=10)

    evidence = await sampler.sample(video(path), PLAN)

    assert evidence.timestamps_s == (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
    assert [frame.timestamp_s for frame in evidence.frames] == list(evidence.timestamps_s)
    assert numbers([unpack(f.jpeg) for f in evidence.frames]) == [0, 5, 10, 15, 20, 25, 30, 35]
    assert (evidence.form, evidence.duration_s, evidence.frames_sent) == (
        EvidenceForm.FRAMES,
        4.0,
        8,
    )


async def test_a_variable_rate_clip_gives_exact_times(sampler: PyavSampler, tmp_path: Path) -> None:
    """Where frames come irregularly, the sample is what a viewer saw, at its true time."""
    times = [0.0, 0.1, 0.2, 0.9, 1.6, 1.7, 2.6, 2.8, 2.9, 3.0]
    path = write_video(tmp_path / "a.mp4", levels(10), times_s=times)

    evidence = await sampler.sample(video(path), PLAN)

    assert evidence.timestamps_s == (0.0, 0.2, 0.9, 1.7, 3.0)
    assert numbers([unpack(f.jpeg) for f in evidence.frames]) == [0, 2, 3, 5, 9]


async def test_times_count_from_the_first_frame(sampler: PyavSampler, tmp_path: Path) -> None:
    """A stream that starts late, as MPEG-TS does, is timed from its own first frame."""
    path = write_video(tmp_path / "a.ts", levels(20), fps=10)

    evidence = await sampler.sample(video(path), PLAN)

    assert evidence.timestamps_s == (0.0, 0.5, 1.0, 1.5)


@pytest.mark.parametrize("suffix", ["mp4", "mov", "mkv", "avi", "ts", "flv"])
@pytest.mark.parametrize(
    "options",
    [
        {"crf": "18"},
        {"crf": "18", "g": "7", "bf": "3", "x264-params": "b-pyramid=2"},
        {"crf": "18", "g": "8", "bf": "3", "x264-params": "open-gop=1"},
        {"crf": "18", "g": "10", "x264-params": "intra-refresh=1"},
        {"crf": "18", "g": "1"},
    ],
    ids=["one-gop", "pyramid", "open-gop", "intra-refresh", "all-intra"],
)
def test_skipping_packets_changes_no_pixel(
    suffix: str, options: dict[str, str], tmp_path: Path
) -> None:
    """Decoding only what the wanted frames need gives the pixels that decoding everything gives."""
    pictures = moving_square(60, 128, 64)
    path = write_video(tmp_path / f"a.{suffix}", pictures, fps=30, options=options)
    whole = decode_all(path.read_bytes())
    timeline = read_timeline(path, LIMITS)
    wanted = timeline.shown[3::13]

    sampled = decode_pictures(path, timeline, wanted, (128, 64), LIMITS, threading.Event())

    assert list(sampled) == list(wanted)
    assert all(
        np.array_equal(sample.picture, shown)
        for sample, shown in zip(sampled.values(), whole[3::13], strict=True)
    )


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        ("webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "10", "b": "500k"}),
        ("webm", "libvpx-vp9", {"cpu-used": "8", "b": "500k"}),
        ("mp4", "libx265", {"x265-params": "log-level=none:keyint=8"}),
        ("avi", "mpeg4", {"bf": "2", "b": "2000k"}),
        ("mov", "mpeg4", {"b": "2000k"}),
        ("wmv", "wmv2", {"b": "2000k"}),
    ],
)
async def test_other_codecs_are_read(
    suffix: str, codec: str, options: dict[str, str], sampler: PyavSampler, tmp_path: Path
) -> None:
    """What VSS accepts besides H.264 is sampled alike."""
    path = write_video(tmp_path / f"a.{suffix}", levels(40), fps=10, codec=codec, options=options)

    evidence = await sampler.sample(video(path), PLAN)

    seen = numbers([unpack(f.jpeg) for f in evidence.frames])
    assert seen == [0, 5, 10, 15, 20, 25, 30, 35]


async def test_video_evidence_holds_exactly_the_sampled_frames(
    sampler: PyavSampler, tmp_path: Path
) -> None:
    """The MP4 decodes to the sampled pictures at their true rate, for PyAV and OpenCV alike."""
    path = write_video(tmp_path / "a.mp4", levels(40), fps=10)

    evidence = await sampler.sample(video(path), replace(PLAN, form=EvidenceForm.VIDEO))

    copy = tmp_path / "evidence.mp4"
    copy.write_bytes(evidence.video)
    capture = cv2.VideoCapture(str(copy))
    told = capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)
    capture.release()
    assert numbers(decode_all(evidence.video)) == [0, 5, 10, 15, 20, 25, 30, 35]
    assert told == (2.0, 8.0)
    assert (evidence.timestamps_s[-1], evidence.frames, evidence.frames_sent) == (3.5, (), 8)


async def test_video_evidence_keeps_the_times_of_a_thinned_clip(
    sampler: PyavSampler, tmp_path: Path
) -> None:
    """Timestamps inside the MP4 are those of the clip, when the frame limit thins it out."""
    path = write_video(tmp_path / "a.mp4", levels(40), fps=4)
    plan = replace(PLAN, form=EvidenceForm.VIDEO, max_frames=5)

    evidence = await sampler.sample(video(path), plan)

    with av.open(io.BytesIO(evidence.video)) as container:
        times = [float(frame.time) for frame in container.decode(video=0)]
    assert evidence.timestamps_s == (0.0, 2.0, 4.0, 6.0, 8.0)
    assert times == pytest.approx(evidence.timestamps_s, abs=1e-3)


async def test_short_clips_give_four_frames(sampler: PyavSampler, tmp_path: Path) -> None:
    """Half a second at 2 fps would be one frame; the models' loader wants four."""
    short = write_video(tmp_path / "a.mp4", levels(10), fps=20)
    two = write_video(tmp_path / "b.mp4", levels(2), fps=20)

    evidence = [await sampler.sample(video(path), PLAN) for path in (short, two)]

    assert [e.frames_sent for e in evidence] == [4, 2]


async def test_frames_are_resized_to_the_budget(sampler: PyavSampler, tmp_path: Path) -> None:
    """All frames together stay within the pixels, in multiples of the alignment."""
    path = write_motion(tmp_path / "a.mp4", seconds=4, width=640, height=360)
    plan = replace(PLAN, max_pixels=8 * 160 * 96)

    evidence = await sampler.sample(video(path), plan)

    shapes = {unpack(frame.jpeg).shape for frame in evidence.frames}
    assert shapes == {(96, 160, 3)}
    assert (evidence.width, evidence.height) == (160, 96)


@pytest.mark.parametrize("rotation", [90, 180, 270])
async def test_rotated_clips_are_turned_upright(
    rotation: int, sampler: PyavSampler, tmp_path: Path
) -> None:
    """A clip that a phone stored on its side is shown as OpenCV's loader would show it."""
    pictures = moving_square(10, 128, 64)
    plain, path = tmp_path / "plain.mp4", tmp_path / "a.mp4"
    write_video(plain, pictures)
    with av.open(plain) as source, av.open(path, "w") as target:
        track = source.streams.video[0]
        stream = target.add_stream_from_template(track)
        stream.set_display_rotation(rotation)
        for packet in source.demux(track):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    capture = cv2.VideoCapture(str(path))
    upright = capture.read()[1]
    capture.release()

    evidence = await sampler.sample(video(path), PLAN)

    first = unpack(evidence.frames[0].jpeg)
    assert first.shape == upright.shape
    assert (evidence.height, evidence.width) == upright.shape[:2]
    assert float(np.abs(first.astype(int) - upright).mean()) < 10.0


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp", "bmp"])
async def test_images_are_frames_at_time_zero(
    suffix: str, sampler: PyavSampler, tmp_path: Path
) -> None:
    """Each image gives one frame within the budget, whatever form the plan asks for."""
    paths = [write_image(tmp_path / f"{i}.{suffix}", 640, 384) for i in range(2)]
    plan = replace(PLAN, form=EvidenceForm.VIDEO, max_pixels=2 * 320 * 192)

    evidence = await sampler.sample(images(*paths), plan)

    pictures = [unpack(frame.jpeg) for frame in evidence.frames]
    difference = np.abs(pictures[0].astype(int) - still_picture(320, 192)).mean()
    assert [picture.shape for picture in pictures] == [(192, 320, 3)] * 2
    assert (evidence.form, evidence.timestamps_s) == (EvidenceForm.FRAMES, (0.0, 0.0))
    assert evidence.duration_s == 0.0
    assert difference < 12


async def test_urls_are_passed_on_undecoded(sampler: PyavSampler) -> None:
    """Form `url` needs no file, and nobody knows how many frames will be seen."""
    clip = Clip(MediaType.VIDEO, (), ("http://h/x.mp4",), "http://h/x.mp4")

    evidence = await sampler.sample(clip, replace(PLAN, form=EvidenceForm.URL))

    assert evidence == Evidence(EvidenceForm.URL, MediaType.VIDEO, urls=("http://h/x.mp4",))
    assert evidence.frames_sent is None


def write_text(path: Path) -> Path:
    path.write_text("no video at all\n" * 50)
    return path


def write_nothing(path: Path) -> Path:
    path.write_bytes(b"")
    return path


def write_nowhere(path: Path) -> Path:
    return path


def write_big(path: Path) -> Path:
    with path.open("wb") as file:
        file.truncate(LIMITS.max_bytes + 1)
    return path


def write_huge_frames(path: Path) -> Path:
    return write_video(
        path, [np.zeros((2400, 4096, 3), np.uint8)] * 2, options={"preset": "ultrafast"}
    )


def write_with_lying_size(path: Path) -> Path:
    """The header says 64 x 64, the pictures are larger than the limit."""
    write_huge_frames(path)
    content = path.read_bytes()
    size = (4096).to_bytes(2, "big") + (2400).to_bytes(2, "big")
    path.write_bytes(content.replace(size, (64).to_bytes(2, "big") * 2, 1))
    return path


def write_claiming_less(path: Path) -> Path:
    """Ten hours of frames whose movie and track headers say one second."""
    write_long(path)
    content = bytearray(path.read_bytes())
    for box, offset in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
        at = content.index(box) + 4 + offset
        unit = int.from_bytes(content[at - 4 : at], "big") if box != b"tkhd" else 1000
        content[at : at + 4] = unit.to_bytes(4, "big")
    at = content.index(b"elst")
    content[at : at + 4] = b"free"
    path.write_bytes(bytes(content))
    return path


def write_without_index(path: Path) -> Path:
    return write_truncated(path, index_first=False)


def write_without_end(path: Path) -> Path:
    return write_truncated(path, index_first=True, keep=0.8)


def write_garbled(path: Path) -> Path:
    """The index is whole, the pictures after the first tenth are noise."""
    write_video(path, moving_square(60), fps=10, options={"crf": "5", "g": "6"})
    content = bytearray(path.read_bytes())
    start = content.index(b"mdat") + 4
    end = content.index(b"moov") - 4
    noise = np.random.default_rng(1).integers(0, 256, end - start, dtype=np.uint8).tobytes()
    first = start + (end - start) // 10
    content[first:end] = noise[: end - first]
    path.write_bytes(bytes(content))
    return path


@pytest.mark.parametrize(
    ("write", "error", "says"),
    [
        (write_nowhere, MediaMissing, "does not exist"),
        (write_nothing, MediaEmpty, "0 bytes"),
        (write_text, MediaNotVideo, "is not a video"),
        (lambda p: write_image(p.with_suffix(".png")), MediaNotVideo, "media_type image"),
        (write_audio_only, MediaWithoutVideo, "audio only"),
        (write_single_frame, MediaSingleFrame, "media_type image"),
        (write_without_index, MediaTruncated, "moov"),
        (write_without_end, MediaTruncated, "header says 4.0 s"),
        (write_garbled, MediaTruncated, "damaged"),
        (write_big, MediaTooLarge, "SIDECAR_MEDIA__MAX_BYTES"),
        (write_long, MediaTooLong, "SIDECAR_MEDIA__MAX_DURATION_S"),
        (write_claiming_less, MediaTooLong, "SIDECAR_MEDIA__MAX_DURATION_S"),
        (write_huge_frames, MediaTooManyPixels, "SIDECAR_MEDIA__MAX_FRAME_PIXELS"),
        (write_with_lying_size, MediaTooManyPixels, "SIDECAR_MEDIA__MAX_FRAME_PIXELS"),
    ],
)
async def test_each_unusable_clip_has_its_own_error(
    write: Callable[[Path], Path],
    error: type[MediaError],
    says: str,
    sampler: PyavSampler,
    tmp_path: Path,
) -> None:
    """The error says what is wrong with which file, and never shows its folder."""
    path = write(tmp_path / "clip.mp4")

    with pytest.raises(MediaError) as caught:
        await sampler.sample(video(path), PLAN)

    assert type(caught.value) is error
    assert says in caught.value.detail
    assert caught.value.detail.startswith(path.name)
    assert str(tmp_path) not in caught.value.detail


async def test_a_header_beyond_the_limit_is_enough(tmp_path: Path) -> None:
    """A clip whose header states too long a time is not read any further."""
    path = write_truncated(tmp_path / "a.mp4", index_first=True)
    pyav = PyavSampler(MediaSettings(max_duration_s=3.0))

    with pytest.raises(MediaTooLong, match="longer than 3 s"):
        await pyav.sample(video(path), PLAN)
    await pyav.close()


def write_half_image(path: Path) -> Path:
    content = write_image(path.with_suffix(".png")).read_bytes()
    path.write_bytes(content[: len(content) // 2])
    return path


@pytest.mark.parametrize(
    ("write", "error"),
    [
        (write_nowhere, MediaMissing),
        (write_nothing, MediaEmpty),
        (write_text, MediaNotVideo),
        (write_motion, MediaNotVideo),
        (write_half_image, MediaNotVideo),
    ],
)
async def test_each_unusable_image_has_its_own_error(
    write: Callable[[Path], Path], error: type[MediaError], sampler: PyavSampler, tmp_path: Path
) -> None:
    """Pictures fail as clearly as clips."""
    path = write(tmp_path / "picture.mp4")

    with pytest.raises(MediaError) as caught:
        await sampler.sample(images(path), PLAN)

    assert type(caught.value) is error


@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "webp"])
async def test_images_of_too_many_pixels_are_refused(suffix: str, tmp_path: Path) -> None:
    """A picture is refused by its size before it is unpacked."""
    path = write_image(tmp_path / f"a.{suffix}", 512, 512)
    pyav = PyavSampler(MediaSettings(max_frame_pixels=512 * 511))

    with pytest.raises(MediaTooManyPixels, match=f"^a.{suffix}"):
        await pyav.sample(images(path), PLAN)
    await pyav.close()


async def test_a_playlist_opens_no_further_url(
    serve: Callable[..., Awaitable[str]], sampler: PyavSampler, tmp_path: Path
) -> None:
    """A playlist that poses as a clip cannot make FFmpeg fetch anything."""
    asked: list[str] = []

    async def segment(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(body=b"x")

    url = await serve({"/s.ts": segment})
    listed = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{url}/s.ts\n#EXT-X-ENDLIST\n"
    for name in ("a.m3u8", "a.mp4"):
        path = tmp_path / name
        path.write_text(listed)
        with pytest.raises(MediaNotVideo):
            await sampler.sample(video(path), PLAN)

    assert asked == []


def test_memory_does_not_grow_with_the_clip(tmp_path: Path) -> None:
    """A clip of 40 s at 1080p, 2 GB when decoded, is sampled within 150 MB on top of the start."""
    path = tmp_path / "a.mp4"
    picture = still_picture(1920, 1080)
    write_video(path, [picture] * 40, fps=1, options={"preset": "ultrafast"})
    with av.open(path) as container:
        assert container.duration == 40_000_000
    code = f"""
        import asyncio, resource
        from pathlib import Path
        import av, cv2
        from sidecar.model import *
        from sidecar.outside.frames import PyavSampler, written_rate
        from sidecar.settings import MediaSettings
        plan = SamplePlan(EvidenceForm.VIDEO, 1.0, 40, 40 * 320 * 192)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        async def main():
            sampler = PyavSampler(MediaSettings())
            evidence = await sampler.sample(Clip(MediaType.VIDEO, (Path({str(path)!r}),)), plan)
            await sampler.close()
            return evidence.frames_sent
        sent = asyncio.run(main())
        print(sent, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )

    sent, grown_kb = map(int, done.stdout.split())
    assert sent == 40
    assert grown_kb < 150_000


async def test_a_cancelled_sample_frees_its_worker(tmp_path: Path) -> None:
    """Decoding stops soon after the verification was given up."""
    options = {"preset": "ultrafast"}
    path = write_video(tmp_path / "a.mp4", [still_picture(960, 512)] * 240, fps=30, options=options)
    short = write_motion(tmp_path / "b.mp4")
    plan = replace(PLAN, fps=30, max_frames=240)
    pyav = PyavSampler(MediaSettings(decode_workers=1))
    begun = time.perf_counter()
    await pyav.sample(video(path), plan)
    whole_s = time.perf_counter() - begun

    task = asyncio.create_task(pyav.sample(video(path), plan))
    await asyncio.sleep(whole_s / 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(whole_s / 2):
        evidence = await pyav.sample(video(short), PLAN)

    await pyav.close()
    assert evidence.frames_sent == 4


async def test_close_may_be_called_twice() -> None:
    """Closing an idle sampler again is harmless."""
    pyav = PyavSampler(LIMITS)

    await pyav.close()
    await pyav.close()


@pytest.mark.parametrize(
    ("duration_s", "fps", "max_frames", "times"),
    [
        (10.0, 2.0, 40, [i / 2 for i in range(20)]),
        (10.0, 2.0, 5, [0.0, 2.0, 4.0, 6.0, 8.0]),
        (1.0, 2.0, 40, [0.0, 0.25, 0.5, 0.75]),
        (1.0, 2.0, 3, [0.0, 1 / 3, 2 / 3]),
        (1.0, 2.0, 1, [0.0]),
        (2.0000001, 2.0, 40, [0.0, 0.5, 1.0, 1.5]),
        (2.1, 2.0, 40, [0.0, 0.5, 1.0, 1.5, 2.0]),
    ],
)
def test_times_are_spread_evenly(
    duration_s: float, fps: float, max_frames: int, times: list[float]
) -> None:
    """The plan's rate, thinner for long clips, denser for short ones, never over the limit."""
    plan = replace(PLAN, fps=fps, max_frames=max_frames)

    assert sample_times(duration_s, plan) == pytest.approx(times)


def test_clustered_frames_still_give_four() -> None:
    """When even times meet fewer than four frames, frames are taken by number."""
    ticks = [0, 1, 2, 3, 4, 1000]

    chosen = shown_at(ticks, Fraction(1, 100), [0.0, 2.5, 5.0, 7.5])

    assert chosen == [0, 1, 3, 1000]


@pytest.mark.parametrize(
    ("width", "height", "count", "max_pixels", "align", "size"),
    [
        (1920, 1080, 20, 20 * 640 * 352, 32, (640, 352)),
        (1920, 1080, 1, 10**9, 32, (1920, 1088 - 32)),
        (1080, 1920, 20, 20 * 640 * 352, 32, (352, 640)),
        (320, 180, 1, 10**9, 4, (320, 180)),
        (16, 16, 1, 10**9, 32, (32, 32)),
        (4000, 20, 1, 10**9, 32, (4000, 32)),
        (4000, 3000, 100, 4096, 32, (32, 32)),
    ],
)
def test_sizes_keep_aspect_budget_and_alignment(
    width: int, height: int, count: int, max_pixels: int, align: int, size: tuple[int, int]
) -> None:
    """The largest aligned size within the budget that is not larger than the source."""
    plan = replace(PLAN, max_pixels=max_pixels, align=align)

    fitted = fit_size(width, height, count, plan)

    assert fitted == pytest.approx(size, abs=align)
    assert fitted[0] % align == fitted[1] % align == 0
    assert count * fitted[0] * fitted[1] <= max(max_pixels, count * align * align)


def test_only_needed_packets_are_decoded(tmp_path: Path) -> None:
    """With a key frame every second, two samples on key frames cost two decoded frames."""
    options = {"g": "10", "bf": "0"}
    path = write_video(tmp_path / "a.mp4", moving_square(50), fps=10, options=options)
    timeline = read_timeline(path, LIMITS)
    wanted = frozenset((timeline.shown[10], timeline.shown[40]))

    decoded = [f.pts for f in _decode(path, timeline, wanted, LIMITS, threading.Event())]

    assert decoded == sorted(wanted)


def test_pictures_before_an_open_key_frame_need_the_one_before_that() -> None:
    """A frame decoded after a key frame but shown before it refers to the frames before both."""
    ticks = (0, 2, 1, 5, 3, 4, 6, 9, 7, 8)
    timeline = Timeline(Fraction(1, 10), ticks, (0, 3, 7), tuple(sorted(ticks)), 1.0, 64, 64)

    marks = {tick: needed_packets(timeline, {tick}) for tick in (4, 6, 7)}

    assert {tick: [ticks[i] for i, on in enumerate(m) if on] for tick, m in marks.items()} == {
        4: [0, 2, 1, 5, 3, 4],
        6: [5, 3, 4, 6],
        7: [5, 3, 4, 6, 9, 7],
    }


@pytest.mark.parametrize(
    ("times_s", "rate"),
    [
        ([i * 0.5 for i in range(20)], 2.0),
        ([i * 1.5 for i in range(20)], 2 / 3),
        ([i * 0.4985 for i in range(20)], 2.0),
        ([0.0, 0.25, 0.5, 0.75], 4.0),
        ([0.0], 2.0),
    ],
)
def test_the_written_rate_is_true_and_never_loses_a_frame(
    times_s: list[float], rate: float
) -> None:
    """Loaders count int(frames / rate * 2): just above 2 fps they would leave one frame out."""
    assert rate == pytest.approx(float(written_rate(times_s, 2.0)), rel=1e-4)
