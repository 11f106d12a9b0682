"""Media that come with their event over gRPC."""

import asyncio
import os
from pathlib import Path

import cv2
import grpc
import pytest
from rpc_service import calling, incident, open_channel, rpc_service, storing_rpc

from sidecar.client import write_event
from sidecar.errors import Overloaded
from sidecar.model import Frame
from sidecar.outside.inline_media import InlineMediaFolder, join_frames
from sidecar.pb.v1 import verifier_pb2 as pb
from sidecar.pb.v1.verifier_pb2_grpc import VerifierStub
from sidecar.settings import MediaSettings
from sidecar.testing.media import moving_square, still_picture, write_motion


def _jpeg(picture: object) -> bytes:
    return bytes(cv2.imencode(".jpg", picture)[1])  # type: ignore[call-overload]  # a picture


def _frames(count: int) -> list[tuple[float, bytes]]:
    return [(0.5 * i, _jpeg(picture)) for i, picture in enumerate(moving_square(count))]


async def _gone(folder: Path) -> None:
    async with asyncio.timeout(5):
        while list(folder.glob("*")):
            await asyncio.sleep(0.01)


async def test_inline_frames_are_looked_at_and_removed(tmp_path: Path) -> None:
    """Frames of a moving scene are confirmed as motion; afterwards nothing of them is kept."""
    event = write_event(incident(1), frames=_frames(6))
    async with rpc_service(tmp_path) as rpc, calling(rpc) as client:
        verdict = await client.verify(event)
        await _gone(tmp_path / "inline")

    assert (pb.OUTCOME_CONFIRMED, 6) == (verdict.outcome, verdict.frames_asked)


async def test_a_single_inline_frame_is_a_picture(tmp_path: Path) -> None:
    """One frame is stored as the JPEG file that it is."""
    jpeg = _jpeg(still_picture())
    async with storing_rpc(tmp_path) as (_, door), open_channel(door) as channel:
        event = write_event(incident(1), frames=[(0.0, jpeg)])
        await VerifierStub(channel).Submit(pb.SubmitRequest(event=event))
        kept = list((tmp_path / "inline").glob("*.jpg"))

    assert [jpeg] == [path.read_bytes() for path in kept]


async def test_inline_media_survive_a_restart(tmp_path: Path) -> None:
    """An event that was accepted with a clip is decided after the next start."""
    clip = write_motion(tmp_path / "clip.mp4").read_bytes()
    async with storing_rpc(tmp_path) as (_, door), open_channel(door) as channel:
        event = write_event(incident(1), clip=clip)
        await VerifierStub(channel).Submit(pb.SubmitRequest(event=event))
    async with rpc_service(tmp_path) as rpc, calling(rpc) as client:
        verdict = await client.verify(event)
        await _gone(tmp_path / "inline")

    assert pb.OUTCOME_CONFIRMED == verdict.outcome


async def test_inline_media_need_a_folder(tmp_path: Path) -> None:
    """Replicas without a shared folder refuse inline media, and say what to do."""
    event = write_event(incident(1), clip=b"a clip")
    async with storing_rpc(tmp_path, inline=False) as (_, door), open_channel(door) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await VerifierStub(channel).Submit(pb.SubmitRequest(event=event))

    assert grpc.StatusCode.INVALID_ARGUMENT == caught.value.code()
    assert "SIDECAR_MEDIA__INLINE_DIR" in (caught.value.details() or "")


async def test_inline_media_are_refused_where_they_are_not_looked_at(tmp_path: Path) -> None:
    """A sidecar that takes all clips from VST does not pretend to look at others."""
    event = write_event(incident(1), clip=b"a clip")
    vst = {"ignore_event_media": True}
    async with rpc_service(tmp_path, vst=vst) as rpc, open_channel(rpc.door) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await VerifierStub(channel).Submit(pb.SubmitRequest(event=event))

    assert "SIDECAR_VST__IGNORE_EVENT_MEDIA" in (caught.value.details() or "")


async def test_two_events_with_one_clip_do_not_share_a_file(tmp_path: Path) -> None:
    """The verdict on one event leaves the media of the other alone."""
    folder = InlineMediaFolder(tmp_path, MediaSettings())
    first, second = [await folder.keep_clip(key, b"clip") for key in ("a", "b")]
    await folder.forget(first, "a")

    assert not (tmp_path / first).exists()
    assert b"clip" == (tmp_path / second).read_bytes()


async def test_only_the_owner_is_forgotten(tmp_path: Path) -> None:
    """An event that names another one's file, or one outside, removes nothing."""
    folder = InlineMediaFolder(tmp_path / "inline", MediaSettings())
    name = await folder.keep_clip("a", b"clip")
    outside = tmp_path / "outside.mp4"
    outside.write_bytes(b"clip")
    (tmp_path / "outside.mp4.key").write_text("b")
    await folder.forget(name, "b")
    await folder.forget("../outside.mp4", "b")

    assert (tmp_path / "inline" / name).exists()
    assert outside.exists()


async def test_a_sweep_keeps_what_is_needed(tmp_path: Path) -> None:
    """Media of undecided and of young unknown events stay; those of decided and old ones go."""
    folder = InlineMediaFolder(tmp_path, MediaSettings())
    names = {
        key: await folder.keep_clip(key, b"clip") for key in ("undecided", "done", "new", "old")
    }
    os.utime(tmp_path / f"{names['old']}.key", (0, 0))

    async def is_decided(key: str) -> bool | None:
        return {"undecided": False, "done": True}.get(key)

    await folder.sweep(is_decided)
    kept = {key for key, name in names.items() if (tmp_path / name).exists()}

    assert {"undecided", "new"} == kept


async def test_the_folder_is_bounded(tmp_path: Path) -> None:
    """When too much waits, further media are refused until something is decided."""
    limits = MediaSettings(inline_max_total_bytes=1024)
    folder = InlineMediaFolder(tmp_path, limits)
    name = await folder.keep_clip("a", bytes(1000))
    with pytest.raises(Overloaded):
        await folder.keep_clip("b", bytes(100))
    await folder.forget(name, "a")

    assert (await folder.keep_clip("b", bytes(100))).endswith(".mp4")


def test_joined_frames_keep_their_times_and_bytes(tmp_path: Path) -> None:
    """The clip holds the JPEG pictures to the byte, at their times."""
    import av

    frames = [Frame(time_s, jpeg) for time_s, jpeg in _frames(4)]
    path = tmp_path / "clip.mkv"
    path.write_bytes(join_frames(frames))
    with av.open(path) as clip:
        packets = [it for it in clip.demux(clip.streams.video[0]) if it.size]
        found = [(float(it.pts * it.time_base), bytes(it)) for it in packets]

    assert [(frame.timestamp_s, frame.jpeg) for frame in frames] == found
