"""The OpenAI face: chat completions by whichever arm is in force, for clients that know only that.

Paths and shapes are OpenAI's; `/v1/health/*` and `/v1/metadata` are those of NVIDIA's NIMs, which
VSS's Alert Bridge and RT-VLM's `openai-compat` wait for.
"""

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote
from uuid import uuid4

import orjson
import structlog
from fastapi import APIRouter, Request, Response
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from sidecar import __version__
from sidecar.contract.body import parse_json_object
from sidecar.contract.chat import Chat, ChatMode, parse_chat
from sidecar.contract.completion import (
    ChatAnswer,
    chunks,
    completion,
    failure,
    model_list,
    write_error,
)
from sidecar.contract.openai_schema import (
    CHAT_REQUEST,
    Completion,
    ErrorBody,
    NimHealth,
    NimMetadata,
    ServedModel,
    ServedModelList,
)
from sidecar.core.chat import Chats
from sidecar.doors.callers import Caller, told
from sidecar.errors import InvalidRequest, Issue, NotFound, RequestError, VerificationError, row_of

T = TypeVar("T")

MODE_HEADER: Final = "X-Sidecar-Mode"
PATH: Final = "/v1/chat/completions"
"""The path whose bodies carry media, and so need their own limit of size."""

_PATHS: Final = ("/v1/chat/", "/v1/models", "/v1/health/", "/v1/metadata")
_MAX_DEPTH: Final = 64  # JSON schemas of answers are nested deeper than events
_NOT_IN_HEADERS: Final = re.compile(r"[^\w.%\-, ]", re.ASCII)
_MAX_HEADER: Final = 1000
_CLIENT_GONE: Final = 499  # nginx's; nobody reads it


_log = structlog.get_logger()

_FAILURES: Final[dict[int | str, dict[str, Any]]] = {
    status: {"model": ErrorBody}
    for status in (400, 401, 403, 404, 413, 415, 422, 429, 500, 502, 503, 504)
}


class OpenAiRoute(APIRoute):
    """A route whose refusals have OpenAI's shape."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handle = super().get_route_handler()

        async def translated(request: Request) -> Response:
            try:
                return await handle(request)
            except (RequestError, VerificationError) as error:
                status, body = failure(error)
                retry = row_of(error).retryable
                return _json(body, status, {"Retry-After": "1"} if retry else None)
            except ClientDisconnect:
                return Response(status_code=_CLIENT_GONE)
            except Exception:  # noqa: BLE001 - a client of this API gets its shape for a defect too
                _log.exception("chat_defect", path=request.url.path)
                return _json(write_error("Internal server error.", "server_error"), 500)

        return translated

    @staticmethod
    def refuse(error: RequestError) -> Response:
        """Write a refusal before the route is reached."""
        status, body = failure(error)
        return _json(body, status)


def is_openai(request: Request) -> bool:
    """Tell whether a request is for this face, by its path."""
    return request.url.path.startswith(_PATHS)


def not_offered(request: Request, status: int, allowed: Sequence[str]) -> Response:
    """Answer a request for this face that no route takes, as OpenAI does.

    Args:
        request: which one.
        status: 404 or 405.
        allowed: the methods of its path; none when there is no such path.
    """
    asked = f"{request.method} {request.url.path[:200]}"
    if not allowed:
        text, code = f"Unknown request URL: {asked}. See /docs.", "unknown_url"
        return _json(write_error(text, "invalid_request_error", code), status)
    methods = ", ".join(allowed)
    text = f"Not allowed: {asked}. Send {methods}."
    body = write_error(text, "invalid_request_error", "method_not_supported")
    return _json(body, status, {"Allow": methods})


def openai_router(chats: Chats) -> APIRouter:
    """Build the routes."""
    router = APIRouter(prefix="/v1", tags=["openai"], responses=_FAILURES)
    for part in (_chat_router(chats), _model_router(chats), _health_router(chats)):
        router.include_router(part)
    return router


def _chat_router(chats: Chats) -> APIRouter:
    router = APIRouter(route_class=OpenAiRoute)

    @router.post(
        "/chat/completions",
        openapi_extra=CHAT_REQUEST,
        response_model=Completion,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def complete_chat(request: Request) -> Response:
        """Answer a chat, with `stream` as server-sent events once the answer is complete."""
        chat = parse_chat(parse_json_object(await request.body(), _MAX_DEPTH))
        answer = await _while_connected(request, chats.answer(chat, _mode(request)))
        if answer is None:
            return Response(status_code=_CLIENT_GONE)
        return _respond(chat, answer, _now(chats))

    return router


def _model_router(chats: Chats) -> APIRouter:
    router = APIRouter(route_class=OpenAiRoute)

    @router.get("/models", response_model=ServedModelList)
    async def list_models() -> Response:
        """List the ids that may be asked for, that of the arm in force first."""
        return _json(model_list(await chats.models(), _now(chats)))

    @router.get("/models/{identity:path}", response_model=ServedModel)
    async def show_model(identity: str) -> Response:
        """Show one of them."""
        for shown in model_list(await chats.models(), _now(chats))["data"]:
            if shown["id"] == identity:
                return _json(shown)
        raise NotFound(f"The model `{identity[:200]}` does not exist; see GET /v1/models.")

    return router


def _health_router(chats: Chats) -> APIRouter:
    router = APIRouter(route_class=OpenAiRoute)

    @router.get("/health/live", response_model=NimHealth)
    async def live() -> Response:
        """Tell that the process lives."""
        return _json({"object": "health.response", "message": "live", "status": "live"})

    @router.get("/health/ready", response_model=NimHealth, responses={503: {"model": NimHealth}})
    async def ready(caller: Caller) -> Response:
        """Tell whether the arm in force can answer."""
        problem = told(caller, await chats.problem())
        status = "not_ready" if problem else "ready"
        body = {"object": "health.response", "message": problem or "ready", "status": status}
        return _json(body, 503 if problem else 200)

    @router.get("/metadata", response_model=NimMetadata)
    async def metadata() -> Response:
        """Tell what this is, as a NIM does."""
        ids = await chats.models()
        return _json(
            {
                "version": __version__,
                "modelInfo": [{"modelUrl": "", "shortName": ids[0]}],
                "assetInfo": [],
                "repository_override": "",
                "model_type": "reasoner",
                "inference_endpoint": PATH,
                "sidecarArm": chats.arm,
            }
        )

    return router


def _now(chats: Chats) -> int:
    return int(chats.clock.now().timestamp())


def _respond(chat: Chat, answer: ChatAnswer, created: int) -> Response:
    identity, headers = f"chatcmpl-{uuid4().hex}", _headers(answer)
    if not chat.stream:
        return _json(completion(answer, identity, created), headers=headers)
    events = chunks(answer, identity, created, include_usage=chat.include_usage)
    headers["Cache-Control"] = "no-cache"
    return Response(b"".join(events), headers=headers, media_type="text/event-stream")


def _headers(answer: ChatAnswer) -> dict[str, str]:
    """Say where the answer came from, and what of the request did not get there."""
    told = {
        "X-Sidecar-Arm": quote(answer.arm),
        MODE_HEADER: answer.mode.value,
        "X-Sidecar-Notes": ", ".join(answer.notes),
        "X-Sidecar-Dropped": ", ".join(answer.dropped),
    }
    return {
        name: _NOT_IN_HEADERS.sub("?", text)[:_MAX_HEADER] for name, text in told.items() if text
    }


def _mode(request: Request) -> ChatMode | None:
    named = request.headers.get(MODE_HEADER)
    if named is None:
        return None
    try:
        return ChatMode(named.strip().lower())
    except ValueError:
        known = " or ".join(ChatMode)
        text = f"The header {MODE_HEADER} must be {known}."
        raise InvalidRequest((Issue(MODE_HEADER, "value_error", text),)) from None


async def _while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T | None:
    """Work until it is done; cancel it and return None when the client goes away."""
    task = asyncio.create_task(work)
    gone = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        for it in (task, gone):
            it.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _json(
    value: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    return Response(orjson.dumps(value), status, headers, media_type="application/json")
