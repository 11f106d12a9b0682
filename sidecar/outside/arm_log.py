"""The choices of arms, in the ledger's file."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from sqlite3 import Connection
from typing import Final

from pydantic import TypeAdapter

from sidecar.audit import AuditEntry
from sidecar.errors import StoreUnavailable
from sidecar.outside.audit import insert_entry
from sidecar.outside.sqlite import Database
from sidecar.policy import ArmChoice

CHOICE: Final = TypeAdapter(ArmChoice)

_LIST: Final = "SELECT choice FROM arm_choices WHERE version < ? ORDER BY version DESC LIMIT ?"
_INSERT: Final = """
    INSERT INTO arm_choices (version, choice) SELECT :version, :choice
    WHERE :version = 1 + (SELECT coalesce(max(version), 0) FROM arm_choices)
"""
_END: Final = 2**63 - 1


class ListedArmLog(ABC):
    """What every log of choices does alike, once it can list them."""

    async def ping(self) -> str:
        """Return "" when choices can be read now, else what is wrong."""
        try:
            await self.latest()
        except StoreUnavailable as error:
            return error.detail
        return ""

    async def latest(self) -> ArmChoice | None:
        """Return the newest choice; None when there was none."""
        return next(iter(await self.list(limit=1)), None)

    async def find(self, version: int) -> ArmChoice | None:
        """Return a choice, or None."""
        found = await self.list(limit=1, before=version + 1)
        return found[0] if found and found[0].version == version else None

    @abstractmethod
    async def list(self, *, limit: int, before: int | None = None) -> Sequence[ArmChoice]:
        """List choices, newest first, with a version below `before`."""


class SqliteArmLog(ListedArmLog):
    """Fulfils `ports.ArmLog`. The database belongs to whoever opened it."""

    def __init__(self, db: Database) -> None:
        self._db = db

    async def close(self) -> None:
        """Do nothing: the database belongs to whoever opened it."""

    async def list(self, *, limit: int, before: int | None = None) -> Sequence[ArmChoice]:
        """List choices, newest first, with a version below `before`."""
        values = (_END if before is None else before, limit)
        rows = await self._db.read(lambda db: db.execute(_LIST, values).fetchall())
        return [CHOICE.validate_json(row["choice"]) for row in rows]

    async def append(self, choice: ArmChoice, entry: AuditEntry | None = None) -> bool:
        """Store a choice if its version follows the newest one, and record that."""
        return await self._db.write(partial(_append, choice, entry))


def _append(choice: ArmChoice, entry: AuditEntry | None, db: Connection) -> bool:
    values = {"version": choice.version, "choice": CHOICE.dump_json(choice)}
    is_next = db.execute(_INSERT, values).rowcount > 0
    if is_next and entry is not None:
        insert_entry(entry, db)
    return is_next
