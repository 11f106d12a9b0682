from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from sidecar.outside.ledger_sqlite import SqliteLedger
from sidecar.outside.sqlite import Database
from sidecar.ports import Ledger
from sidecar.settings import LedgerSettings
from sidecar.testing.fakes import FrozenClock


@pytest.fixture
def clock() -> FrozenClock:
    return FrozenClock()


@pytest.fixture
async def db(tmp_path: Path) -> AsyncGenerator[Database]:
    database = Database(tmp_path / "ledger.db")
    yield database
    await database.close()


@pytest.fixture(params=["sqlite"])
def ledger(request: pytest.FixtureRequest, clock: FrozenClock) -> Ledger:
    """Every kind of ledger in turn, with room for five undecided events."""
    database = request.getfixturevalue("db")
    return SqliteLedger(database, LedgerSettings(max_backlog=5), clock)
