import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta

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
from sidecar.model import VerifyEvent
from sidecar.outside.vst import Anchor, VstClient, clip_window, format_time, parse_sensors
from sidecar.settings import VstSettings
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


async def test_the_clip_is_asked_for_the_stream_of_the_sensor(
    client: VstClient, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """A sensor name is turned into its stream id, and the query is the one that VSS sends."""
    url = await client.resolve(make_event(MediaRoute.RECORDER))

    assert url == f"{recorder.url}/vst/storage/temp_files/stream-1.mp4"
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
    await client.resolve(make_event(MediaRoute.RECORDER, sensor="floor 2/door?x=1"))

    assert recorder.queries[0]["streamId"] == "floor 2/door?x=1"


async def test_the_sensor_list_is_kept_for_its_time(
    client: VstClient, recorder: FakeVst, clock: FrozenClock, make_event: MakeEvent
) -> None:
    """Waiting callers share one listing, and it is asked again only after `sensor_cache_s`."""
    event = make_event(MediaRoute.RECORDER)

    await asyncio.gather(*(client.resolve(event) for _ in range(5)))
    clock.advance(59)
    await client.resolve(event)
    before = recorder.counts[SENSORS]
    clock.advance(1)
    await client.resolve(event)

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
        await client.resolve(make_event(MediaRoute.RECORDER))

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
        await client.resolve(make_event(MediaRoute.RECORDER))


async def test_a_slow_recorder_times_out(
    client: VstClient, recorder: FakeVst, make_event: MakeEvent
) -> None:
    """No answer within `timeout_s` is a timeout."""
    recorder.script[CLIP] = Scripted(delay_s=2)

    with pytest.raises(RecorderTimeout):
        await client.resolve(make_event(MediaRoute.RECORDER))


async def test_a_recorder_that_is_down_is_unavailable(
    closed_port: int, clock: FrozenClock, make_event: MakeEvent
) -> None:
    """A refused connection is 503, and `ping` names the setting to check."""
    client = VstClient(VstSettings(base_url=f"http://127.0.0.1:{closed_port}"), clock)

    with pytest.raises(RecorderUnavailable) as caught:
        await client.resolve(make_event(MediaRoute.RECORDER))
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
        await client.resolve(make_event(MediaRoute.RECORDER))
    recorder.script.clear()

    url = await client.resolve(make_event(MediaRoute.RECORDER))

    assert url.endswith("stream-1.mp4")


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
    start: float, end: float, now: float, anchor: Anchor, length_s: float
) -> tuple[float, float]:
    """Compute a window with times in seconds from T0."""
    moments = (T0 + timedelta(seconds=s) for s in (start, end, now))
    first, last = clip_window(*moments, anchor, length_s)
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
        (0, 6, 100, "middle", 10, (-2, 8)),
        (0, 60, 32.5, "middle", 10, (22, 32)),
        (0, 60, 100, "end", 0, (0, 60)),
        (0, 0, 100, "end", 0, (-1, 0)),
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
    anchor: Anchor,
    length_s: float,
    window: tuple[float, float],
) -> None:
    """The clip shows the anchored part, never the future, and one second at least."""
    assert seconds_of(start, end, now, anchor, length_s) == window


def test_times_are_written_in_utc_with_milliseconds() -> None:
    """VST reads ISO 8601 with `Z`, whatever the zone of the event."""
    zone = datetime.fromisoformat("2026-01-31T10:00:00.123456+02:00")

    assert format_time(zone) == "2026-01-31T08:00:00.123Z"
