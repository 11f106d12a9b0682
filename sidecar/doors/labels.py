"""Routes about what arms said about single events, and what people say about them."""

from collections.abc import Mapping
from typing import Annotated, Any, Final

import orjson
from fastapi import APIRouter, Query, Request, Response

from sidecar.compared import ComparedFilter
from sidecar.contract.event import Timestamp
from sidecar.contract.labels import (
    AnswersResponse,
    ComparedListResponse,
    DisputesResponse,
    LabelRequest,
    LabelsResponse,
    read_labels,
    write_answers,
    write_page,
)
from sidecar.contract.verdict import ErrorResponse
from sidecar.core.comparing import Comparing
from sidecar.doors.callers import By
from sidecar.doors.paging import Cursor, PageSize

NDJSON: Final = "application/x-ndjson"
_MISSING: Final[dict[int | str, dict[str, Any]]] = {404: {"model": ErrorResponse}}


def labels_router(comparing: Comparing, refusals: dict[int | str, dict[str, Any]]) -> APIRouter:
    """Build the routes. They stand before those that read verdicts by any identity.

    Args:
        comparing: what they ask.
        refusals: what any route may answer besides, for the API's description.
    """
    router = APIRouter(prefix="/api/v1", tags=["ab"], responses=refusals)

    @router.get(
        "/verdicts/{identity:path}/answers", response_model=AnswersResponse, responses=_MISSING
    )
    async def read_answers(identity: str) -> Response:
        """Tell what every arm said about an event, and how people labelled it."""
        return _json(write_answers(*await comparing.answers(identity)))

    @router.put(
        "/verdicts/{identity:path}/label", response_model=AnswersResponse, responses=_MISSING
    )
    async def label(identity: str, request: LabelRequest, by: By) -> Response:
        """Say whether what was alerted on happened. The last label counts, all are kept."""
        await comparing.label(identity, request.truth, by.actor, request.note)
        return _json(write_answers(*await comparing.answers(identity)))

    @router.delete(
        "/verdicts/{identity:path}/label",
        response_model=AnswersResponse,
        responses={**_MISSING, 409: {"model": ErrorResponse}},
    )
    async def take_back(identity: str, by: By) -> Response:
        """Take one's own last label back; the one before it counts again, both stay listed."""
        await comparing.take_back(identity, by.actor)
        return _json(write_answers(*await comparing.answers(identity)))

    @router.get("/ab/disagreements", response_model=DisputesResponse)
    async def list_disagreements(
        sensor: Annotated[str, Query(max_length=256)] = "",
        alert_type: Annotated[str, Query(alias="alertType", max_length=256)] = "",
        limit: PageSize = 100,
        cursor: Cursor = None,
    ) -> Response:
        """List events that arms differ on and nobody labelled, the latest first."""
        wanted = ComparedFilter(sensor, alert_type, disputed=True)
        page = write_page(await comparing.events(wanted, limit=limit, before=cursor), limit)
        return _json({**page, "remaining": await comparing.disputes()})

    @router.post(
        "/ab/labels",
        response_model=LabelsResponse,
        openapi_extra={
            "requestBody": {"required": True, "content": {NDJSON: {"schema": {"type": "string"}}}}
        },
    )
    async def label_many(request: Request, by: By) -> Response:
        """Take labels as JSON lines with `id` or `key`, and `truth`; unknown events are named."""
        labels = read_labels(await request.body(), by.actor, comparing.clock.now())
        unknown = await comparing.label_all(labels)
        told = {"labelled": len(labels) - len(unknown), "unknown": list(unknown)}
        return _json({"status": "success", **told})

    @router.get("/ab/events", response_model=ComparedListResponse)
    async def list_events(
        sensor: Annotated[str, Query(alias="sensorId", max_length=256)] = "",
        category: Annotated[str, Query(max_length=256)] = "",
        since: Annotated[Timestamp | None, Query(alias="from")] = None,
        until: Annotated[Timestamp | None, Query(alias="to")] = None,
        arms: Annotated[
            str, Query(max_length=1000, description="All of these answered; by commas.")
        ] = "",
        labelled: Annotated[bool | None, Query()] = None,
        limit: PageSize = 100,
        cursor: Cursor = None,
    ) -> Response:
        """List events that arms were compared on, the latest first."""
        names = tuple(name.strip() for name in arms.split(",") if name.strip())
        wanted = ComparedFilter(sensor, category, since, until, names, labelled)
        return _json(write_page(await comparing.events(wanted, limit=limit, before=cursor), limit))

    return router


def _json(body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
