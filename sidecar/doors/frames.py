"""Routes that show what a model saw."""

from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Response

from sidecar.contract.filmstrip import FramesResponse, write_frames
from sidecar.contract.verdict import ErrorResponse
from sidecar.core.filmstrips import Filmstrips

JPEG: Final = "image/jpeg"
_FOR_EVER: Final = "private, max-age=31536000, immutable"
_FOR_A_WHILE: Final = "private, max-age=60"
_MISSING: Final[dict[int | str, dict[str, Any]]] = {404: {"model": ErrorResponse}}
_PICTURE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {JPEG: {"schema": {"type": "string", "format": "binary"}}}},
    **_MISSING,
}

Decode = Annotated[bool, Query(description="Fetch and decode the clip when nothing is kept.")]


def add_frame_routes(router: APIRouter, filmstrips: Filmstrips) -> None:
    """Add the routes to those below `/api/v1`."""

    @router.get(
        "/verdicts/{identity:path}/frames",
        response_model=FramesResponse,
        responses=_MISSING,
        tags=["verdicts"],
    )
    async def list_frames(identity: str, decode: Decode = True) -> Response:
        """List pictures of what the model saw; `source` is `gone` when there are none."""
        it = await filmstrips.of(identity, decode=decode)
        shown = write_frames(it.record, it.kept, it.is_stored, it.asked, it.seen, it.reason)
        return Response(shown.model_dump_json(), media_type="application/json")

    @router.get(
        "/verdicts/{identity:path}/frames/{index}",
        response_class=Response,
        responses=_PICTURE,
        tags=["verdicts"],
    )
    async def read_frame(
        identity: str,
        index: Annotated[int, Path(ge=0, le=1000)],
        width: Annotated[int | None, Query(ge=16, le=1280)] = None,
        decode: Decode = True,
    ) -> Response:
        """Return one picture as JPEG, at most `width` pixels wide."""
        jpeg, strip = await filmstrips.picture(identity, index, width, decode=decode)
        # a submitted id may stand for another verdict later
        is_final = strip.is_stored and strip.record.key == identity
        headers = {"Cache-Control": _FOR_EVER if is_final else _FOR_A_WHILE}
        return Response(jpeg, media_type=JPEG, headers=headers)
