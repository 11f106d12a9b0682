"""How the routes of the Alert Bridge say no, and what is told of what no route takes."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.routing import Match

from sidecar.contract.verdict import error_response, refusal_message
from sidecar.doors.openai import is_openai, not_offered
from sidecar.errors import InvalidRequest, Issue, RequestError, row_of
from sidecar.ports import Clock

_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def translate_errors(app: FastAPI, clock: Clock) -> None:
    """Word what the routes raise, what no route takes, and our own defects."""

    def answer(
        status: int, reason: str, message: str, headers: Mapping[str, str] | None = None
    ) -> Response:
        return json_answer(status, error_response(reason, message, clock.now()), headers)

    @app.exception_handler(RequestError)
    async def refused(request: Request, error: Exception) -> Response:
        del request
        assert isinstance(error, RequestError)
        return write_refusal(clock, error)

    @app.exception_handler(RequestValidationError)
    async def invalid_parameter(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        issues = tuple(
            Issue(".".join(str(part) for part in found["loc"]), found["type"], found["msg"])
            for found in error.errors()
        )
        return await refused(request, InvalidRequest(issues))

    @app.exception_handler(HTTPException)
    async def not_routed(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        if error.status_code == HTTPStatus.BAD_REQUEST:
            return await refused(request, explain_unreadable(error))
        if is_openai(request):
            return not_offered(request, error.status_code, allowed_methods(request))
        phrase = HTTPStatus(error.status_code).phrase
        message = f"{phrase}: {request.method} {request.url.path}; see /docs."
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            headers["Allow"] = ", ".join(allowed_methods(request))
        return answer(error.status_code, phrase.lower().replace(" ", "_"), message, headers)

    @app.exception_handler(Exception)
    async def defect(request: Request, error: Exception) -> Response:
        del request, error
        return answer(500, "internal_error", "Internal server error occurred")


def write_refusal(clock: Clock, error: RequestError) -> Response:
    """Write a refusal as VSS does."""
    row = row_of(error)
    issues = error.issues if isinstance(error, InvalidRequest) else ()
    body = error_response(row.reason, refusal_message(error, issues), clock.now(), issues)
    return json_answer(row.wording.code, body, {"Retry-After": "1"} if row.retryable else None)


def json_answer(
    status: int, body: BaseModel | dict[str, Any], headers: Mapping[str, str] | None = None
) -> Response:
    """Write a JSON answer."""
    shown = body.model_dump() if isinstance(body, BaseModel) else body
    return Response(orjson.dumps(shown), status, headers, media_type="application/json")


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
