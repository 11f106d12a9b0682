"""Redis Streams as a door and as a sink."""

import asyncio
from typing import Any, Final, cast

import orjson
from redis.asyncio import Redis
from redis.exceptions import RedisError

from sidecar.density.account import End, Ending
from sidecar.density.doors.published import read_published
from sidecar.density.driver import OnEnd
from sidecar.density.events import Event
from sidecar.errors import SettingsError

_BLOCK_MS: Final = 200
_BATCH: Final = 500
_AGAIN_S: Final = 0.5


class StreamsDoor:
    """Adds incidents to a stream.

    Args:
        url: such as `redis://localhost:6379/0`.
        stream: where the sidecar reads incidents.
    """

    def __init__(self, url: str, stream: str = "mdx-incidents") -> None:
        self._redis = Redis.from_url(url)
        self._stream = stream

    async def open(self) -> None:
        """Connect.

        Raises:
            SettingsError: Redis does not answer.
        """
        await _reach(self._redis)

    async def prepare(self, event: Event) -> bytes:
        """Write the incident."""
        return orjson.dumps(event.as_incident())

    async def send(self, event: Event, prepared: bytes) -> End | None:
        """Add an event; None when Redis has it."""
        fields: Any = {"key": event.sensor, "value": prepared, "headers": "{}"}
        try:
            await self._redis.xadd(self._stream, fields)
        except RedisError as error:
            return End(Ending.FAILED, type(error).__name__)
        return None

    async def close(self) -> None:
        """Disconnect."""
        await self._redis.aclose()


class StreamsVerdicts:
    """Reads published verdicts from the latest on.

    Args:
        url: such as `redis://localhost:6379/0`.
        stream: where the sidecar publishes incidents.
        knows_answers: whether verdicts can be compared with known ones.
    """

    def __init__(
        self, url: str, stream: str = "mdx-vlm-incidents", *, knows_answers: bool = False
    ) -> None:
        self._redis = Redis.from_url(url)
        self._stream = stream
        self._knows_answers = knows_answers
        self._last = b"0-0"
        self._reading: asyncio.Task[None] | None = None

    async def open(self, on_end: OnEnd) -> None:
        """Connect, and remember the latest entry.

        Raises:
            SettingsError: Redis does not answer.
        """
        await _reach(self._redis)
        latest = cast("list[Any]", await self._redis.xrevrange(self._stream, count=1))
        if latest:
            self._last = latest[0][0]
        self._reading = asyncio.create_task(self._read(on_end))

    async def close(self) -> None:
        """Disconnect."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)
        await self._redis.aclose()

    async def _read(self, on_end: OnEnd) -> None:
        streams: Any = {}
        while True:
            streams = {self._stream: self._last}
            try:
                found: Any = await self._redis.xread(streams, count=_BATCH, block=_BLOCK_MS)
            except RedisError:
                await asyncio.sleep(_AGAIN_S)
                continue
            for self._last, fields in _entries(found):
                value = fields.get(b"value") or fields.get(b"data") or b""
                end = read_published(value, knows_answers=self._knows_answers)
                if end:
                    on_end(*end)


def _entries(found: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Take the entries of the one stream out of an answer, in RESP2's form or RESP3's."""
    if not found:
        return []
    if isinstance(found, dict):
        batches = next(iter(found.values()))
        return [entry for batch in batches for entry in (batch or [])]
    return list(found[0][1])


async def _reach(redis: Redis) -> None:
    try:
        await cast("Any", redis.ping())
    except (RedisError, OSError) as error:
        raise SettingsError(f"Redis does not answer: {error}") from None
