"""The choices of arms, in the Redis that the replicas share."""

from collections.abc import Sequence

from sidecar.audit import AuditEntry
from sidecar.errors import StoreUnavailable
from sidecar.outside.arm_log import CHOICE
from sidecar.outside.audit import dump_entry
from sidecar.outside.redis_store import RedisStore
from sidecar.policy import ArmChoice


class RedisArmLog:
    """Fulfils `ports.ArmLog` for every replica that works on the same keys."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def ping(self) -> str:
        """Return "" when Redis can be read now, else what is wrong."""
        try:
            await self.latest()
        except StoreUnavailable as error:
            return error.detail
        return ""

    async def close(self) -> None:
        """Do nothing: the store belongs to whoever opened it."""

    async def latest(self) -> ArmChoice | None:
        """Return the newest choice; None when there was none."""
        return next(iter(await self.list(limit=1)), None)

    async def find(self, version: int) -> ArmChoice | None:
        """Return a choice, or None."""
        found = await self.list(limit=1, before=version + 1)
        return found[0] if found and found[0].version == version else None

    async def list(self, *, limit: int, before: int | None = None) -> Sequence[ArmChoice]:
        """List choices, newest first, with a version below `before`."""
        blobs = await self._store.read("arm_choices", -1 if before is None else before, limit)
        return [CHOICE.validate_json(blob) for blob in reversed(blobs)]

    async def append(self, choice: ArmChoice, entry: AuditEntry | None = None) -> bool:
        """Store a choice if its version follows the newest one, and record that."""
        recorded = b"" if entry is None else dump_entry(entry)
        change = (choice.version, CHOICE.dump_json(choice), recorded)
        return bool(await self._store.write("append_arm_choice", *change))
