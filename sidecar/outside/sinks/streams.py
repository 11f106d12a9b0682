"""Verdicts as entries of Redis Streams."""

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Final

import orjson
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from sidecar.contract.bridge import write_entry
from sidecar.core.identity import iso_ms
from sidecar.errors import DeliveryError, SettingsError
from sidecar.model import EventKind, OutboxEntry, VerdictRecord
from sidecar.outside.sinks._batches import Batches, Outcomes
from sidecar.outside.sinks._documents import first_text
from sidecar.settings import StreamsSinkSettings, variable_of

MAX_ITEMS: Final = 256
MAX_BYTES: Final = 5_000_000

# Redis runs a script as one step, and its append-only file holds it as one, so an entry and the
# memory of it cannot part. A script that fails is not undone: the entry comes before the memory.
_ADD_ONCE: Final = """
if redis.call('EXISTS', KEYS[2]) == 1 then
  return false
end
local id
if ARGV[2] == '0' then
  id = redis.call('XADD', KEYS[1], '*', unpack(ARGV, 3))
else
  id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', unpack(ARGV, 3))
end
redis.call('SET', KEYS[2], id, 'EX', ARGV[1])
return id
"""


@dataclass(frozen=True, slots=True)
class _Entry:
    """An entry on its way: its stream, the key of its memory, and its fields and values."""

    stream: str
    memory: str
    fields: tuple[str | bytes, ...]


class StreamsSink:
    """Adds each verdict to the stream of its kind, once.

    Redis remembers for `remember_s` which verdicts were added, under
    `{<stream>}:published:<verdict key>`, which a cluster keeps beside the stream. (XADD's own IDMP
    of Redis 8.6 remembers at most 10,000 ids of a producer, which a busy replica uses up while
    another one restarts.) Verdicts that are published at the same time travel in one pipeline.

    Args:
        encode: turns a verdict into the field `value` as protobuf; raises DeliveryRefused when it
            cannot be.
        name: in the outbox.
        setting: where the URL comes from, by its dotted name.
        headers: gives further facts of an entry.

    Raises:
        SettingsError: the URL cannot be used.
    """

    def __init__(
        self,
        settings: StreamsSinkSettings,
        encode: Callable[[VerdictRecord], bytes],
        *,
        name: str = "streams",
        setting: str = "sinks.streams.url",
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._headers = headers
        self._settings = settings
        self._name = name
        self._variable = variable_of(setting)
        self._encode = encode
        self._streams = {
            EventKind.INCIDENT: settings.incidents_stream,
            EventKind.ALERT: settings.alerts_stream,
        }
        self._redis = _connect(settings, self._variable)
        self._batches = Batches(self._send, max_items=MAX_ITEMS, max_bytes=MAX_BYTES)
        self._trouble = ""

    @property
    def name(self) -> str:
        """The name in the outbox."""
        return self._name

    @property
    def most_at_once(self) -> int:
        """How many verdicts may be on their way at the same time."""
        return 256

    async def publish(self, entry: OutboxEntry) -> None:
        """Add one entry, unless it was added before.

        Raises:
            DeliveryError: Redis does not answer or cannot write now.
            DeliveryRefused: the verdict cannot be encoded.
        """
        record = entry.record
        stream = self._streams[record.kind]
        fields = self._fields(record)
        item = _Entry(stream, f"{{{stream}}}:published:{record.key}", fields)
        try:
            await self._batches.add(item, sum(map(len, fields)))
        except DeliveryError as error:
            self._trouble = error.detail
            raise
        self._trouble = ""

    async def ping(self) -> str:
        """Return "" when Redis answers and the latest delivery worked, else a sentence."""
        try:
            with self._translated():
                await self._redis.ping()
        except DeliveryError as error:
            return error.detail
        return self._trouble

    async def close(self) -> None:
        """Give up what is on its way and close the connections."""
        await self._batches.close()
        await self._redis.aclose()

    async def _send(self, items: Sequence[_Entry]) -> Outcomes:
        limits = (self._settings.remember_s, self._settings.max_length)
        with self._translated():
            async with self._redis.pipeline(transaction=False) as pipeline:
                for item in items:
                    keys = (item.stream, item.memory)
                    pipeline.eval(_ADD_ONCE, len(keys), *keys, *limits, *item.fields)
                replies = await pipeline.execute(raise_on_error=False)
        return [self._outcome(reply) for reply in replies]

    def _outcome(self, reply: object) -> DeliveryError | None:
        return self._failure(reply) if isinstance(reply, RedisError) else None

    def _fields(self, record: VerdictRecord) -> tuple[str | bytes, ...]:
        if self._settings.envelope == "data":
            entry = write_entry(record.document, iso_ms(record.decided_at), self._facts(record))
            return tuple(chain.from_iterable(entry.items()))
        as_json = self._settings.payload == "json"
        return (
            *("key", self._key(record)),
            *("value", _dump(record.document) if as_json else self._encode(record)),
            *("headers", _dump(self._facts(record))),
        )

    def _facts(self, record: VerdictRecord) -> dict[str, str]:
        """Tell what a reader may want to know before it decodes the payload."""
        facts = {"message_type": record.kind.value, "verdictKey": record.key}
        return {**facts, **self._headers()}

    def _key(self, record: VerdictRecord) -> str:
        paths = (self._settings.key_field, "sensorId", "sensor.id", "id", "incidentId")
        return first_text(record, *paths)

    @contextmanager
    def _translated(self) -> Generator[None]:
        try:
            yield
        except (RedisError, OSError) as error:
            raise self._failure(error) from error

    def _failure(self, error: RedisError | OSError) -> DeliveryError:
        place = f"Redis at {_place(self._redis)}"
        if isinstance(error, AuthenticationError):
            return DeliveryError(f"{place} refused the password. Correct {self._variable}.")
        if isinstance(error, ResponseError):
            return DeliveryError(f"{place} did not take the verdict: {error}.")
        return DeliveryError(
            f"{place} cannot be reached ({type(error).__name__}). "
            f"Start it, or correct {self._variable}."
        )


def _connect(settings: StreamsSinkSettings, variable: str) -> Redis:
    url = settings.url.get_secret_value()
    try:
        if "://" in url:
            return Redis.from_url(
                url,
                socket_timeout=settings.timeout_s,
                socket_connect_timeout=settings.timeout_s,
                # One more try on a new connection; longer outages are the outbox's business.
                retry=Retry(NoBackoff(), 1),
            )
    except ValueError:
        pass  # its text shows the password
    raise SettingsError(
        f"The URL of Redis cannot be used. Set {variable} to one such as redis://redis:6379/0."
    )


def _place(redis: Redis) -> str:
    """Return host and port without credentials."""
    facts = redis.connection_pool.connection_kwargs
    return str(facts.get("path") or f"{facts.get('host', 'localhost')}:{facts.get('port', 6379)}")


def _dump(document: object) -> bytes:
    return orjson.dumps(document, default=dict)
