"""The cookie of those who signed in to the operator's page, and what guards its use.

It has no path of its own, so that browsers keep it for where it came from, `PREFIX/api/v1`, behind
whatever prefix a proxy put the service. Requests that change something must show the session's
token in a header as well, which pages of other origins can neither read nor send. WebSockets,
which any page may open, do not take it.
"""

import hmac
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.responses import Response
from starlette.types import Scope

from sidecar.core.sessions import Session, Sessions
from sidecar.errors import Forbidden

COOKIE: Final = "sidecar_session"
CSRF_HEADER: Final = "X-CSRF-Token"
_HARMLESS: Final = frozenset({"GET", "HEAD", "OPTIONS"})


def token_of(scope: Scope) -> str:
    """Read the cookie of a request; "" when it has none."""
    if scope["type"] != "http":
        return ""
    for name, value in scope["headers"]:
        if name == b"cookie" and COOKIE.encode() in value:
            return _read(value.decode("latin-1"))
    return ""


def session_of(scope: Scope, sessions: Sessions | None) -> Session | None:
    """Return the session that a request shows."""
    return sessions.find(token_of(scope)) if sessions else None


def check_session(scope: Scope, sessions: Sessions | None) -> None:
    """Check a request that is let in for its cookie alone.

    Raises:
        Forbidden: it changes something, and does not show that our page sent it.
    """
    if scope["method"] in _HARMLESS:
        return
    session = session_of(scope, sessions)
    headers = dict(scope["headers"])
    shown = headers.get(CSRF_HEADER.lower().encode(), b"")
    if session is None or not hmac.compare_digest(shown, session.csrf.encode()):
        raise Forbidden(
            f"The header {CSRF_HEADER} is not that of this session. Load the page again; "
            "`GET /api/v1/session` tells it."
        )


def keep(response: Response, scope: Scope, token: str, lasts_s: float) -> None:
    """Have the browser keep a session."""
    response.set_cookie(
        COOKIE,
        token,
        max_age=int(lasts_s),
        path=None,
        secure=_is_private(scope),
        httponly=True,
        samesite="strict",
    )


def forget(response: Response, scope: Scope) -> None:
    """Have the browser forget it."""
    keep(response, scope, "", 0)


def _is_private(scope: Scope) -> bool:
    """Tell whether the browser came by TLS; a wrong word of its proxy hurts nobody else."""
    forwarded = dict(scope["headers"]).get(b"x-forwarded-proto", b"")
    return scope.get("scheme") == "https" or forwarded == b"https"


def _read(header: str) -> str:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return morsel.value if morsel else ""
