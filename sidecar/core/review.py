"""The use case of the Event Reviewer: look at an alert's clip now and answer within the request."""

from dataclasses import dataclass
from typing import Final

from sidecar.contract.review import (
    DESCRIPTION_LIMIT,
    FRAMES_LIMIT,
    MESSAGE_LIMIT,
    METHOD,
    NO_REASONING,
    NOTES,
    REASONING_LIMIT,
    ReviewAlertRequest,
    ReviewAlertResponse,
    ReviewDebug,
    ReviewResult,
    reviewed_at,
    write_review,
)
from sidecar.core.chunking import cut
from sidecar.core.looking import Looker, View
from sidecar.core.reviewed import (
    Look,
    code_of,
    explain,
    failure_of,
    join_descriptions,
    join_reasoning,
    read_look,
)
from sidecar.errors import MediaError, ReviewRefused
from sidecar.model import AnswerRules, AnswerShape, Clip, Footage, Prompt, Verdict
from sidecar.ports import Clock, ReviewMedia
from sidecar.settings import ReviewSettings

_THINK_TAG: Final = "<think>"


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Reviews alerts; hold one and call it from every request."""

    media: ReviewMedia
    looker: Looker
    clock: Clock
    settings: ReviewSettings

    async def review(self, request: ReviewAlertRequest) -> ReviewAlertResponse:
        """Review an alert. A model that fails makes the result a failure, not the request.

        Raises:
            ReviewRefused: the request, or the media that it names, cannot be used.
        """
        params = request.vss_params
        params.require_sensible()
        async with self.looker.admitted():
            footage = await self._find(request)
            chunks = cut(
                0.0, footage.duration_s, params.chunk_duration, params.chunk_overlap_duration
            )
            view = View(
                clip=footage.clip,
                chunks=chunks,
                prompt=self._prompt(request),
                category=request.alert.type,
                sensor_id=request.sensor_id,
                frames=params.num_frames_per_chunk,
                size=(params.vlm_input_width, params.vlm_input_height),
            )
            verdicts = await self.looker.look(view)
        require_media(verdicts)
        looks = [
            read_look(
                chunk,
                verdict,
                by_words=self.settings.compat == "2.4",
                wants_verdict=params.do_verification,
            )
            for chunk, verdict in zip(chunks, verdicts, strict=True)
        ]
        result = self._result(request, looks, verdicts[0].model or METHOD)
        return write_review(request, self.media.absolute(request.cv_metadata_path), result)

    async def _find(self, request: ReviewAlertRequest) -> Footage:
        try:
            footage = await self.media.find(request.video_path)
        except MediaError as error:
            raise ReviewRefused(400, "FailedRequest", error.detail) from error
        if not request.vss_params.cv_metadata_overlay:
            return footage
        return await self._drawn(request.cv_metadata_path, footage)

    async def _drawn(self, path: str, footage: Footage) -> Footage:
        try:
            overlays = await self.media.overlays(path, footage)
        except MediaError as error:
            raise ReviewRefused(400, "InvalidParameterValue", error.detail) from error
        clip = footage.clip
        marked = Clip(clip.type, clip.paths, overlays=tuple(overlays))
        return Footage(marked, footage.duration_s, footage.width, footage.height)

    def _prompt(self, request: ReviewAlertRequest) -> Prompt:
        params = request.vss_params
        vlm = params.vlm_params
        system = vlm.system_prompt or self.settings.default_system_prompt
        is_read = params.do_verification and self.settings.compat != "2.4"
        return build_prompt(
            request.alert.type,
            vlm.prompt,
            system,
            {**vlm.vlm_params, "enable_reasoning": params.enable_reasoning},
            shape=AnswerShape.VERDICT if is_read else AnswerShape.DESCRIPTION,
        )

    def _result(
        self, request: ReviewAlertRequest, looks: list[Look], reviewed_by: str
    ) -> ReviewResult:
        params, failed = request.vss_params, failure_of(looks)
        error, notes = "", NOTES
        if failed is not None and failed.error is not None:
            error = explain(failed, is_only=len(looks) == 1)[:MESSAGE_LIMIT]
            notes = f"Error: {code_of(failed.error)}"
        optional: dict[str, bool | ReviewDebug] = {}
        if params.do_verification:
            optional["verification_result"] = any(look.confirmed for look in looks)
        if params.debug:
            times = [time for look in looks for time in look.times_s]
            optional["debug"] = ReviewDebug(selected_frames_ts=times[:FRAMES_LIMIT])
        return ReviewResult.model_validate(
            {
                "status": "FAILURE" if failed else "SUCCESS",
                "error_string": error,
                "reasoning": (join_reasoning(looks) or NO_REASONING)[:REASONING_LIMIT],
                "review_method": METHOD,
                "reviewed_by": reviewed_by,
                "reviewed_at": reviewed_at(self.clock.now()),
                "notes": notes,
                "description": join_descriptions(looks)[:DESCRIPTION_LIMIT],
                "input_prompt": params.vlm_params.prompt,
                **optional,
            }
        )


def build_prompt(
    name: str, user: str, system: str, vlm_params: dict[str, object], shape: AnswerShape
) -> Prompt:
    """Build a prompt of a request's own words.

    The model is not told how to reason where the caller does so himself, by think tags.
    """
    if _THINK_TAG in user + system:
        vlm_params = {**vlm_params, "enable_reasoning": False}
    return Prompt(name, user, system, vlm_params=vlm_params, rules=AnswerRules(shape=shape))


def require_media(verdicts: list[Verdict]) -> None:
    """Refuse the request when its clip turned out to be unusable.

    Raises:
        ReviewRefused: it did.
    """
    for verdict in verdicts:
        if isinstance(verdict.error, MediaError):
            raise ReviewRefused(400, "FailedRequest", verdict.error.detail) from verdict.error
