"""How the Event Reviewer API says no: every error is `{"code", "message"}`, as in VSS 2.4."""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, Final

import orjson
import structlog
from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from sidecar.contract.review import MESSAGE_LIMIT, ReviewError, explain_mistakes
from sidecar.errors import BodyTooLarge, RequestError, ReviewRefused, row_of

REFUSALS: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ReviewError} for status in (400, 401, 403, 413, 422, 429, 500, 503)
}
"""What any route may answer."""
DEFECT: Final = "An internal server error occured"  # as VSS spells it
_RETRY: Final = {"Retry-After": "1"}

_log = structlog.get_logger()

Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class EngineRoute(APIRoute):
    """A route whose errors are worded as the engine of VSS 2.4 words them."""

    def get_route_handler(self) -> Handler:
        """Wrap the route."""
        handle = super().get_route_handler()

        async def translated(request: Request) -> Response:
            try:
                return await handle(request)
            except ReviewRefused as error:
                return _answer(error.status, error.code, error.detail)
            except RequestValidationError as error:
                return _answer(422, "InvalidParameters", explain_mistakes(error.errors()))
            except RequestError as error:
                return _refused(error)
            except HTTPException as error:
                return _unreadable(error)
            except Exception:  # noqa: BLE001  # a caller of this API gets its body for a defect too
                _log.exception("review_defect", path=request.url.path)
                return _answer(500, "InternalServerError", DEFECT)

        return translated

    @staticmethod
    def refuse(error: RequestError) -> Response:
        """Write a refusal before the route is reached."""
        return _refused(error)


def _refused(error: RequestError) -> Response:
    row = row_of(error)
    code = row.reason.replace("_", " ").title().replace(" ", "")
    return _answer(row.wording.code, code, error.detail)


def _unreadable(error: HTTPException) -> Response:
    """Word what FastAPI says about a body that it cannot read, and why it cannot."""
    if isinstance(error.__cause__, BodyTooLarge):
        return _refused(error.__cause__)
    return _answer(error.status_code, "InvalidParameters", str(error.detail))


def _answer(status: int, code: str, message: str) -> Response:
    # names of unknown fields may hold what UTF-8 cannot
    text = message[:MESSAGE_LIMIT].encode(errors="replace").decode()
    body: Mapping[str, str] = {"code": code, "message": text}
    headers = _RETRY if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    return Response(orjson.dumps(body), status, headers, media_type="application/json")
