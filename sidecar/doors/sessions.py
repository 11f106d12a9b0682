"""Routes by which the operator's page signs in and out."""

from typing import Any

from fastapi import APIRouter, Request, Response

from sidecar import __version__
from sidecar.access import NOBODY, Principal, in_order
from sidecar.contract.session import SessionResponse, SignInRequest
from sidecar.core.sessions import Session, Sessions
from sidecar.doors.access import HttpAccess
from sidecar.doors.browsers import check_page
from sidecar.doors.callers import Caller
from sidecar.doors.cookies import check_session, forget, keep, session_of, token_of


def sessions_router(
    access: HttpAccess, sessions: Sessions, refusals: dict[int | str, dict[str, Any]]
) -> APIRouter:
    """Build the routes.

    Args:
        access: who may call.
        sessions: of those who signed in.
        refusals: what any route may answer besides, for the API's description.
    """
    router = APIRouter(prefix="/api/v1/session", tags=["session"], responses=refusals)

    def shown(who: Principal, session: Session | None) -> SessionResponse:
        return SessionResponse(
            name="" if who == NOBODY else who.name,
            scopes=[scope.value for scope in in_order(who.scopes)],
            signedIn=session is not None,
            needsKey=who == NOBODY,
            csrf=session.csrf if session else "",
            secondsLeft=int(sessions.remaining_s(session)) if session else None,
            version=__version__,
        )

    @router.get("")
    async def read_session(request: Request, caller: Caller) -> SessionResponse:
        """Tell who asks, and what they may do."""
        return shown(caller, session_of(request.scope, sessions))

    @router.post("")
    async def sign_in(request: Request, response: Response, body: SignInRequest) -> SessionResponse:
        """Open a session for whoever shows a key; its cookie stands for the key from then on."""
        check_page(request.scope["headers"], access.origins, is_local=False)
        who = access.gate.sign_in(body.key)
        token, session = sessions.open(body.key)
        keep(response, request.scope, token, sessions.lasts_s)
        return shown(who, session)

    @router.delete("")
    async def sign_out(request: Request, response: Response) -> SessionResponse:
        """End the session."""
        if session_of(request.scope, sessions):
            check_session(request.scope, sessions)
            sessions.close(token_of(request.scope))
        forget(response, request.scope)
        return shown(NOBODY, None)

    return router
