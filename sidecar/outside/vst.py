"""VSS's video storage (VST): from an event to the URL of its clip.

Endpoints, window rules and failure classes are those of the Alert Bridge (`its_vst_handler.py`).
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from urllib.parse import quote

import aiohttp
from yarl import URL

from sidecar.errors import (
    RecorderFailed,
    RecorderOverloaded,
    RecorderRefused,
    RecorderTimeout,
    RecorderUnavailable,
    RecorderWithoutUrl,
    RecordingNotFound,
    VerificationError,
)
from sidecar.model import VerifyEvent
from sidecar.ports import Clock
from sidecar.settings import VstSettings

Anchor = Literal["start", "middle", "end"]

SENSORS_PATH: Final = "/vst/api/v1/sensor/streams"
CLIP_PATH: Final = "/vst/api/v1/storage/file/{stream}/url"
_HEADERS: Final = {"Accept": "application/json, text/plain, */*"}
_CONFIGURATION: Final = json.dumps({"disableAudio": False}, separators=(",", ":"))
_MIN_LENGTH: Final = timedelta(seconds=1)
_NOT_FOUND: Final = 404
_OVERLOADED: Final = frozenset({429, 503})
_OK: Final = 200
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500


class VstClient:
    """Asks VST for clips.

    Args:
        settings: where VST is and which part of an event to show.
        clock: tells how old the sensor list is and where the present ends.
    """

    def __init__(self, settings: VstSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._streams: Mapping[str, str] = {}
        self._streams_until = float("-inf")
        self._listing = asyncio.Lock()

    async def resolve(self, event: VerifyEvent) -> str:
        """Return the URL of the clip that shows `event`.

        Raises:
            RecordingNotFound: nothing was recorded then.
            RecorderOverloaded, RecorderTimeout, RecorderUnavailable: a later try may succeed.
            RecorderRefused, RecorderWithoutUrl, RecorderFailed: it will not.
        """
        streams = await self._sensors()
        stream = streams.get(event.sensor_id, event.sensor_id)
        answer = await self._get(
            CLIP_PATH.format(stream=quote(stream, safe="")), self._clip_query(event, stream)
        )
        url = answer.get("videoUrl") if isinstance(answer, dict) else None
        if not isinstance(url, str) or not url:
            raise RecorderWithoutUrl(f"VST named no videoUrl for stream {stream}.")
        return url

    async def ping(self) -> str:
        """Return "" when VST lists its sensors, else what is wrong."""
        try:
            await self._get(SENSORS_PATH, {})
        except VerificationError as error:
            return (
                f"VST at {URL(self._settings.base_url).host} does not list its sensors "
                f"({type(error).__name__}). Check SIDECAR_VST__BASE_URL."
            )
        return ""

    async def close(self) -> None:
        """Close connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _clip_query(self, event: VerifyEvent, stream: str) -> dict[str, str]:
        start, end = clip_window(
            event.timestamp,
            event.end,
            self._clock.now(),
            self._settings.segment_anchor,
            self._settings.segment_duration_s,
        )
        return {
            "streamId": stream,
            "startTime": format_time(start),
            "endTime": format_time(end),
            "expiryMinutes": str(self._settings.url_expiry_minutes),
            "container": "mp4",
            "configuration": _CONFIGURATION,
        }

    async def _sensors(self) -> Mapping[str, str]:
        """Return stream ids by sensor name, asking VST at most once for all waiting callers."""
        async with self._listing:
            if self._clock.monotonic() >= self._streams_until:
                try:
                    listed = await self._get(SENSORS_PATH, {})
                except RecordingNotFound as error:
                    # A missing sensor list says nothing about the recording.
                    raise RecorderRefused(str(_NOT_FOUND), code=_NOT_FOUND) from error
                self._streams = parse_sensors(listed)
                self._streams_until = self._clock.monotonic() + self._settings.sensor_cache_s
            return self._streams

    async def _get(self, path: str, query: Mapping[str, str]) -> Any:
        url = URL(self._settings.base_url.rstrip("/") + path, encoded=True).update_query(query)
        with _translated(self._settings.timeout_s):
            async with self._connections().get(url) as response:
                _check_status(response.status)
                return json.loads(await response.read())

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._settings.timeout_s)
            self._session = aiohttp.ClientSession(timeout=timeout, headers=_HEADERS)
        return self._session


def clip_window(
    start: datetime, end: datetime, now: datetime, anchor: Anchor, length_s: float
) -> tuple[datetime, datetime]:
    """Choose the part of an event that the clip shows.

    Args:
        start: of the event.
        end: of the event; an end before the start counts as the start.
        now: nothing later than this is recorded.
        anchor: "end" takes the last `length_s`, "start" the first, "middle" as much centred on
            the middle, in whole seconds and even beyond a shorter event.
        length_s: 0 takes the whole event.

    Returns:
        Start and end, at least one second apart.
    """
    end = max(start, end)
    length = timedelta(seconds=length_s)
    if not length:
        first, last = start, end
    elif anchor == "start":
        first, last = start, min(start + length, end, now)
    elif anchor == "middle":
        middle = start + (end - start) / 2
        first = min(middle - length / 2, now - length).replace(microsecond=0)
        last = first + length
    else:
        last = min(end, now)
        first = max(start, last - length)
    return min(first, last - _MIN_LENGTH), last


def format_time(moment: datetime) -> str:
    """Write an aware time as VST expects it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def parse_sensors(listed: object) -> dict[str, str]:
    """Read `[{"<sensorId>": [{"name": ..., "streamId": ...}]}]` into stream ids by name.

    Raises:
        RecorderFailed: the answer is not a list.
    """
    if not isinstance(listed, list):
        raise RecorderFailed("The sensor list of VST is not a list.")
    groups = (group for item in listed if isinstance(item, dict) for group in item.values())
    streams = (s for group in groups if isinstance(group, list) for s in group)
    return {
        str(stream["name"]): str(stream["streamId"])
        for stream in streams
        if isinstance(stream, dict) and stream.get("name") and stream.get("streamId")
    }


def _check_status(status: int) -> None:
    if status == _NOT_FOUND:
        raise RecordingNotFound
    if status in _OVERLOADED:
        raise RecorderOverloaded(code=status)
    if status >= _SERVER_ERROR:
        raise RecorderUnavailable(code=status)
    if status >= _CLIENT_ERROR:
        raise RecorderRefused(str(status), code=status)
    if status != _OK:
        raise RecorderFailed(f"VST answered with HTTP {status}.", code=status)


@contextmanager
def _translated(timeout_s: float) -> Iterator[None]:
    """Turn errors of aiohttp and JSON into ours."""
    try:
        yield
    except TimeoutError as error:
        raise RecorderTimeout(f"VST did not answer within {timeout_s:g} s.") from error
    except aiohttp.ClientConnectionError as error:
        raise RecorderUnavailable("VST cannot be reached.", code=503) from error
    except aiohttp.ClientError as error:
        raise RecorderFailed(f"The exchange with VST failed ({type(error).__name__}).") from error
    except ValueError as error:
        raise RecorderFailed("VST did not answer with JSON.") from error
