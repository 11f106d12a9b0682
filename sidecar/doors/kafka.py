"""The Kafka door: events come in, and their offsets are committed once they are safe.

The incumbent commits an offset when it has read the record, and loses what it holds when it dies.
Here an offset is committed after the ledger has the event, and only as far as no record before it
is still open. While the ledger takes nothing, all partitions are paused and the consumer goes on to
poll, so that the group does not take it for dead.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import Any, Final, cast

import structlog
from confluent_kafka import (
    OFFSET_INVALID,
    TIMESTAMP_NOT_AVAILABLE,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.aio import AIOConsumer

from sidecar.doors.records import RecordIntake
from sidecar.model import EventKind, Record
from sidecar.ports import Clock
from sidecar.settings import KafkaSettings

BATCH: Final = 500
WAIT_S: Final = 0.5
POLL_EVERY_S: Final = 1.0
DRAIN_S: Final = 2.0
RECONNECT_S: Final = 2.0
CLOSE_S: Final = 5.0

_QUERY_S: Final = 10.0
_PING_S: Final = 3.0
_STOPPED: Final = "It does not run."
_librdkafka = logging.getLogger("librdkafka")
_log = structlog.get_logger()

Partition = tuple[str, int]
Task = asyncio.Task[None]


class KafkaDoor:
    """Reads incidents and alerts from Kafka, for one event loop.

    Args:
        settings: where, and as which group.
        intake: takes the records.
        clock: tells how long a record was on its way.
    """

    def __init__(self, settings: KafkaSettings, intake: RecordIntake, clock: Clock) -> None:
        self._settings = settings
        self._intake = intake
        self._clock = clock
        self._kinds = {
            settings.incidents_topic: EventKind.INCIDENT,
            settings.alerts_topic: EventKind.ALERT,
        }
        self._consumer: AIOConsumer | None = None
        self._assigned: set[Partition] = set()
        self._open: dict[Partition, dict[int, Task]] = {}
        self._safe: dict[Partition, int] = {}
        self._unborn: frozenset[str] | None = None
        self._is_member = False
        self._problem = _STOPPED

    async def run(self) -> None:
        """Read until cancelled; a broker that is away is waited for."""
        try:
            while True:
                self._problem = "It has not joined its group yet."
                try:
                    await self._consume()
                except KafkaException as error:
                    self._problem = _explain(error.args[0])
                _log.warning("kafka_unavailable", detail=self._problem)
                await asyncio.sleep(RECONNECT_S)
        finally:
            self._problem = _STOPPED

    async def ping(self) -> str:
        """Return "" when the door is a member of its group and a broker answers."""
        consumer, problem = self._consumer, self._problem
        if consumer is not None and self._is_member:
            try:
                await consumer.list_topics(self._settings.incidents_topic, timeout=_PING_S)
            except (KafkaException, RuntimeError) as error:
                problem = f"{error}."
            else:
                return self._intake.problem
        return (
            f"The Kafka door cannot read from {self._settings.bootstrap_servers}: {problem} "
            "Start the broker and create the topics, or correct SIDECAR_KAFKA__BOOTSTRAP_SERVERS."
        )

    async def close(self) -> None:
        """Hold nothing: the consumer ends with `run`."""

    async def _consume(self) -> None:
        """Be a member of the group, until cancelled."""
        consumer = AIOConsumer(self._properties(), max_workers=4)
        try:
            if self._unborn is None:
                self._unborn = await self._missing_topics(consumer)
            await consumer.subscribe(
                list(self._kinds),
                on_assign=self._on_assign,
                on_revoke=self._on_revoke,
                on_lost=self._on_lost,
            )
            self._consumer = consumer
            while True:
                await self._step(consumer)
        finally:
            self._consumer, self._is_member = None, False
            # hands the partitions back in `_on_revoke`; with a broker that hangs it takes long
            await asyncio.wait({asyncio.create_task(_close(consumer))}, timeout=CLOSE_S)
            self._forget(set(self._open) | self._assigned)

    async def _step(self, consumer: AIOConsumer) -> None:
        """Read what is there and see it to a safe place."""
        first = await consumer.poll(WAIT_S)
        if first is not None:
            self._begin(first)
            for message in await consumer.consume(BATCH - 1, 0):
                self._begin(message)
        if not await self._are_safe(self._assigned, POLL_EVERY_S):
            await self._wait_for_room(consumer)
        await self._commit(consumer, self._assigned)

    async def _wait_for_room(self, consumer: AIOConsumer) -> None:
        """Stay a member of the group until all records are safe, without reading on."""
        _log.warning("kafka_paused", detail=self._intake.obstacle or self._intake.problem)
        while not await self._are_safe(self._assigned, POLL_EVERY_S):
            # again each time: a rebalance may have brought partitions that are not paused
            await consumer.pause(await consumer.assignment())
            early = await consumer.poll(0)
            if early is not None:
                self._begin(early)
            await self._commit(consumer, self._assigned)
        await consumer.resume(await consumer.assignment())
        _log.info("kafka_resumed")

    def _begin(self, message: Message) -> None:
        """Start to take a record; an error that came in its place is noted."""
        error = message.error()
        if error is not None:
            self._note(error)
            return
        partition, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
        if partition not in self._assigned:
            return  # it was read before its partition went to another member, which reads it again
        taking = asyncio.create_task(self._intake.take(self._record(message)))
        self._open.setdefault(partition, {})[offset] = taking

    async def _are_safe(self, partitions: Collection[Partition], timeout_s: float) -> bool:
        """Wait until no record of these partitions is open; False when the time is over."""
        tasks = [it for one in partitions for it in self._open.get(one, {}).values()]
        if tasks:
            _, waiting = await asyncio.wait(tasks, timeout=timeout_s)
            self._advance()
            return not waiting
        return True

    def _advance(self) -> None:
        """Move each partition's safe offset on, up to the first record that is still open."""
        for partition, tasks in self._open.items():
            for offset, task in list(tasks.items()):
                if not task.done():
                    break
                task.result()
                self._safe[partition] = offset + 1
                del tasks[offset]

    async def _commit(self, consumer: AIOConsumer, partitions: Collection[Partition]) -> None:
        """Commit what is safe; what cannot be committed now is tried again later."""
        self._advance()
        offsets = [
            TopicPartition(*partition, offset)
            for partition, offset in self._safe.items()
            if partition in partitions
        ]
        if not offsets:
            return
        try:
            results = await consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            _log.warning("kafka_commit_failed", detail=str(error))
            return
        for one in results or ():
            if one.error is None:
                self._safe.pop((one.topic, one.partition), None)

    async def _on_assign(self, consumer: AIOConsumer, partitions: list[TopicPartition]) -> None:
        """Choose where to begin; librdkafka then starts at the committed offsets."""
        if self._settings.start_at == "latest":
            for topic in {one.topic for one in partitions} - (self._unborn or frozenset()):
                await _pin(consumer, topic)
        coming = _names(partitions)
        self._forget(coming)  # what is left of an earlier assignment says nothing about this one
        self._assigned |= coming
        self._is_member = True
        _log.info("kafka_assigned", partitions=sorted(self._assigned))

    async def _on_revoke(self, consumer: AIOConsumer, partitions: list[TopicPartition]) -> None:
        """Finish what is quickly finished; the rest is read again by its new owner."""
        leaving = _names(partitions)
        await self._are_safe(leaving, DRAIN_S)
        await self._commit(consumer, leaving)
        self._forget(leaving)
        _log.info("kafka_revoked", partitions=sorted(leaving))

    async def _on_lost(self, _: AIOConsumer, partitions: list[TopicPartition]) -> None:
        """Somebody else has them already: there is nothing to commit."""
        self._is_member = False
        self._problem = "It was put out of its group for being silent too long."
        self._forget(_names(partitions))
        _log.warning("kafka_lost", partitions=sorted(_names(partitions)))

    def _forget(self, leaving: set[Partition]) -> None:
        self._assigned -= leaving
        for partition in leaving:
            self._safe.pop(partition, None)
            for task in self._open.pop(partition, {}).values():
                task.cancel()

    async def _missing_topics(self, consumer: AIOConsumer) -> frozenset[str]:
        """Tell which topics do not exist yet: all that comes there later is news."""
        known = (await consumer.list_topics(timeout=_QUERY_S)).topics
        return frozenset(self._kinds) - frozenset(known)

    def _note(self, error: KafkaError) -> None:
        """Keep what is wrong, and log it once: librdkafka repeats it with each attempt."""
        problem, self._problem = self._problem, _explain(error)
        if self._problem != problem:
            _log.warning("kafka_error", detail=self._problem)
        if error.fatal():
            raise KafkaException(error)

    async def _on_error(self, error: KafkaError) -> None:
        self._note(error)

    def _record(self, message: Message) -> Record:
        topic = message.topic() or ""
        kind, published_ms = message.timestamp()
        lag_s = self._clock.now().timestamp() - published_ms / 1000
        return Record(
            kind=self._kinds[topic],
            value=_bytes(message.value()),
            origin=f"{topic}[{message.partition()}]@{message.offset()}",
            key=None if message.key() is None else _bytes(message.key()),
            extra=tuple((name, _bytes(value)) for name, value in _headers(message)),
            lag_s=None if kind == TIMESTAMP_NOT_AVAILABLE else max(0.0, lag_s),
        )

    def _properties(self) -> dict[str, Any]:
        return {
            "bootstrap.servers": self._settings.bootstrap_servers,
            "group.id": self._settings.group_id,
            "client.id": "sidecar",
            "partition.assignment.strategy": "cooperative-sticky",
            "enable.auto.commit": False,
            # offsets that are gone, and partitions that are added later: nothing is skipped
            "auto.offset.reset": "earliest",
            "session.timeout.ms": round(self._settings.session_timeout_s * 1000),
            "socket.timeout.ms": 10_000,
            "reconnect.backoff.ms": 500,
            "reconnect.backoff.max.ms": 5_000,
            "topic.metadata.refresh.interval.ms": 10_000,
            "queued.max.messages.kbytes": 16_384,
            "log.connection.close": False,
            "logger": _librdkafka,
            "error_cb": self._on_error,
            **{name: it.get_secret_value() for name, it in self._settings.options.items()},
        }


async def _pin(consumer: AIOConsumer, topic: str) -> None:
    """Commit the end of a topic that is new to the group.

    With `auto.offset.reset=latest` instead, what comes between the group's first start and its
    first commit would be skipped when it dies in between.
    """
    metadata = await consumer.list_topics(topic, timeout=_QUERY_S)
    everywhere = [TopicPartition(topic, number) for number in metadata.topics[topic].partitions]
    if await _is_pinned(consumer, everywhere):
        return
    ends = []
    for one in everywhere:
        _, end = await consumer.get_watermark_offsets(one, timeout=_QUERY_S)
        ends.append(TopicPartition(topic, one.partition, end))
    # Another member may do the same at this moment. These ends are no later than any that it has
    # committed since the second question, so that whoever commits last skips nothing.
    if not await _is_pinned(consumer, everywhere):
        await consumer.commit(offsets=ends, asynchronous=False)


async def _is_pinned(consumer: AIOConsumer, everywhere: list[TopicPartition]) -> bool:
    committed = await consumer.committed(everywhere, timeout=_QUERY_S)
    return any(one.offset != OFFSET_INVALID for one in committed)


async def _close(consumer: AIOConsumer) -> None:
    with suppress(KafkaException, RuntimeError):
        await consumer.close()


def _names(partitions: Sequence[TopicPartition]) -> set[Partition]:
    return {(one.topic, one.partition) for one in partitions}


def _headers(message: Message) -> Sequence[tuple[str, str | bytes | None]]:
    return cast("Sequence[tuple[str, str | bytes | None]]", message.headers() or ())


def _bytes(value: str | bytes | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def _explain(error: KafkaError) -> str:
    return f"{error.str()} ({error.name()})."
