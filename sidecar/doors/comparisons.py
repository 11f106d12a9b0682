"""Routes that tell what several arms said about the same events, one by one and summed up."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse

from sidecar.ab.extra import explain_extra
from sidecar.ab.rules import GateRules
from sidecar.ab.summary import Summary
from sidecar.ab.window import Window
from sidecar.compared import ComparedEvent
from sidecar.contract.compared import write_line
from sidecar.contract.event import Timestamp
from sidecar.contract.verdict import ErrorResponse
from sidecar.errors import ExtraMissing

NDJSON = "application/x-ndjson"

ReadsComparisons = Callable[[Window], AsyncIterator[ComparedEvent]]
"""Yields the chosen events that two arms or more answered, and labelled ones, each once."""


def comparisons_router(
    read: ReadsComparisons,
    rules: GateRules,
    explain_missing: Callable[[], str] = explain_extra,
) -> APIRouter:
    """Build `GET /api/v1/ab/summary` and `GET /api/v1/ab/comparisons`.

    Args:
        read: where the comparisons are.
        rules: of the promotion gate.
        explain_missing: returns "" when the statistics' libraries are installed, else a sentence.
    """
    refusals = _refusals(401, 403, 429, 500, 503)
    router = APIRouter(prefix="/api/v1/ab", tags=["ab"], responses=refusals)

    @router.get("/summary", responses=_refusals(404, 501), response_model=Summary)
    async def summary(
        since: Annotated[Timestamp | None, Query(alias="from")] = None,
        until: Annotated[Timestamp | None, Query(alias="to")] = None,
        sensor: Annotated[str, Query(max_length=256)] = "",
        alert_type: Annotated[str, Query(alias="alertType", max_length=256)] = "",
        reference: Annotated[str, Query(max_length=128)] = "",
    ) -> Response:
        """Compare arms: rates, agreement, latency and drift with their uncertainty, and a gate."""
        problem = explain_missing()
        if problem:
            raise ExtraMissing(problem)
        window = Window(since, until, sensor, alert_type)
        events = [event async for event in read(window)]
        found = await asyncio.to_thread(_summarise, events, reference, rules)
        found.start = since.isoformat() if since else ""
        found.end = until.isoformat() if until else ""
        found.sensor, found.alertType = sensor, alert_type
        return Response(found.model_dump_json(by_alias=True), media_type="application/json")

    @router.get("/comparisons", response_class=StreamingResponse, responses=_lines())
    async def comparisons(
        since: Annotated[Timestamp | None, Query(alias="from")] = None,
        until: Annotated[Timestamp | None, Query(alias="to")] = None,
        sensor: Annotated[str, Query(max_length=256)] = "",
        alert_type: Annotated[str, Query(alias="alertType", max_length=256)] = "",
    ) -> StreamingResponse:
        """List compared events, one JSON object a line, as `sidecar ab report` reads them."""
        chosen = read(Window(since, until, sensor, alert_type))
        return StreamingResponse((write_line(it) async for it in chosen), media_type=NDJSON)

    return router


def _summarise(events: list[ComparedEvent], reference: str, rules: GateRules) -> Summary:
    """Build the summary, off the event loop; the first call loads the libraries."""
    from sidecar.ab.columns import tabulate
    from sidecar.ab.compare import summarise

    return summarise(tabulate(events), reference, rules)


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": ErrorResponse} for status in statuses}


def _lines() -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {NDJSON: {}}, "description": "A compared event on each line."}}
