"""The Redis Streams door against real servers, 6.2, 7.0 and 8.2, and a real ledger."""

import asyncio
import json
import shutil
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import door_process
import pytest
from payloads import BEHAVIOR, COLLISION
from redis import Redis
from redis_process import BUNDLES, RedisProcess, bundled_redis
from storing_service import Storing, storing

from sidecar.contract.nvschema import to_protobuf
from sidecar.doors.streams import StreamsDoor
from sidecar.errors import SettingsError
from sidecar.model import DeadLetter, EventKind, Record
from sidecar.outside.clock import SystemClock
from sidecar.outside.dead_letters_streams import StreamsDeadLetters, connect_redis
from sidecar.ports import DeadLetters
from sidecar.settings import StreamsSettings
from sidecar.testing.fakes import MemoryDeadLetters

INCIDENTS, ALERTS, DEAD = "mdx-incidents", "mdx-alerts", "mdx-vlm-dead-letters"
GROUP = "alert-bridge-vlm-group"


@pytest.fixture(params=["on the path", *BUNDLES])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RedisProcess]:
    """Run Redis in turn: Debian's is 7.0."""
    is_bundled = request.param in BUNDLES
    binary = bundled_redis(request.param) if is_bundled else shutil.which("redis-server")
    if not binary:
        pytest.skip(f"there is no redis-server {request.param}")
    process = RedisProcess(tmp_path, binary=binary).start()
    yield process
    process.kill()


def version_of(redis: Any) -> tuple[int, int]:
    major, minor, _ = redis.info("server")["redis_version"].split(".")
    return int(major), int(minor)


@pytest.fixture
def redis(server: RedisProcess) -> Iterator[Any]:
    with Redis.from_url(server.url, protocol=2) as client:
        yield client


def settings_of(server: RedisProcess, **changes: Any) -> StreamsSettings:
    values = {"url": server.url, "start_at": "earliest", "sweep_s": 0.1, "claim_after_s": 0.6}
    return StreamsSettings.model_validate({**values, **changes})


def incident(number: int) -> bytes:
    """Write an incident whose id is `e-0001` for 1."""
    sensor = f"camera-{number}"
    return json.dumps({**COLLISION, "id": f"e-{number:04}", "sensorId": sensor}).encode()


def ids(numbers: Iterable[int]) -> list[str]:
    return [f"e-{number:04}" for number in numbers]


def publish(redis: Any, numbers: Iterable[int], **options: Any) -> list[bytes]:
    fields = ({"key": "k", "value": incident(number), "headers": "{}"} for number in numbers)
    return [redis.xadd(INCIDENTS, one, **options) for one in fields]


@asynccontextmanager
async def reading(
    store: Storing, settings: StreamsSettings, dead_letters: DeadLetters | None = None
) -> AsyncGenerator[StreamsDoor]:
    """Run a door until the context ends."""
    intake = store.intake("streams", dead_letters)
    door = StreamsDoor(connect_redis(settings), settings, intake, SystemClock())
    task = asyncio.create_task(door.run())
    try:
        yield door
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await door.close()


async def until(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, "it did not happen in time"
        await asyncio.sleep(0.01)


async def joined(door: StreamsDoor) -> None:
    give_up = time.monotonic() + 10
    while problem := await door.ping():
        assert time.monotonic() < give_up, problem
        await asyncio.sleep(0.01)


def is_done(redis: Any) -> bool:
    """Tell whether nothing is pending and nothing is unread."""
    last = redis.xinfo_stream(INCIDENTS)["last-generated-id"]
    return any(
        group["pending"] == 0 and group["last-delivered-id"] == last
        for group in redis.xinfo_groups(INCIDENTS)
    )


async def test_every_envelope_comes_in(server: RedisProcess, redis: Any, tmp_path: Path) -> None:
    """Both envelopes of VSS, JSON and protobuf, incidents and alerts, are stored and acked."""
    publish(redis, [1])
    alert = to_protobuf({**BEHAVIOR, "id": "a-1"}, EventKind.ALERT)
    redis.xadd(ALERTS, {"key": "k", "value": alert, "headers": "not JSON"})
    redis.xadd(INCIDENTS, {"data": incident(2), "timestamp": "2026-01-31", "metadata": "{}"})
    as_protobuf = to_protobuf({**COLLISION, "sensorId": "other"}, EventKind.INCIDENT)
    redis.xadd(INCIDENTS, {"value": as_protobuf})
    redis.xadd(INCIDENTS, {"payload": incident(3)})
    async with storing(tmp_path) as store:
        async with reading(store, settings_of(server)):
            await until(lambda: store.meter.counts["stored"] == 5 and is_done(redis))
        known = await store.ids()

    assert [None, "a-1", *ids((1, 2, 3))] == known


async def test_malformed_entries_become_dead_letters(
    server: RedisProcess, redis: Any, tmp_path: Path
) -> None:
    """Each goes to the dead letters with all its fields and a cause; the others are stored."""
    settings = settings_of(server)
    bad = [
        {b"key": b"k", b"value": b"\x0a\xff\xffnonsense"},
        {b"value": b'{"id": "x"}'},
        {b"value": b'{"a":' * 99 + b"1" + b"}" * 99},
        {b"value": b'{"a":"' + b"x" * 1_100_000 + b'"}'},
        {b"value": to_protobuf(BEHAVIOR, EventKind.ALERT)},
        {b"no\xffbody": b"1", b"value": b""},
    ]
    publish(redis, [1])
    found = [redis.xadd(INCIDENTS, fields) for fields in bad]
    publish(redis, [2])
    async with storing(tmp_path) as store:
        letters = StreamsDeadLetters(settings)
        async with reading(store, settings, letters):
            await until(lambda: redis.xlen(DEAD) == len(bad) and is_done(redis))
        await letters.close()
        known = await store.ids()
    origins = {
        f"{INCIDENTS}@{it.decode()}".encode(): fields for it, fields in zip(found, bad, strict=True)
    }
    written = {fields[b"origin"]: fields for _, fields in redis.xrange(DEAD)}

    assert ids((1, 2)) == known
    assert origins == {
        origin: {k: v for k, v in fields.items() if k not in (b"cause", b"reason", b"origin")}
        for origin, fields in written.items()
    }
    assert all(fields[b"cause"] and fields[b"reason"] for fields in written.values())


async def test_dead_letters_that_cannot_be_written_wait(
    server: RedisProcess, redis: Any, tmp_path: Path
) -> None:
    """The entry is not acknowledged before; `ping` tells why."""
    letters = MemoryDeadLetters("No room.")
    redis.xadd(INCIDENTS, {"value": "nonsense"})
    publish(redis, [1])
    async with (
        storing(tmp_path) as store,
        reading(store, settings_of(server), letters) as door,
    ):
        await until(lambda: store.meter.counts["stored"] == 1)
        await until(lambda: redis.xpending(INCIDENTS, GROUP)["pending"] == 1)
        problem = await door.ping()
        letters.trouble = ""
        await until(lambda: is_done(redis))

        assert ("No room.", "") == (problem, await door.ping())


async def test_a_dead_letter_stream_of_another_type_is_an_error_that_helps(
    server: RedisProcess, redis: Any
) -> None:
    """A key in the way says so."""
    redis.set(DEAD, "in the way")
    letters = StreamsDeadLetters(settings_of(server))
    record = Record(EventKind.INCIDENT, b"x", "s@1-0")
    with pytest.raises(ConnectionError, match="mdx-vlm-dead-letters cannot be written"):
        await letters.put(DeadLetter(record, "validation_failed", "no event"))
    await letters.close()


def test_a_wrong_url_is_refused_without_showing_it() -> None:
    """The error names the variable and keeps the password."""
    with pytest.raises(SettingsError, match="SIDECAR_STREAMS__URL") as caught:
        connect_redis(StreamsSettings.model_validate({"url": "redis:secret"}))

    assert "secret" not in str(caught.value)


async def test_a_killed_reader_loses_nothing(
    server: RedisProcess, redis: Any, tmp_path: Path
) -> None:
    """What a killed process had read is taken over, and stored exactly once in the end."""
    settings = settings_of(server)
    publish(redis, range(3000))
    values = settings.model_dump(mode="json") | {"url": server.url}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, door_process.__file__, str(tmp_path), "streams", json.dumps(values))
    )
    wal = tmp_path / "ledger.db-wal"
    await until(lambda: wal.exists() and wal.stat().st_size > 300_000)
    process.kill()
    await process.wait()
    async with storing(tmp_path) as store:
        before = len(await store.ids())
        async with reading(store, settings):
            await until(lambda: is_done(redis))
        known, lost = await store.ids(), store.meter.counts["lost"]

    assert 0 < before < 3000
    assert (ids(range(3000)), 0) == (known, lost)


async def test_what_kills_its_readers_is_put_aside(
    server: RedisProcess, redis: Any, tmp_path: Path
) -> None:
    """An entry that was delivered too often becomes a dead letter; its companions do not."""
    letters = MemoryDeadLetters()
    settings = settings_of(server, max_deliveries=3)
    entries = publish(redis, range(5))
    redis.xgroup_create(INCIDENTS, GROUP, "0")
    redis.xreadgroup(GROUP, "dead", {INCIDENTS: ">"})
    redis.xclaim(INCIDENTS, GROUP, "dead", 0, entries)  # a second death of all
    redis.xclaim(INCIDENTS, GROUP, "dead", 0, entries[2:3])  # a third of one
    async with storing(tmp_path) as store:
        async with reading(store, settings, letters):
            await until(lambda: is_done(redis))
        known = await store.ids()
    (letter,) = letters.taken

    assert ids((0, 1, 3, 4)) == known
    assert (incident(2), "It was delivered 3 times and never stored.") == (
        letter.record.value,
        letter.cause,
    )


async def test_a_member_that_waits_for_room_keeps_its_entries(
    server: RedisProcess, redis: Any, tmp_path: Path
) -> None:
    """Another member does not take them over, however long it takes."""
    publish(redis, range(20))
    settings = settings_of(server)
    first, second = tmp_path / "first", tmp_path / "second"
    async with storing(first, max_backlog=5) as full, storing(second) as empty:
        async with reading(full, settings):
            await until(lambda: full.meter.counts["received"] == 20)
            async with reading(empty, settings.model_copy(update={"consumer": "other"})):
                await asyncio.sleep(2)
                pending = redis.xpending(INCIDENTS, GROUP)["pending"]
                for _ in range(8):
                    await full.decide(5)
                    await asyncio.sleep(0.3)
                await until(lambda: is_done(redis))

        assert (15, 20, 0) == (
            pending,
            full.meter.counts["stored"],
            empty.meter.counts["received"],
        )


async def test_a_full_ledger_stops_the_reading(
    server: RedisProcess, redis: Any, tmp_path: Path
) -> None:
    """Not more than one batch is held in memory; when there is room, all is stored."""
    publish(redis, range(700))
    # on a busy machine the door would take what it holds for forgotten, and count it twice
    settings = settings_of(server, claim_after_s=30)
    async with storing(tmp_path, max_backlog=200) as store, reading(store, settings):
        await until(lambda: store.meter.counts["stored"] == 200)
        await asyncio.sleep(1)
        held = store.meter.counts["received"]
        for _ in range(200):
            await store.decide(200)
            await asyncio.sleep(0.05)
            if store.meter.counts["stored"] == 700:
                break
        await until(lambda: is_done(redis))

        assert (500, 700) == (held, store.meter.counts["stored"])


async def test_entries_trimmed_under_a_dead_member_are_counted(
    server: RedisProcess, redis: Any, tmp_path: Path
) -> None:
    """Entries that were read and trimmed before they were stored are lost, once."""
    publish(redis, range(5))
    redis.xgroup_create(INCIDENTS, GROUP, "0")
    redis.xreadgroup(GROUP, "dead", {INCIDENTS: ">"})
    redis.xtrim(INCIDENTS, maxlen=2, approximate=False)
    async with storing(tmp_path) as store:
        async with reading(store, settings_of(server)):
            await until(lambda: is_done(redis))
        known, lost = await store.ids(), store.meter.counts["lost"]

    assert (ids((3, 4)), 3) == (known, lost)


@pytest.mark.parametrize("left", [2, 0])
async def test_entries_trimmed_unread_are_counted(
    server: RedisProcess, redis: Any, tmp_path: Path, left: int
) -> None:
    """Redis 7 tells how many there were; 6.2 does not, and works all the same."""
    is_new = version_of(redis) >= (7, 0)
    settings = settings_of(server)
    publish(redis, range(3))
    async with storing(tmp_path) as store:
        async with reading(store, settings):
            await until(lambda: is_done(redis))
        publish(redis, range(3, 10))
        redis.xtrim(INCIDENTS, maxlen=left, approximate=False)
        async with reading(store, settings) as door:
            await joined(door)
            publish(redis, [10])
            await until(lambda: is_done(redis))
            await asyncio.sleep(0.7)  # time to count a second time
        known, lost = await store.ids(), store.meter.counts["lost"]

    assert ids((*range(3), *range(10 - left, 11))) == known
    # the read that the first door gave up may have been answered with one entry, which is known
    assert (7 - left == lost) if is_new else lost <= 1


async def test_a_new_group_begins_where_it_is_told(
    server: RedisProcess, redis: Any, tmp_path: Path
) -> None:
    """«latest» leaves out what was there at its first start, and nothing afterwards."""
    settings = settings_of(server, start_at="latest")
    publish(redis, [1])
    async with storing(tmp_path) as store:
        async with reading(store, settings) as door:
            await joined(door)
        publish(redis, [2])
        async with reading(store, settings):
            await until(lambda: is_done(redis))
        known, lost = await store.ids(), store.meter.counts["lost"]

    assert (ids([2]), 0) == (known, lost)


@pytest.mark.parametrize("command", ["FLUSHALL", f"DEL {INCIDENTS}"])
async def test_a_group_that_vanishes_is_made_again(
    server: RedisProcess, redis: Any, tmp_path: Path, command: str
) -> None:
    """What is written to the new stream before the group is back is read as well."""
    settings = settings_of(server, start_at="latest")
    async with storing(tmp_path) as store, reading(store, settings) as door:
        await joined(door)
        publish(redis, [1])
        await until(lambda: is_done(redis))
        with redis.pipeline(transaction=True) as transaction:
            transaction.execute_command(*command.split())
            transaction.xadd(INCIDENTS, {"value": incident(2)})
            transaction.execute()
        await until(lambda: store.meter.counts["stored"] == 2)

        assert ids((1, 2)) == await store.ids()


async def test_a_server_that_comes_late_and_restarts(
    server: RedisProcess, redis: Any, tmp_path: Path
) -> None:
    """The door says what is wrong, and goes on when the server is there, killed or not."""
    server.stop()
    async with storing(tmp_path) as store, reading(store, settings_of(server)) as door:
        await asyncio.sleep(0.5)
        away = await door.ping()
        server.start()
        await joined(door)
        publish(redis, range(100))
        await until(lambda: store.meter.counts["stored"] > 0)
        server.kill()
        server.start()
        publish(redis, range(100, 200))
        await until(lambda: store.meter.counts["stored"] == 200)
        await joined(door)
        await until(lambda: is_done(redis))

        assert "Start Redis" in away
        assert ids(range(200)) == await store.ids()


async def test_what_a_member_leaves_behind_is_taken_over_at_once(
    server: RedisProcess, redis: Any, tmp_path: Path
) -> None:
    """A member that stops with entries that it could not store keeps nobody waiting for them."""
    publish(redis, range(20))
    settings = settings_of(server, claim_after_s=600)
    first, second = tmp_path / "first", tmp_path / "second"
    async with storing(first, max_backlog=5) as full, storing(second) as empty:
        async with reading(full, settings):
            await until(lambda: full.meter.counts["received"] == 20)
            await until(lambda: redis.xpending(INCIDENTS, GROUP)["pending"] == 15)
        async with reading(empty, settings.model_copy(update={"consumer": "other"})):
            await until(lambda: is_done(redis))

        assert (5, 15) == (full.meter.counts["stored"], empty.meter.counts["stored"])


async def test_members_that_are_long_gone_are_forgotten(
    server: RedisProcess, redis: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The group does not grow with every start; who holds entries is kept until they end."""
    monkeypatch.setattr("sidecar.doors.streams.FORGET_AFTER_S", 0.2)
    publish(redis, range(2))
    redis.xgroup_create(INCIDENTS, GROUP, "0")
    for name in ("idle", "holding"):
        redis.xgroup_createconsumer(INCIDENTS, GROUP, name)
    redis.xreadgroup(GROUP, "holding", {INCIDENTS: ">"}, count=1)

    def members() -> set[bytes]:
        return {it["name"] for it in redis.xinfo_consumers(INCIDENTS, GROUP)}

    async with storing(tmp_path) as store:
        async with reading(store, settings_of(server, claim_after_s=1.5, consumer="me")):
            await until(lambda: b"idle" not in members())
            before = members()
            await until(lambda: is_done(redis) and b"holding" not in members())
        known = await store.ids()

    assert b"holding" in before
    assert ids((0, 1)) == known


async def test_safe_entries_are_deleted_when_all_groups_have_them(
    server: RedisProcess, redis: Any, tmp_path: Path
) -> None:
    """With `delete_safe` a stream shrinks to what another group has not acknowledged."""
    can_delete = version_of(redis) >= (8, 2)
    publish(redis, range(5))
    redis.xgroup_create(INCIDENTS, "others", "0")
    entries = redis.xreadgroup("others", "other", {INCIDENTS: ">"})[0][1]
    redis.xack(INCIDENTS, "others", *(entry for entry, _ in entries[:2]))
    async with storing(tmp_path) as store:
        async with reading(store, settings_of(server, delete_safe=True)):
            await until(lambda: is_done(redis))
            left = redis.xlen(INCIDENTS)
        known, lost = await store.ids(), store.meter.counts["lost"]

    assert (ids(range(5)), 0) == (known, lost)
    assert (3 if can_delete else 5) == left
