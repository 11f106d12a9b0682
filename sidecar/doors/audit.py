"""Who changed what, for administrators."""

from typing import Any

from fastapi import APIRouter

from sidecar.contract.audit import AuditListResponse, write_entries
from sidecar.doors.paging import Cursor, PageSize
from sidecar.ports import AuditTrail


def audit_router(trail: AuditTrail, refusals: dict[int | str, dict[str, Any]]) -> APIRouter:
    """Build the route.

    Args:
        trail: what it reads.
        refusals: what any route may answer besides, for the API's description.
    """
    router = APIRouter(prefix="/api/v1/audit", tags=["audit"], responses=refusals)

    @router.get("")
    async def list_audit(
        limit: PageSize = 100,
        cursor: Cursor = None,
    ) -> AuditListResponse:
        """List changes, newest first."""
        return write_entries(await trail.list(limit=limit, before=cursor), limit)

    return router
