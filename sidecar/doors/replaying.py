"""The route that takes events in again which were not looked at."""

from dataclasses import asdict
from typing import Any

from fastapi import APIRouter, Response

from sidecar.contract.replaying import ReplayRequest, ReplayResponse
from sidecar.core.replaying import replay_shed
from sidecar.core.service import Service
from sidecar.doors.callers import By
from sidecar.doors.refusals import json_answer
from sidecar.model import VerdictFilter
from sidecar.ports import AuditTrail


def replaying_router(
    service: Service, audit: AuditTrail, refusals: dict[int | str, dict[str, Any]]
) -> APIRouter:
    """Build the route.

    Args:
        service: takes the events in.
        audit: is told who asked for it.
        refusals: what any route may answer besides, for the API's description.
    """
    router = APIRouter(prefix="/api/v1/verdicts", tags=["verdicts"], responses=refusals)

    @router.post("/replay", response_model=ReplayResponse)
    async def replay(request: ReplayRequest, by: By) -> Response:
        """Take events in again that ended as `overloaded` or `deadline_expired`.

        Each is decided once more under a key of its own; `info.sidecarSupersedes` of the new
        document names the verdict that it replaces.
        """
        wanted = VerdictFilter(
            request.sensorId, request.category, since=request.since, until=request.until
        )
        asked = request.model_dump(mode="json", by_alias=True)
        done = await replay_shed(service, wanted, limit=request.limit, reasons=request.reasons)
        after = {"asked": asked, **asdict(done)}
        entry = by.entry(service.clock.now(), "verdicts.replay", "ledger", after=after)
        await audit.append(entry)
        return json_answer(200, ReplayResponse(**asdict(done)))

    return router
