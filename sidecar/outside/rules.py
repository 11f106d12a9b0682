"""The realtime rules, in the ledger's file.

Rules carry the credentials of their cameras, which RT-VLM needs again after its restart:
keep the ledger as you keep those.
"""

from collections.abc import Sequence
from functools import partial
from sqlite3 import Connection
from typing import Any, Final

from pydantic import TypeAdapter

from sidecar.audit import AuditEntry
from sidecar.errors import StoreUnavailable
from sidecar.model import RealtimeRule
from sidecar.outside.audit import insert_entry
from sidecar.outside.ledger_rows import dump
from sidecar.outside.sqlite import Database

RULE: Final = TypeAdapter(RealtimeRule)
_INSERT: Final = (
    "INSERT INTO realtime_rules (id, revision, rule) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING"
)
_UPDATE: Final = "UPDATE realtime_rules SET revision = ?, rule = ? WHERE id = ? AND revision = ?"
_DELETE: Final = "DELETE FROM realtime_rules WHERE id = ?"


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

    async def put(self, rule: RealtimeRule, entry: AuditEntry | None = None) -> bool:
        """Store a rule if its revision follows the stored one."""
        blob, before = dump(rule), rule.revision - 1
        edit = partial(_change, _UPDATE, (rule.revision, blob, rule.id, before), entry)
        if rule.revision == 1:
            edit = partial(_change, _INSERT, (rule.id, rule.revision, blob), entry)
        return await self._db.write(edit)

    async def delete(self, rule_id: str, entry: AuditEntry | None = None) -> bool:
        """Forget a rule; False when there was none."""
        return await self._db.write(partial(_change, _DELETE, (rule_id,), entry))


def _change(sql: str, values: Sequence[Any], entry: AuditEntry | None, db: Connection) -> bool:
    """Change a row, and record that if it happened."""
    is_changed = db.execute(sql, values).rowcount > 0
    if is_changed and entry is not None:
        insert_entry(entry, db)
    return is_changed


def oldest_first(blobs: Sequence[bytes]) -> Sequence[RealtimeRule]:
    """Read stored rules."""
    rules = [RULE.validate_json(blob) for blob in blobs]
    return sorted(rules, key=lambda rule: (rule.created_at, rule.id))
