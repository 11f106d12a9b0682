"""Who sent a request, as its route sees it."""

from typing import Annotated, Final

from fastapi import Depends, Header, Request

from sidecar.access import ANONYMOUS, Principal, Scope
from sidecar.audit import Attribution

PRINCIPAL: Final = "sidecar.principal"
"""Key of the ASGI scope."""
REASON_HEADER: Final = "X-Sidecar-Reason"
_MAX_REASON: Final = 1000
_UNTOLD: Final = "It does not work. Ask with a key that has the scope read to learn why."


def principal_of(request: Request) -> Principal:
    """Return whom the door let in."""
    principal: Principal = request.scope.get(PRINCIPAL, ANONYMOUS)
    return principal


Caller = Annotated[Principal, Depends(principal_of)]
"""Parameter of a route that wants to know who asks."""


def told(caller: Principal, problem: str) -> str:
    """Return what a probe may be told of a problem: that it is there, to those who may not read."""
    return problem if not problem or caller.may(Scope.READ) else _UNTOLD


def attribution_of(
    caller: Caller,
    reason: Annotated[
        str,
        Header(
            alias=REASON_HEADER,
            max_length=_MAX_REASON,
            description="Why, for the audit trail.",
        ),
    ] = "",
) -> Attribution:
    """Say who asks for a change, and why."""
    # servers read headers as Latin-1, whatever the client wrote
    return Attribution(caller.name, reason.encode("latin-1").decode(errors="replace"))


By = Annotated[Attribution, Depends(attribution_of)]
"""Parameter of a route that changes what the audit trail tells about."""
