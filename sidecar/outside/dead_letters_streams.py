"""Entries of Redis streams that can never be events go to a stream of their own, with why."""

from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from sidecar.errors import SettingsError
from sidecar.model import DeadLetter
from sidecar.settings import GroupSettings, variable_of


class StreamsDeadLetters:
    """Adds dead letters to a Redis stream.

    The fields are those of the entry; `cause`, `reason` and `origin` are added.

    Raises:
        SettingsError: the URL cannot be used.
    """

    def __init__(self, settings: GroupSettings) -> None:
        self._stream = settings.dead_letter_stream
        self._redis = connect_redis(settings)

    async def put(self, letter: DeadLetter) -> None:
        """Return when Redis has the letter.

        Raises:
            ConnectionError: not now.
        """
        fields: dict[Any, Any] = {
            name.encode(errors="surrogateescape"): value for name, value in letter.record.extra
        }
        fields.update(cause=letter.cause, reason=letter.reason, origin=letter.record.origin)
        try:
            await self._redis.xadd(self._stream, fields)
        except (RedisError, OSError) as error:
            raise ConnectionError(
                f"The dead-letter stream {self._stream} cannot be written ({error}). Start Redis, "
                "or allow the sidecar to write it; it goes on by itself."
            ) from error

    async def ping(self) -> str:
        """Return "": who waits for a dead letter tells about it."""
        return ""

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def connect_redis(settings: GroupSettings) -> Redis:
    """Make the client of a Redis that events come from. It connects when it is first used.

    Raises:
        SettingsError: the URL cannot be used.
    """
    url = settings.url.get_secret_value()
    try:
        if "://" in url:
            return Redis.from_url(url, protocol=2)
    except ValueError:
        pass  # its text shows the password
    raise SettingsError(
        "The URL of Redis cannot be used. "
        f"Set {variable_of(f'{settings.section}.url')} to one such as redis://redis:6379/0."
    )
