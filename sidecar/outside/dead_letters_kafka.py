"""Kafka records that can never be events go to a topic of their own, with why."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sidecar.errors import SettingsError
from sidecar.model import DeadLetter
from sidecar.outside.sinks._producer import AwaitableProducer
from sidecar.settings import KafkaSettings

MAX_VALUE_BYTES: Final = 64 * 1024 * 1024
KEPT_BYTES: Final = 512 * 1024
"""How much is kept of a value that the dead-letter topic finds too large."""

_TIMEOUT_S: Final = 10.0
_TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})
_DEFAULTS: Final[dict[str, str | int | float | bool]] = {
    "client.id": "sidecar-dead-letters",
    "message.max.bytes": MAX_VALUE_BYTES,
    "delivery.timeout.ms": round(_TIMEOUT_S * 1000),
    "log.connection.close": False,
}


class KafkaDeadLetters:
    """Writes dead letters to a topic, which it creates when it is missing.

    Key, value and headers are those of the record; the headers `cause`, `reason` and `origin` are
    added. Of a value that the topic finds too large the beginning is kept, and the header
    `truncated` tells its whole length in bytes.

    Raises:
        SettingsError: librdkafka does not accept an option.
    """

    def __init__(self, settings: KafkaSettings) -> None:
        self._topic = settings.dead_letter_topic
        self._servers = settings.bootstrap_servers
        self._properties = {
            **_DEFAULTS,
            **{name: it.get_secret_value() for name, it in settings.options.items()},
            "bootstrap.servers": settings.bootstrap_servers,
        }
        try:
            self._producer = AwaitableProducer(self._properties)
        except KafkaException as error:
            raise SettingsError(
                f"Kafka cannot be set up: {error.args[0].str()}. Correct SIDECAR_KAFKA__OPTIONS."
            ) from error
        self._is_there = False
        self._threads = ThreadPoolExecutor(max_workers=1, thread_name_prefix="dead-letters")

    async def put(self, letter: DeadLetter) -> None:
        """Return when all in-sync replicas have the letter.

        Raises:
            ConnectionError: not now.
        """
        try:
            if not self._is_there:
                loop = asyncio.get_running_loop()
                await loop.run_in_executor(self._threads, self._find_topic)
            await self._send(letter)
        except (KafkaException, BufferError) as error:
            self._is_there = False
            raise ConnectionError(
                f"The dead-letter topic {self._topic} on {self._servers} cannot be written "
                f"({error}). Create it, or allow the sidecar to write it; it goes on by itself."
            ) from error

    async def ping(self) -> str:
        """Return "": who waits for a dead letter tells about it."""
        return ""

    async def close(self) -> None:
        """Give up what is not confirmed and close the connections."""
        self._threads.shutdown(wait=False)
        await self._producer.close()

    async def _send(self, letter: DeadLetter) -> None:
        record, headers = letter.record, _kafka_headers(letter)
        try:
            await self._producer.send(self._topic, record.key, record.value, headers)
        except KafkaException as error:
            if error.args[0].code() not in _TOO_LARGE:
                raise
            headers.append(("truncated", str(len(record.value)).encode()))
            kept = record.value[:KEPT_BYTES]
            await self._producer.send(self._topic, record.key, kept, headers)

    def _find_topic(self) -> None:
        """Look for the topic and create it when it is missing, with the broker's defaults."""
        if self._is_there:
            return
        admin = AdminClient(self._properties)
        if self._topic not in admin.list_topics(timeout=_TIMEOUT_S).topics:
            wanted = NewTopic(self._topic, 1, config={"max.message.bytes": str(MAX_VALUE_BYTES)})
            try:
                admin.create_topics([wanted], request_timeout=_TIMEOUT_S)[self._topic].result()
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise
        self._is_there = True


def _kafka_headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    return [
        *letter.record.extra,
        ("cause", letter.cause.encode()),
        ("reason", letter.reason.encode()),
        ("origin", letter.record.origin.encode()),
    ]
