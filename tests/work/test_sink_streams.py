"""The Redis Streams sink against a redis-server process that is killed and started again."""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from containers import redis_container
from ledger_samples import a_record
from redis.asyncio import Redis
from redis.crc import key_slot
from redis_process import RedisProcess

from sidecar.errors import DeliveryError, DeliveryRefused, SettingsError
from sidecar.model import EventKind, OutboxEntry, VerdictRecord
from sidecar.outside.sinks.streams import StreamsSink
from sidecar.settings import StreamsSinkSettings

INCIDENTS = "mdx-vlm-incidents"
ALERTS = "mdx-vlm-alerts"
Fields = dict[bytes, bytes]


def encode(record: VerdictRecord) -> bytes:
    return b"\x00proto\xff" + record.key.encode()


def an_entry(key: str = "key-1", **changes: Any) -> OutboxEntry:
    return OutboxEntry(1, "streams", a_record(key, **changes))


@asynccontextmanager
async def sink_to(url: str, **settings: Any) -> AsyncGenerator[StreamsSink]:
    sink = StreamsSink(StreamsSinkSettings(url=url, **settings), encode)
    try:
        yield sink
    finally:
        await sink.close()


async def entries(url: str, stream: str = INCIDENTS) -> list[Fields]:
    """Read a whole stream."""
    async with Redis.from_url(url) as redis:
        return [fields for _, fields in await redis.xrange(stream)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    process = RedisProcess(tmp_path).start()
    yield process
    process.stop()


@pytest.fixture(scope="module")
def container() -> Iterator[str]:
    with redis_container() as url:
        yield url


@pytest.fixture(params=["process", pytest.param("container", marks=pytest.mark.docker)])
async def url(request: pytest.FixtureRequest) -> str:
    """A server without keys."""
    if request.param == "process":
        process: RedisProcess = request.getfixturevalue("server")
        return process.url
    address: str = request.getfixturevalue("container")
    async with Redis.from_url(address) as redis:
        await redis.flushall()
    return address


async def test_value_envelope_is_that_of_vss_3(url: str) -> None:
    """Each kind goes to its stream as `key`, `value` and `headers`; the sensor is the key."""
    incident = an_entry("i", document={"sensorId": "camera-1", "id": "own"})
    alert = an_entry("a", kind=EventKind.ALERT, document={"sensor": {"id": "camera-2"}})
    async with sink_to(url) as sink:
        await asyncio.gather(sink.publish(incident), sink.publish(alert))
    (one,) = await entries(url)
    (two,) = await entries(url, ALERTS)

    assert (one[b"key"], one[b"value"]) == (b"camera-1", encode(incident.record))
    assert json.loads(one[b"headers"]) == {"message_type": "incident", "verdictKey": "i"}
    assert (two[b"key"], two[b"value"]) == (b"camera-2", encode(alert.record))
    assert json.loads(two[b"headers"])["message_type"] == "alert"
    assert list(one) == [b"key", b"value", b"headers"]


async def test_value_can_be_json(url: str) -> None:
    """The payload is then the published document, and the key the configured field."""
    document = {"id": "own", "place": {"name": "dock"}, "info": {"verdict": "confirmed"}}
    async with sink_to(url, payload="json", key_field="place.name") as sink:
        await sink.publish(an_entry(document=document))
    (entry,) = await entries(url)

    assert orjson.loads(entry[b"value"]) == document
    assert entry[b"key"] == b"dock"


async def test_data_envelope_is_that_of_vss_2(url: str) -> None:
    """Readers find the document in `data`, beside the time of the decision and `metadata`."""
    document = {"id": "own", "info": {"verdict": "confirmed"}}
    async with sink_to(url, envelope="data", incidents_stream="enhanced") as sink:
        await sink.publish(an_entry(document=document))
    (entry,) = await entries(url, "enhanced")

    assert json.loads(entry[b"data"]) == document
    assert entry[b"timestamp"] == b"2026-01-31T08:00:00.000Z"
    assert json.loads(entry[b"metadata"]) == {"message_type": "incident", "verdictKey": "key-1"}
    assert list(entry) == [b"data", b"timestamp", b"metadata"]


async def test_repeated_delivery_adds_nothing(url: str) -> None:
    """After a crash between the delivery and its record, another process delivers it in vain."""
    async with sink_to(url) as sink:
        await sink.publish(an_entry())
    async with sink_to(url) as sink:
        await asyncio.gather(*(sink.publish(an_entry()) for _ in range(5)))
        await sink.publish(an_entry("key-2"))

    assert len(await entries(url)) == 2


async def test_memory_lies_beside_the_stream_and_ends(url: str) -> None:
    """A cluster keeps both in one slot, and the memory does not outlive its time."""
    async with sink_to(url, remember_s=60) as sink:
        await sink.publish(an_entry("key:{1}"))
    async with Redis.from_url(url) as redis:
        (memory,) = [key for key in await redis.keys() if key != INCIDENTS.encode()]
        left_s = await redis.ttl(memory)

    assert memory == b"{mdx-vlm-incidents}:published:key:{1}"
    assert key_slot(memory) == key_slot(INCIDENTS.encode())
    assert 0 < left_s <= 60


async def test_stream_is_kept_short_when_asked(url: str) -> None:
    """The limit is rough, as Redis trims whole nodes; without one nothing is dropped."""
    async with sink_to(url, max_length=100) as short, sink_to(url, alerts_stream="all") as whole:
        for number in range(500):
            if number % 250 == 0:
                await asyncio.sleep(0)
            await short.publish(an_entry(f"i{number}"))
        await asyncio.gather(
            *(whole.publish(an_entry(f"a{n}", kind=EventKind.ALERT)) for n in range(500))
        )

    assert 100 <= len(await entries(url)) < 300
    assert len(await entries(url, "all")) == 500


async def test_order_of_deliveries_is_kept(url: str) -> None:
    """Verdicts that are published one after the other, batched or not, lie in that order."""
    async with sink_to(url, payload="json") as sink:
        updates = [an_entry(f"k{n}", document={"n": n}) for n in range(300)]
        await asyncio.gather(*(sink.publish(update) for update in updates))
    written = [json.loads(entry[b"value"])["n"] for entry in await entries(url)]

    assert written == list(range(300))


async def test_key_of_another_type_is_no_loss(url: str) -> None:
    """While something else has the stream's name deliveries fail; afterwards each arrives once."""
    async with Redis.from_url(url) as redis, sink_to(url) as sink:
        await redis.set(INCIDENTS, "not a stream")
        with pytest.raises(DeliveryError, match="WRONGTYPE"):
            await sink.publish(an_entry())
        problem = await sink.ping()
        await redis.delete(INCIDENTS)
        await sink.publish(an_entry())
        await sink.publish(an_entry())

        assert "WRONGTYPE" in problem
        assert await sink.ping() == ""
    assert len(await entries(url)) == 1


async def test_restarted_server_is_used_again(server: RedisProcess) -> None:
    """While Redis is away ping tells what to do; afterwards the memory of deliveries is kept."""
    async with sink_to(server.url) as sink:
        await sink.publish(an_entry("before"))
        server.kill()
        with pytest.raises(DeliveryError, match="SIDECAR_SINKS__STREAMS__URL") as caught:
            await sink.publish(an_entry("after"))
        while_down = await sink.ping()
        server.start()
        await sink.publish(an_entry("before"))
        await sink.publish(an_entry("after"))
        problem = await sink.ping()

    assert type(caught.value) is DeliveryError
    assert f"127.0.0.1:{server.port} cannot be reached" in while_down
    assert problem == ""
    assert len(await entries(server.url)) == 2


async def test_hanging_server_times_out_without_a_duplicate(server: RedisProcess) -> None:
    """A delivery whose answer was too late is repeated, and still there only once."""
    async with sink_to(server.url, timeout_s=0.2) as sink:
        await sink.publish(an_entry("before"))
        server.freeze()
        with pytest.raises(DeliveryError, match="TimeoutError"):
            await sink.publish(an_entry("late"))
        server.thaw()
        await sink.publish(an_entry("late"))

    assert len(await entries(server.url)) == 2


async def test_full_server_takes_it_later(server: RedisProcess) -> None:
    """When Redis has no memory left the verdict waits."""
    async with Redis.from_url(server.url) as redis, sink_to(server.url) as sink:
        await redis.config_set("maxmemory", 1)
        with pytest.raises(DeliveryError, match="did not take the verdict") as caught:
            await sink.publish(an_entry())
        await redis.config_set("maxmemory", 0)
        await sink.publish(an_entry())

    assert type(caught.value) is DeliveryError
    assert len(await entries(server.url)) == 1


async def test_password_is_asked_for_and_not_shown(server: RedisProcess) -> None:
    """A wrong password is an error that names the setting, never the password."""
    async with Redis.from_url(server.url) as redis:
        await redis.config_set("requirepass", "s3cret")
    right = server.url.replace("//", "//:s3cret@")
    wrong = server.url.replace("//", "//:wr0ng@")
    async with sink_to(right) as sink:
        await sink.publish(an_entry())
    async with sink_to(wrong) as sink:
        with pytest.raises(DeliveryError, match="SIDECAR_SINKS__STREAMS__URL") as caught:
            await sink.publish(an_entry())
        problem = await sink.ping()
    server.kill()

    assert "password" in problem
    assert "wr0ng" not in caught.value.detail + problem


async def test_verdict_that_cannot_be_encoded_is_refused() -> None:
    """What the encoder refuses is refused, without asking Redis."""

    def refuse(record: VerdictRecord) -> bytes:
        raise DeliveryRefused(f"{record.key} has no protobuf form.")

    sink = StreamsSink(StreamsSinkSettings(url="redis://127.0.0.1:9"), refuse)
    with pytest.raises(DeliveryRefused, match="key-1 has no protobuf form"):
        await sink.publish(an_entry())
    await sink.close()


@pytest.mark.parametrize("url", ["", "http://redis", "redis:6379"])
def test_wrong_url_stops_the_start(url: str) -> None:
    """A URL that can never work is a wrong setting."""
    with pytest.raises(SettingsError, match="SIDECAR_SINKS__STREAMS__URL"):
        StreamsSink(StreamsSinkSettings(url=url), encode)


async def test_closes_while_a_delivery_hangs(server: RedisProcess) -> None:
    """A stop does not wait for a server that hangs, and closing twice is safe."""
    sink = StreamsSink(StreamsSinkSettings(url=server.url), encode)
    await sink.publish(an_entry("before"))
    server.freeze()
    delivery = asyncio.create_task(sink.publish(an_entry()))
    await asyncio.sleep(0.05)
    delivery.cancel()
    async with asyncio.timeout(2):
        await sink.close()
        await sink.close()
    server.kill()

    assert delivery.cancelled()
