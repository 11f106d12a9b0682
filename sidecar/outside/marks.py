"""The filters' memory in the ledgers: which event of a cohort was accepted last.

SQLite has it already: keys begin with their cohort, so the events of a cohort stand side by side in
the indexes of keys. Redis cannot look for a prefix and keeps a key for each cohort, which expires
when no rule looks at it any more. Times are integer microseconds.
"""

from collections.abc import Sequence
from datetime import datetime
from sqlite3 import Connection, Row
from typing import Final

import orjson

from sidecar.core.filters import first_broken
from sidecar.model import Drop, Dropped, FilterRules, Mark, Outcome, VerifyEvent
from sidecar.outside.sqlite import from_microseconds, to_microseconds

_SELECT_COHORT: Final = """
    SELECT key, seq, 0 AS position, accepted_at FROM verdicts WHERE key BETWEEN ?1 AND ?2
    UNION ALL
    SELECT key, 0, position, accepted_at FROM events WHERE key BETWEEN ?1 AND ?2
"""
_SELECT_LATEST_VERDICT: Final = """
    SELECT outcome, decided_at FROM verdicts
    WHERE seq = (SELECT max(seq) FROM identities WHERE identity = ?)
"""
_ANY_DISTANCE: Final = 2**53


def select_cohort(db: Connection, event: VerifyEvent, rules: FilterRules) -> Sequence[Row]:
    """List what is known of an event's cohort, or of its key alone when no rule needs more."""
    bounds = (f"{event.cohort}:", f"{event.cohort};") if rules.limits else (event.key, event.key)
    return db.execute(_SELECT_COHORT, bounds).fetchall()


def find_drop(
    db: Connection, event: VerifyEvent, rules: FilterRules, cohort: Sequence[Row], now: int
) -> Dropped | None:
    """Return why the rules drop an event; None when they do not."""
    if rules.limits and cohort:
        # After the clock was set back, the latest is not the one with the greatest time.
        latest = min(cohort, key=lambda row: abs(now - int(row["accepted_at"])))
        mark = Mark(_end_of(latest["key"], event.cohort), from_microseconds(latest["accepted_at"]))
        limit = first_broken(rules.limits, event.end, mark, from_microseconds(now))
        if limit:
            return Dropped(limit.drop, mark)
    return _find_confirmed(db, event, rules, now) if rules.protect_s else None


def pack_rules(event: VerifyEvent, rules: FilterRules, now: int) -> bytes:
    """Write rules as `ledger.lua` reads them; b"" when there are none."""
    if not rules.limits and not rules.protect_s:
        return b""
    ends_at = to_microseconds(event.end)
    keep_us = max((_us(limit.within_s) for limit in rules.limits), default=0)
    return orjson.dumps(
        {
            "cohort": event.cohort,
            "now": now,
            "ends_at": ends_at,
            "limits": [
                (
                    limit.drop,
                    _us(limit.within_s),
                    _ANY_DISTANCE if limit.closer_s is None else _us(limit.closer_s),
                )
                for limit in rules.limits
            ],
            "protect": _us(rules.protect_s),
            "mark": f"{ends_at} {now}",
            "keep_ms": keep_us // 1000 + 1,
        }
    )


def unpack_drop(answer: Sequence[bytes]) -> Dropped:
    """Read the answer of `ledger.lua` about an event that it dropped."""
    drop, *times = answer
    moments = [from_microseconds(int(time)) for time in times]
    if len(moments) == 1:
        return Dropped(Drop(drop.decode()), confirmed_at=moments[0])
    return Dropped(Drop(drop.decode()), Mark(*moments))


def _find_confirmed(
    db: Connection, event: VerifyEvent, rules: FilterRules, now: int
) -> Dropped | None:
    row = db.execute(_SELECT_LATEST_VERDICT, (event.fingerprint,)).fetchone()
    if row is None or row["outcome"] != Outcome.CONFIRMED:
        return None
    if abs(now - row["decided_at"]) >= _us(rules.protect_s):
        return None
    return Dropped(Drop.CONFIRMED, confirmed_at=from_microseconds(row["decided_at"]))


def _end_of(key: str, cohort: str) -> datetime:
    """Read the end out of a verdict key (`core.identity.verdict_key`)."""
    return datetime.fromisoformat(key[len(cohort) + 1 :])


def _us(seconds: float) -> int:
    return round(seconds * 1_000_000)
