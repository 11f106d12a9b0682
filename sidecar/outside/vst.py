"""VSS's video storage (VST): from an event to the URL of its clip.

Endpoints, window rules and failure classes are those of the Alert Bridge (`its_vst_handler.py`),
the origins of URLs those of its `url_transformer.py`.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import aiohttp
from yarl import URL

from sidecar.errors import (
    MediaError,
    RecorderFailed,
    RecorderOverloaded,
    RecorderRefused,
    RecorderTimeout,
    RecorderUnavailable,
    RecorderWithoutUrl,
    RecordingNotFound,
    VerificationError,
)
from sidecar.model import Anchor, VerifyEvent
from sidecar.ports import Clock
from sidecar.settings import VstOverlaySettings, VstSettings

CLIP_PATH: Final = "/vst/api/v1/storage/file/{stream}/url"
_SERVED_BY_VST: Final = "/vst/"
_HEADERS: Final = {"Accept": "application/json, text/plain, */*"}
_MIN_LENGTH: Final = timedelta(seconds=1)
_CUT_ERROR: Final = timedelta(seconds=1)  # a clip ends with a whole frame or group of frames
_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 8.0
_NOT_FOUND: Final = 404
_OVERLOADED: Final = frozenset({429, 503})
_OK: Final = 200
_CLIENT_ERROR: Final = 400
_SERVER_ERROR: Final = 500


class Window(NamedTuple):
    """The part of the time line that a clip shall show."""

    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class Recording:
    """A clip that VST offers.

    Attributes:
        url: where this process fetches it.
        model_url: where the model's server fetches it.
        public_url: where people fetch it.
        start: when it begins, by VST's word or else as asked for.
        is_whole: False when VST says that it ends before the window does.
    """

    url: str
    model_url: str
    public_url: str
    start: datetime
    is_whole: bool = True


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

    def window(self, event: VerifyEvent, anchor: Anchor | None = None) -> Window:
        """Choose which part of `event` to show; without `anchor`, by the settings'."""
        return clip_window(
            event.timestamp,
            event.end,
            self._clock.now(),
            anchor or self._settings.segment_anchor,
            self._settings.segment_duration_s,
        )

    def pauses(self, window: Window) -> Iterator[float]:
        """Yield how many seconds to wait before each further request for what is not recorded yet.

        They grow, and end `wait_for_recording_s` after the window or, if that lies in the future,
        after now: what ended longer ago and is not there will never be.
        """
        lag_s = max(0.0, (self._clock.now() - window.end).total_seconds())
        give_up = self._clock.monotonic() + self._settings.wait_for_recording_s - lag_s
        for doublings in count():
            left_s = give_up - self._clock.monotonic()
            if left_s <= 0:
                return
            yield min(_FIRST_PAUSE_S * 2.0**doublings, _LONGEST_PAUSE_S, left_s)

    async def resolve(self, event: VerifyEvent, window: Window) -> Recording:
        """Ask once for the clip that shows `window` of `event`.

        Raises:
            RecordingNotFound: nothing is recorded there, or not yet.
            RecorderOverloaded, RecorderTimeout, RecorderUnavailable: a later try may succeed.
            RecorderRefused, RecorderWithoutUrl, RecorderFailed: it will not.
        """
        streams = await self._sensors()
        stream = streams.get(event.sensor_id, event.sensor_id)
        if not self._settings.add_overlay:
            return await self._clip(stream, window, {})
        overlay = write_overlay(self._settings.overlay, event.object_ids)
        try:
            return await self._clip(stream, window, {"overlay": overlay})
        except MediaError:
            if not self._settings.retry_without_overlay:
                raise
            return await self._clip(stream, window, {})

    async def path_of(self, file_id: str) -> str:
        """Return where VST keeps a file.

        Raises:
            RecordingNotFound, RecorderOverloaded, RecorderTimeout, RecorderUnavailable,
            RecorderRefused, RecorderWithoutUrl, RecorderFailed: it does not tell.
        """
        path = self._settings.file_path_endpoint
        answer = await self._get(self._storage_url, path, {"id": file_id})
        found = answer.get("mediaFilePath") if isinstance(answer, dict) else None
        if not isinstance(found, str) or not found:
            raise RecorderWithoutUrl(f"VST named no mediaFilePath for file {file_id}.")
        return found

    async def ping(self) -> str:
        """Return "" when VST lists its sensors, else what is wrong."""
        try:
            await self._list_sensors()
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

    async def _clip(
        self, stream: str, window: Window, configuration: Mapping[str, object]
    ) -> Recording:
        path = CLIP_PATH.format(stream=quote(stream, safe=""))
        query = {
            "streamId": stream,
            "startTime": format_time(window.start),
            "endTime": format_time(window.end),
            "expiryMinutes": str(self._settings.url_expiry_minutes),
            "container": "mp4",
            "configuration": _dump({"disableAudio": False, **configuration}),
        }
        answer = await self._get(self._storage_url, path, query)
        url = answer.get("videoUrl") if isinstance(answer, dict) else None
        if not isinstance(url, str) or not url:
            raise RecorderWithoutUrl(f"VST named no videoUrl for stream {stream}.")
        start, is_whole = _check_span(answer, window)
        return Recording(*self._origins(url), start, is_whole)

    @property
    def _storage_url(self) -> str:
        return self._settings.storage_url or self._settings.base_url

    def _origins(self, url: str) -> tuple[str, str, str]:
        """Return the URL for this process, for the model's server, and for people."""
        settings = self._settings
        if not settings.rewrite_urls:
            return url, url, url
        inside = to_inside(url, settings.base_url)
        outside = to_outside(url, settings.internal_host, settings.external_host)
        return inside, outside if settings.model_is_remote else inside, outside

    async def _sensors(self) -> Mapping[str, str]:
        """Return stream ids by sensor name, asking VST at most once for all waiting callers."""
        async with self._listing:
            if self._clock.monotonic() >= self._streams_until:
                try:
                    listed = await self._list_sensors()
                except RecordingNotFound as error:
                    # A missing sensor list says nothing about the recording.
                    raise RecorderRefused(str(_NOT_FOUND), code=_NOT_FOUND) from error
                self._streams = parse_sensors(listed)
                self._streams_until = self._clock.monotonic() + self._settings.sensor_cache_s
            return self._streams

    async def _list_sensors(self) -> Any:
        return await self._get(self._settings.base_url, self._settings.sensor_list_endpoint, {})

    async def _get(self, base_url: str, path: str, query: Mapping[str, str]) -> Any:
        url = URL(base_url.rstrip("/") + path, encoded=True).update_query(query)
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
) -> Window:
    """Choose the part of an event that the clip shows, at least one second.

    Args:
        start: of the event.
        end: of the event; an end before the start counts as the start.
        now: nothing later than this is recorded.
        anchor: END takes the last `length_s`, START the first, MIDDLE as much about the middle, in
            whole seconds. An event that is not longer is shown whole.
        length_s: 0 takes the whole event, even if it goes on.
    """
    end = max(start, end)
    length = timedelta(seconds=length_s)
    if not length:
        return Window(start, max(end, start + _MIN_LENGTH))
    end = min(end, now)
    if anchor is Anchor.START:
        first, last = start, min(start + length, end)
    elif anchor is Anchor.MIDDLE:
        first, last = _centred(start, end, length_s)
    else:
        first, last = max(start, end - length), end
    return Window(min(first, last - _MIN_LENGTH), last)


def _centred(start: datetime, end: datetime, length_s: float) -> Window:
    """Round as VSS does, so that both show the same seconds."""
    if int((end - start).total_seconds()) <= length_s:
        return Window(start, end)
    start, end = start.replace(microsecond=0), end.replace(microsecond=0)
    middle = (start + (end - start) / 2).replace(microsecond=0)
    first = middle - timedelta(seconds=length_s // 2)
    return Window(first, first + timedelta(seconds=length_s))


def format_time(moment: datetime) -> str:
    """Write an aware time as VST expects it: UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def write_overlay(settings: VstOverlaySettings, object_ids: tuple[str, ...]) -> dict[str, object]:
    """Write what VST shall draw: the boxes of these objects only."""
    return {
        "bbox": {
            "showAll": False,
            "objectId": list(object_ids),
            "showObjId": settings.show_object_ids,
            "objIdPosition": settings.object_id_position,
        },
        "color": settings.color,
        "thickness": settings.thickness,
        "opacity": settings.opacity,
        "debug": settings.debug,
    }


def to_inside(url: str, base_url: str) -> str:
    """Give a URL that VST serves the scheme, host and port under which this process reaches VST.

    Other paths, and what cannot be read as a URL, stay as they are.
    """
    try:
        target, base = URL(url, encoded=True), URL(base_url, encoded=True)
        if target.host and target.raw_path.startswith(_SERVED_BY_VST):
            return f"{base.origin()}{target.raw_path_qs}"
    except ValueError:
        pass
    return url


def to_outside(url: str, internal_host: str, external_host: str) -> str:
    """Put `external_host` in the place of `internal_host`; other hosts stay."""
    try:
        target = URL(url, encoded=True)
        if external_host and target.host and target.host == internal_host:
            return str(target.with_host(external_host))
    except ValueError:
        pass
    return url


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


def _check_span(answer: Mapping[str, Any], window: Window) -> tuple[datetime, bool]:
    """Return when the clip begins and whether it reaches the window's end, as far as VST tells.

    Raises:
        RecordingNotFound: it shows none of the window.
    """
    start = _read_time(answer.get("startTime")) or window.start
    end = _read_time(answer.get("endTime")) or window.end
    if end <= window.start or start >= window.end:
        raise RecordingNotFound("VST offers a clip of another time.")
    return start, end >= window.end - _CUT_ERROR


def _read_time(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _dump(configuration: Mapping[str, object]) -> str:
    return json.dumps(configuration, separators=(",", ":"))


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
