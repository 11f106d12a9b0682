"""The Kafka door against a real broker process and a real ledger."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import door_process
import pytest
import pytest_asyncio
from confluent_kafka import Consumer, Producer, TopicPartition
from kafka_process import KafkaProcess, read_topic
from payloads import BEHAVIOR, COLLISION
from storing_service import Storing, storing

from sidecar.contract.nvschema import to_protobuf
from sidecar.doors.kafka import KafkaDoor
from sidecar.errors import SettingsError
from sidecar.model import DeadLetter, EventKind, Record
from sidecar.outside.clock import SystemClock
from sidecar.outside.dead_letters_kafka import KafkaDeadLetters
from sidecar.ports import DeadLetters
from sidecar.settings import KafkaSettings
from sidecar.testing.fakes import MemoryDeadLetters

pytestmark = pytest.mark.asyncio(loop_scope="module")

IMPATIENT = {"max.poll.interval.ms": "6000"}


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncGenerator[KafkaProcess]:
    async with KafkaProcess(tmp_path_factory.mktemp("kafka")) as process:
        yield process


def settings_of(broker: KafkaProcess, **changes: Any) -> KafkaSettings:
    """Name topics and a group of one test's own."""
    name = uuid4().hex[:8]
    values = {
        "bootstrap_servers": broker.bootstrap_servers,
        "group_id": f"group-{name}",
        "incidents_topic": f"incidents-{name}",
        "alerts_topic": f"alerts-{name}",
        "dead_letter_topic": f"dead-{name}",
        "session_timeout_s": 6,
        "start_at": "earliest",
        **changes,
    }
    return KafkaSettings.model_validate(values)


async def create_topics(broker: KafkaProcess, settings: KafkaSettings, partitions: int = 2) -> None:
    topics = (settings.incidents_topic, settings.alerts_topic)
    await broker.create_topics(*topics, partitions=partitions)


def incident(number: int, sensor: str = "") -> bytes:
    """Write an incident whose id is `e-0001` for 1."""
    sensor = sensor or f"camera-{number}"
    return json.dumps({**COLLISION, "id": f"e-{number:04}", "sensorId": sensor}).encode()


def ids(numbers: Iterable[int]) -> list[str]:
    return [f"e-{number:04}" for number in numbers]


async def produce(settings: KafkaSettings, *values: bytes | None, topic: str = "") -> None:
    properties = {"bootstrap.servers": settings.bootstrap_servers, "log_level": 0}
    producer = Producer({**properties, "message.max.bytes": 5_000_000})
    for number, value in enumerate(values):
        key, headers = f"key-{number}", [("trace", b"t-1")]
        producer.produce(topic or settings.incidents_topic, value, key, headers=headers)
    assert await asyncio.to_thread(producer.flush, 10) == 0


@asynccontextmanager
async def reading(
    store: Storing, settings: KafkaSettings, dead_letters: DeadLetters | None = None
) -> AsyncGenerator[KafkaDoor]:
    """Run a door until the context ends."""
    door = KafkaDoor(settings, store.intake("kafka", dead_letters), SystemClock())
    task = asyncio.create_task(door.run())
    try:
        yield door
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 30.0) -> None:
    give_up = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        await asyncio.sleep(0.05)


async def joined(door: KafkaDoor) -> None:
    async def works() -> bool:
        return await door.ping() == ""

    await until(works)


async def stored(store: Storing, events: int) -> None:
    await counted(store, "stored", events)


async def counted(store: Storing, what: str, number: int) -> None:
    async def are_there() -> bool:
        return store.meter.counts[what] >= number

    await until(are_there)


def committed(settings: KafkaSettings, partitions: int = 2) -> int:
    """Sum up the committed offsets of the incidents' topic."""
    properties = {"bootstrap.servers": settings.bootstrap_servers, "group.id": settings.group_id}
    consumer = Consumer({**properties, "log_level": 0})
    wanted = [TopicPartition(settings.incidents_topic, it) for it in range(partitions)]
    offsets = [max(0, one.offset) for one in consumer.committed(wanted, timeout=10)]
    consumer.close()
    return sum(offsets)


def commit(settings: KafkaSettings, offset: TopicPartition) -> None:
    """Commit an offset as an earlier member of the group."""
    properties = {"bootstrap.servers": settings.bootstrap_servers, "group.id": settings.group_id}
    consumer = Consumer({**properties, "log_level": 0})
    consumer.commit(offsets=[offset], asynchronous=False)
    consumer.close()


async def test_both_kinds_come_in_as_json_and_as_protobuf(
    broker: KafkaProcess, tmp_path: Path
) -> None:
    """An incident and an alert, in both encodings, are stored, and their offsets are committed."""
    settings = settings_of(broker)
    await create_topics(broker, settings)
    as_protobuf = to_protobuf({**COLLISION, "sensorId": "other"}, EventKind.INCIDENT)
    await produce(settings, incident(1), as_protobuf)
    alerts = [{**BEHAVIOR, "id": "a-1"}, {**BEHAVIOR, "id": "a-2", "sensor": {"id": "other"}}]
    await produce(settings, json.dumps(alerts[0]).encode(), topic=settings.alerts_topic)
    await produce(settings, to_protobuf(alerts[1], EventKind.ALERT), topic=settings.alerts_topic)
    async with storing(tmp_path) as store:
        async with reading(store, settings):
            await stored(store, 4)
        known = await store.ids()

    assert [None, "a-1", "a-2", "e-0001"] == known
    assert 2 == committed(settings)


async def test_malformed_records_become_dead_letters(broker: KafkaProcess, tmp_path: Path) -> None:
    """Each goes to the dead letters with its bytes, key and cause; the others are stored."""
    settings = settings_of(broker)
    await create_topics(broker, settings, partitions=1)
    behavior = to_protobuf(BEHAVIOR, EventKind.ALERT)
    deep, huge = b'{"a":' * 99 + b"1" + b"}" * 99, b'{"a":"' + b"x" * 1_100_000 + b'"}'
    nonsense, incomplete = b"\x0a\xff\xffnonsense", b'{"id": "x"}'
    bad = [nonsense, incomplete, None, b'{"a":', deep, huge, behavior]
    await produce(settings, incident(1), *bad, incident(2))
    async with storing(tmp_path) as store:
        letters = KafkaDeadLetters(settings)
        async with reading(store, settings, letters):
            await counted(store, "put_aside", len(bad))
            found = await read_topic(broker.bootstrap_servers, settings.dead_letter_topic, len(bad))
        await letters.close()
    headers = [dict(message.headers() or ()) for message in found]

    assert sorted(value or b"" for value in bad) == sorted(it.value() or b"" for it in found)
    assert {f"key-{n}".encode() for n in range(1, 8)} == {message.key() for message in found}
    reasons = {b"validation_failed", b"invalid_payload", b"body_too_large"}

    assert reasons == {it["reason"] for it in headers}
    assert {b"t-1"} == {it["trace"] for it in headers}
    assert {f"{settings.incidents_topic}[0]@{n}".encode() for n in range(1, 8)} == {
        it["origin"] for it in headers
    }
    assert all(it["cause"] for it in headers)
    assert 9 == committed(settings, 1)


async def test_a_letter_that_is_too_large_is_cut(broker: KafkaProcess) -> None:
    """What the dead-letter topic refuses for its size is kept in part, with its length."""
    settings = settings_of(broker, options={"message.max.bytes": "600000"})
    letters = KafkaDeadLetters(settings)
    record = Record(EventKind.INCIDENT, b"x" * 700_000, "t[0]@1", b"k")
    await letters.put(DeadLetter(record, "body_too_large", "too long"))
    await letters.close()
    (message,) = await read_topic(broker.bootstrap_servers, settings.dead_letter_topic, 1)

    assert (524_288, b"700000") == (
        len(message.value() or b""),
        dict(message.headers() or ())["truncated"],
    )


async def test_dead_letters_that_cannot_be_written_wait(
    broker: KafkaProcess, tmp_path: Path
) -> None:
    """Nothing behind a record is committed before its dead letter is; `ping` tells why."""
    settings, letters = settings_of(broker), MemoryDeadLetters("No such topic.")
    await create_topics(broker, settings, partitions=1)
    await produce(settings, b"nonsense", incident(1))
    async with storing(tmp_path) as store, reading(store, settings, letters) as door:
        await stored(store, 1)
        problem, before = await door.ping(), await asyncio.to_thread(committed, settings, 1)
        letters.trouble = ""
        await until(lambda: asyncio.to_thread(lambda: committed(settings, 1) == 2))

        assert ("No such topic.", 0, "") == (problem, before, await door.ping())


@pytest.mark.slow
async def test_a_broker_that_is_away_is_an_error_that_helps() -> None:
    """A dead letter that nobody takes says what to do."""
    settings = KafkaSettings(
        bootstrap_servers="127.0.0.1:1", options={"delivery.timeout.ms": "1000", "log_level": "0"}
    )
    letters = KafkaDeadLetters(settings)
    record = Record(EventKind.INCIDENT, b"x", "t[0]@1")
    with pytest.raises(ConnectionError, match=r"mdx-vlm-dead-letters on 127\.0\.0\.1:1"):
        await letters.put(DeadLetter(record, "validation_failed", "no event"))
    await letters.close()


async def test_a_wrong_option_is_refused_at_the_start() -> None:
    """A misspelt property of librdkafka is a wrong setting."""
    with pytest.raises(SettingsError, match="SIDECAR_KAFKA__OPTIONS"):
        KafkaDeadLetters(KafkaSettings(bootstrap_servers="x", options={"sasl.usernane": "me"}))


async def test_a_killed_reader_loses_nothing(broker: KafkaProcess, tmp_path: Path) -> None:
    """A process that is killed while it reads leaves each event stored exactly once in the end."""
    settings = settings_of(broker, session_timeout_s=6)
    await create_topics(broker, settings)
    await produce(settings, *(incident(number) for number in range(4000)))
    process = await asyncio.create_subprocess_exec(
        sys.executable, door_process.__file__, str(tmp_path), "kafka", settings.model_dump_json()
    )
    await until(lambda: _has_rows(tmp_path / "ledger.db"))
    process.kill()
    await process.wait()
    after_kill = await asyncio.to_thread(committed, settings)
    async with storing(tmp_path) as store:
        before = await store.ids()
        async with reading(store, settings):
            await until(lambda: asyncio.to_thread(lambda: committed(settings) == 4000))
        known, repeated = await store.ids(), store.meter.counts["known"]

    assert 0 < len(before) < 4000
    assert after_kill <= len(before)
    assert len(before) - after_kill == repeated
    assert ids(range(4000)) == known


async def _has_rows(path: Path) -> bool:
    return path.with_name("ledger.db-wal").exists() and (
        path.with_name("ledger.db-wal").stat().st_size > 300_000
    )


@pytest.mark.slow
async def test_a_full_ledger_pauses_the_door(broker: KafkaProcess, tmp_path: Path) -> None:
    """It stays in its group for longer than `max.poll.interval`, then goes on without a loss."""
    settings = settings_of(broker, options=IMPATIENT)
    await create_topics(broker, settings)
    await produce(settings, *(incident(number) for number in range(2000)))
    async with storing(tmp_path, max_backlog=100) as store, reading(store, settings) as door:
        await stored(store, 100)
        await asyncio.sleep(8)
        held, problem = store.meter.counts["received"], await door.ping()
        safe = await asyncio.to_thread(committed, settings)
        for _ in range(400):
            await store.decide(100)
            await asyncio.sleep(0.05)
            if store.meter.counts["stored"] == 2000:
                break
        await until(lambda: asyncio.to_thread(lambda: committed(settings) == 2000))

        assert "" == problem
        assert safe <= 100
        assert held <= 502
        assert 2000 == store.meter.counts["received"]


@pytest.mark.slow
async def test_a_second_member_takes_its_share(broker: KafkaProcess, tmp_path: Path) -> None:
    """It joins while the first one waits for room; what that could not store, it gets."""
    settings = settings_of(broker, options=IMPATIENT)
    await create_topics(broker, settings, partitions=4)
    await produce(settings, *(incident(number) for number in range(1000)))
    first, second = tmp_path / "first", tmp_path / "second"
    async with storing(first, max_backlog=10) as full, storing(second) as empty:
        async with reading(full, settings), reading(empty, settings) as door:
            await stored(full, 10)
            await joined(door)
            await stored(empty, 1)
            for _ in range(600):
                await full.decide(10)
                if await asyncio.to_thread(committed, settings, 4) == 1000:
                    break
        shares = full.meter.counts["stored"], empty.meter.counts["stored"]
        counts = full.meter.counts + empty.meter.counts

    assert min(shares) > 10
    assert 1000 <= counts["stored"] <= 1020
    assert 1000 == committed(settings, 4)


async def test_a_new_group_is_pinned_to_its_first_start(
    broker: KafkaProcess, tmp_path: Path
) -> None:
    """What came before is left out, what comes after its first start survives its death."""
    settings = settings_of(broker, start_at="latest")
    await create_topics(broker, settings)
    await produce(settings, incident(1), incident(2))
    async with storing(tmp_path) as store:
        async with reading(store, settings) as door:
            await joined(door)
        await produce(settings, incident(3), incident(4))
        async with reading(store, settings):
            await stored(store, 2)
        known = await store.ids()

    # this broker's «latest» is one short (a Kafka of Apache's is exact), so 2 may be there as well
    assert ids((3, 4)) == [it for it in known if it != "e-0002"]


async def test_a_partition_that_was_added_is_read_from_its_start(
    broker: KafkaProcess, tmp_path: Path
) -> None:
    """A group that knows the topic leaves out nothing, whatever `start_at` says."""
    settings = settings_of(broker, start_at="latest")
    await create_topics(broker, settings)
    known_partition = TopicPartition(settings.incidents_topic, 0, 0)
    await asyncio.to_thread(commit, settings, known_partition)
    await produce(settings, *(incident(number) for number in range(10)))
    async with storing(tmp_path) as store:
        async with reading(store, settings):
            await stored(store, 10)
        known = await store.ids()

    assert ids(range(10)) == known


@pytest.mark.slow
async def test_a_broker_that_comes_late_is_waited_for(tmp_path: Path) -> None:
    """The door says what is wrong, then reads all of topics that are younger than itself."""
    process = KafkaProcess(tmp_path)
    settings = settings_of(process, start_at="latest")
    async with storing(tmp_path) as store, reading(store, settings) as door:
        await asyncio.sleep(1)
        away = await door.ping()
        async with process:
            await asyncio.sleep(2)
            await create_topics(process, settings)
            await produce(settings, incident(1), incident(2))
            await stored(store, 2)

            assert "" == await door.ping()
            assert "Start the broker" in away


@pytest.mark.slow
async def test_a_broker_that_hangs_is_waited_for(tmp_path: Path) -> None:
    """After 12 s without an answer, the door goes on where it was."""
    async with KafkaProcess(tmp_path) as process, storing(tmp_path) as store:
        settings = settings_of(process)
        await create_topics(process, settings)
        await produce(settings, incident(1))
        async with reading(store, settings) as door:
            await stored(store, 1)
            process.pause()
            await asyncio.sleep(12)
            away = await door.ping()
            process.resume()
            await produce(settings, incident(2))
            await stored(store, 2)
            await joined(door)

        assert "cannot read" in away
        assert ids((1, 2)) == await store.ids()
