"""The realtime rules, in the Redis that the replicas share."""

from collections.abc import Sequence

from sidecar.audit import AuditEntry
from sidecar.errors import StoreUnavailable
from sidecar.model import RealtimeRule
from sidecar.outside.audit import dump_entry
from sidecar.outside.ledger_rows import dump
from sidecar.outside.redis_store import RedisStore
from sidecar.outside.rules import RULE, oldest_first


class RedisRuleBook:
    """Fulfils `ports.RuleBook` for every replica that works on the same keys."""

    def __init__(self, store: RedisStore) -> None:
        self._store = store

    async def ping(self) -> str:
        """Return "" when Redis can be read now, else what is wrong."""
        try:
            await self._store.read("rules")
        except StoreUnavailable as error:
            return error.detail
        return ""

    async def close(self) -> None:
        """Do nothing: the store belongs to whoever opened it."""

    async def list(self) -> Sequence[RealtimeRule]:
        """Return all rules, oldest first."""
        return oldest_first(await self._store.read("rules"))

    async def find(self, rule_id: str) -> RealtimeRule | None:
        """Return a rule, or None."""
        blob = await self._store.read("rule", rule_id)
        return None if blob is None else RULE.validate_json(blob)

    async def put(self, rule: RealtimeRule, entry: AuditEntry | None = None) -> bool:
        """Store a rule if its revision follows the stored one."""
        change = (rule.id, rule.revision, dump(rule), _blob(entry))
        return bool(await self._store.write("put_rule", *change))

    async def delete(self, rule_id: str, entry: AuditEntry | None = None) -> bool:
        """Forget a rule; False when there was none."""
        return bool(await self._store.write("delete_rule", rule_id, _blob(entry)))


def _blob(entry: AuditEntry | None) -> bytes:
    return b"" if entry is None else dump_entry(entry)
