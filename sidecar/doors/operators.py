"""Routes for the page on which operators look and decide. Other clients may use them as well."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter

from sidecar.core.clip_loans import ClipLoans
from sidecar.core.filmstrips import Filmstrips
from sidecar.core.prompt_trials import PromptTrials
from sidecar.core.provenance import Provenances
from sidecar.core.state import Reporter
from sidecar.core.trials import Trials
from sidecar.doors.clip import add_clip_route
from sidecar.doors.dead_letters import add_dead_letter_routes
from sidecar.doors.frames import add_frame_routes
from sidecar.doors.json_body import StrictJsonRoute
from sidecar.doors.prompts import add_prompt_routes
from sidecar.doors.provenance import add_provenance_route
from sidecar.doors.system import add_system_route
from sidecar.doors.trials import add_trial_route
from sidecar.ports import Ledger, MediaTypes, PromptBook


@dataclass(frozen=True, slots=True)
class Operators:
    """What the routes ask.

    Attributes:
        provenances: where verdicts come from.
        filmstrips: what models saw.
        loans: clips for viewers.
        media_types: what these are.
        trials: ask again about decided events.
        prompts: of the alert types.
        prompt_trials: try others.
        parsers: names of the custom parsers that alert types may ask for.
        ledger: has the dead letters.
        to_deliver: called when there is something to deliver.
        reporter: tells how the service does.
    """

    provenances: Provenances
    filmstrips: Filmstrips
    loans: ClipLoans
    media_types: MediaTypes
    trials: Trials
    prompts: PromptBook
    prompt_trials: PromptTrials
    parsers: Collection[str]
    ledger: Ledger
    to_deliver: Callable[[], None]
    reporter: Reporter


def operators_router(face: Operators, refusals: dict[int | str, dict[str, Any]]) -> APIRouter:
    """Build the routes. They stand before those that read verdicts by any identity.

    Args:
        face: what they ask.
        refusals: what any route may answer besides, for the API's description.
    """
    router = APIRouter(prefix="/api/v1", responses=refusals, route_class=StrictJsonRoute)
    add_provenance_route(router, face.provenances)
    add_frame_routes(router, face.filmstrips)
    add_clip_route(router, face.loans, face.media_types)
    add_trial_route(router, face.trials)
    add_prompt_routes(router, face.prompts, face.prompt_trials, face.parsers)
    add_dead_letter_routes(router, face.ledger, face.to_deliver)
    add_system_route(router, face.reporter)
    return router
