"""The use case of the Event Reviewer: look at an alert's clip now and answer within the request."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from sidecar.contract.review import (
    DESCRIPTION_LIMIT,
    FRAMES_LIMIT,
    MESSAGE_LIMIT,
    METHOD,
    NO_REASONING,
    NOTES,
    PROMPT_LIMIT,
    REASONING_LIMIT,
    ReviewAlertRequest,
    ReviewAlertResponse,
    ReviewDebug,
    ReviewResult,
    VssParams,
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


class Typed(Protocol):
    """Something of a type."""

    @property
    def type(self) -> str:
        """The type."""
        ...


class Subject(Protocol):
    """What is reviewed: a request to the engine, or an alert of the bridge."""

    @property
    def sensor_id(self) -> str:
        """The camera."""
        ...

    @property
    def video_path(self) -> str:
        """The clip."""
        ...

    @property
    def cv_metadata_path(self) -> str:
        """What to draw on it; "" for nothing."""
        ...

    @property
    def alert(self) -> Typed:
        """The alert."""
        ...

    @property
    def vss_params(self) -> VssParams:
        """How to review it."""
        ...


@dataclass(frozen=True, slots=True)
class Examination:
    """What came of looking at a clip: the verdict on each chunk, read, and put together."""

    verdicts: Sequence[Verdict]
    looks: Sequence[Look]
    result: ReviewResult


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
        request.vss_params.require_sensible()
        async with self.looker.admitted():
            found = await self.examine(request)
        return write_review(request, self.media.absolute(request.cv_metadata_path), found.result)

    async def examine(self, subject: Subject) -> Examination:
        """Look at a clip, however many others are looked at.

        Raises:
            ReviewRefused: the media cannot be used; its cause is a MediaError.
        """
        params = subject.vss_params
        footage = await self._find(subject)
        chunks = cut(0.0, footage.duration_s, params.chunk_duration, params.chunk_overlap_duration)
        view = View(
            clip=footage.clip,
            chunks=chunks,
            prompt=self._prompt(subject),
            category=subject.alert.type,
            sensor_id=subject.sensor_id,
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
        result = self._result(subject, looks, verdicts[0].model or METHOD)
        return Examination(verdicts, looks, result)

    async def _find(self, subject: Subject) -> Footage:
        try:
            footage = await self.media.find(subject.video_path)
        except MediaError as error:
            raise ReviewRefused(400, "FailedRequest", error.detail) from error
        if not subject.vss_params.cv_metadata_overlay:
            return footage
        return await self._drawn(subject.cv_metadata_path, footage)

    async def _drawn(self, path: str, footage: Footage) -> Footage:
        try:
            overlays = await self.media.overlays(path, footage)
        except MediaError as error:
            raise ReviewRefused(400, "InvalidParameterValue", error.detail) from error
        clip = footage.clip
        marked = Clip(clip.type, clip.paths, overlays=tuple(overlays))
        return Footage(marked, footage.duration_s, footage.width, footage.height)

    def _prompt(self, subject: Subject) -> Prompt:
        params = subject.vss_params
        vlm = params.vlm_params
        system = vlm.system_prompt or self.settings.default_system_prompt
        is_read = params.do_verification and self.settings.compat != "2.4"
        return build_prompt(
            subject.alert.type,
            vlm.prompt,
            system,
            {**vlm.vlm_params, "enable_reasoning": params.enable_reasoning},
            shape=AnswerShape.VERDICT if is_read else AnswerShape.DESCRIPTION,
        )

    def _result(self, subject: Subject, looks: list[Look], reviewed_by: str) -> ReviewResult:
        params, failed = subject.vss_params, failure_of(looks)
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
                "input_prompt": params.vlm_params.prompt[:PROMPT_LIMIT],
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
