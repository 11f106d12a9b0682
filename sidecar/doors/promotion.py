"""Routes of the promotion gate: where the promotion of an arm stands, starting and stopping one."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, Final

import orjson
from fastapi import APIRouter, Response

from sidecar.ab.extra import explain_extra
from sidecar.ab.promoting import Looked, Promoting
from sidecar.contract.gate import GateResponse, PromotionRequest, write_promotion, write_rules
from sidecar.contract.verdict import ErrorResponse, stamp
from sidecar.doors.callers import By
from sidecar.errors import ExtraMissing

_REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorResponse} for status in (404, 409, 501)
}


def promotion_router(
    promoting: Promoting,
    refusals: dict[int | str, dict[str, Any]],
    explain_missing: Callable[[], str] = explain_extra,
) -> APIRouter:
    """Build `GET`, `PUT` and `DELETE /api/v1/ab/gate`.

    Args:
        promoting: what they ask.
        refusals: what any route may answer besides, for the API's description.
        explain_missing: returns "" when the statistics' libraries are installed, else a sentence.
    """
    router = APIRouter(prefix="/api/v1/ab/gate", tags=["ab"], responses={**refusals, **_REFUSALS})

    @router.get("", response_model=GateResponse)
    async def read_gate() -> Response:
        """Tell where the promotion stands, and what the evidence says now. Changes nothing."""
        return await shown()

    @router.put("", response_model=GateResponse)
    async def start(request: PromotionRequest, by: By) -> Response:
        """Begin to promote an arm. From now on both arms are asked about the events."""
        require_extra()
        by = replace(by, reason=request.reason or by.reason)
        await promoting.start(
            request.candidate, by, reference=request.reference, version=request.version
        )
        return await shown()

    @router.delete("", response_model=GateResponse)
    async def stop(by: By) -> Response:
        """End the promotion; what was in force before it is in force again."""
        await promoting.stop(by)
        return await shown()

    def require_extra() -> None:
        problem = explain_missing()
        if problem:
            raise ExtraMissing(problem)

    async def shown() -> Response:
        if promoting.arms.current.promotion is not None:
            require_extra()
        body = show_gate(promoting, await promoting.look())
        return Response(orjson.dumps(body), media_type="application/json")

    return router


def show_gate(promoting: Promoting, found: Looked | None) -> Mapping[str, Any]:
    """Build the public form of the gate (shape: GateResponse)."""
    choice, rules = promoting.arms.current, promoting.rules
    promotion = choice.promotion
    return {
        "status": "success",
        "acts": rules.acts,
        "version": choice.version,
        "promotion": None if promotion is None else write_promotion(promotion),
        "look": None if found is None else _show_look(found),
        "rules": write_rules(asdict(rules)),
    }


def _show_look(found: Looked) -> dict[str, Any]:
    decision = found.decision
    return {
        "action": decision.action.value,
        "stage": decision.stage.value,
        "share": decision.share,
        "words": decision.words,
        "checks": [asdict(check) for check in decision.checks],
        "labelled": found.evidence.right.total,
        "atShare": found.evidence.at_share,
        "lookedAt": stamp(found.at),
    }
