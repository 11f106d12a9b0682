"""Verdicts as NvSchema messages in Kafka."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Final

from confluent_kafka import KafkaError, KafkaException

from sidecar.errors import DeliveryError, DeliveryRefused, SettingsError
from sidecar.model import EventKind, OutboxEntry, VerdictRecord
from sidecar.outside.sinks._documents import first_text
from sidecar.outside.sinks._producer import AwaitableProducer
from sidecar.settings import KafkaSinkSettings

_PING_TIMEOUT_S: Final = 3.0
_DEFAULTS: Final[dict[str, str | int | float | bool]] = {
    "client.id": "sidecar",
    "linger.ms": 5,
    "queue.buffering.max.messages": 10_000,
    "queue.buffering.max.kbytes": 65_536,
    "log.connection.close": False,
}
_UNKNOWN_TOPIC: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001 - librdkafka's own errors are named like this
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001 - same
    }
)
_TIMED_OUT: Final = KafkaError._MSG_TIMED_OUT  # noqa: SLF001 - same
# After these an idempotent producer may never send again: some errors are fatal to it, and brokers
# that lost their memory of it (a cluster made anew) let it retry in vain until the time is over.
_STUCK: Final = frozenset({KafkaError._FATAL, _TIMED_OUT})  # noqa: SLF001 - same
_TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.INVALID_MSG_SIZE})


class KafkaSink:
    """Publishes each verdict as one keyed message, confirmed by all in-sync replicas.

    The kind of the event decides topic and schema, on both routes. (In the Alert Bridge the alert
    route's default `message_type` of "behavior" is refused by its serializer.) As there, messages
    carry no headers, unless they are traced; the verdict's key is in `info.sidecarVerdictKey`. The
    producer is idempotent, so its own retries neither duplicate nor reorder; a delivery that the
    outbox repeats is a second message with the same key.

    Args:
        encode: turns a verdict into the message's value; raises DeliveryRefused when it cannot be.
        headers: gives the headers of a message.

    Raises:
        SettingsError: librdkafka does not accept an option.
    """

    def __init__(
        self,
        settings: KafkaSinkSettings,
        encode: Callable[[VerdictRecord], bytes],
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._headers = headers
        self._settings = settings
        self._encode = encode
        self._topics = {
            EventKind.INCIDENT: settings.incidents_topic,
            EventKind.ALERT: settings.alerts_topic,
        }
        self._producer = self._build()
        self._retired: list[AwaitableProducer] = []
        self._trouble = ""

    @property
    def name(self) -> str:
        """The name in the outbox."""
        return "kafka"

    @property
    def most_at_once(self) -> int:
        """How many verdicts may be on their way at the same time."""
        return 256

    async def publish(self, entry: OutboxEntry) -> None:
        """Send one message and wait for its confirmation.

        Raises:
            DeliveryError: it was not confirmed in time, or the topic cannot be written.
            DeliveryRefused: the verdict cannot be encoded, or is larger than the topic allows.
        """
        record = entry.record
        topic = self._topics[record.kind]
        key = first_text(record, self._settings.key_field, "incidentId") or record.fingerprint
        value = self._encode(record)
        try:
            with self._translated(topic):
                headers = [(name, text.encode()) for name, text in self._headers().items()]
                await self._producer.send(topic, key.encode(), value, headers)
        except DeliveryRefused:
            raise
        except DeliveryError as error:
            self._trouble = error.detail
            raise
        self._trouble = ""

    async def ping(self) -> str:
        """Return "" when a broker answers and the latest delivery worked, else a sentence."""
        try:
            await self._producer.reach(min(_PING_TIMEOUT_S, self._settings.timeout_s))
        except KafkaException as error:
            return self._away(error.args[0])
        return self._trouble

    async def close(self) -> None:
        """Give up what is not confirmed and close the connections."""
        for producer in (self._producer, *self._retired):
            await producer.close()

    def _build(self) -> AwaitableProducer:
        settings = self._settings
        properties = {
            **_DEFAULTS,
            "delivery.timeout.ms": round(settings.timeout_s * 1000),
            **{name: value.get_secret_value() for name, value in settings.options.items()},
            "bootstrap.servers": settings.bootstrap_servers,
            "enable.idempotence": True,
        }
        try:
            return AwaitableProducer(properties)
        except KafkaException as error:
            raise SettingsError(
                f"Kafka cannot be set up: {error.args[0].str()}. "
                "Correct SIDECAR_SINKS__KAFKA__OPTIONS."
            ) from error

    @contextmanager
    def _translated(self, topic: str) -> Generator[None]:
        producer = self._producer
        try:
            yield
        except BufferError as error:
            raise DeliveryError("Too many verdicts wait for Kafka already.") from error
        except KafkaException as error:
            cause: KafkaError = error.args[0]
            if cause.fatal() or cause.code() in _STUCK:
                self._renew(producer)
            raise self._failure(cause, topic) from error

    def _renew(self, stuck: AwaitableProducer) -> None:
        """Begin anew, unless that happened; what the old producer has in flight still counts."""
        if self._producer is stuck:
            stuck.retire()
            self._retired = [old for old in (*self._retired, stuck) if not old.is_done]
            self._producer = self._build()

    def _failure(self, cause: KafkaError, topic: str) -> DeliveryError:
        code = cause.code()
        if code in _TOO_LARGE:
            return DeliveryRefused(
                f"The verdict is too large for Kafka topic {topic}. Raise the topic's "
                "max.message.bytes and message.max.bytes in SIDECAR_SINKS__KAFKA__OPTIONS, then "
                "replay the dead letter."
            )
        if code == _TIMED_OUT:
            return DeliveryError(self._away(cause))
        if code in _UNKNOWN_TOPIC:
            return DeliveryError(f"Kafka has no topic {topic}. Create it.")
        return DeliveryError(f"Kafka did not take the verdict for topic {topic}: {cause.str()}.")

    def _away(self, cause: KafkaError) -> str:
        return (
            f"Kafka at {self._settings.bootstrap_servers} did not answer in time ({cause.name()}). "
            "Start it, or correct SIDECAR_SINKS__KAFKA__BOOTSTRAP_SERVERS."
        )
