"""The choices of arms, in the Redis that the replicas share."""

from collections.abc import Sequence

from sidecar.audit import AuditEntry
from sidecar.outside.arm_log import CHOICE, ListedArmLog
from sidecar.outside.audit import dump_entry
from sidecar.outside.redis_store import RedisStore
from sidecar.policy import ArmChoice


class RedisArmLog(ListedArmLog):
    """Fulfils `ports.ArmLog` for every replica that works on the same keys."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def close(self) -> None:
        """Do nothing: the store belongs to whoever opened it."""

    async def list(self, *, limit: int, before: int | None = None) -> Sequence[ArmChoice]:
        """List choices, newest first, with a version below `before`."""
        blobs = await self._store.read("arm_choices", -1 if before is None else before, limit)
        return [CHOICE.validate_json(blob) for blob in reversed(blobs)]

    async def append(self, choice: ArmChoice, entry: AuditEntry | None = None) -> bool:
        """Store a choice if its version follows the newest one, and record that."""
        recorded = b"" if entry is None else dump_entry(entry)
        change = (choice.version, CHOICE.dump_json(choice), recorded)
        return bool(await self._store.write("append_arm_choice", *change))
