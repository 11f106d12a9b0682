"""Realtime rules on the wire: VSS's API, its file of always-on rules, and RT-VLM's requests.

Sources: services/alert, OpenAPI of `/api/v1/realtime` and realtime-config-sample.yaml;
services/rtvi/rt-vlm, `/v1/streams/add` and `/v1/generate_captions` (3.2/3.3 line).
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from sidecar.model import RealtimeRule

NonBlank = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
LiveUrl = Annotated[str, StringConstraints(pattern=r"^rtsps?://\S+$")]

_OF_STREAM: Final = (
    "sensor_name",
    "username",
    "password",
    "place_name",
    "place_type",
    "place_lat",
    "place_lon",
    "place_alt",
    "place_coordinate_x",
    "place_coordinate_y",
)
_OF_CAPTIONS: Final = (
    "prompt",
    "model",
    "system_prompt",
    "chunk_duration",
    "chunk_overlap_duration",
    "num_frames_per_second_or_fixed_frames_chunk",
    "use_fps_for_chunking",
    "vlm_input_width",
    "vlm_input_height",
    "enable_reasoning",
    "api_type",
    "response_format",
    "stream_options",
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "ignore_eos",
    "seed",
    "media_info",
    "enable_audio",
    "mm_processor_kwargs",
    "inference_mode",
    "streaming_frame_policy",
    "streaming_window_frames",
    "streaming_question_on_decode",
)
_SECRETS: Final = frozenset({"username", "password"})


class RuleParameters(BaseModel):
    """What a rule of the API and an always-on rule have in common."""

    prompt: NonBlank
    system_prompt: str = ""
    model: str = ""
    description: str | None = None
    username: str | None = None
    password: str | None = None
    place_name: str | None = None
    place_type: str | None = None
    place_lat: str | None = None
    place_lon: str | None = None
    place_alt: str | None = None
    place_coordinate_x: str | None = None
    place_coordinate_y: str | None = None
    chunk_duration: int = Field(default=30, ge=1)
    chunk_overlap_duration: int = Field(default=5, ge=0)
    num_frames_per_second_or_fixed_frames_chunk: int = Field(default=10, ge=1)
    use_fps_for_chunking: bool = True
    vlm_input_width: int = Field(default=256, ge=1)
    vlm_input_height: int = Field(default=256, ge=1)
    enable_reasoning: bool = True
    api_type: str | None = None
    response_format: dict[str, Any] | None = None
    stream_options: dict[str, Any] | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0)
    top_p: float | None = Field(default=None, ge=0, le=1)
    top_k: int | None = Field(default=None, ge=0)
    ignore_eos: bool | None = None
    seed: int | None = None
    media_info: dict[str, Any] | None = None
    enable_audio: bool | None = None
    mm_processor_kwargs: dict[str, Any] | None = None
    inference_mode: Literal["chunked", "streaming_vlm"] | None = None
    streaming_frame_policy: str | None = None
    streaming_window_frames: int | None = Field(default=None, ge=1)
    streaming_question_on_decode: bool | None = None


class RealtimeAlertRequest(RuleParameters):
    """Body of `POST /api/v1/realtime`."""

    live_stream_url: LiveUrl
    alert_type: NonBlank
    sensor_id: NonBlank | None = None
    sensor_name: str | None = None


class AlwaysOnParameters(RuleParameters):
    """`always_on_params` of an entry of the file."""

    model_config = ConfigDict(extra="forbid")

    system_prompt: str
    model: NonBlank


class AlwaysOnRule(BaseModel):
    """One entry of the file: a rule for every camera."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rule_id: NonBlank
    alert_type: NonBlank
    description: str | None = None
    always_on_params: AlwaysOnParameters


class AlwaysOnFile(BaseModel):
    """VSS's `realtime-config.yaml`."""

    model_config = ConfigDict(extra="forbid")

    always_on_rules: list[AlwaysOnRule] = Field(min_length=1)

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [rule.rule_id for rule in self.always_on_rules]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"rule_id must be unique; more than once: {', '.join(twice)}")
        return self


class CameraChange(BaseModel):
    """`event` of a camera event."""

    model_config = ConfigDict(extra="allow")

    camera_id: str = Field(min_length=1)
    camera_name: str | None = None
    camera_url: str | None = None
    camera_vod_url: str | None = None
    change: Literal["camera_streaming", "camera_remove"]
    metadata: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.change == "camera_streaming" and not (self.camera_url and self.camera_name):
            raise ValueError("camera_streaming needs camera_url and camera_name")
        return self


class AlwaysOnEventRequest(BaseModel):
    """Body of `POST /api/v1/realtime/always-on`: a camera began or ceased to stream."""

    model_config = ConfigDict(extra="allow")

    source: str | None = None
    alert_type: str | None = None
    created_at: str | None = None
    event: CameraChange


class AlwaysOnResponse(BaseModel):
    """What became of a camera event; `status` is a status line, `details` one entry per rule."""

    reason: str
    status: str
    details: list[dict[str, Any]] | None = None


class RealtimeAlertResponse(BaseModel):
    """201: RT-VLM works on the rule."""

    status: Literal["success"] = "success"
    id: str
    created_at: str
    message: str = "Realtime alert rule created"


class RealtimeAlertRule(BaseModel):
    """A rule as the API shows it: the fields of its request without credentials, and these."""

    model_config = ConfigDict(extra="allow")

    id: str
    status: str
    created_at: str
    updated_at: str | None = None


class RealtimeAlertListResponse(BaseModel):
    """One page of the active rules, oldest first."""

    status: Literal["success"] = "success"
    rules: list[RealtimeAlertRule]
    count: int
    total: int = 0


class RealtimeAlertGetResponse(BaseModel):
    """One rule."""

    status: Literal["success"] = "success"
    rule: RealtimeAlertRule


class RealtimeAlertDeleteResponse(BaseModel):
    """The rule is gone."""

    status: Literal["success"] = "success"
    id: str
    message: str = "Realtime alert rule deleted"


class RealtimeReplayResponse(BaseModel):
    """How the rules fared that were given to RT-VLM again."""

    status: Literal["success"] = "success"
    message: str
    correlation_id: str
    replayed: int
    failed: int
    total: int
    details: list[dict[str, Any]]


class IncidentListResponse(BaseModel):
    """One page of incidents, newest first; documents of the nvschema."""

    status: Literal["success"] = "success"
    incidents: list[dict[str, Any]]
    count: int
    total: int
    truncated: bool = False
    timestamp: str


def read_rule_fields(request: RealtimeAlertRequest) -> Mapping[str, Any]:
    """Return what a rule keeps of its request."""
    return request.model_dump(exclude_none=True)


def fields_for_camera(rule: AlwaysOnRule, camera: CameraChange) -> Mapping[str, Any]:
    """Return what the rule for one camera keeps of an always-on rule."""
    return {
        **rule.always_on_params.model_dump(exclude_none=True),
        "alert_type": rule.alert_type,
        "live_stream_url": camera.camera_url,
        "sensor_id": camera.camera_id,
        "sensor_name": camera.camera_name,
    }


def write_rule(rule: RealtimeRule) -> RealtimeAlertRule:
    """Show a rule without its credentials."""
    shown = {key: value for key, value in rule.fields.items() if key not in _SECRETS}
    return RealtimeAlertRule(
        **shown,
        id=rule.id,
        status=rule.status.value,
        created_at=rule.created_at.isoformat(),
        updated_at=rule.updated_at.isoformat(),
    )


def write_rules(rules: Sequence[RealtimeRule], total: int) -> RealtimeAlertListResponse:
    """Show one page of rules."""
    shown = [write_rule(rule) for rule in rules]
    return RealtimeAlertListResponse(rules=shown, count=len(shown), total=total)


def write_stream(rule: RealtimeRule) -> dict[str, Any]:
    """Write the stream of a rule as `streams/add` takes it; RT-VLM makes an id when it is null."""
    fields = rule.fields
    stream = {name: fields[name] for name in _OF_STREAM if fields.get(name) is not None}
    return {
        "id": fields.get("sensor_id"),
        "liveStreamUrl": fields["live_stream_url"],
        "description": fields.get("description") or "",
        **stream,
    }


def write_captions(rule: RealtimeRule, stream_id: str) -> dict[str, Any]:
    """Write the body of `generate_captions`; what is not set is left to RT-VLM."""
    fields = rule.fields
    return {
        "id": stream_id,
        "stream": True,
        "alert_category": fields["alert_type"],
        **{name: fields[name] for name in _OF_CAPTIONS if fields.get(name) is not None},
    }
