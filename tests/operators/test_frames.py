"""The pictures that a model saw, kept or made again."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
from harness import Running
from ledger_samples import an_event
from two_arms import R2, arm_settings, incident, two_arms

from operators.scene import CLIP, frames_of, kept_frames, scene, seen
from sidecar.core.verify import Look
from sidecar.model import Evidence, EvidenceForm, Frame, MediaType, Verdict
from sidecar.outside.kept_frames import FolderFrames
from sidecar.settings import FrameSettings
from sidecar.testing.fakes import FrozenClock, NullMeter
from sidecar.testing.media import still_picture
from sidecar.testing.mock_vlm import MockVlm
from sidecar.work.gallery import MOST_WAITING, Gallery

OFF = {"frames": {"keep_bytes": 0}}


async def picture(service: Running, path: str) -> tuple[int, str, bytes]:
    async with service.client.get(service.url + path) as answer:
        return answer.status, answer.headers.get("Cache-Control", ""), await answer.read()


def shown(jpeg: bytes) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    decoded = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


def evidence(count: int = 4, width: int = 64) -> Evidence:
    _, jpeg = cv2.imencode(".jpg", still_picture(width, width))
    frames = tuple(Frame(float(number), jpeg.tobytes()) for number in range(count))
    times = tuple(frame.timestamp_s for frame in frames)
    return Evidence(
        EvidenceForm.FRAMES, MediaType.VIDEO, frames, timestamps_s=times, frames_asked=count
    )


async def test_what_the_model_saw_is_kept_and_shown(tmp_path: Path) -> None:
    """Few small pictures with their times in the clip and of the day, that browsers may keep."""
    async with scene(tmp_path, frames={"per_event": 3, "width": 128}) as service:
        await service.verdict_on(seen())
        found = await kept_frames(service, "event-0")
        pictures = [await picture(service, it["href"]) for it in found["frames"]]
        small = await picture(service, found["frames"][0]["href"] + "?width=64")
        by_id = await picture(service, "/api/v1/verdicts/event-0/frames/0")

    assert ([0, 1, 2], True, "") == (
        [it["index"] for it in found["frames"]],
        found["exact"],
        found["reason"],
    )
    assert found["sent"] == found["seen"] == found["asked"]
    assert "2026-01-31T08:00:00Z" == found["frames"][0]["timestamp"]
    assert 0.0 == found["frames"][0]["timeS"] < found["frames"][2]["timeS"] <= 2.0
    assert {(200, "private, max-age=31536000, immutable")} == {it[:2] for it in pictures}
    assert {128} == {shown(jpeg).shape[1] for _, _, jpeg in pictures}
    assert 64 == shown(small[2]).shape[1]
    assert "private, max-age=60" == by_id[1]  # the id may be that of another verdict later
    assert not np.array_equal(shown(pictures[0][2]), shown(pictures[2][2]))


async def test_pictures_stay_when_the_clip_is_gone(tmp_path: Path) -> None:
    """And over a restart."""
    async with scene(tmp_path) as service:
        await service.verdict_on(seen())
        before = await kept_frames(service, "event-0")
    async with scene(tmp_path) as service:
        (tmp_path / "clips" / CLIP).unlink()
        after = await frames_of(service, "event-0")
        last = await picture(service, after["frames"][-1]["href"])

    assert (before, 200) == (after, last[0])


async def test_without_kept_pictures_the_clip_is_decoded_again(tmp_path: Path) -> None:
    """As long as it is there; the answer says that these are not the very same frames."""
    async with scene(tmp_path, **OFF) as service:
        await service.verdict_on(seen())
        unasked = await frames_of(service, "event-0", "?decode=false")
        found = await frames_of(service, "event-0")
        one = await picture(service, found["frames"][0]["href"] + "?decode=false")

    assert ("gone", [], "No pictures of it are kept.") == (
        unasked["source"],
        unasked["frames"],
        unasked["reason"],
    )
    assert ("clip", False, 8) == (found["source"], found["exact"], len(found["frames"]))
    assert (200, "private, max-age=60") == one[:2]
    assert not (tmp_path / "frames").exists()


async def test_pictures_that_are_gone_say_why(tmp_path: Path) -> None:
    """The list is empty with a reason, a picture is 404 with the same."""
    async with scene(tmp_path, **OFF) as service:
        await service.verdict_on(seen())
        (tmp_path / "clips" / CLIP).unlink()
        found = await frames_of(service, "event-0")
        status, body = await service.get("/api/v1/verdicts/event-0/frames/0")
        unknown = await service.get("/api/v1/verdicts/nobody/frames/0")

    assert ("gone", []) == (found["source"], found["frames"])
    assert "clip.mp4 does not exist" in found["reason"]
    assert (404, "media_gone", found["reason"]) == (status, body["error"], body["message"])
    assert (404, "not_found") == (unknown[0], unknown[1]["error"])


async def test_a_picture_behind_the_last_one_is_404(tmp_path: Path) -> None:
    """It says how many there are."""
    async with scene(tmp_path, frames={"per_event": 2}) as service:
        await service.verdict_on(seen())
        await kept_frames(service, "event-0")
        status, body = await service.get("/api/v1/verdicts/event-0/frames/2")

    assert (404, "There are 2 pictures, from 0 on.") == (status, body["message"])


async def test_frames_of_a_clip_that_was_sent_as_video_are_kept(tmp_path: Path) -> None:
    """The pictures are those of the video that the model got."""
    model = MockVlm()
    arm = {**arm_settings(await model.start()), "evidence": "video"}
    async with scene(tmp_path, ab={"primary": R2}, arms={R2: arm}) as service:
        await service.verdict_on(seen(category="collision"))
        found = await kept_frames(service, "event-0")
        first = await picture(service, found["frames"][0]["href"])
    await model.close()

    assert (True, 4, 4) == (found["exact"], found["sent"], len(found["frames"]))
    assert 320 >= shown(first[2]).shape[1]


async def test_media_that_may_not_be_read_are_not_shown_either(tmp_path: Path) -> None:
    """The server of the model fetched the clip; we are not allowed to."""
    async with two_arms(tmp_path, media={}) as arms:
        await arms.info()
        found = await frames_of(arms.service, "event-0")

    assert ("gone", []) == (found["source"], found["frames"])
    assert "not public" in found["reason"]


async def test_an_alert_of_2_4_cannot_be_decoded_again(tmp_path: Path) -> None:
    """Its document does not tell enough, and the answer says so."""
    alert = {
        "id": "old",
        "@timestamp": "2026-01-31T08:00:00Z",
        "sensor_id": "camera-1",
        "video_path": "nowhere.mp4",
        "alert": {"severity": "LOW", "status": "ACTIVE", "type": "motion", "description": "d"},
        "event": {"type": "motion", "description": "d"},
        "vss_params": {"vlm_params": {"prompt": "Is it?"}, "do_verification": True},
    }
    async with scene(tmp_path) as service:
        status, answer = await service.post("/api/v1/alerts", alert)
        assert 202 == status, answer
        await service.decided("old")
        found = await frames_of(service, "old")

    assert "gone" == found["source"]
    assert "VSS 2.4" in found["reason"]


def clock_of_now() -> FrozenClock:
    """A clock that stands beside that of the file system."""
    return FrozenClock(datetime.fromtimestamp(time.time(), UTC))


async def test_the_oldest_pictures_go_when_there_is_no_room(tmp_path: Path) -> None:
    """The folder stays below its limit, whatever is written."""
    settings = FrameSettings(keep_bytes=40_000)
    store = FolderFrames(tmp_path / "frames", settings, clock_of_now())
    for number in range(40):
        await store.keep(f"key-{number}", evidence(), None, exact=True)
    total = sum(it.stat().st_size for it in (tmp_path / "frames").rglob("*.zip"))
    newest, oldest = await store.find("key-39"), await store.find("key-0")
    await store.close()

    assert 0 < total <= settings.keep_bytes
    assert newest is not None
    assert oldest is None


async def test_pictures_that_are_too_old_go(tmp_path: Path) -> None:
    """However much room there is."""
    clock = clock_of_now()
    store = FolderFrames(tmp_path / "frames", FrameSettings(keep_days=1), clock)
    await store.keep("key", evidence(), clock.now(), exact=True)
    await store.sweep()
    young = await store.find("key")
    clock.advance(timedelta(days=2).total_seconds())
    await store.sweep()
    old = await store.find("key")
    await store.close()

    assert young is not None
    assert (clock.now() - timedelta(days=2), 4, 4) == (young.start, young.asked, young.sent)
    assert old is None


@pytest.mark.parametrize("content", [b"", b"PK", b"x" * 100])
async def test_a_file_that_was_cut_off_counts_as_none(tmp_path: Path, content: bytes) -> None:
    """A crash may leave one, as nothing is synced."""
    store = FolderFrames(tmp_path, FrameSettings(), clock_of_now())
    await store.keep("key", evidence(), None, exact=True)
    [path] = tmp_path.rglob("*.zip")
    path.write_bytes(content)
    found = await store.find("key")
    await store.close()

    assert found is None


async def test_a_folder_that_cannot_be_written_costs_only_the_pictures(tmp_path: Path) -> None:
    """They are given back all the same."""
    (tmp_path / "frames").write_text("a file")
    store = FolderFrames(tmp_path / "frames", FrameSettings(), clock_of_now())
    kept = await store.keep("key", evidence(), None, exact=True)
    found = await store.find("key")
    await store.close()

    assert (4, None) == (len(kept.frames), found)


class LeftOutMeter(NullMeter):
    """Counts events whose pictures were left out."""

    def __init__(self) -> None:
        self.left_out: list[str] = []

    def frames_left_out(self, reason: str) -> None:
        self.left_out.append(reason)


async def test_what_waits_to_be_kept_is_bounded(tmp_path: Path) -> None:
    """More is left out at once and counted: verdicts are never held up."""
    clock, meter = clock_of_now(), LeftOutMeter()
    store = FolderFrames(tmp_path, FrameSettings(), clock)
    gallery = Gallery(store, clock, meter)
    verdict = Verdict(an_event(), "a", "b", clock.now(), 0, evidence=evidence())
    for _ in range(MOST_WAITING + 3):
        gallery.take(Look(verdict))
    await store.close()

    assert ["full"] * 3 == meter.left_out


async def test_nothing_is_kept_of_what_a_server_sampled_itself(tmp_path: Path) -> None:
    """Nobody here knows what the model saw then."""
    async with two_arms(tmp_path) as arms:
        await arms.service.verdict_on(incident())
        found = await frames_of(arms.service, "event-0", "?decode=false")

    assert "gone" == found["source"]
