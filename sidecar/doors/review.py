"""The Event Reviewer API: what VSS 2.4's engine offers about files, on our port.

Without a prefix, as 2.4 has it by default, and below `/v1` as with `VSS_API_ENABLE_VERSIONING`.
`/v1/models` and `/v1/health/*` are not here: clients of the OpenAI API ask for them.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, Literal
from uuid import UUID

from fastapi import APIRouter, File, Form, Response, UploadFile
from fastapi.responses import FileResponse, StreamingResponse

from sidecar.contract.captions import CaptionsRequest, CaptionsResponse
from sidecar.contract.files import (
    CAMERA_ID,
    FILE_NAME,
    FileDeleted,
    FileInfo,
    FileList,
    ModelList,
    write_file,
    write_models,
)
from sidecar.contract.review import (
    BAD_PARAMETER,
    MediaPath,
    ReviewAlertRequest,
    ReviewAlertResponse,
    ReviewError,
)
from sidecar.core.captions import Captioner, as_events
from sidecar.core.review import Reviewer
from sidecar.doors.body_limit import Limit
from sidecar.doors.review_errors import REFUSALS, EngineRoute
from sidecar.errors import ReviewRefused
from sidecar.model import MediaType
from sidecar.ports import Clock, FileStore
from sidecar.settings import variable_of

PREFIXES: Final = ("", "/v1")
FORM_BYTES: Final = 65_536
"""What the fields of an upload beside the file may take."""
_NAME_LIMIT: Final = 256
_FILE_NAME: Final = re.compile(FILE_NAME)


@dataclass(frozen=True, slots=True)
class Review:
    """What the routes ask.

    Attributes:
        is_ready: whether the service can work.
    """

    reviewer: Reviewer
    captioner: Captioner
    files: FileStore
    model: Callable[[], Awaitable[str]]
    is_ready: Callable[[], Awaitable[bool]]
    clock: Clock


def upload_limits(max_file_bytes: int) -> dict[str, Limit]:
    """Return how large the bodies of uploads may be, by path."""
    limit = Limit(max_file_bytes + FORM_BYTES, variable_of("media.max_bytes"))
    return {f"{prefix}/files": limit for prefix in PREFIXES}


def review_router(review: Review) -> APIRouter:
    """Build the routes."""
    router = APIRouter(responses=REFUSALS)
    for prefix in PREFIXES:
        versioned = APIRouter(prefix=prefix, route_class=EngineRoute)
        _add_review_routes(versioned, review)
        _add_file_routes(versioned, review.files)
        router.include_router(versioned)
    plain = APIRouter(route_class=EngineRoute)
    _add_engine_routes(plain, review)
    router.include_router(plain)
    return router


def _add_review_routes(router: APIRouter, review: Review) -> None:
    @router.post("/reviewAlert", tags=["Review Alert"], response_model_exclude_unset=True)
    async def review_alert(request: ReviewAlertRequest) -> ReviewAlertResponse:
        """Look at the clip of an alert now, and answer with what is seen."""
        return await review.reviewer.review(request)

    @router.post(
        "/generate_vlm_captions",
        tags=["Captions"],
        response_model=CaptionsResponse,
        response_model_exclude_none=True,
        responses={200: {"content": {"text/event-stream": {}}}},
    )
    async def generate_vlm_captions(request: CaptionsRequest) -> CaptionsResponse | Response:
        """Describe uploaded files, chunk by chunk; `stream` answers by server-sent events."""
        answer = await review.captioner.caption(request)
        if not request.stream:
            return answer
        options = request.stream_options
        events = as_events(answer, with_usage=bool(options and options.include_usage))
        return StreamingResponse(_event_stream(events), media_type="text/event-stream")


def _add_file_routes(router: APIRouter, files: FileStore) -> None:
    @router.post("/files", tags=["Files"], response_model_exclude_unset=True)
    async def add_file(
        purpose: Annotated[Literal["vision"], Form()],
        media_type: Annotated[Literal["video", "image"], Form()],
        file: Annotated[UploadFile | None, File()] = None,
        filename: Annotated[MediaPath, Form()] = "",
        camera_id: Annotated[str, Form(max_length=_NAME_LIMIT, pattern=CAMERA_ID)] = "",
    ) -> FileInfo:
        """Upload a file, or name one below an allowed folder by `filename`."""
        del purpose
        kind = MediaType(media_type)
        if (file is None) == (not filename):
            raise _invalid("Exactly one of `file` and `filename` must be given.")
        if file is None:
            return write_file(await files.link(filename, kind, camera_id))
        name = _checked_name(file.filename or "")
        return write_file(await files.add(file.file, name, kind, camera_id))

    @router.get("/files", tags=["Files"], response_model_exclude_unset=True)
    async def list_files(purpose: Literal["vision"] = "vision") -> FileList:
        """List the files."""
        del purpose
        return FileList(data=[write_file(file) for file in await files.list()], object="list")

    @router.get("/files/{file_id}", tags=["Files"], response_model_exclude_unset=True)
    async def read_file(file_id: UUID) -> FileInfo:
        """Describe a file."""
        return write_file(await files.find(str(file_id)))

    @router.get(
        "/files/{file_id}/content",
        tags=["Files"],
        response_class=FileResponse,
        responses={200: {"content": {"application/octet-stream": {}}}},
    )
    async def read_content(file_id: UUID) -> FileResponse:
        """Download a file."""
        file = await files.find(str(file_id))
        if not await asyncio.to_thread(file.path.is_file):
            raise ReviewRefused(400, BAD_PARAMETER, f"{file.name} is no longer where it was.")
        return FileResponse(file.path, media_type="application/octet-stream", filename=file.name)

    @router.delete("/files/{file_id}", tags=["Files"], responses={409: {"model": ReviewError}})
    async def delete_file(file_id: UUID) -> FileDeleted:
        """Delete a file that nobody uses."""
        await files.delete(str(file_id))
        return FileDeleted(id=file_id)


def _add_engine_routes(router: APIRouter, review: Review) -> None:
    @router.get("/models", tags=["Models"])
    async def list_models() -> ModelList:
        """List the model that answers."""
        return write_models(await review.model(), int(review.clock.now().timestamp()))

    @router.get("/health/live", tags=["Health"], response_class=Response)
    async def is_live() -> Response:
        """Tell that the process lives."""
        return Response()

    @router.get(
        "/health/ready",
        tags=["Health"],
        response_class=Response,
        responses={503: {"description": "Not ready"}},
    )
    async def is_ready() -> Response:
        """Tell by the status whether the service can work; `/ready` says what stops it."""
        return Response(status_code=200 if await review.is_ready() else 503)


def _event_stream(events: list[CaptionsResponse]) -> Iterator[str]:
    for event in events:
        yield f"data: {event.model_dump_json(exclude_none=True)}\n\n"
    yield "data: [DONE]\n\n"


def _checked_name(name: str) -> str:
    """Return the name of an upload.

    Raises:
        ReviewRefused: it is too long or holds other characters than a name may.
    """
    if not name or len(name) > _NAME_LIMIT or not _FILE_NAME.fullmatch(name):
        raise _invalid("The name of `file` must be letters, digits, spaces and `_.-`, up to 256.")
    return name


def _invalid(text: str) -> ReviewRefused:
    return ReviewRefused(422, "InvalidParameters", text)
