import asyncio
import os
import resource
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sidecar.errors import (
    EmptyMediaList,
    MediaError,
    MediaForbidden,
    MediaMissing,
    MediaNotStored,
    MediaRoute,
    MediaUnreachable,
    NoMedia,
    RecorderOverloaded,
    RecordingNotFound,
)
from sidecar.model import Anchor, Clip, MediaType, VerifyEvent
from sidecar.outside.clips import Clips
from sidecar.outside.fetch import GuardedFetcher
from sidecar.outside.vst import VstClient
from sidecar.settings import MediaSettings, VstSettings
from sidecar.testing.fake_vst import CLIP, FILE, FakeVst, Scripted
from sidecar.testing.fakes import FrozenClock
from sidecar.testing.media import write_image, write_motion

MakeEvent = Callable[..., VerifyEvent]


@pytest.fixture
async def recorder(tmp_path: Path) -> AsyncIterator[FakeVst]:
    """A recorder that also serves the direct URLs of these tests."""
    async with FakeVst(clip=write_motion(tmp_path / "door.mp4")) as vst:
        yield vst


@pytest.fixture
async def clips(local_network: MediaSettings) -> AsyncIterator[Clips]:
    found = Clips(local_network, GuardedFetcher(local_network), None)
    yield found
    await found.close()


@pytest.fixture
async def recorded(recorder: FakeVst) -> AsyncIterator[Clips]:
    """A recorder is configured; private URLs are forbidden for everybody else."""
    media = MediaSettings()
    vst = VstClient(VstSettings(base_url=recorder.url), FrozenClock())
    found = Clips(media, GuardedFetcher(media), vst)
    yield found
    await found.close()


def url_of(recorder: FakeVst, name: str = "x.mp4") -> str:
    return f"{recorder.url}/vst/storage/temp_files/{name}"


async def enter(clips: Clips, event: VerifyEvent, *, download: bool = True) -> Clip:
    async with clips.open(event, download=download) as clip:
        return clip


async def test_a_direct_video_is_downloaded_and_deleted(
    clips: Clips, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """The only URL is the source, and its file lives as long as the context."""
    url = url_of(recorder)

    async with clips.open(make_event(MediaRoute.DIRECT, url), download=True) as clip:
        inside = clip.paths[0].is_file()

    assert inside
    assert not clip.paths[0].parent.exists()
    assert clip == Clip(MediaType.VIDEO, clip.paths, (url,), url, total=1)


async def test_only_the_first_of_several_videos_is_taken(
    clips: Clips, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """VSS looks at one video; with several URLs there is no single source to show."""
    urls = [url_of(recorder, f"{i}.mp4") for i in range(3)]

    clip = await enter(clips, make_event(MediaRoute.DIRECT, *urls))

    assert (clip.urls, len(clip.paths), clip.source, clip.total) == ((urls[0],), 1, "", 3)
    assert recorder.counts[FILE] == 1


async def test_images_are_taken_up_to_the_limit(
    clips: Clips, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """Of seven images the first five are downloaded, and the total is told."""
    urls = [url_of(recorder, f"{i}.jpg") for i in range(7)]

    clip = await enter(clips, make_event(MediaRoute.DIRECT, *urls, kind=MediaType.IMAGE))

    assert (clip.urls, len(clip.paths), clip.total) == (tuple(urls[:5]), 5, 7)


async def test_a_passed_url_is_checked_and_not_fetched(
    clips: Clips, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """Without download the URL goes to the model's server as it is."""
    url = url_of(recorder)

    clip = await enter(clips, make_event(MediaRoute.DIRECT, url), download=False)

    assert clip == Clip(MediaType.VIDEO, (), (url,), url)
    assert recorder.counts == {}


@pytest.mark.parametrize("download", [True, False])
async def test_a_private_url_is_forbidden_either_way(
    *, download: bool, recorded: Clips, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """Passing a URL on does not go round the guard."""
    event = make_event(MediaRoute.DIRECT, url_of(recorder))

    with pytest.raises(MediaForbidden):
        await enter(recorded, event, download=download)


@contextmanager
def full_disk() -> Iterator[None]:
    """Let this process write nothing behind the first 2 KiB of any file."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2048, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


async def test_a_full_disk_is_waited_for(
    local_network: MediaSettings, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """The clip is fetched again when there is room, and nothing of the first try is left."""
    disk, pauses = ExitStack(), list[float]()

    async def make_room(pause_s: float) -> None:
        pauses.append(pause_s)
        disk.close()

    clips = Clips(local_network, GuardedFetcher(local_network), None, sleep=make_room)
    event = make_event(MediaRoute.DIRECT, url_of(recorder))
    with disk:
        disk.enter_context(full_disk())
        async with clips.open(event, download=True) as clip:
            stored = clip.paths[0].stat().st_size
    await clips.close()

    assert ([0.5], True) == (pauses, stored > 2048)
    assert recorder.counts[FILE] == 2


async def test_a_disk_that_stays_full_is_told(
    local_network: MediaSettings, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """In the end the event fails for what it is: no room here."""
    pauses = list[float]()

    async def wait(pause_s: float) -> None:
        pauses.append(pause_s)

    clips = Clips(local_network, GuardedFetcher(local_network), None, sleep=wait)
    event = make_event(MediaRoute.DIRECT, url_of(recorder))
    with full_disk(), pytest.raises(MediaNotStored, match="TMPDIR"):
        await enter(clips, event)
    await clips.close()

    assert 15 < sum(pauses) < 30


async def test_no_urls_are_an_empty_list(clips: Clips, make_event: MakeEvent) -> None:
    """A direct event without URLs fails as in VSS."""
    with pytest.raises(EmptyMediaList):
        await enter(clips, make_event(MediaRoute.DIRECT))


async def test_downloads_are_deleted_when_the_work_is_cancelled(
    clips: Clips, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """Cancelling a verification leaves no files behind."""
    held: list[Path] = []
    entered = asyncio.Event()

    async def work() -> None:
        event = make_event(MediaRoute.DIRECT, url_of(recorder))
        async with clips.open(event, download=True) as clip:
            held.extend(clip.paths)
            entered.set()
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert [path.parent.exists() for path in held] == [False]


async def test_a_failed_download_leaves_nothing(
    clips: Clips,
    recorder: FakeVst,
    make_event: MakeEvent,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The folder of a download that fails is deleted too."""
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    recorder.script[FILE] = Scripted(500)

    with pytest.raises(MediaUnreachable, match="HTTP 500"):
        await enter(clips, make_event(MediaRoute.DIRECT, url_of(recorder)))

    assert os.listdir(scratch) == []  # noqa: PTH208 - pathlib is not meant for async functions


async def test_local_files_are_found_absolute_and_relative(
    clips: Clips, tmp_path: Path, make_event: MakeEvent
) -> None:
    """A path below an allowed root is used where it is, and has no URL."""
    path = write_motion(tmp_path / "a.mp4")

    absolute = await enter(clips, make_event(MediaRoute.LOCAL, str(path)))
    relative = await enter(clips, make_event(MediaRoute.LOCAL, "a.mp4"))

    assert absolute == relative == Clip(MediaType.VIDEO, (path,))
    assert path.is_file()


async def test_relative_files_are_looked_for_under_each_root(
    tmp_path: Path, make_event: MakeEvent
) -> None:
    """The first root that has the file wins."""
    roots = (tmp_path / "one", tmp_path / "two")
    for root in roots:
        root.mkdir()
    path = write_image(roots[1] / "x.png")
    media = MediaSettings(allowed_roots=roots)
    clips = Clips(media, GuardedFetcher(media), None)

    clip = await enter(clips, make_event(MediaRoute.LOCAL, "x.png", kind=MediaType.IMAGE))

    assert clip.paths == (path,)


@pytest.mark.parametrize("form", ["absolute", "dots", "link", "folder-link", "prefix"])
async def test_files_outside_of_the_roots_are_forbidden(
    form: str, tmp_path: Path, make_event: MakeEvent
) -> None:
    """Neither absolute paths, nor `..`, nor links lead out, and names are not compared as text."""
    root, outside = tmp_path / "root", tmp_path / "root-other"
    root.mkdir()
    outside.mkdir()
    secret = write_image(outside / "secret.png")
    (root / "link.png").symlink_to(secret)
    (root / "folder").symlink_to(outside)
    refs = {
        "absolute": str(secret),
        "dots": "../root-other/secret.png",
        "link": "link.png",
        "folder-link": "folder/secret.png",
        "prefix": f"{root}-other/secret.png",
    }
    media = MediaSettings(allowed_roots=(root,))
    clips = Clips(media, GuardedFetcher(media), None)

    with pytest.raises(MediaForbidden, match="not below an allowed folder") as caught:
        await enter(clips, make_event(MediaRoute.LOCAL, refs[form]))

    assert str(tmp_path) not in caught.value.detail


async def test_a_link_within_the_roots_is_followed(
    clips: Clips, tmp_path: Path, make_event: MakeEvent
) -> None:
    """Links are fine as long as they stay inside; the real file is given."""
    path = write_image(tmp_path / "x.png")
    (tmp_path / "latest.png").symlink_to(path)

    clip = await enter(clips, make_event(MediaRoute.LOCAL, "latest.png"))

    assert clip.paths == (path,)


async def test_missing_files_are_told_by_name(clips: Clips, make_event: MakeEvent) -> None:
    """A file that is not there is missing, not forbidden."""
    with pytest.raises(MediaMissing, match=r"^gone\.mp4 does not exist"):
        await enter(clips, make_event(MediaRoute.LOCAL, "deep/gone.mp4"))


@pytest.mark.parametrize("ref", ["folder", "pipe"])
async def test_only_regular_files_are_read(
    ref: str, clips: Clips, tmp_path: Path, make_event: MakeEvent
) -> None:
    """Folders and pipes, which would block, are refused."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(MediaForbidden, match="not a regular file"):
        await enter(clips, make_event(MediaRoute.LOCAL, ref))


@pytest.mark.parametrize("ref", ["a\0b", "x" * 5000])
async def test_impossible_paths_are_refused(ref: str, clips: Clips, make_event: MakeEvent) -> None:
    """A path that no file can have ends as a refusal, not as a crash."""
    with pytest.raises((MediaForbidden, MediaMissing)):
        await enter(clips, make_event(MediaRoute.LOCAL, ref))


async def test_without_roots_no_file_is_read(tmp_path: Path, make_event: MakeEvent) -> None:
    """Local files need a folder to be allowed first, and the error names the setting."""
    media = MediaSettings()
    clips = Clips(media, GuardedFetcher(media), None)

    with pytest.raises(MediaForbidden, match="SIDECAR_MEDIA__ALLOWED_ROOTS"):
        await enter(clips, make_event(MediaRoute.LOCAL, str(tmp_path)))


async def test_a_local_file_cannot_be_passed_as_a_url(
    clips: Clips, tmp_path: Path, make_event: MakeEvent
) -> None:
    """An arm that passes URLs on tells the user that it needs one."""
    write_image(tmp_path / "x.png")

    with pytest.raises(MediaForbidden, match="evidence form is `url`"):
        await enter(clips, make_event(MediaRoute.LOCAL, "x.png"), download=False)


async def test_the_recorders_clip_is_downloaded(
    recorded: Clips, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """The recorder may be private: it is the operator's own."""
    async with recorded.open(make_event(MediaRoute.RECORDER), download=True) as clip:
        same = clip.paths[0].read_bytes() == (recorder.clip or Path()).read_bytes()

    url = url_of(recorder, "cam-1.mp4")
    start = datetime(2026, 1, 31, 7, 59, 20, tzinfo=UTC)
    assert same
    assert clip == Clip(MediaType.VIDEO, clip.paths, (url,), url, start=start)


async def test_the_recorders_url_is_probed_before_it_is_passed_on(
    recorded: Clips, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """A URL that does not answer is not given to the model's server."""
    event = make_event(MediaRoute.RECORDER)

    clip = await enter(recorded, event, download=False)
    recorder.clip = None
    with pytest.raises(MediaUnreachable):
        await enter(recorded, event, download=False)

    assert clip.urls == (url_of(recorder, "cam-1.mp4"),)


async def test_failures_of_the_recorder_pass_through(
    recorded: Clips, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """A missing recording stays a missing recording."""
    recorder.script[CLIP] = Scripted(404)

    with pytest.raises(RecordingNotFound):
        await enter(recorded, make_event(MediaRoute.RECORDER))


@dataclass
class Waiting:
    """A recorder's client whose event has just ended; its pauses move its clock.

    Attributes:
        pauses: how long it waited each time.
        after_pause: called after each pause with their number.
    """

    clips: Clips
    clock: FrozenClock
    pauses: list[float] = field(default_factory=list)
    after_pause: Callable[[int], None] = lambda _: None

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(seconds)
        self.after_pause(len(self.pauses))


@pytest.fixture
async def waiting(recorder: FakeVst) -> AsyncIterator[Waiting]:
    async def sleep(seconds: float) -> None:
        await found.sleep(seconds)

    media, clock = MediaSettings(), FrozenClock(ENDED)
    vst = VstClient(VstSettings(base_url=recorder.url), clock)
    found = Waiting(Clips(media, GuardedFetcher(media), vst, sleep=sleep), clock)
    yield found
    await found.clips.close()


ENDED = datetime(2026, 1, 31, 7, 59, 30, tzinfo=UTC)
"""When the events of these tests end."""


@pytest.mark.parametrize("download", [True, False])
@pytest.mark.parametrize("endpoint", [CLIP, FILE])
async def test_a_clip_that_is_not_there_yet_is_waited_for(
    *, endpoint: str, download: bool, waiting: Waiting, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """A recording, or the file of a clip, may be missing at first; the window stays the same."""
    recorder.script[endpoint] = Scripted(404, times=2)

    clip = await enter(waiting.clips, make_event(MediaRoute.RECORDER), download=download)

    assert clip.urls == (url_of(recorder, "cam-1.mp4"),)
    assert waiting.pauses == [0.5, 1]
    assert len({query["endTime"] for query in recorder.queries}) == 1


async def test_an_empty_file_is_waited_for(
    waiting: Waiting, recorder: FakeVst, make_event: MakeEvent, tmp_path: Path
) -> None:
    """The file of a clip may be made before it is filled."""

    def fill(pauses: int) -> None:
        recorder.clip = full if pauses == 2 else empty

    empty, full = tmp_path / "empty.mp4", recorder.clip
    empty.touch()
    recorder.clip = empty
    waiting.after_pause = fill

    async with waiting.clips.open(make_event(MediaRoute.RECORDER), download=True) as clip:
        size = clip.paths[0].stat().st_size

    assert size > 0
    assert waiting.pauses == [0.5, 1]


async def test_the_end_of_a_clip_is_waited_for(
    waiting: Waiting, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """A clip that ends before its window is not shown while the rest is being recorded."""

    def record(pauses: int) -> None:
        recorder.recorded_until = ENDED - timedelta(seconds=4 - 2 * pauses)

    record(0)
    waiting.after_pause = record
    clip = await enter(waiting.clips, make_event(MediaRoute.RECORDER))

    assert waiting.pauses == [0.5, 1]
    assert recorder.counts[FILE] == 1
    assert clip.start == ENDED - timedelta(seconds=10)


async def test_what_there_is_of_a_clip_is_taken_at_last(
    waiting: Waiting, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """A recorder that stopped within the window has shown something, as in VSS."""
    recorder.recorded_until = ENDED - timedelta(seconds=4)

    clip = await enter(waiting.clips, make_event(MediaRoute.RECORDER))

    assert sum(waiting.pauses) == 20
    assert len(clip.paths) == 1


@pytest.mark.parametrize(
    ("endpoint", "error"), [(CLIP, RecordingNotFound), (FILE, MediaUnreachable)]
)
async def test_waiting_ends_with_the_failure(
    endpoint: str,
    error: type[MediaError],
    waiting: Waiting,
    recorder: FakeVst,
    make_event: MakeEvent,
) -> None:
    """Twenty seconds after the end of the window nothing more is expected."""
    recorder.script[endpoint] = Scripted(404)

    with pytest.raises(error):
        await enter(waiting.clips, make_event(MediaRoute.RECORDER))

    assert sum(waiting.pauses) == 20


@pytest.mark.parametrize("endpoint", [CLIP, FILE])
async def test_what_ended_long_ago_is_not_waited_for(
    endpoint: str, waiting: Waiting, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """A recording that is missing an hour later was never made."""
    waiting.clock.advance(3600)
    recorder.script[endpoint] = Scripted(404, times=1)

    with pytest.raises((RecordingNotFound, MediaUnreachable)):
        await enter(waiting.clips, make_event(MediaRoute.RECORDER))

    assert waiting.pauses == []


async def test_other_failures_of_the_recorder_are_not_waited_for(
    waiting: Waiting, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """A recorder that is overloaded is not asked more often, and says so at once."""
    recorder.script[CLIP] = Scripted(503, times=1)

    with pytest.raises(RecorderOverloaded):
        await enter(waiting.clips, make_event(MediaRoute.RECORDER))

    assert waiting.pauses == []


async def test_a_deadline_ends_the_waiting(recorder: FakeVst, make_event: MakeEvent) -> None:
    """Whoever waits for the clip may stop at any time."""
    media = MediaSettings()
    vst = VstClient(VstSettings(base_url=recorder.url), FrozenClock(ENDED))
    clips = Clips(media, GuardedFetcher(media), vst)
    recorder.script[CLIP] = Scripted(404)

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await enter(clips, make_event(MediaRoute.RECORDER))

    await clips.close()
    assert recorder.counts[CLIP] == 1


@pytest.mark.parametrize(
    ("anchor", "start"), [(None, 20), (Anchor.END, 20), (Anchor.START, 0), (Anchor.MIDDLE, 10)]
)
async def test_an_alert_type_may_choose_the_part_of_the_event(
    anchor: Anchor | None, start: int, recorded: Clips, make_event: MakeEvent
) -> None:
    """The anchor that is asked for wins over the settings'."""
    event = make_event(MediaRoute.RECORDER)

    async with recorded.open(event, download=True, anchor=anchor) as clip:
        begun = clip.start

    assert begun == event.timestamp + timedelta(seconds=start)


@pytest.mark.parametrize("download", [True, False])
async def test_the_recorders_clip_is_fetched_from_inside_and_shown_from_outside(
    *, download: bool, recorded: Clips, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """An origin that only browsers reach is for browsers."""
    recorder.origin = "https://vss.invalid:7777"

    clip = await enter(recorded, make_event(MediaRoute.RECORDER), download=download)

    assert clip.urls == (url_of(recorder, "cam-1.mp4"),)
    assert clip.source == "https://vss.invalid:7777/vst/storage/temp_files/cam-1.mp4"


async def test_a_remote_model_gets_the_url_for_outside(
    recorder: FakeVst, make_event: MakeEvent
) -> None:
    """The URL is probed where this process can reach it, and passed on as the model can."""
    recorder.origin = "https://vss.invalid:7777"
    media = MediaSettings()
    settings = VstSettings(base_url=recorder.url, model_is_remote=True)
    clips = Clips(media, GuardedFetcher(media), VstClient(settings, FrozenClock()))

    clip = await enter(clips, make_event(MediaRoute.RECORDER), download=False)

    await clips.close()
    assert clip.urls == (clip.source,)
    assert recorder.counts[FILE] == 1


async def test_without_a_recorder_the_user_is_told_the_ways_to_name_media(
    clips: Clips, make_event: MakeEvent
) -> None:
    """The error names both fields of the event and the setting."""
    with pytest.raises(NoMedia) as caught:
        await enter(clips, make_event(MediaRoute.RECORDER))

    named = ("info.media_urls", "info.video_path", "SIDECAR_VST__BASE_URL")
    assert [name in caught.value.detail for name in named] == [True, True, True]


async def test_ping_asks_the_recorder(clips: Clips, recorded: Clips, recorder: FakeVst) -> None:
    """Without a recorder there is nothing to ask; one that is down is told."""
    healthy = (await clips.ping(), await recorded.ping())
    await recorder.close()

    assert healthy == ("", "")
    assert "SIDECAR_VST__BASE_URL" in await recorded.ping()
