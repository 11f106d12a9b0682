"""Kafka as a door and as a sink."""

import asyncio
import threading
from typing import Any, Final

import orjson
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition

from sidecar.density.account import End, Ending
from sidecar.density.doors.published import read_published
from sidecar.density.driver import OnEnd
from sidecar.density.events import Event
from sidecar.errors import SettingsError

_REACH_S: Final = 10.0
_POLL_S: Final = 0.05
_QUIET: Final[dict[str, str | int | float | bool]] = {"log_level": 0}


class KafkaDoor:
    """Sends incidents as JSON, keyed by their sensor.

    Args:
        servers: such as `localhost:9092`.
        topic: where the sidecar reads incidents.
    """

    def __init__(self, servers: str, topic: str = "mdx-incidents") -> None:
        self._servers = servers
        self._topic = topic
        self._producer: Producer | None = None
        self._polling: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Connect.

        Raises:
            SettingsError: no broker answers, or it has no such topic.
        """
        self._producer = Producer({**_QUIET, "bootstrap.servers": self._servers, "linger.ms": 1})
        await asyncio.to_thread(_partitions, self._producer, self._servers, self._topic)
        self._polling = asyncio.create_task(self._poll(self._producer))

    async def prepare(self, event: Event) -> bytes:
        """Write the incident."""
        return orjson.dumps(event.as_incident())

    async def send(self, event: Event, prepared: bytes) -> End | None:
        """Send an event; None when the broker has it."""
        assert self._producer is not None, "`open` comes first"
        loop = asyncio.get_running_loop()
        sent: asyncio.Future[str] = loop.create_future()

        def told(error: Any, _message: Any) -> None:
            loop.call_soon_threadsafe(_settle, sent, error.name() if error else "")

        try:
            self._producer.produce(self._topic, prepared, event.sensor, on_delivery=told)
        except BufferError:
            return End(Ending.SHED, "kafka_queue_full")
        problem = await sent
        return End(Ending.FAILED, problem.lower()) if problem else None

    async def close(self) -> None:
        """Send what is left and disconnect."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.gather(self._polling, return_exceptions=True)
        if self._producer is not None:
            await asyncio.to_thread(self._producer.flush, _REACH_S)

    async def _poll(self, producer: Producer) -> None:
        while True:
            await asyncio.to_thread(producer.poll, _POLL_S)


class KafkaVerdicts:
    """Reads published verdicts from their end on, as a reader without a group.

    Args:
        servers: such as `localhost:9092`.
        topic: where the sidecar publishes incidents.
        knows_answers: whether verdicts can be compared with known ones.
    """

    def __init__(
        self, servers: str, topic: str = "mdx-vlm-incidents", *, knows_answers: bool = False
    ) -> None:
        self._servers = servers
        self._topic = topic
        self._knows_answers = knows_answers
        self._is_over = threading.Event()
        self._reading: asyncio.Task[None] | None = None

    async def open(self, on_end: OnEnd) -> None:
        """Connect.

        Raises:
            SettingsError: no broker answers, or it has no such topic.
        """
        settings = {
            **_QUIET,
            "bootstrap.servers": self._servers,
            "group.id": "sidecar-density",  # needed, but nothing is committed
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        }
        consumer = Consumer(settings)
        await asyncio.to_thread(self._assign, consumer)
        loop = asyncio.get_running_loop()

        def tell(name: str, end: End) -> None:
            loop.call_soon_threadsafe(on_end, name, end)

        self._is_over.clear()
        self._reading = asyncio.create_task(asyncio.to_thread(self._read, consumer, tell))

    async def close(self) -> None:
        """Disconnect."""
        self._is_over.set()
        if self._reading is not None:
            await self._reading

    def _assign(self, consumer: Consumer) -> None:
        numbers = _partitions(consumer, self._servers, self._topic)
        places = [TopicPartition(self._topic, number) for number in numbers]
        for place in places:
            _, place.offset = consumer.get_watermark_offsets(place, timeout=_REACH_S)
        consumer.assign(places)

    def _read(self, consumer: Consumer, tell: OnEnd) -> None:
        while not self._is_over.is_set():
            for message in consumer.consume(500, timeout=_POLL_S):
                value = None if message.error() else message.value()
                found = value and read_published(value, knows_answers=self._knows_answers)
                if found:
                    tell(*found)
        consumer.close()


def _partitions(client: Producer | Consumer, servers: str, topic: str) -> list[int]:
    try:
        found = client.list_topics(topic, timeout=_REACH_S).topics[topic]
    except KafkaException as error:
        raise SettingsError(f"Kafka at {servers} does not answer: {error.args[0].str()}.") from None
    if found.error is not None or not found.partitions:
        raise SettingsError(f"Kafka at {servers} has no topic {topic}. Create it.")
    return list(found.partitions)


def _settle(future: "asyncio.Future[str]", problem: str) -> None:
    if not future.done():
        future.set_result(problem)
