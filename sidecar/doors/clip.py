"""The route that plays the clip of a verdict."""

import os
from contextlib import AsyncExitStack
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse
from starlette.types import Receive, Scope, Send

from sidecar.contract.verdict import ErrorResponse
from sidecar.core.clip_loans import ClipLoans
from sidecar.errors import MediaError, MediaGone
from sidecar.ports import MediaTypes

_CONTENT: Final[dict[str, Any]] = {
    "content": {"video/*": {}, "image/*": {}, "multipart/byteranges": {}}
}
_ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: _CONTENT,
    206: {"description": "The parts that `Range` names.", **_CONTENT},
    400: {"description": "`Range` cannot be read.", "content": {"text/plain": {}}},
    404: {"model": ErrorResponse},
    409: {"model": ErrorResponse},
    416: {"description": "The clip has no such part.", "content": {"text/plain": {}}},
}


class _LentFile(FileResponse):
    """A file that is given back when it was sent, or when its reader has gone."""

    loan: AsyncExitStack

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.loan:
            await super().__call__(scope, receive, send)


def add_clip_route(router: APIRouter, loans: ClipLoans, types: MediaTypes) -> None:
    """Add the route to those below `/api/v1`.

    Args:
        router: of the API.
        loans: lend clips.
        types: tell what a clip is.
    """

    @router.get(
        "/verdicts/{identity:path}/clip",
        response_class=FileResponse,
        responses=_ANSWERS,
        tags=["verdicts"],
    )
    async def read_clip(
        identity: str,
        item: Annotated[int, Query(ge=0, le=63, description="Which of several pictures.")] = 0,
    ) -> FileResponse:
        """Play the clip of a verdict, or show its picture, as long as its source has it."""
        async with AsyncExitStack() as stack:
            clip = await stack.enter_async_context(loans.borrow(identity))
            if item >= len(clip.paths):
                raise MediaGone(f"The event has {len(clip.paths)} pictures or clips, from 0 on.")
            path = clip.paths[item]
            try:
                media_type = await types.type_of(path, clip.type)
            except MediaError as error:
                raise MediaGone(error.detail) from error
            answer = _LentFile(
                os.fspath(path),
                media_type=media_type,
                headers={"Cache-Control": "private, max-age=60"},
            )
            answer.loan = stack.pop_all()
            return answer
