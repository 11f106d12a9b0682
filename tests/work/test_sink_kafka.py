"""The Kafka sink against a broker process that is stopped, killed and begun anew."""

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from confluent_kafka import KafkaError
from containers import kafka_container
from kafka_process import KafkaProcess, create_topics, read_topic
from ledger_samples import a_record

from sidecar.errors import DeliveryError, DeliveryRefused, SettingsError
from sidecar.model import EventKind, OutboxEntry, VerdictRecord
from sidecar.outside.sinks.kafka import KafkaSink
from sidecar.settings import KafkaSinkSettings

INCIDENTS = "mdx-vlm-incidents"
ALERTS = "mdx-vlm-alerts"


def encode(record: VerdictRecord) -> bytes:
    return orjson.dumps(dict(record.document))


def an_entry(key: str = "key-1", **changes: Any) -> OutboxEntry:
    return OutboxEntry(1, "kafka", a_record(key, **changes))


@asynccontextmanager
async def sink_to(servers: str, **settings: Any) -> AsyncGenerator[KafkaSink]:
    sink = KafkaSink(KafkaSinkSettings(bootstrap_servers=servers, **settings), encode)
    try:
        yield sink
    finally:
        await sink.close()


@pytest.fixture
async def kafka(tmp_path: Path) -> AsyncGenerator[KafkaProcess]:
    async with KafkaProcess(tmp_path) as broker:
        await broker.create_topics(INCIDENTS, ALERTS)
        yield broker


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    with kafka_container() as servers:
        yield servers


@pytest.fixture(params=["process", pytest.param("container", marks=pytest.mark.docker)])
async def servers(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[str]:
    """A broker's address."""
    if request.param == "container":
        yield request.getfixturevalue("container")
        return
    async with KafkaProcess(tmp_path) as broker:
        yield broker.bootstrap_servers


@pytest.fixture
async def topics(servers: str) -> dict[str, str]:
    """Settings that name two new topics."""
    tag = uuid.uuid4().hex[:8]
    topics = {"incidents_topic": f"incidents-{tag}", "alerts_topic": f"alerts-{tag}"}
    await create_topics(servers, *topics.values())
    return topics


async def test_kind_decides_the_topic(servers: str, topics: dict[str, str]) -> None:
    """Incidents and alerts go to their own topics, as encoded, under their id, without headers."""
    incident = an_entry("i", document={"id": "incident-1", "info": {"verdict": "confirmed"}})
    alert = an_entry("a", kind=EventKind.ALERT, document={"id": "alert-1", "info": {}})
    async with sink_to(servers, **topics) as sink:
        await asyncio.gather(sink.publish(incident), sink.publish(alert))
    (one,) = await read_topic(servers, topics["incidents_topic"], 1)
    (two,) = await read_topic(servers, topics["alerts_topic"], 1)

    assert (one.key(), one.value()) == (b"incident-1", encode(incident.record))
    assert (two.key(), two.value()) == (b"alert-1", encode(alert.record))
    assert (one.headers() or [], two.headers() or []) == ([], [])


async def test_key_keeps_an_incident_together(kafka: KafkaProcess) -> None:
    """The key is the configured field, else what names the incident, and never empty."""
    documents = [
        {"id": "own", "incidentId": "other"},
        {"incidentId": "other"},
        {"sensor": {"id": "camera"}},
    ]
    entries = [an_entry(document=document) for document in documents]
    async with sink_to(kafka.bootstrap_servers) as sink:
        await asyncio.gather(*(sink.publish(entry) for entry in entries))
    async with sink_to(kafka.bootstrap_servers, key_field="sensor.id") as sink:
        await sink.publish(entries[2])
    messages = await kafka.read(INCIDENTS, 4)

    assert {message.key() for message in messages} == {
        b"own",
        b"other",
        b"fingerprint of key-1",
        b"camera",
    }


async def test_updates_of_an_incident_stay_in_order(servers: str, topics: dict[str, str]) -> None:
    """Messages of one key lie in one partition in the order of their deliveries."""
    async with sink_to(servers, **topics) as sink:
        for number in range(20):
            await sink.publish(an_entry(document={"id": "same", "number": number}))
    messages = await read_topic(servers, topics["incidents_topic"], 20)

    assert [orjson.loads(message.value())["number"] for message in messages] == list(range(20))
    assert len({message.partition() for message in messages}) == 1


async def test_many_deliveries_are_confirmed_together(servers: str, topics: dict[str, str]) -> None:
    """Two hundred concurrent deliveries take no longer than a few, and none is lost or doubled."""
    async with sink_to(servers, **topics) as sink:
        entries = [an_entry(f"k{n}", document={"id": f"k{n}"}) for n in range(200)]
        begun = time.monotonic()
        await asyncio.gather(*(sink.publish(entry) for entry in entries))
        seconds = time.monotonic() - begun
    messages = await read_topic(servers, topics["incidents_topic"], 200)

    assert {message.key() for message in messages} == {f"k{n}".encode() for n in range(200)}
    assert seconds < 5


async def test_publish_waits_for_the_confirmation(kafka: KafkaProcess) -> None:
    """While the broker hangs nothing counts as delivered; when it goes on, it does."""
    async with sink_to(kafka.bootstrap_servers) as sink:
        await sink.publish(an_entry("first", document={"id": "first"}))
        kafka.pause()
        delivery = asyncio.create_task(sink.publish(an_entry("second", document={"id": "second"})))
        await asyncio.sleep(0.3)
        was_done = delivery.done()
        kafka.resume()
        await delivery
    messages = await kafka.read(INCIDENTS, 2)

    assert not was_done
    assert {message.key() for message in messages} == {b"first", b"second"}


async def test_broker_that_comes_back_is_used_again(kafka: KafkaProcess) -> None:
    """While it is away ping tells what to do; one that was made anew and knows nobody is no end."""
    async with sink_to(kafka.bootstrap_servers, timeout_s=1.2) as sink:
        for _ in range(3):
            await sink.publish(an_entry("before"))
        await kafka.kill()
        with pytest.raises(DeliveryError, match="SIDECAR_SINKS__KAFKA__BOOTSTRAP") as caught:
            await sink.publish(an_entry("lost"))
        while_down = await sink.ping()
        await kafka.start()
        await kafka.create_topics(INCIDENTS, ALERTS)
        await sink.publish(an_entry("after", document={"id": "after"}))
        problem = await sink.ping()
    (message,) = await kafka.read(INCIDENTS, 1)

    assert type(caught.value) is DeliveryError
    assert kafka.bootstrap_servers in while_down
    assert message.key() == b"after"
    assert problem == ""


async def test_broker_that_forgot_the_producer_is_used_again(kafka: KafkaProcess) -> None:
    """After a restart that nobody noticed, a delivery fails once and then works."""
    async with sink_to(kafka.bootstrap_servers, timeout_s=1.2) as sink:
        for _ in range(3):
            await sink.publish(an_entry("before"))
        await kafka.kill()
        await kafka.start()
        await kafka.create_topics(INCIDENTS, ALERTS)
        with pytest.raises(DeliveryError):
            await sink.publish(an_entry("forgotten"))
        await sink.publish(an_entry("after", document={"id": "after"}))
    (message,) = await kafka.read(INCIDENTS, 1)

    assert message.key() == b"after"


async def test_too_large_verdict_is_refused(kafka: KafkaProcess) -> None:
    """A message beyond the limit becomes a dead letter with advice, and the next one goes."""
    large = an_entry(document={"info": {"reasoning": "x" * 2_000_000}})
    async with sink_to(kafka.bootstrap_servers) as sink:
        with pytest.raises(DeliveryRefused, match=r"max\.message\.bytes"):
            await sink.publish(large)
        await sink.publish(an_entry("next"))

        assert await sink.ping() == ""


async def test_verdict_that_cannot_be_encoded_is_refused() -> None:
    """What the encoder refuses is refused, without asking a broker."""

    def refuse(record: VerdictRecord) -> bytes:
        raise DeliveryRefused(f"{record.key} has no protobuf form.")

    sink = KafkaSink(KafkaSinkSettings(bootstrap_servers="127.0.0.1:9"), refuse)
    with pytest.raises(DeliveryRefused, match="key-1 has no protobuf form"):
        await sink.publish(an_entry())
    await sink.close()


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (KafkaError.UNKNOWN_TOPIC_OR_PART, DeliveryError, "no topic some-topic. Create it"),
        (KafkaError.TOPIC_AUTHORIZATION_FAILED, DeliveryError, "Topic authorization failed"),
        (KafkaError.NOT_ENOUGH_REPLICAS, DeliveryError, "Not enough in-sync replicas"),
        (KafkaError.MSG_SIZE_TOO_LARGE, DeliveryRefused, "too large for Kafka topic some-topic"),
    ],
)
async def test_answers_of_a_broker_are_explained(
    code: int, kind: type[DeliveryError], words: str
) -> None:
    """Only what a later delivery cannot cure is refused for good."""
    async with sink_to("127.0.0.1:9") as sink:
        failure = sink._failure(KafkaError(code), "some-topic")

    assert type(failure) is kind
    assert words in failure.detail


@pytest.mark.parametrize("options", [{"no.such.property": "1"}, {"acks": "1"}])
def test_wrong_option_stops_the_start(options: dict[str, str]) -> None:
    """A property that librdkafka does not know, or that gives up durability, is a wrong setting."""
    settings = KafkaSinkSettings(bootstrap_servers="127.0.0.1:9", options=options)

    with pytest.raises(SettingsError, match="SIDECAR_SINKS__KAFKA__OPTIONS"):
        KafkaSink(settings, encode)


async def test_closes_while_a_delivery_hangs(kafka: KafkaProcess) -> None:
    """A stop does not wait for a broker that is away: the outbox still has the verdict."""
    sink = KafkaSink(KafkaSinkSettings(bootstrap_servers=kafka.bootstrap_servers), encode)
    await sink.publish(an_entry("before"))
    await kafka.kill()
    delivery = asyncio.create_task(sink.publish(an_entry()))
    await asyncio.sleep(0.1)
    async with asyncio.timeout(3):
        await sink.close()
        await sink.close()

    with pytest.raises(DeliveryError):
        await delivery
