"""The route that asks again about a decided event."""

from typing import Any, Final

from fastapi import APIRouter, Response

from sidecar.contract.trial import PromptBody, TryRequest, TryResponse, write_trial
from sidecar.contract.verdict import ErrorResponse
from sidecar.core.trials import PromptChange, Trials

_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    404: {"model": ErrorResponse},
    409: {"model": ErrorResponse},
}


def change_of(prompt: PromptBody | None) -> PromptChange | None:
    """Return the texts to ask with, if there are any."""
    return None if prompt is None else PromptChange(prompt.user, prompt.system)


def add_trial_route(router: APIRouter, trials: Trials) -> None:
    """Add the route to those below `/api/v1`."""

    @router.post(
        "/verdicts/{identity:path}/try",
        response_model=TryResponse,
        responses=_ANSWERS,
        tags=["verdicts"],
    )
    async def try_again(identity: str, request: TryRequest) -> Response:
        """Ask about an event again, with another arm or prompt. Nothing is kept or published."""
        trial = await trials.of(identity, request.arm or "", change_of(request.prompt))
        shown = write_trial(trial.verdict, trial.record)
        return Response(shown.model_dump_json(), media_type="application/json")
