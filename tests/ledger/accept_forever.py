"""Program of the durability test: accept events for ever and print each key once it is durable."""

import asyncio
import sys
from pathlib import Path

from ledger_samples import an_event

from sidecar.outside.clock import SystemClock
from sidecar.outside.ledger_sqlite import SqliteLedger
from sidecar.outside.sqlite import Database
from sidecar.settings import LedgerSettings


async def accept(ledger: SqliteLedger, prefix: str) -> None:
    number = 0
    while True:
        accepted = await ledger.accept(an_event(f"{prefix}-{number}"))
        sys.stdout.write(f"{accepted.key}\n")
        sys.stdout.flush()
        number += 1


async def main(path: Path, cycle: str) -> None:
    settings = LedgerSettings(max_backlog=1_000_000)
    ledger = SqliteLedger(Database(path), settings, SystemClock())
    async with asyncio.TaskGroup() as group:
        for caller in range(4):
            group.create_task(accept(ledger, f"{cycle}-{caller}"))


asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
