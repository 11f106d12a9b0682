"""The Alert Bridge of VSS 2.4: the alerts that it takes, and the documents that it publishes.

An alert is a request to the engine (`sidecar.contract.review`) with other limits and with defaults
for what it leaves out; unknown fields are ignored. A document has all of its fields, those without
a value as null. Source: services/alert, schemas/request_entity and response_entity, and
alert_request_defaults.yaml of schema 2.0.0, which is what image alert-bridge:0.19.0 ships.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, Self

import orjson
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    model_validator,
)
from pydantic_core import PydanticCustomError

from sidecar.contract.body import validate
from sidecar.contract.event import parse_timestamp
from sidecar.contract.review import (
    MESSAGE_LIMIT,
    METHOD,
    ResponseFormat,
    ReviewResult,
    ReviewVlmParams,
    Share,
    VssParams,
)
from sidecar.contract.verdict import stamp
from sidecar.errors import Issue

DEFAULTS: Final[Mapping[str, Any]] = MappingProxyType(
    {
        "confidence": 0.92,
        "meta_labels": [],
        "vss_params": {
            "chunk_duration": 60,
            "chunk_overlap_duration": 10,
            "cv_metadata_overlay": False,
            "num_frames_per_chunk": 8,
            "enable_reasoning": False,
            "do_verification": False,
            "debug": False,
            "vlm_params": {
                "max_tokens": 512,
                "temperature": 0.2,
                "top_p": 1.0,
                "top_k": 100,
                "seed": 10,
            },
        },
    }
)
"""What VSS ships for what an alert leaves out."""

_MARKS: Final = frozenset({"sensor_id", "video_path", "alert", "vss_params"})
_PIPELINE_MARK: Final = "sensor"


def is_bridge_alert(raw: Mapping[str, Any]) -> bool:
    """Tell an alert of 2.4 from an nv.Behavior, which has a `sensor` and none of 2.4's names."""
    return _PIPELINE_MARK not in raw and not _MARKS.isdisjoint(raw)


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def _ignore(value: object) -> None:
    """Take whatever is sent: it is not passed on, as in 2.4."""
    del value


def _check_time(value: str) -> str:
    parse_timestamp(value)
    return value


Name = Annotated[str, Field(min_length=1, max_length=256)]
Description = Annotated[str, Field(min_length=1, max_length=2000)]
Offset = Annotated[float, Field(ge=0)]


class _Open(BaseModel):
    """An object whose unknown fields do nothing."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class BridgeAlertInfo(_Open):
    """The alert under review."""

    severity: Annotated[Literal["LOW", "MEDIUM", "HIGH", "CRITICAL"], BeforeValidator(_upper)]
    status: Annotated[
        Literal[
            "ACTIVE",
            "RESOLVED",
            "ACKNOWLEDGED",
            "SUPPRESSED",
            "REVIEW_PENDING",
            "REVIEWED",
            "REVIEW_FAILED",
        ],
        BeforeValidator(_upper),
    ]
    type: Annotated[Name, BeforeValidator(_strip)]
    description: Description


class BridgeEventInfo(_Open):
    """The event that raised the alert."""

    type: Name
    description: Description
    confidence: Share | None = None


class BridgeLabel(_Open):
    """A pair that travels through."""

    key: str = Field(min_length=1, max_length=100)
    value: str = Field(min_length=1, max_length=500)


class BridgeVlmParams(ReviewVlmParams):
    """What to ask the model; "" leaves it to the alert type, and at last to the settings."""

    model_config = ConfigDict(extra="ignore")

    prompt: str = Field(default="", max_length=12_000)
    system_prompt: str = Field(default="", max_length=14_000)
    response_format: Annotated[ResponseFormat | None, BeforeValidator(_ignore)] = None
    max_tokens: Annotated[int, Field(ge=1, le=100_000)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Share | None = None
    top_k: Annotated[float, Field(ge=1, le=2048)] | None = None
    seed: Annotated[int, Field(ge=0, le=2_147_483_647)] | None = None


class BridgeVssParams(VssParams):
    """How to review."""

    model_config = ConfigDict(extra="ignore")

    vlm_params: BridgeVlmParams = BridgeVlmParams()

    @model_validator(mode="after")
    def _overlap_is_shorter(self) -> Self:
        if 0 < self.chunk_duration <= self.chunk_overlap_duration:
            raise PydanticCustomError(
                "overlap_too_long", "chunk_overlap_duration must be less than chunk_duration."
            )
        return self


class BridgeAlert(_Open):
    """An alert of VSS 2.4: body of `POST /api/v1/alerts`, and `data` of an input stream's entry."""

    model_config = ConfigDict(populate_by_name=True)

    id: Name
    version: str = Field(default="1.0", max_length=32)
    timestamp: Annotated[str, Field(max_length=64), AfterValidator(_check_time)] = Field(
        alias="@timestamp"
    )
    sensor_id: Name
    stream_name: str | None = Field(default=None, max_length=256)
    video_path: str = Field(min_length=1, max_length=2048)
    vst_id: str = Field(default="", max_length=256)
    alert: BridgeAlertInfo
    event: BridgeEventInfo
    vss_params: BridgeVssParams = BridgeVssParams()
    confidence: Share | None = None
    cv_metadata_path: str = Field(default="", max_length=2048)
    start_time: Offset | None = None
    end_time: Offset | None = None
    meta_labels: list[BridgeLabel] = Field(default=[], max_length=1000)

    @model_validator(mode="after")
    def _ends_after_start(self) -> Self:
        start, end = self.start_time, self.end_time
        if start is not None and end is not None and end <= start:
            raise PydanticCustomError(
                "end_before_start", "`end_time` must be greater than `start_time`."
            )
        return self

    @property
    def moment(self) -> datetime:
        """The timestamp, aware."""
        return parse_timestamp(self.timestamp)


class FieldErrors(BaseModel):
    """What is wrong, by field."""

    field_errors: dict[str, str]


class AlertRefusal(BaseModel):
    """400 of `POST /api/v1/alerts` for an alert of 2.4."""

    status: Literal["error"] = "error"
    error: Literal["validation_failed"] = "validation_failed"
    message: str
    details: FieldErrors
    timestamp: str


def refuse_alert(issues: Sequence[Issue], now: datetime) -> AlertRefusal:
    """Say what is wrong with an alert."""
    fields = {issue.field: issue.message for issue in issues}
    return AlertRefusal(
        message=f"Alert validation failed: {', '.join(fields)}.",
        details=FieldErrors(field_errors=fields),
        timestamp=stamp(now),
    )


def read_alert(raw: Mapping[str, Any], defaults: Mapping[str, Any] = DEFAULTS) -> BridgeAlert:
    """Check an alert and fill in what it leaves out; null counts as left out.

    Whether an alert is valid does not depend on the defaults: of two that do not go together with
    what the alert says, the alert's counts.

    Raises:
        InvalidRequest: names every wrong field.
    """
    filled = _merged(raw, defaults)
    params, given = filled.get("vss_params"), raw.get("vss_params")
    if isinstance(params, Mapping) and isinstance(given, Mapping | None):
        filled["vss_params"] = _with_fitting_overlap(params, given or {})
    return validate(BridgeAlert, filled)


def _merged(given: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    merged: dict[str, Any] = {}
    for name in {**defaults, **given}:
        value, usual = given.get(name), defaults.get(name)
        if value is None:
            value, usual = usual, None
        if isinstance(value, Mapping):
            value = _merged(value, usual if isinstance(usual, Mapping) else {})
        if value is not None:
            merged[name] = value
    return merged


def _with_fitting_overlap(params: Mapping[str, Any], given: Mapping[str, Any]) -> Mapping[str, Any]:
    names = ("chunk_duration", "chunk_overlap_duration")
    if all(given.get(name) is not None for name in names):
        return params
    length, overlap = (params.get(name) for name in names)
    if isinstance(length, int) and isinstance(overlap, int) and 0 < length <= overlap:
        return {**params, "chunk_overlap_duration": 0}
    return params


def write_enhanced(
    alert: BridgeAlert, cv_metadata_path: str, result: ReviewResult
) -> dict[str, Any]:
    """Build the document about an alert that was reviewed."""
    is_asked = "verification_result" in result.model_fields_set
    answer = {
        "verification_result": result.verification_result if is_asked else None,
        "reviewed_by": result.reviewed_by,
        "reviewed_at": result.reviewed_at,
        "notes": result.notes,
        "debug": _debug(result),
        "input_prompt": result.input_prompt,
        "description": result.description,
        "reasoning": result.reasoning,
    }
    echo = {
        **_echo(alert),
        "cv_metadata_path": cv_metadata_path,
        "start_time": alert.start_time or 0.0,
        "end_time": alert.end_time or 0.0,
    }
    echo["alert"]["status"] = "REVIEWED"
    return {**echo, "result": _result("SUCCESS", "", answer)}


def write_failure(
    alert: BridgeAlert, code: str, error: str, now: datetime, result: ReviewResult | None = None
) -> dict[str, Any]:
    """Build the document about an alert that could not be reviewed; its status stays as it was.

    Args:
        alert: the alert.
        code: what went wrong, in the bridge's vocabulary.
        error: a sentence.
        now: when it turned out.
        result: what the model said all the same; None when it said nothing.
    """
    said: dict[str, Any] = {}
    if result is not None:
        said = result.model_dump(include={"input_prompt", "description", "reasoning"})
        said["debug"] = _debug(result)
    answer = {
        "verification_result": False,
        "confidence": 0.0,
        "reviewed_by": METHOD,
        "reviewed_at": now.astimezone(UTC).isoformat(),
        "notes": f"Error: {code}",
        **said,
    }
    return {**_echo(alert), "result": _result("FAILURE", error[:MESSAGE_LIMIT], answer)}


def write_entry(
    document: Mapping[str, Any], timestamp: str, metadata: Mapping[str, Any]
) -> dict[str, str]:
    """Build the fields of a stream's entry: a time between two JSON texts."""
    return {"data": _dump(document), "timestamp": timestamp, "metadata": _dump(metadata)}


def _echo(alert: BridgeAlert) -> dict[str, Any]:
    return {
        "id": alert.id,
        "version": alert.version,
        "@timestamp": alert.timestamp,
        "sensor_id": alert.sensor_id,
        "stream_name": alert.stream_name,
        "video_path": alert.video_path,
        "cv_metadata_path": alert.cv_metadata_path or None,
        "start_time": alert.start_time,
        "end_time": alert.end_time,
        "confidence": alert.confidence,
        "alert": alert.alert.model_dump(),
        "event": alert.event.model_dump(exclude={"confidence"}),
        "meta_labels": [label.model_dump() for label in alert.meta_labels],
    }


def _result(status: str, error: str, answer: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": status,
        "error_string": error,
        "verification_result": None,
        "confidence": None,
        "review_method": METHOD,
        "notes": None,
        "debug": None,
        "input_prompt": None,
        "description": None,
        "reasoning": None,
        **answer,
    }


def _debug(result: ReviewResult) -> dict[str, Any] | None:
    """Write the times of the frames in milliseconds, where the engine has seconds."""
    if result.debug is None:
        return None
    times = [int(time * 1000) for time in result.debug.selected_frames_ts]
    return {"input_prompt": result.input_prompt, "selected_frames_ts": times}


def _dump(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value, default=dict).decode()
