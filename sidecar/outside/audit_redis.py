"""The audit trail, in the Redis that the replicas share."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from sidecar.audit import AuditEntry
from sidecar.outside.audit import dump_entry, load_entry
from sidecar.outside.redis_store import RedisStore

_END: Final = 2**53 - 1  # what Lua's numbers hold exactly


class RedisAuditTrail:
    """Fulfils `ports.AuditTrail` for every replica that works on the same keys."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def append(self, entry: AuditEntry) -> AuditEntry:
        """Store an entry; returns it with its `seq`."""
        return replace(entry, seq=int(await self._store.write("audit", dump_entry(entry))))

    async def list(self, *, limit: int, before: int | None = None) -> Sequence[AuditEntry]:
        """List entries, newest first, with `seq` below `before`."""
        end = _END if before is None else min(before, _END)
        first, *blobs = await self._store.read("audited", end, limit)
        entries = [load_entry(blob, int(first) + place) for place, blob in enumerate(blobs)]
        return entries[::-1]
