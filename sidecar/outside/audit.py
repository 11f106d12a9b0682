"""The audit trail, in the ledger's file, and its entries as JSON."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from sqlite3 import Connection, Row
from typing import Any, Final

import orjson

from sidecar.audit import Attribution, AuditEntry
from sidecar.contract.config import write_response
from sidecar.model import AlertConfig
from sidecar.outside.ledger_rows import dump
from sidecar.outside.sqlite import Database, from_microseconds, to_microseconds

_INSERT: Final = """
    INSERT INTO audit (at, actor, action, target, before, after, reason)
    VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING seq
"""
_LIST: Final = "SELECT * FROM audit WHERE seq < ? ORDER BY seq DESC LIMIT ?"
_END: Final = 2**63 - 1
_SHOWN_IDS: Final = 500


class SqliteAuditTrail:
    """Fulfils `ports.AuditTrail`. The database belongs to whoever opened it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def append(self, entry: AuditEntry) -> AuditEntry:
        """Store an entry durably; returns it with its `seq`."""
        return await self._db.write(partial(insert_entry, entry))

    async def list(self, *, limit: int, before: int | None = None) -> Sequence[AuditEntry]:
        """List entries, newest first, with `seq` below `before`."""
        values = (_END if before is None else before, limit)
        return await self._db.read(lambda db: [_to_entry(it) for it in db.execute(_LIST, values)])


def insert_entry(entry: AuditEntry, db: Connection) -> AuditEntry:
    """Store an entry in the transaction of the change that it is about."""
    values = (
        to_microseconds(entry.at),
        entry.actor,
        entry.action,
        entry.target,
        dump(entry.before),
        dump(entry.after),
        entry.reason,
    )
    return replace(entry, seq=db.execute(_INSERT, values).fetchone()["seq"])


def _to_entry(row: Row) -> AuditEntry:
    fields = dict(row)
    at, before, after = (fields.pop(name) for name in ("at", "before", "after"))
    return AuditEntry(
        at=from_microseconds(at), before=orjson.loads(before), after=orjson.loads(after), **fields
    )


def dump_entry(entry: AuditEntry) -> bytes:
    """Write an entry as JSON, without `seq`."""
    return dump(
        {
            "at": to_microseconds(entry.at),
            "actor": entry.actor,
            "action": entry.action,
            "target": entry.target,
            "before": entry.before,
            "after": entry.after,
            "reason": entry.reason,
        }
    )


def load_entry(blob: bytes, seq: int) -> AuditEntry:
    """Read what `dump_entry` wrote."""
    fields = orjson.loads(blob)
    return AuditEntry(**{**fields, "at": from_microseconds(fields["at"])}, seq=seq)


def edited(
    by: Attribution,
    edit: str,
    before: AlertConfig | None,
    after: AlertConfig | None,
    now_us: int,
) -> AuditEntry:
    """Write down an edit of an alert type, in the form that the API shows alert types in.

    Args:
        by: who asked for it.
        edit: `create`, `replace` or `delete`.
        before: what it was; None when it was not there.
        after: what it is; None when it is gone. Not both None.
        now_us: when, as the schema keeps it.
    """
    named = after or before
    assert named is not None
    return by.entry(
        from_microseconds(now_us),
        f"alert_config.{edit}",
        named.alert_type,
        before=_shown(before),
        after=_shown(after),
    )


def _shown(config: AlertConfig | None) -> Mapping[str, Any] | None:
    if config is None:
        return None
    return {**write_response(config).model_dump(exclude_none=True), "version": config.version}


def replayed(by: Attribution, ids: Sequence[int], now_us: int) -> AuditEntry:
    """Write down that dead letters are to be delivered again; of very many, the first ids."""
    asked = {"count": len(ids), "ids": list(ids[:_SHOWN_IDS])}
    return by.entry(from_microseconds(now_us), "dead_letters.replay", "outbox", after=asked)
