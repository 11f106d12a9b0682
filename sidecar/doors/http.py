"""The HTTP door: VSS's Alert Bridge API on 9080, and ours for reading verdicts.

Each route translates, calls the service once, and translates back.
"""

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, FastAPI, Header, Query, Request, Response
from fastapi.responses import PlainTextResponse, StreamingResponse
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from sidecar import __version__
from sidecar.ab.promoting import Promoting
from sidecar.contract.body import parse_json_object, validate
from sidecar.contract.bridge import AlertRefusal, BridgeAlert, is_bridge_alert, refuse_alert
from sidecar.contract.event import BehaviorBody, IncidentBody, OnDemandBody, Timestamp
from sidecar.contract.nvschema import PROTOBUF, from_protobuf
from sidecar.contract.verdict import (
    ErrorResponse,
    HealthResponse,
    OnDemandResponse,
    ReadinessResponse,
    SubmissionResponse,
    VerdictListResponse,
    VerdictResponse,
    stamp,
    verdict_response,
)
from sidecar.core.chat import Chats
from sidecar.core.comparing import Comparing
from sidecar.core.service import Service
from sidecar.core.tracing import UNTRACED
from sidecar.doors.access import HttpAccess, describe_access, protect
from sidecar.doors.alert_config import alert_config_router
from sidecar.doors.arms import ArmsFace, arms_router
from sidecar.doors.audit import audit_router
from sidecar.doors.body_limit import BodyLimit, Limit
from sidecar.doors.callers import Caller, told
from sidecar.doors.comparisons import ReadsComparisons, comparisons_router
from sidecar.doors.following import EventStream
from sidecar.doors.labels import labels_router
from sidecar.doors.openai import openai_router
from sidecar.doors.operators import Operators, operators_router
from sidecar.doors.paging import Cursor, PageSize
from sidecar.doors.promotion import promotion_router
from sidecar.doors.realtime import Realtime, realtime_router
from sidecar.doors.refusals import json_answer, translate_errors, write_refusal
from sidecar.doors.replaying import replaying_router
from sidecar.doors.review import Review, review_router
from sidecar.doors.scrape import is_scrape, scrape
from sidecar.doors.sessions import sessions_router
from sidecar.doors.traced import Traced
from sidecar.doors.ui import ui_router
from sidecar.doors.ws import WebSocketDoor, websocket_router
from sidecar.errors import InvalidRequest
from sidecar.model import MAX_SEQ, EventKind, Outcome, StoredEvent, VerdictFilter
from sidecar.ports import AuditTrail
from sidecar.settings import HttpSettings, MetricsSettings

REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorResponse} for status in (401, 403, 413, 422, 429, 500, 503)
}
"""What any route that takes a body, or needs a scope, may answer."""

_MALFORMED: Final[dict[int | str, dict[str, Any]]] = {400: {"model": ErrorResponse}}

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
_SCHEMA_PATH: Final = "#/components/schemas/{model}"


@dataclass(frozen=True, slots=True)
class Faces:
    """What the routes ask beside the service.

    Attributes:
        realtime: VSS's realtime rules.
        review: the Event Reviewer of VSS 2.4.
        websocket: shows verdicts as they come.
        chats: the OpenAI API.
        registry: metrics, for a Prometheus that asks this port as it asks VSS 2.4.
        parsers: names of the user's parsers, which alert types may name.
        limits: how large bodies may be where the usual limit is too small, by path.
        audit: who changed what.
        arms: which arms answer.
        comparing: what arms said about single events.
        comparisons: the same for all that are chosen.
        operators: what the page for operators shows and does.
        promoting: takes an arm to the events of another.
        access: who may call.
    """

    realtime: Realtime
    review: Review
    websocket: WebSocketDoor
    chats: Chats
    registry: CollectorRegistry
    parsers: Collection[str]
    limits: Mapping[str, Limit]
    audit: AuditTrail
    arms: ArmsFace
    comparing: Comparing
    comparisons: ReadsComparisons
    operators: Operators
    promoting: Promoting
    access: HttpAccess


def create_http_app(
    service: Service,
    faces: Faces,
    http: HttpSettings,
    metrics: MetricsSettings,
    lifespan: Lifespan | None = None,
) -> FastAPI:
    """Build the ASGI application.

    Args:
        service: what the Alert Bridge's routes ask.
        faces: what the others ask.
        http: limits.
        metrics: where the Prometheus endpoint is.
        lifespan: starts and stops what the service needs, as FastAPI defines it.
    """
    app = FastAPI(
        title="Alert Agent API",
        version=__version__,
        summary="Verifies camera alerts with a vision-language model.",
        lifespan=lifespan,
    )
    app.include_router(_submission_router(service, http))
    app.include_router(labels_router(faces.comparing, REFUSALS))
    app.include_router(comparisons_router(faces.comparisons, faces.promoting.rules))
    app.include_router(promotion_router(faces.promoting, REFUSALS))
    app.include_router(arms_router(faces.arms, REFUSALS))
    app.include_router(operators_router(faces.operators, REFUSALS))
    app.include_router(_verdict_router(service))
    app.include_router(replaying_router(service, faces.audit, REFUSALS))
    app.include_router(alert_config_router(service.prompts, REFUSALS, faces.parsers))
    app.include_router(realtime_router(faces.realtime, REFUSALS, http.max_json_depth))
    app.include_router(audit_router(faces.audit, REFUSALS))
    app.include_router(openai_router(faces.chats))
    app.include_router(review_router(faces.review))
    app.include_router(websocket_router(faces.websocket))
    if faces.access.sessions is not None:
        app.include_router(sessions_router(faces.access, faces.access.sessions, REFUSALS))
    app.include_router(ui_router())
    app.include_router(_health_router(service, metrics, faces.registry))
    app.add_middleware(BodyLimit, max_bytes=http.max_body_bytes, by_path=faces.limits)
    if service.tracer is not UNTRACED:
        app.add_middleware(Traced, tracer=service.tracer)
    protect(app, faces.access, partial(write_refusal, service.clock))
    translate_errors(app, service.clock)
    _document(app, faces.access)
    return app


def _submission_router(service: Service, http: HttpSettings) -> APIRouter:
    router = APIRouter(prefix="/api/v1", responses=REFUSALS)

    async def body(request: Request) -> dict[str, Any]:
        return parse_json_object(await request.body(), http.max_json_depth)

    Body = Annotated[dict[str, Any], Depends(body)]

    async def submit(request: Request, kind: EventKind, noun: str) -> Response:
        raw = _read_event(request, await request.body(), kind, http.max_json_depth)
        try:
            taken = await service.submit(raw, kind)
        except InvalidRequest as error:
            if kind is not EventKind.ALERT or not is_bridge_alert(raw):
                raise
            return json_answer(400, refuse_alert(error.issues, service.clock.now()))
        told = f"dropped by {taken.dropped}" if taken.dropped else "queued for processing"
        return json_answer(
            202,
            SubmissionResponse(
                id=taken.event.id,
                message=f"{noun} {told}",
                timestamp=stamp(service.clock.now()),
            ),
        )

    @router.post(
        "/alerts",
        status_code=202,
        response_model=SubmissionResponse,
        tags=["alert-submission"],
        responses={400: {"model": ErrorResponse | AlertRefusal}},
        openapi_extra=_event_of("nv.Behavior", BehaviorBody, BridgeAlert),
    )
    async def submit_alert(request: Request) -> Response:
        """Accept an nv.Behavior, or an alert as VSS 2.4 has it.

        202: it is on disk and will be decided, or a filter dropped it.
        """
        return await submit(request, EventKind.ALERT, "Alert")

    @router.post(
        "/incidents",
        status_code=202,
        response_model=SubmissionResponse,
        tags=["incident-submission"],
        responses=_MALFORMED,
        openapi_extra=_event_of("nv.Incident", IncidentBody),
    )
    async def submit_incident(request: Request) -> Response:
        """Accept an nv.Incident. 202: it is on disk and will be decided, or a filter dropped it."""
        return await submit(request, EventKind.INCIDENT, "Incident")

    @router.post(
        "/verification/ondemand",
        status_code=202,
        response_model=OnDemandResponse,
        tags=["verification"],
        responses={400: {"model": ErrorResponse}},
        openapi_extra=_request_of(OnDemandBody),
    )
    async def verify_on_demand(raw: Body) -> Response:
        """Verify the media that the request names. The verdict is found under `correlationId`."""
        event = await service.submit_on_demand(raw)
        now = stamp(service.clock.now())
        return json_answer(202, OnDemandResponse(correlationId=event.id, timestamp=now))

    return router


def _read_event(
    request: Request, payload: bytes, kind: EventKind, max_depth: int
) -> dict[str, Any]:
    """Read a submitted event, JSON or protobuf by its content type, compared as VSS does."""
    if request.headers.get("content-type", "").strip().lower() == PROTOBUF:
        return from_protobuf(payload, kind)
    raw = parse_json_object(payload, max_depth)
    if kind is EventKind.ALERT and not is_bridge_alert(raw):
        validate(BehaviorBody, raw)  # stricter than what brokers carry
    return raw


def _verdict_router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/api/v1/verdicts", tags=["verdicts"], responses=REFUSALS)
    events = EventStream(service)

    def wanted(
        sensor: Annotated[str, Query(alias="sensorId", max_length=256)] = "",
        category: Annotated[str, Query(max_length=256)] = "",
        verdict: Annotated[Outcome | None, Query()] = None,
        since: Annotated[Timestamp | None, Query(alias="from")] = None,
        until: Annotated[Timestamp | None, Query(alias="to")] = None,
    ) -> VerdictFilter:
        return VerdictFilter(sensor, category, verdict, since, until)

    Wanted = Annotated[VerdictFilter, Depends(wanted)]

    @router.get("", response_model=VerdictListResponse)
    async def list_verdicts(
        wanted: Wanted,
        limit: PageSize = 100,
        cursor: Cursor = None,
    ) -> Response:
        """List verdicts, newest first. Times compare with the event's `timestamp`."""
        records = await service.ledger.query(wanted, limit=limit, before=cursor)
        following = str(records[-1].seq) if len(records) == limit else None
        page = {
            "status": "success",
            "verdicts": [verdict_response(record) for record in records],
            "count": len(records),
            "nextCursor": following,
        }
        return json_answer(200, page)

    @router.get(
        "/stream",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def stream_verdicts(
        wanted: Wanted,
        last_event_id: Annotated[int | None, Header(ge=0, le=MAX_SEQ)] = None,
    ) -> StreamingResponse:
        """Follow verdicts as they are decided; `Last-Event-ID` resumes without a gap."""
        headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}  # nginx would collect
        body = events.follow(wanted, last_event_id)
        return StreamingResponse(body, headers=headers, media_type="text/event-stream")

    @router.get(
        "/{identity:path}",
        response_model=VerdictResponse,
        responses={202: {"model": VerdictResponse}, 404: {"model": ErrorResponse}},
    )
    async def read_verdict(identity: str) -> Response:
        """Read by submitted id, `Id` or verdict key. 202: accepted, not decided yet."""
        found = await service.find(identity)
        status = 202 if isinstance(found, StoredEvent) else 200
        return json_answer(status, verdict_response(found))

    return router


def _health_router(
    service: Service, metrics: MetricsSettings, registry: CollectorRegistry
) -> APIRouter:
    router = APIRouter(tags=["health"])

    async def readiness(caller: Caller) -> Response:
        problems = [(it, told(caller, it.problem)) for it in await service.health()]
        failing = [f"{it.part}: {problem}" for it, problem in problems if problem and it.required]
        body = ReadinessResponse(
            status="not_ready" if failing else "ok",
            message="; ".join(failing) or "Alert Bridge is running",
            components={it.part: problem or "ok" for it, problem in problems},
        )
        return json_answer(503 if failing else 200, body)

    @router.get("/health", response_model=ReadinessResponse)
    async def live() -> Response:
        """Tell that the process lives."""
        return json_answer(200, ReadinessResponse(status="ok", message="Alert Bridge is running"))

    router.add_api_route(
        "/ready",
        readiness,
        methods=["GET"],
        response_model=ReadinessResponse,
        responses={503: {"model": ReadinessResponse}},
        description="Ask every part whether it can work.",
    )

    @router.get(
        "/api/v1/alerts/health",
        response_model=HealthResponse,
        responses={503: {"model": HealthResponse}},
    )
    async def submission_health(caller: Caller) -> Response:
        """Tell whether events can be accepted."""
        problem = told(caller, await service.ledger.ping())
        body = HealthResponse(
            status="unhealthy" if problem else "healthy",
            timestamp=stamp(service.clock.now()),
            components={"entity_validator": "ok", "event_bridge": problem or "ok"},
            error=problem or None,
        )
        return json_answer(503 if problem else 200, body)

    @router.get(
        "/metrics",
        response_class=PlainTextResponse,
        responses={
            404: {"description": "Off", "content": {"text/plain": {}}},
            **{status: REFUSALS[status] for status in (401, 403, 429, 503)},
        },
    )
    async def where_metrics_are(request: Request) -> Response:
        """Answer a Prometheus as VSS 2.4 does; point everybody else to the endpoint."""
        if not metrics.enabled:
            return PlainTextResponse("Prometheus metrics disabled", status_code=404)
        if is_scrape(request):
            return scrape(request, registry)
        return PlainTextResponse(f"Metrics are at http://localhost:{metrics.port}/metrics\n")

    return router


def _request_of(*models: type[BaseModel]) -> dict[str, Any]:
    """Document a body that is read by hand, so that unknown fields survive; one of the models."""
    schemas = [{"$ref": _SCHEMA_PATH.format(model=model.__name__)} for model in models]
    schema = schemas[0] if len(schemas) == 1 else {"anyOf": schemas}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def _event_of(message: str, *models: type[BaseModel]) -> dict[str, Any]:
    """Document an event that may also be sent as a protobuf message."""
    documented = _request_of(*models)
    binary = {"type": "string", "format": "binary", "description": f"A serialized {message}."}
    documented["requestBody"]["content"][PROTOBUF] = {"schema": binary}
    return documented


def _document(app: FastAPI, access: HttpAccess) -> None:
    """Add to the OpenAPI document who may call, and the models behind `_request_of`."""
    models: list[tuple[type[BaseModel], JsonSchemaMode]] = [
        (model, "validation") for model in (BehaviorBody, BridgeAlert, IncidentBody, OnDemandBody)
    ]
    _, schema = models_json_schema(models, ref_template=_SCHEMA_PATH)
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        document = generate()
        document["components"]["schemas"].update(schema["$defs"])
        describe_access(document, access)
        return document

    # FastAPI documents replacing this method as the way to extend the schema.
    app.openapi = openapi  # type: ignore[method-assign]
