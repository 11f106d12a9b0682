"""The audit trail as the API shows it."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import BaseModel

from sidecar.audit import AuditEntry
from sidecar.contract.verdict import stamp


class AuditEntryResponse(BaseModel):
    """One change; `before` and `after` are null where there was nothing, or is nothing."""

    seq: int
    at: str
    actor: str
    action: str
    target: str
    before: Any = None
    after: Any = None
    reason: str


class AuditListResponse(BaseModel):
    """One page of changes, newest first; pass `nextCursor` as `cursor` for the next page."""

    status: Literal["success"] = "success"
    entries: list[AuditEntryResponse]
    count: int
    nextCursor: str | None = None


def write_entries(entries: Sequence[AuditEntry], limit: int) -> AuditListResponse:
    """Show one page of at most `limit` changes."""
    shown = [
        AuditEntryResponse(
            seq=entry.seq,
            at=stamp(entry.at),
            actor=entry.actor,
            action=entry.action,
            target=entry.target,
            before=entry.before,
            after=entry.after,
            reason=entry.reason,
        )
        for entry in entries
    ]
    following = str(entries[-1].seq) if len(entries) == limit else None
    return AuditListResponse(entries=shown, count=len(shown), nextCursor=following)
