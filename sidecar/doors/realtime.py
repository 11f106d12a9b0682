"""VSS's API for realtime rules, camera events and published incidents."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Final
from uuid import UUID, uuid4

import orjson
from fastapi import APIRouter, Depends, Query, Request, Response

from sidecar.contract.body import parse_json_object, validate
from sidecar.contract.event import Timestamp
from sidecar.contract.realtime import (
    AlwaysOnEventRequest,
    AlwaysOnResponse,
    IncidentListResponse,
    RealtimeAlertDeleteResponse,
    RealtimeAlertGetResponse,
    RealtimeAlertListResponse,
    RealtimeAlertRequest,
    RealtimeAlertResponse,
    RealtimeReplayResponse,
    read_rule_fields,
    write_rule,
    write_rules,
)
from sidecar.contract.verdict import ErrorResponse, error_response, stamp
from sidecar.core.always_on import AlwaysOn, CameraOutcome
from sidecar.core.incidents import Incidents
from sidecar.core.realtime import RealtimeRules, Replay
from sidecar.doors.callers import By
from sidecar.doors.json_body import StrictJsonRoute
from sidecar.doors.paging import PageSize
from sidecar.errors import InvalidRequest, RequestError, row_of
from sidecar.model import IncidentQuery
from sidecar.ports import Clock

MAX_OFFSET: Final = 2**31 - 1  # Elasticsearch takes no larger one

Answers = dict[int | str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Realtime:
    """What the routes ask."""

    rules: RealtimeRules
    always_on: AlwaysOn
    incidents: Incidents
    clock: Clock


def _refusals(*codes: int) -> Answers:
    return {code: {"model": ErrorResponse} for code in codes}


_CAMERA: Final[Answers] = {
    **{code: {"model": AlwaysOnResponse} for code in (200, 502, 503)},
    422: {"model": AlwaysOnResponse | ErrorResponse},
}


def realtime_router(realtime: Realtime, refusals: Answers, max_json_depth: int) -> APIRouter:
    """Build the routes.

    Args:
        realtime: what they ask.
        refusals: what any route may answer besides, for the API's description.
        max_json_depth: levels of nesting that a camera event may have.
    """
    router = APIRouter(
        prefix="/api/v1/realtime",
        tags=["realtime"],
        responses=refusals,
        route_class=StrictJsonRoute,
    )
    _add_rule_routes(router, realtime)
    _add_incident_route(router, realtime)
    _add_camera_route(router, realtime, max_json_depth)
    # Last, so that no other path is taken for an id.
    _add_single_rule_routes(router, realtime)
    return router


def _add_rule_routes(router: APIRouter, realtime: Realtime) -> None:
    @router.post("", status_code=201, responses=_refusals(409, 502))
    async def create_rule(request: RealtimeAlertRequest, by: By) -> RealtimeAlertResponse:
        """Let RT-VLM watch a live stream. Rules with one `sensor_id` share its stream."""
        rule = await realtime.rules.create(read_rule_fields(request), by)
        return RealtimeAlertResponse(id=rule.id, created_at=rule.created_at.isoformat())

    @router.get("")
    async def list_rules(
        size: PageSize = 100,
        offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
    ) -> RealtimeAlertListResponse:
        """List the active rules, oldest first."""
        rules, total = await realtime.rules.list(offset=offset, limit=size)
        return write_rules(rules, total)

    @router.post("/replay", response_model=RealtimeReplayResponse, responses=_refusals(409, 501))
    async def replay_rules() -> Response:
        """Give all rules to RT-VLM again. It is done without asking when RT-VLM lost them."""
        correlation_id = uuid4().hex
        try:
            replay = await realtime.rules.replay()
        except RequestError as error:
            row = row_of(error)
            body = error_response(row.reason, error.detail, realtime.clock.now())
            return _json(row.wording.code, {**body, "correlation_id": correlation_id})
        return _json(200, _replay_response(replay, correlation_id).model_dump())


def _add_single_rule_routes(router: APIRouter, realtime: Realtime) -> None:
    @router.get("/{alert_rule_id}", responses=_refusals(404))
    async def read_rule(alert_rule_id: UUID) -> RealtimeAlertGetResponse:
        """Read a rule."""
        return RealtimeAlertGetResponse(
            rule=write_rule(await realtime.rules.find(str(alert_rule_id)))
        )

    @router.delete("/{alert_rule_id}", responses=_refusals(404))
    async def delete_rule(alert_rule_id: UUID, by: By) -> RealtimeAlertDeleteResponse:
        """Delete a rule. Its stream is closed with the last rule that uses it."""
        await realtime.rules.delete(str(alert_rule_id), by)
        return RealtimeAlertDeleteResponse(id=str(alert_rule_id))


def _add_incident_route(router: APIRouter, realtime: Realtime) -> None:
    def wanted(
        sensor_id: Annotated[str, Query(max_length=256)] = "",
        category: Annotated[str, Query(max_length=256)] = "",
        start_time: Annotated[Timestamp | None, Query()] = None,
        end_time: Annotated[Timestamp | None, Query()] = None,
    ) -> IncidentQuery:
        return IncidentQuery(sensor_id, category, start_time, end_time)

    @router.get("/incidents", response_model=IncidentListResponse, responses=_refusals(400))
    async def list_incidents(
        query: Annotated[IncidentQuery, Depends(wanted)],
        limit: PageSize = 100,
        offset: Annotated[int, Query(ge=0, le=MAX_OFFSET)] = 0,
        consolidate: Annotated[bool | None, Query()] = None,
    ) -> Response:
        """List published incidents, newest first; consolidated, RT-VLM's chunks become events."""
        now = realtime.clock.now()
        if consolidate and not (query.since and query.until):
            text = "consolidate=true needs both start_time and end_time (a bounded time window)"
            return _json(400, error_response("validation_failed", text, now))
        read = realtime.incidents.list_events if consolidate else realtime.incidents.list
        listed = await read(query, offset=offset, limit=limit)
        body = IncidentListResponse(
            incidents=[dict(document) for document in listed.documents],
            count=len(listed.documents),
            total=listed.total,
            truncated=listed.is_truncated,
            timestamp=stamp(now),
        )
        return _json(200, body.model_dump())


def _add_camera_route(router: APIRouter, realtime: Realtime, max_json_depth: int) -> None:
    @router.post(
        "/always-on",
        response_model=AlwaysOnResponse,
        responses=_CAMERA,
        openapi_extra={
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object"}}},
            }
        },
    )
    async def change_camera(request: Request, by: By) -> Response:
        """Start or stop the always-on rules of a camera that began or ceased to stream."""
        if realtime.always_on.entries is None:
            return _camera_response(CameraOutcome(503, "ALWAYS_ON_DISABLED"))
        try:
            raw = parse_json_object(await request.body(), max_json_depth)
            event = validate(AlwaysOnEventRequest, raw).event
        except InvalidRequest:
            return _camera_response(CameraOutcome(422, "INVALID_PAYLOAD"))
        return _camera_response(await realtime.always_on.handle(event, by))


def _replay_response(replay: Replay, correlation_id: str) -> RealtimeReplayResponse:
    return RealtimeReplayResponse(
        message="Replay completed" if replay.outcomes else "No replayable rules found",
        correlation_id=correlation_id,
        replayed=replay.succeeded,
        failed=replay.failed,
        total=len(replay.outcomes),
        details=[
            {
                "id": rule.id,
                "alert_type": rule.fields["alert_type"],
                "result": "error" if error else "success",
                **({"error": error} if error else {}),
            }
            for rule, error in replay.outcomes
        ],
    )


def _camera_response(outcome: CameraOutcome) -> Response:
    status = f"HTTP/1.1 {outcome.code} {HTTPStatus(outcome.code).phrase}"
    body: dict[str, Any] = {"reason": outcome.reason, "status": status}
    if outcome.details is not None:
        body["details"] = list(outcome.details)
    return _json(outcome.code, body)


def _json(status: int, body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body, default=dict), status, media_type="application/json")
