"""Routes about the arms: which are in force, and changing that."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response

from sidecar.audit import Attribution
from sidecar.contract.arms import (
    ArmChoiceRequest,
    ArmHistoryResponse,
    ArmResponse,
    ArmsResponse,
    EndpointResponse,
    PlanResponse,
    write_choice,
    write_history,
)
from sidecar.contract.body import parse_json_object
from sidecar.contract.verdict import ErrorResponse
from sidecar.core.arms import Arms, ArmState
from sidecar.core.choosing import Facts, describe_plan
from sidecar.core.vitals import Breaker
from sidecar.doors.callers import By
from sidecar.doors.paging import Cursor, PageSize
from sidecar.model import VerifyEvent
from sidecar.policy import ArmChoice, Policy

_CONFLICT: Final[dict[int | str, dict[str, Any]]] = {409: {"model": ErrorResponse}}
_MISSING: Final[dict[int | str, dict[str, Any]]] = {404: {"model": ErrorResponse}}


@dataclass(frozen=True, slots=True)
class ArmsFace:
    """What the routes ask.

    Attributes:
        arms: what is in force.
        read: makes an event of what was submitted.
        facts: what a policy may ask about it.
        max_json_depth: of an event.
    """

    arms: Arms
    read: Callable[[Mapping[str, Any]], VerifyEvent]
    facts: Callable[[VerifyEvent], Awaitable[Facts]]
    max_json_depth: int


def arms_router(face: ArmsFace, refusals: dict[int | str, dict[str, Any]]) -> APIRouter:
    """Build the routes.

    Args:
        face: what they ask.
        refusals: what any route may answer besides, for the API's description.
    """
    router = APIRouter(prefix="/api/v1/arms", tags=["arms"], responses=refusals)
    arms = face.arms

    @router.get("", response_model=ArmsResponse)
    async def read_arms() -> Response:
        """Tell which choice is in force, and ask every arm whether it can work."""
        return _json(await _shown(arms, arms.current))

    @router.put("", response_model=ArmsResponse, responses={**_CONFLICT, **_MISSING})
    async def choose_arms(request: ArmChoiceRequest, by: By) -> Response:
        """Put arms in force. Events that were begun keep theirs; none is lost."""
        choice = await put_in_force(arms, request, by)
        return _json(await _shown(arms, choice))

    @router.get("/history", response_model=ArmHistoryResponse)
    async def list_choices(
        limit: PageSize = 100,
        cursor: Cursor = None,
    ) -> Response:
        """List what was in force, newest first."""
        return _json(write_history(await arms.history(limit=limit, before=cursor), limit))

    @router.post("/explain", response_model=PlanResponse)
    async def explain(request: Request) -> Response:
        """Tell which arms would be asked about an event, by which rule. Nothing is accepted."""
        raw = parse_json_object(await request.body(), face.max_json_depth)
        facts = await face.facts(face.read(raw))
        routing = arms.switchboard.current
        return _json(describe_plan(routing.plan(facts), facts, routing.version))

    return router


async def put_in_force(arms: Arms, request: ArmChoiceRequest, by: Attribution) -> ArmChoice:
    """Do what a request asks for.

    Raises:
        RequestError: it is refused; what was in force stays so.
    """
    by = replace(by, reason=request.reason or by.reason)
    if request.restore is not None:
        policy = (await arms.past(request.restore)).policy
        by = replace(by, reason=by.reason or f"version {request.restore} again")
    elif request.primary is not None:
        policy = Policy.only(request.primary)
    else:
        assert request.policy is not None
        policy = request.policy
    return await arms.choose(policy, by, version=request.version, force=request.force)


async def _shown(arms: Arms, choice: ArmChoice) -> dict[str, Any]:
    states = await arms.states()
    shown = [show_arm(state).model_dump() for state in states]
    return {"status": "success", **write_choice(choice), "arms": shown}


def show_arm(state: ArmState) -> ArmResponse:
    """Build the public form of an arm."""
    return ArmResponse(
        name=state.name,
        adapter=state.adapter,
        model=state.model,
        problem=state.problem,
        answers=state.answers,
        lead=state.is_lead,
        shadow=state.is_shadow,
        typicalSeconds=None if state.typical_s is None else round(state.typical_s, 3),
        endpoints=[
            EndpointResponse(
                url=it.place,
                inFlight=it.in_flight,
                waiting=it.waiting,
                limit=it.limit,
                leftOut=it.breaker is Breaker.OPEN,
                problem=it.trouble,
            )
            for it in state.endpoints
        ],
    )


def _json(body: Mapping[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")
