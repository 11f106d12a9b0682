"""What is told about requests that no route answers, and about bodies that none could read."""

from collections.abc import Sequence
from typing import Final

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.routing import Match

from sidecar.errors import InvalidRequest, Issue, RequestError

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def allowed_methods(request: Request) -> Sequence[str]:
    """Return the methods of a path, of all routes that have it.

    The framework itself tells those of the first such route only.
    """
    routes = request.app.router.routes
    path = {name: request.scope[name] for name in ("type", "path", "root_path")}
    return [
        method
        for method in _METHODS
        if any(route.matches({**path, "method": method})[0] is Match.FULL for route in routes)
    ]


def explain_unreadable(error: HTTPException) -> RequestError:
    """Return what FastAPI hides behind its 400: it could not read the body of a request."""
    if isinstance(error.__cause__, RequestError):
        return error.__cause__
    text = "The request body cannot be read; send JSON in UTF-8."
    return InvalidRequest((Issue("body", "json_invalid", text),))
