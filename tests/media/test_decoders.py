"""Decoding in processes of their own gives what decoding here gives, and survives them."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from sidecar.errors import DecoderCrashed, MediaNotVideo
from sidecar.model import Box, Clip, Evidence, EvidenceForm, Frame, MediaType, Overlay, SamplePlan
from sidecar.outside.decoders import ProcessSampler, build_sampler
from sidecar.outside.decoding_wire import (
    HEADER_BYTES,
    Answer,
    Job,
    dump_evidence,
    dump_job,
    length_of,
    load_job,
)
from sidecar.outside.frames import PyavSampler
from sidecar.settings import MediaSettings
from sidecar.testing.media import write_image, write_motion

LIMITS = MediaSettings()
PLAN = SamplePlan(EvidenceForm.FRAMES, fps=2.0, max_frames=8, max_pixels=8 * 256 * 256)

STUMBLING = """
import os, sys
from pathlib import Path
from sidecar.outside import decoder_process
tripped = Path(sys.argv[1])
if not tripped.exists():
    tripped.touch()
    os.kill(os.getpid(), 11)
decoder_process.main()
"""
"""A decoder whose first process crashes."""
CRASHING = "import os, sys; sys.stdin.buffer.read(4); os.kill(os.getpid(), 11)"
STUCK = "import sys, time; sys.stdin.buffer.read(4); time.sleep(600)"


def _video(path: Path) -> Clip:
    return Clip(MediaType.VIDEO, (path,))


@asynccontextmanager
async def _sampler(*script: str, count: int = 1) -> AsyncIterator[ProcessSampler]:
    command = (sys.executable, "-c", *script)
    sampler = ProcessSampler(LIMITS, count, command) if script else ProcessSampler(LIMITS, count)
    try:
        yield sampler
    finally:
        await sampler.close()


async def test_evidence_is_the_same_as_from_here(tmp_path: Path) -> None:
    """For each form, with overlays and spans, and errors are the same too."""
    clip = _video(write_motion(tmp_path / "a.mp4"))
    box = Box(0.1, 0.1, 0.5, 0.5, "a person")
    part = replace(clip, span=(0.5, 1.5), overlays=(Overlay(0.7, (box,)),))
    picture = Clip(MediaType.IMAGE, (write_image(tmp_path / "a.jpg"),))
    asked = [
        (clip, PLAN),
        (clip, replace(PLAN, form=EvidenceForm.VIDEO)),
        (part, PLAN),
        (picture, PLAN),
        (replace(clip, urls=("http://a/b.mp4",)), replace(PLAN, form=EvidenceForm.URL)),
    ]
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video" * 100)
    here = PyavSampler(LIMITS)
    async with _sampler() as there:
        for one, plan in asked:
            assert await here.sample(one, plan) == await there.sample(one, plan)
        errors = []
        for sampler in (here, there):
            with pytest.raises(MediaNotVideo) as caught:
                await sampler.sample(_video(broken), PLAN)
            errors.append(caught.value.detail)
        assert errors[0] == errors[1]
    await here.close()


async def test_a_crash_is_tried_once_more(tmp_path: Path) -> None:
    """The second decoder may have more luck, and is kept."""
    clip = _video(write_motion(tmp_path / "a.mp4"))
    async with _sampler(STUMBLING, str(tmp_path / "tripped")) as sampler:
        evidence = await sampler.sample(clip, PLAN)

    assert evidence.frames_sent


async def test_a_clip_that_crashes_two_decoders_ends_with_that_reason() -> None:
    """It says what the system did, and that the clip may be to blame."""
    async with _sampler(CRASHING) as sampler:
        with pytest.raises(DecoderCrashed, match=r"a\.mp4 made two decoders end.*SIGSEGV"):
            await sampler.sample(_video(Path("a.mp4")), PLAN)


async def test_a_crash_costs_only_the_clip_that_it_was_on(tmp_path: Path) -> None:
    """Others that are decoded at the same time, and later ones, go on."""
    clip = _video(write_motion(tmp_path / "a.mp4"))
    async with _sampler(count=2) as sampler:
        await asyncio.gather(sampler.sample(clip, PLAN), sampler.sample(clip, PLAN))
        first, second = sampler._idle
        os.kill(first.pid, signal.SIGKILL)
        both = await asyncio.gather(*(sampler.sample(clip, PLAN) for _ in range(4)))
        still = [decoder.pid for decoder in sampler._idle]

    assert 4 == len(both)
    assert second.pid in still
    assert first.pid not in still


async def test_a_clip_that_is_given_up_ends_its_decoder(tmp_path: Path) -> None:
    """Nothing else stops it in the middle; its place is free at once."""
    async with _sampler(STUCK) as sampler:
        stuck = asyncio.create_task(sampler.sample(_video(tmp_path / "a.mp4"), PLAN))
        waits = asyncio.create_task(sampler.sample(_video(tmp_path / "a.mp4"), PLAN))
        while not sampler.waiting:
            await asyncio.sleep(0)
        for task in (waits, stuck):
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert 0 == sampler.waiting
        assert not sampler._idle


async def test_nothing_is_started_before_it_is_needed() -> None:
    """So that a service starts as fast as before, and one without clips needs no more memory."""
    async with _sampler(count=16) as sampler:
        assert not sampler._idle
        assert 0 == sampler.waiting


async def test_the_settings_say_where_clips_are_decoded() -> None:
    """0 is here; the default follows the machine."""
    here, there = build_sampler(MediaSettings(decode_processes=0)), build_sampler(MediaSettings())

    assert isinstance(here, PyavSampler)
    assert isinstance(there, ProcessSampler)
    for sampler in (here, there):
        await sampler.close()
        await sampler.close()


def test_what_is_written_is_read_again() -> None:
    """Jobs and answers with everything in them."""
    clip = Clip(
        MediaType.VIDEO,
        (Path("/clips/ü.mp4"),),
        ("http://a",),
        start=datetime(2026, 1, 31, 8, tzinfo=UTC),
        span=(0.5, 2.0),
        overlays=(Overlay(0.5, (Box(0.1, 0.2, 0.3, 0.4, "x"),)),),
    )
    job = Job(clip, PLAN, LIMITS)
    message = dump_job(job)
    frames = (Frame(0.0, b"one"), Frame(0.5, b"three"))
    evidence = Evidence(EvidenceForm.FRAMES, MediaType.VIDEO, frames, timestamps_s=(0.0, 0.5))
    first, *pictures = dump_evidence(evidence)

    assert len(message) == HEADER_BYTES + length_of(message[:HEADER_BYTES])
    assert job == load_job(message[HEADER_BYTES:])
    assert evidence == Answer(first[HEADER_BYTES:]).evidence(pictures)


@pytest.mark.parametrize("name", ["SystemExit", "SettingsError", "nothing", ""])
def test_a_decoder_cannot_make_the_service_raise_what_it_likes(name: str) -> None:
    """It names media errors, and no others."""
    header = f'{{"error": "{name}", "detail": "x"}}'.encode()

    with pytest.raises(ValueError, match="a decoder answered with"):
        Answer(header).evidence([])
