"""The Event Reviewer of VSS 2.4: `POST /reviewAlert` and its answer.

Fields, limits and defaults are those of its engine (vss-engine 2.4.1, vss_api_models.py);
`event.confidence` came right after it. Unknown fields are refused. Of an answer only the fields
that were set are written.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from sidecar.errors import ReviewRefused

BAD_PARAMETER: Final = "BadParameter"
MESSAGE_LIMIT: Final = 1024
DESCRIPTION_LIMIT: Final = 102_400
REASONING_LIMIT: Final = 100_000
FRAMES_LIMIT: Final = 1024
PROMPT_LIMIT: Final = 5000
NO_REASONING: Final = "No reasoning available"
METHOD: Final = "VSS"
NOTES: Final = "Alert auto-reviewed by VSS; confidence above threshold."
SMALLEST_SIDE: Final = 16
_PATH: Final = r"^[A-Za-z0-9_.\-/ ]*$"
_TIMESTAMP: Final = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{3})?Z$"
_TEN_YEARS_S: Final = 315_360_000

Text = Annotated[str, Field(max_length=1024)]
MediaPath = Annotated[str, Field(max_length=1024, pattern=_PATH)]
Seconds = Annotated[float, Field(ge=0, le=_TEN_YEARS_S)]
Share = Annotated[float, Field(ge=0, le=1)]


class Closed(BaseModel):
    """An object that takes no other fields than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)


class AlertInfo(Closed):
    """The alert under review."""

    severity: Literal["CRITICAL", "HIGH", "MEDIUM", "LOW", "INFORMAL"]
    status: Literal["REVIEW_PENDING", "REVIEWED", "REVIEW_FAILED"]
    type: Text
    description: Text


class EventInfo(Closed):
    """The event that raised the alert."""

    type: Text
    description: Text
    confidence: Share | None = None


class MetaLabel(Closed):
    """A pair that travels through."""

    key: Text
    value: Text


class ResponseFormat(Closed):
    """How the model is to answer; accepted and, as by 2.4, not passed on."""

    type: Literal["json_object", "text"]


class Decoding(Closed):
    """What a request may set of the model's decoding."""

    response_format: ResponseFormat | None = None
    max_tokens: Annotated[int, Field(ge=1, le=10_240)] | None = None
    temperature: Annotated[float, Field(ge=0, le=1)] | None = None
    top_p: Annotated[float, Field(ge=0, le=1)] | None = None
    top_k: Annotated[float, Field(ge=1, le=1000)] | None = None
    seed: Annotated[int, Field(ge=1, le=4_294_967_295)] | None = None

    @property
    def vlm_params(self) -> dict[str, Any]:
        """The options that were set, in the vocabulary of alert types."""
        names = {"max_tokens", "temperature", "top_p", "top_k", "seed"}
        return self.model_dump(include=names, exclude_none=True)


class ReviewVlmParams(Decoding):
    """What to ask the model."""

    prompt: str = Field(max_length=PROMPT_LIMIT)
    system_prompt: str = Field(default="", min_length=1, max_length=PROMPT_LIMIT)
    """"" stands for the one of the settings; it cannot be sent."""


class Chunking(Closed):
    """How the clip is cut and shown; 0 leaves it to the service."""

    chunk_duration: int = Field(default=0, ge=0, le=3600)
    chunk_overlap_duration: int = Field(default=0, ge=0, le=3600)
    num_frames_per_chunk: int = Field(default=0, ge=0, le=256)
    vlm_input_width: int = Field(default=0, ge=0, le=4096)
    vlm_input_height: int = Field(default=0, ge=0, le=4096)
    enable_reasoning: bool = False

    def require_sensible(self) -> None:
        """Check what 2.4 checks after the shape.

        Raises:
            ReviewRefused: the overlap is not shorter than a chunk, or a side is too small.
        """
        length, overlap = self.chunk_duration, self.chunk_overlap_duration
        if length and overlap >= length:
            raise ReviewRefused(
                400, BAD_PARAMETER, "chunk_overlap_duration must be less than chunk_duration"
            )
        for name in ("vlm_input_width", "vlm_input_height"):
            if 0 < getattr(self, name) < SMALLEST_SIDE:
                raise ReviewRefused(400, BAD_PARAMETER, f"{name} must be at least {SMALLEST_SIDE}")


class VssParams(Chunking):
    """How to review."""

    cv_metadata_overlay: bool = False
    do_verification: bool = False
    debug: bool = False
    vlm_params: ReviewVlmParams


class _Echoed(Closed):
    """What request and answer share."""

    version: Literal["1.0"]
    id: UUID
    timestamp: str = Field(alias="@timestamp", min_length=20, max_length=24, pattern=_TIMESTAMP)
    sensor_id: Text
    stream_name: Text | None = None
    video_path: MediaPath
    cv_metadata_path: MediaPath = ""
    confidence: Share
    start_time: Seconds = 0.0
    end_time: Seconds = 0.0
    alert: AlertInfo
    event: EventInfo
    meta_labels: list[MetaLabel] = Field(default=[], max_length=1024)


class ReviewAlertRequest(_Echoed):
    """Body of `POST /reviewAlert`."""

    vss_params: VssParams


class ReviewDebug(Closed):
    """Times of the frames that were shown, in seconds of the clip."""

    selected_frames_ts: list[float] = Field(max_length=FRAMES_LIMIT)


class ReviewResult(Closed):
    """What the review found."""

    status: Literal["SUCCESS", "FAILURE"]
    error_string: str = Field(max_length=MESSAGE_LIMIT)
    verification_result: bool = False
    reasoning: str = Field(max_length=REASONING_LIMIT)
    review_method: str
    reviewed_by: str
    reviewed_at: str
    notes: str = Field(max_length=1024)
    description: str = Field(max_length=DESCRIPTION_LIMIT)
    input_prompt: str = Field(max_length=PROMPT_LIMIT)
    debug: ReviewDebug | None = None


class ReviewAlertResponse(_Echoed):
    """Answer of `POST /reviewAlert`."""

    # 2.4 writes an absolute path here, which may be longer than what it takes
    cv_metadata_path: str = ""
    result: ReviewResult


class ReviewError(Closed):
    """Body of every error."""

    code: str = Field(max_length=128, pattern="^[A-Za-z]*$")
    message: str = Field(max_length=MESSAGE_LIMIT)


_SHOWN_INPUTS: Final = frozenset({"value_error", "uuid_parsing", "string_pattern_mismatch"})
"""Kinds of mistakes whose message shows what was sent."""


def write_review(
    request: ReviewAlertRequest, cv_metadata_path: str, result: ReviewResult
) -> ReviewAlertResponse:
    """Build the answer: the request without `vss_params` and what is empty, and the result."""
    echoed = request.model_dump(exclude={"vss_params"}, exclude_none=True)
    optional = ("stream_name", "meta_labels")
    empty = [name for name in optional if not echoed.get(name)]
    for name in empty:
        echoed.pop(name, None)
    status = "REVIEWED" if result.status == "SUCCESS" else "REVIEW_FAILED"
    return ReviewAlertResponse.model_validate(
        {
            **echoed,
            "cv_metadata_path": cv_metadata_path,
            "alert": {**echoed["alert"], "status": status},
            "result": result,
        }
    )


def explain_mistakes(mistakes: Sequence[Mapping[str, Any]]) -> str:
    """Word the first of pydantic's findings as 2.4 does: `<where>: <what> (input: <JSON>)`."""
    first = mistakes[0]
    text = f"{tuple(first['loc'])}: {first['msg']}"
    if first["type"] in _SHOWN_INPUTS:
        text += f" (input: {json.dumps(first.get('input'), default=str)})"
    return text[:MESSAGE_LIMIT]


def reviewed_at(moment: datetime) -> str:
    """Write a time as `reviewed_at` has it: UTC without fractions of a second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
