"""The realtime rules, in the ledger's file.

Rules carry the credentials of their cameras, which RT-VLM needs again after its restart:
keep the ledger as you keep those.
"""

from collections.abc import Sequence
from functools import partial
from sqlite3 import Connection
from typing import Final

from pydantic import TypeAdapter

from sidecar.errors import StoreUnavailable
from sidecar.model import RealtimeRule
from sidecar.outside.ledger_rows import dump
from sidecar.outside.sqlite import Database

RULE: Final = TypeAdapter(RealtimeRule)
_INSERT: Final = (
    "INSERT INTO realtime_rules (id, revision, rule) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"
)
_UPDATE: Final = "UPDATE realtime_rules SET revision = ?, rule = ? WHERE id = ? AND revision = ?"


class SqliteRuleBook:
    """Fulfils `ports.RuleBook`. The database belongs to whoever opened it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def ping(self) -> str:
        """Return "" when the file can be read now, else what is wrong."""
        try:
            await self._db.read(lambda db: db.execute("SELECT 1 FROM realtime_rules LIMIT 1"))
        except StoreUnavailable as error:
            return error.detail
        return ""

    async def close(self) -> None:
        """Do nothing: there is nothing here to release."""

    async def list(self) -> Sequence[RealtimeRule]:
        """Return all rules, oldest first."""
        sql = "SELECT rule FROM realtime_rules"
        rows = await self._db.read(lambda db: db.execute(sql).fetchall())
        return oldest_first([row["rule"] for row in rows])

    async def find(self, rule_id: str) -> RealtimeRule | None:
        """Return a rule, or None."""
        sql = "SELECT rule FROM realtime_rules WHERE id = ?"
        row = await self._db.read(lambda db: db.execute(sql, (rule_id,)).fetchone())
        return None if row is None else RULE.validate_json(row["rule"])

    async def put(self, rule: RealtimeRule) -> bool:
        """Store a rule if its revision follows the stored one."""
        return await self._db.write(partial(_put, rule, dump(rule)))

    async def delete(self, rule_id: str) -> bool:
        """Forget a rule; False when there was none."""
        sql = "DELETE FROM realtime_rules WHERE id = ?"
        return await self._db.write(lambda db: db.execute(sql, (rule_id,)).rowcount > 0)


def _put(rule: RealtimeRule, blob: bytes, db: Connection) -> bool:
    if rule.revision == 1:
        return db.execute(_INSERT, (rule.id, rule.revision, blob)).rowcount > 0
    changed = (rule.revision, blob, rule.id, rule.revision - 1)
    return db.execute(_UPDATE, changed).rowcount > 0


def oldest_first(blobs: Sequence[bytes]) -> Sequence[RealtimeRule]:
    """Read stored rules."""
    rules = [RULE.validate_json(blob) for blob in blobs]
    return sorted(rules, key=lambda rule: (rule.created_at, rule.id))
