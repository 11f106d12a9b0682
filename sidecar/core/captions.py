"""The use case of captions: describe uploaded files chunk by chunk."""

import math
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

from sidecar.contract.captions import (
    CaptionsRequest,
    CaptionsResponse,
    CaptionUsage,
    ChunkCaption,
    MediaInfoOffset,
)
from sidecar.contract.review import BAD_PARAMETER
from sidecar.core.chunking import cut
from sidecar.core.looking import Looker, View
from sidecar.core.review import build_prompt, require_media
from sidecar.core.reviewed import Look, explain, read_look
from sidecar.errors import MediaError, ReviewRefused
from sidecar.model import AnswerShape, Clip, Footage, MediaType, StoredFile
from sidecar.ports import Clock, FileStore
from sidecar.settings import ReviewSettings

DEFAULT_PROMPT: Final = "Describe in detail what happens in the video."
_CATEGORY: Final = "caption"


@dataclass(frozen=True, slots=True)
class Captioner:
    """Describes files; hold one and call it from every request."""

    files: FileStore
    looker: Looker
    clock: Clock
    settings: ReviewSettings

    async def caption(self, request: CaptionsRequest) -> CaptionsResponse:
        """Describe the files.

        Raises:
            ReviewRefused: the request or the files cannot be used, or the model fails.
        """
        request.require_file_options()
        begun = self.clock.monotonic()
        model = await self.looker.model()
        if request.model != model:
            raise ReviewRefused(400, "BadParameters", f"No such model '{request.model}'")
        async with self.looker.admitted(), AsyncExitStack() as stack:
            files = [await stack.enter_async_context(self.files.use(it)) for it in request.ids]
            footage = await self._footage(files)
            looks = await self._look(request, footage)
        return CaptionsResponse(
            id=uuid4(),
            created=int(self.clock.now().timestamp()),
            model=model,
            media_info=MediaInfoOffset(
                type="offset",
                start_offset=int(looks[0].chunk.start_s),
                end_offset=math.ceil(looks[-1].chunk.end_s),
            ),
            usage=CaptionUsage(
                query_processing_time=round(self.clock.monotonic() - begun),
                total_chunks_processed=len(looks),
            ),
            chunk_responses=[_caption(look) for look in looks],
        )

    async def _footage(self, files: list[StoredFile]) -> Footage:
        """Take one clip, or several pictures together."""
        try:
            found = [await self.files.measure(file) for file in files]
        except MediaError as error:
            raise ReviewRefused(400, "InvalidFile", error.detail) from error
        if len(found) == 1:
            return found[0]
        if any(file.media_type is MediaType.VIDEO for file in files):
            raise ReviewRefused(400, BAD_PARAMETER, "Several ids must all be of images.")
        paths = tuple(file.path for file in files)
        return Footage(Clip(MediaType.IMAGE, paths, total=len(paths)))

    async def _look(self, request: CaptionsRequest, footage: Footage) -> list[Look]:
        start_s, end_s = _span(request, footage.duration_s)
        overlap_s = request.chunk_overlap_duration
        chunks = cut(start_s, end_s, request.chunk_duration, overlap_s)
        prompt = build_prompt(
            _CATEGORY,
            request.prompt or DEFAULT_PROMPT,
            request.system_prompt or self.settings.default_system_prompt,
            {**request.vlm_params, "enable_reasoning": request.enable_reasoning},
            shape=AnswerShape.DESCRIPTION,
        )
        size = (request.vlm_input_width, request.vlm_input_height)
        frames = request.num_frames_per_chunk
        view = View(footage.clip, chunks, prompt, _CATEGORY, _CATEGORY, frames, size)
        verdicts = await self.looker.look(view)
        require_media(verdicts)
        looks = [
            read_look(chunk, verdict, by_words=False, wants_verdict=False)
            for chunk, verdict in zip(chunks, verdicts, strict=True)
        ]
        _require_answers(looks)
        return looks


def _span(request: CaptionsRequest, duration_s: float) -> tuple[float, float]:
    """Return from where to where the file is described."""
    if not isinstance(request.media_info, MediaInfoOffset):
        return 0.0, duration_s
    start_s = float(request.media_info.start_offset or 0)
    end_s = float(request.media_info.end_offset or duration_s)
    if start_s >= min(end_s, duration_s):
        raise ReviewRefused(
            400, BAD_PARAMETER, f"media_info names nothing of the file's {duration_s:.1f} s."
        )
    return start_s, min(end_s, duration_s)


def _require_answers(looks: list[Look]) -> None:
    """Refuse to pass a gap off as a description."""
    failed = next((look for look in looks if look.error is not None), None)
    if failed is not None:
        text = explain(failed, is_only=len(looks) == 1)
        raise ReviewRefused(500, "InternalServerError", text)


def _caption(look: Look) -> ChunkCaption:
    return ChunkCaption(
        start_time=f"{look.chunk.start_s:.1f}",
        end_time=f"{look.chunk.end_s:.1f}",
        content=look.text,
        reasoning_description=look.reasoning,
    )


def as_events(response: CaptionsResponse, *, with_usage: bool) -> list[CaptionsResponse]:
    """Split an answer into the events of its stream: one for each chunk, then the usage."""
    parts = [
        response.model_copy(update={"chunk_responses": [it], "usage": None})
        for it in response.chunk_responses
    ]
    if with_usage:
        parts.append(response.model_copy(update={"chunk_responses": []}))
    return parts
