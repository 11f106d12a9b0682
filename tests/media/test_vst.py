import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sidecar.errors import (
    MediaError,
    MediaRoute,
    RecorderFailed,
    RecorderOverloaded,
    RecorderRefused,
    RecorderTimeout,
    RecorderUnavailable,
    RecorderWithoutUrl,
    RecordingNotFound,
    row_of,
)
from sidecar.model import Anchor, VerifyEvent
from sidecar.outside.vst import (
    Recording,
    VstClient,
    Window,
    clip_window,
    format_time,
    parse_sensors,
    to_inside,
    to_outside,
)
from sidecar.settings import VstOverlaySettings, VstSettings
from sidecar.testing.fake_vst import CLIP, SENSORS, FakeVst, Scripted
from sidecar.testing.fakes import FrozenClock

MakeEvent = Callable[..., VerifyEvent]
T0 = datetime(2026, 1, 31, 8, 0, 0, tzinfo=UTC)


@pytest.fixture
async def recorder() -> AsyncIterator[FakeVst]:
    async with FakeVst(streams={"cam-1": "stream-1"}) as vst:
        yield vst


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock(T0)


@pytest.fixture
async def client(recorder: FakeVst, clock: FrozenClock) -> AsyncIterator[VstClient]:
    vst = VstClient(VstSettings(base_url=recorder.url, timeout_s=0.5), clock)
    yield vst
    await vst.close()


async def ask(client: VstClient, event: VerifyEvent) -> Recording:
    return await client.resolve(event, client.window(event))


async def test_the_clip_is_asked_for_the_stream_of_the_sensor(
    client: VstClient, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """A sensor name is turned into its stream id, and the query is the one that VSS sends."""
    recording = await ask(client, make_event(MediaRoute.RECORDER))

    url = f"{recorder.url}/vst/storage/temp_files/stream-1.mp4"
    assert recording == Recording(url, url, url, datetime(2026, 1, 31, 7, 59, 20, tzinfo=UTC))
    assert recorder.queries == [
        {
            "streamId": "stream-1",
            "startTime": "2026-01-31T07:59:20.000Z",
            "endTime": "2026-01-31T07:59:30.000Z",
            "expiryMinutes": "1440",
            "container": "mp4",
            "configuration": '{"disableAudio":false}',
        }
    ]


async def test_an_unlisted_sensor_is_its_own_stream(
    client: VstClient, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """A sensor that VST does not list is taken for a stream id, safely quoted."""
    await ask(client, make_event(MediaRoute.RECORDER, sensor="floor 2/door?x=1"))

    assert recorder.queries[0]["streamId"] == "floor 2/door?x=1"


async def test_the_sensor_list_is_kept_for_its_time(
    client: VstClient, recorder: FakeVst, clock: FrozenClock, make_event: MakeEvent
) -> None:
    """Waiting callers share one listing, and it is asked again only after `sensor_cache_s`."""
    event = make_event(MediaRoute.RECORDER)

    await asyncio.gather(*(ask(client, event) for _ in range(5)))
    clock.advance(59)
    await ask(client, event)
    before = recorder.counts[SENSORS]
    clock.advance(1)
    await ask(client, event)

    assert (before, recorder.counts[SENSORS]) == (1, 2)


@pytest.mark.parametrize(
    ("status", "error", "code", "text"),
    [
        (404, RecordingNotFound, 404, "No video recording found for the requested time"),
        (429, RecorderOverloaded, 429, "VST service overloaded"),
        (503, RecorderOverloaded, 503, "VST service overloaded"),
        (500, RecorderUnavailable, 500, "VST service unavailable"),
        (502, RecorderUnavailable, 502, "VST service unavailable"),
        (400, RecorderRefused, 400, "VST request error (HTTP 400)"),
        (403, RecorderRefused, 403, "VST request error (HTTP 403)"),
        (204, RecorderFailed, 204, "VST error: could not retrieve video"),
    ],
)
async def test_statuses_become_the_failures_of_vss(
    status: int,
    error: type[MediaError],
    code: int,
    text: str,
    client: VstClient,
    recorder: FakeVst,
    make_event: MakeEvent,
) -> None:
    """Each status of VST ends with the code and the status text of the Alert Bridge."""
    recorder.script[CLIP] = Scripted(status)

    with pytest.raises(error) as caught:
        await ask(client, make_event(MediaRoute.RECORDER))

    wording = row_of(caught.value).worded(caught.value, MediaRoute.RECORDER)
    assert type(caught.value) is error
    assert (wording.code, wording.status) == (code, text)


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ("{}", RecorderWithoutUrl),
        ('{"videoUrl": ""}', RecorderWithoutUrl),
        ('{"videoUrl": 5}', RecorderWithoutUrl),
        ("[]", RecorderWithoutUrl),
        ("<html>", RecorderFailed),
        ("", RecorderFailed),
    ],
)
async def test_answers_without_a_url_are_failures(
    body: str,
    error: type[MediaError],
    client: VstClient,
    recorder: FakeVst,
    make_event: MakeEvent,
) -> None:
    """A 200 without `videoUrl`, or without JSON, is no clip."""
    recorder.script[CLIP] = Scripted(200, body)

    with pytest.raises(error):
        await ask(client, make_event(MediaRoute.RECORDER))


async def test_a_slow_recorder_times_out(
    client: VstClient, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """No answer within `timeout_s` is a timeout."""
    recorder.script[CLIP] = Scripted(delay_s=2)

    with pytest.raises(RecorderTimeout):
        await ask(client, make_event(MediaRoute.RECORDER))


async def test_a_recorder_that_is_down_is_unavailable(
    closed_port: int, clock: FrozenClock, make_event: MakeEvent
) -> None:
    """A refused connection is 503, and `ping` names the setting to check."""
    client = VstClient(VstSettings(base_url=f"http://127.0.0.1:{closed_port}"), clock)

    with pytest.raises(RecorderUnavailable) as caught:
        await ask(client, make_event(MediaRoute.RECORDER))
    told = await client.ping()

    await client.close()
    assert caught.value.code == 503
    assert "SIDECAR_VST__BASE_URL" in told


@pytest.mark.parametrize(
    ("scripted", "error"),
    [
        (Scripted(404), RecorderRefused),
        (Scripted(503), RecorderOverloaded),
        (Scripted(200, "{}"), RecorderFailed),
    ],
)
async def test_a_failed_sensor_list_fails_the_event_and_is_asked_again(
    scripted: Scripted,
    error: type[MediaError],
    client: VstClient,
    recorder: FakeVst,
    make_event: MakeEvent,
) -> None:
    """Without the list no stream is guessed; a missing list is not a missing recording."""
    recorder.script[SENSORS] = scripted
    with pytest.raises(error):
        await ask(client, make_event(MediaRoute.RECORDER))
    recorder.script.clear()

    recording = await ask(client, make_event(MediaRoute.RECORDER))

    assert recording.url.endswith("stream-1.mp4")


PLAIN = {"disableAudio": False}
BOXES = {
    "bbox": {"showAll": False, "objectId": ["7", "9"], "showObjId": False, "objIdPosition": 0},
    "color": "green",
    "thickness": 5,
    "opacity": 254,
    "debug": True,
}


def configurations(recorder: FakeVst) -> list[Any]:
    return [json.loads(query["configuration"]) for query in recorder.queries]


@asynccontextmanager
async def client_with(recorder: FakeVst, **settings: Any) -> AsyncIterator[VstClient]:
    client = VstClient(VstSettings(base_url=recorder.url, **settings), FrozenClock(T0))
    yield client
    await client.close()


async def test_an_overlay_shows_the_objects_of_the_event(
    recorder: FakeVst, make_event: MakeEvent
) -> None:
    """The configuration is VSS's: only the event's objects, in VSS's default looks."""
    event = replace(make_event(MediaRoute.RECORDER), object_ids=("7", "9"))
    async with client_with(recorder, add_overlay=True) as client:
        await ask(client, event)

    assert configurations(recorder) == [{**PLAIN, "overlay": BOXES}]


async def test_the_looks_of_the_overlay_are_settings(
    recorder: FakeVst, make_event: MakeEvent
) -> None:
    """Each of VSS's overlay keys has its place; without objects no box is drawn."""
    looks = VstOverlaySettings(
        color="red",
        thickness=2,
        opacity=9,
        debug=False,
        show_object_ids=True,
        object_id_position=3,
    )
    async with client_with(recorder, add_overlay=True, overlay=looks) as client:
        await ask(client, make_event(MediaRoute.RECORDER))

    bbox = {"showAll": False, "objectId": [], "showObjId": True, "objIdPosition": 3}
    overlay = {"bbox": bbox, "color": "red", "thickness": 2, "opacity": 9, "debug": False}
    assert configurations(recorder) == [{**PLAIN, "overlay": overlay}]


async def test_a_refused_overlay_is_left_out_when_told(
    recorder: FakeVst, make_event: MakeEvent
) -> None:
    """The clip is asked for once more, plain."""
    recorder.overlay_status = 500
    async with client_with(recorder, add_overlay=True, retry_without_overlay=True) as client:
        recording = await ask(client, make_event(MediaRoute.RECORDER))

    assert recording.url.endswith("stream-1.mp4")
    assert ["overlay" in it for it in configurations(recorder)] == [True, False]


@pytest.mark.parametrize(
    ("settings", "requests"),
    [
        ({"add_overlay": True}, 1),
        ({"retry_without_overlay": True}, 1),
        ({"add_overlay": True, "retry_without_overlay": True}, 2),
    ],
)
async def test_a_recorder_that_fails_is_asked_again_only_without_an_overlay(
    settings: dict[str, bool], requests: int, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """Only a request that had an overlay is repeated, once, and the failure stays what it is."""
    recorder.script[CLIP] = Scripted(500)
    async with client_with(recorder, **settings) as client:
        with pytest.raises(RecorderUnavailable):
            await ask(client, make_event(MediaRoute.RECORDER))

    assert recorder.counts[CLIP] == requests


async def test_clips_may_be_asked_for_elsewhere(recorder: FakeVst, make_event: MakeEvent) -> None:
    """Sensors are listed by `base_url`, clips come from `storage_url` when it is set."""
    async with FakeVst() as storage, client_with(recorder, storage_url=storage.url) as client:
        recording = await ask(client, make_event(MediaRoute.RECORDER))

    assert (recorder.counts, storage.counts) == ({SENSORS: 1}, {CLIP: 1})
    assert recording.url.endswith("stream-1.mp4")


async def test_the_sensor_list_may_have_another_path(
    recorder: FakeVst, make_event: MakeEvent
) -> None:
    """VSS's `sensor_list_endpoint` is asked, and here it does not exist."""
    async with client_with(recorder, sensor_list_endpoint="/other") as client:
        with pytest.raises(RecorderRefused):
            await ask(client, make_event(MediaRoute.RECORDER))

    assert recorder.counts == {}


async def test_a_clip_begins_when_the_recorder_says(
    client: VstClient, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """A clip that is cut at an earlier key frame begins there, not where it was asked to."""
    body = {
        "videoUrl": "http://x/y.mp4",
        "startTime": "2026-01-31T07:59:18.500Z",
        "endTime": "2026-01-31T07:59:30.040Z",
    }
    recorder.script[CLIP] = Scripted(200, json.dumps(body))
    recording = await ask(client, make_event(MediaRoute.RECORDER))

    assert recording.start == datetime(2026, 1, 31, 7, 59, 18, 500_000, tzinfo=UTC)
    assert recording.is_whole


@pytest.mark.parametrize("times", [{}, {"startTime": None, "endTime": "soon"}, {"endTime": 5}])
async def test_without_readable_times_a_clip_is_what_was_asked_for(
    times: dict[str, object], client: VstClient, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """VST need not tell the times of the clip."""
    recorder.script[CLIP] = Scripted(200, json.dumps({"videoUrl": "http://x/y.mp4", **times}))
    recording = await ask(client, make_event(MediaRoute.RECORDER))

    assert recording.start == datetime(2026, 1, 31, 7, 59, 20, tzinfo=UTC)
    assert recording.is_whole


@pytest.mark.parametrize(
    ("second", "is_whole"), [(20.5, False), (28.9, False), (29, True), (30, True)]
)
async def test_a_clip_that_ends_early_is_not_whole(
    second: float, is_whole: bool, client: VstClient, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """The recording goes up to 07:59:30 as asked, give or take a second."""
    recorder.recorded_until = T0 - timedelta(seconds=60 - second)
    recording = await ask(client, make_event(MediaRoute.RECORDER))

    assert recording.is_whole is is_whole


@pytest.mark.parametrize(
    "times",
    [
        {"startTime": "2026-01-31T07:58:00Z", "endTime": "2026-01-31T07:59:20Z"},
        {"startTime": "2026-01-31T07:59:30Z", "endTime": "2026-01-31T07:59:40"},
    ],
)
async def test_a_clip_of_another_time_is_no_recording(
    times: dict[str, str], client: VstClient, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """The model is never shown something else in the place of what was asked for."""
    recorder.script[CLIP] = Scripted(200, json.dumps({"videoUrl": "http://x/y.mp4", **times}))

    with pytest.raises(RecordingNotFound):
        await ask(client, make_event(MediaRoute.RECORDER))


PUBLIC = "https://vss.example.com:7777"


@pytest.mark.parametrize(
    ("settings", "urls"),
    [
        ({}, ("{vst}", "{vst}", PUBLIC)),
        ({"model_is_remote": True}, ("{vst}", PUBLIC, PUBLIC)),
        ({"rewrite_urls": False}, (PUBLIC, PUBLIC, PUBLIC)),
        (
            {"internal_host": "vss.example.com", "external_host": "203.0.113.5"},
            ("{vst}", "{vst}", "https://203.0.113.5:7777"),
        ),
    ],
)
async def test_each_reader_gets_the_url_that_it_can_reach(
    settings: dict[str, Any], urls: tuple[str, ...], recorder: FakeVst, make_event: MakeEvent
) -> None:
    """This process fetches from the recorder itself, people from outside, models as told."""
    recorder.origin = PUBLIC
    async with client_with(recorder, **settings) as client:
        found = await ask(client, make_event(MediaRoute.RECORDER))

    origins = tuple(url.format(vst=recorder.url) for url in urls)
    path = "/vst/storage/temp_files/stream-1.mp4"
    assert (found.url, found.model_url, found.public_url) == tuple(o + path for o in origins)


@pytest.mark.parametrize(
    ("url", "inside"),
    [
        ("https://a.example:7/vst/x%20y.mp4?t=1%2F2", "http://vst:30888/vst/x%20y.mp4?t=1%2F2"),
        ("http://a.example:80/vst/x.mp4", "http://vst:30888/vst/x.mp4"),
        ("http://a.example/temp_videos/x.mp4", "http://a.example/temp_videos/x.mp4"),
        ("/vst/x.mp4", "/vst/x.mp4"),
        ("http://a:b:c/vst/x.mp4", "http://a:b:c/vst/x.mp4"),
    ],
)
def test_only_what_vst_serves_is_fetched_from_inside(url: str, inside: str) -> None:
    """Path and query stay to the letter; other URLs stay as a whole."""
    assert to_inside(url, "http://vst:30888") == inside


@pytest.mark.parametrize(
    ("url", "outside"),
    [
        (
            "http://10.0.0.5:30888/vst/10.0.0.5%20.mp4",
            "http://203.0.113.5:30888/vst/10.0.0.5%20.mp4",
        ),
        ("http://10.0.0.55:30888/vst/x.mp4", "http://10.0.0.55:30888/vst/x.mp4"),
        ("http://a:b:c/x.mp4", "http://a:b:c/x.mp4"),
    ],
)
def test_only_the_internal_host_is_replaced(url: str, outside: str) -> None:
    """Neither longer addresses nor names of files that hold the host are touched."""
    assert to_outside(url, "10.0.0.5", "203.0.113.5") == outside


@pytest.mark.parametrize(("internal", "external"), [("", "a"), ("10.0.0.5", ""), ("", "")])
def test_a_host_without_its_counterpart_stays(internal: str, external: str) -> None:
    """Both hosts are needed."""
    assert to_outside("http://10.0.0.5/x", internal, external) == "http://10.0.0.5/x"


def pauses(end_s: float, slow_s: float = 0.0, **settings: Any) -> list[float]:
    """List the pauses for a window that ends `end_s` from now; each request takes `slow_s`."""
    clock = FrozenClock(T0)
    client = VstClient(VstSettings(base_url="http://vst", **settings), clock)
    end = T0 + timedelta(seconds=end_s)
    waited = []
    for pause_s in client.pauses(Window(end - timedelta(seconds=10), end)):
        waited.append(pause_s)
        clock.advance(pause_s + slow_s)
    return waited


@pytest.mark.parametrize(
    ("end_s", "expected"),
    [
        (0, [0.5, 1, 2, 4, 8, 4.5]),
        (-5, [0.5, 1, 2, 4, 7.5]),
        (-19.5, [0.5]),
        (-20, []),
        (-7200, []),
        (3600, [0.5, 1, 2, 4, 8, 4.5]),
    ],
)
def test_only_what_just_ended_is_waited_for(end_s: float, expected: list[float]) -> None:
    """Pauses grow, and end 20 s after the window; what ended hours ago is not waited for."""
    assert pauses(end_s) == expected


def test_slow_requests_count_as_waiting() -> None:
    """A recorder that takes its time is asked less often, not longer."""
    assert pauses(0, slow_s=6) == [0.5, 1, 2]


def test_waiting_can_be_switched_off() -> None:
    """As in VSS, which takes the first answer."""
    assert pauses(0, wait_for_recording_s=0) == []


async def test_ping_is_silent_when_the_recorder_answers(client: VstClient) -> None:
    """A recorder that lists its sensors is healthy."""
    told = await client.ping()

    assert told == ""


def test_odd_entries_of_the_sensor_list_are_left_out() -> None:
    """Entries without name or stream id, or of another shape, do not spoil the rest."""
    listed = [
        {"a": [{"name": "door", "streamId": "1"}, {"name": "gate"}, 5], "b": None},
        "noise",
        {"c": [{"name": "yard", "streamId": 7}]},
    ]

    streams = parse_sensors(listed)

    assert streams == {"door": "1", "yard": "7"}


def seconds_of(
    start: float, end: float, now: float, anchor: str, length_s: float
) -> tuple[float, float]:
    """Compute a window with times in seconds from T0."""
    moments = (T0 + timedelta(seconds=s) for s in (start, end, now))
    first, last = clip_window(*moments, Anchor(anchor), length_s)
    return (first - T0).total_seconds(), (last - T0).total_seconds()


@pytest.mark.parametrize(
    ("start", "end", "now", "anchor", "length_s", "window"),
    [
        (0, 60, 100, "end", 10, (50, 60)),
        (0, 60, 40, "end", 10, (30, 40)),
        (0, 6, 100, "end", 10, (0, 6)),
        (0, 60, 100, "start", 10, (0, 10)),
        (0, 6, 100, "start", 10, (0, 6)),
        (0, 60, 4, "start", 10, (0, 4)),
        (0, 60, 100, "middle", 10, (25, 35)),
        (0, 61, 100, "middle", 10, (25, 35)),
        (0, 6, 100, "middle", 10, (0, 6)),
        (0, 10.7, 100, "middle", 10, (0, 10.7)),
        (0.8, 61.2, 100, "middle", 5, (28, 33)),
        (0, 60, 32.5, "middle", 10, (11, 21)),
        (0, 60, 4, "middle", 10, (0, 4)),
        (10, 20, 8, "middle", 10, (7, 8)),
        (0, 60, 100, "end", 0, (0, 60)),
        (0, 60, 30, "end", 0, (0, 60)),
        (0, 0, 100, "end", 0, (0, 1)),
        (0, 0.2, 100, "end", 10, (-0.8, 0.2)),
        (10, 5, 100, "end", 10, (9, 10)),
        (10, 5, 100, "start", 10, (9, 10)),
        (10, 20, 8, "end", 10, (7, 8)),
    ],
)
def test_the_window_follows_anchor_and_length(
    start: float,
    end: float,
    now: float,
    anchor: str,
    length_s: float,
    window: tuple[float, float],
) -> None:
    """The clip shows the anchored part, never the future, and one second at least."""
    assert seconds_of(start, end, now, anchor, length_s) == window


def test_times_are_written_in_utc_with_milliseconds() -> None:
    """VST reads ISO 8601 with `Z`, whatever the zone of the event."""
    zone = datetime.fromisoformat("2026-01-31T10:00:00.123456+02:00")

    assert format_time(zone) == "2026-01-31T08:00:00.123Z"
