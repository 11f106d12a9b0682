"""Program of the lease tests: a replica that takes events up and then does as it is told.

It prints a line when it holds the events. Every line that it reads is the key of an event to
commit, and it prints what came of that.
"""

import asyncio
import sys

import structlog
from ledger_samples import a_record, an_event

from sidecar.outside.clock import SystemClock
from sidecar.outside.ledger_redis import RedisLedger
from sidecar.outside.redis_store import RedisStore
from sidecar.settings import LedgerSettings


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(url: str, lease_s: float, keys: list[str]) -> None:
    ledger = RedisLedger(RedisStore(url), LedgerSettings(), SystemClock(), lease_s=lease_s)
    await ledger.recover()
    for key in keys:
        await ledger.accept(an_event(key), claim=True)
    say("holding")
    while True:
        key = (await asyncio.to_thread(sys.stdin.readline)).strip()
        committed = await ledger.commit(a_record(key, arm="replica"), ["sink"])
        say("decided before" if committed is None else "decided")


structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
asyncio.run(main(sys.argv[1], float(sys.argv[2]), sys.argv[3:]))
