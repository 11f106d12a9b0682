"""A service that stores events and verifies none, for tests of the doors of brokers."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ledger_samples import a_record, take

from sidecar.core.bell import Bell
from sidecar.core.feed import Feed
from sidecar.core.filters import Filters
from sidecar.core.intake import Intake
from sidecar.core.service import Service
from sidecar.core.slots import Slots
from sidecar.doors.records import RecordIntake, decode_record
from sidecar.outside.clock import SystemClock
from sidecar.outside.ledger_sqlite import SqliteLedger
from sidecar.outside.prompts import SqlitePromptBook
from sidecar.outside.sqlite import Database
from sidecar.ports import Clock, DeadLetters
from sidecar.settings import FilterSettings, LedgerSettings
from sidecar.testing.fakes import MemoryDeadLetters, RecordMeter

MAX_RECORD_BYTES = 1_048_576
decode = partial(decode_record, max_bytes=MAX_RECORD_BYTES, max_depth=32)


@dataclass(frozen=True)
class Storing:
    """A service with a real SQLite ledger and no dispatcher."""

    service: Service
    ledger: SqliteLedger
    database: Database
    meter: RecordMeter

    def intake(self, source: str, dead_letters: DeadLetters | None = None) -> RecordIntake:
        letters = dead_letters or MemoryDeadLetters()
        return RecordIntake(source, decode, self.service, letters, self.meter)

    async def ids(self) -> list[str]:
        """Return the submitted ids of all undecided events, sorted."""
        sql = "SELECT json_extract(CAST(raw AS TEXT), '$.id') FROM events ORDER BY 1"
        rows = await self.database.read(lambda db: db.execute(sql).fetchall())
        return [row[0] for row in rows]

    async def decide(self, events: int) -> None:
        """Make room: give the oldest events a verdict."""
        claimed = await take(self.ledger, events)
        await asyncio.gather(*(self.ledger.commit(a_record(one.key), []) for one in claimed))


@asynccontextmanager
async def storing(
    folder: Path,
    *,
    max_backlog: int = 100_000,
    filters: FilterSettings | None = None,
    clock: Clock | None = None,
) -> AsyncGenerator[Storing]:
    """Run such a service on the ledger of a folder."""
    clock, meter = clock or SystemClock(), RecordMeter()
    settings = LedgerSettings(path=folder / "ledger.db", max_backlog=max_backlog)
    database = Database(settings.path)
    ledger = SqliteLedger(database, settings, clock)
    service = Service(
        intake=Intake(),
        filters=Filters(filters or FilterSettings(), clock),
        ledger=ledger,
        prompts=SqlitePromptBook(database, clock),
        parts={},
        sinks={},
        clock=clock,
        meter=meter,
        slots=Slots(0),
        has_line=lambda: False,
        begin=lambda _: None,
        submitted=Bell(),
        feed=Feed(),
    )
    try:
        yield Storing(service, ledger, database, meter)
    finally:
        await database.close()
