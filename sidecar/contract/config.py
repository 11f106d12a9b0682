"""Alert types on the wire: VSS's configuration API and its `alert_type_config.json`.

Source: services/alert, OpenAPI of `/api/v1/verification/config` and alert_type_config_loader.py.
The key `answer` is ours; without it every body is exactly VSS's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from sidecar.contract.answers import AnswerBody, read_answer, write_answer
from sidecar.model import AlertConfig, Anchor, AnswerRules

AlertType = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
PromptText = Annotated[str, StringConstraints(min_length=1, max_length=5000)]
OptionalPromptText = Annotated[str, StringConstraints(max_length=5000)]
OutputCategory = Annotated[str, StringConstraints(max_length=200)]


class _Body(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class VlmParams(_Body):
    """What one alert type may set differently for the model; null and absent mean «not set»."""

    base_url: str | None = None
    model: str | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    request_timeout: int | None = None
    use_vlm_media_defaults: bool | None = None
    do_resize: bool | None = None
    min_pixels: int | None = None
    max_pixels: int | None = None
    num_frames: int | None = None
    enable_sampling: bool | None = None
    sampling_fps: int | None = None
    max_retries: int | None = None
    chunk_duration: int | None = None
    num_frames_per_second_or_fixed_frames_chunk: int | None = None
    enable_reasoning: bool | None = None


class AlertConfigRequest(_Body):
    """Body of `POST /api/v1/verification/config`."""

    alert_type: AlertType
    prompt: PromptText
    system_prompt: OptionalPromptText | None = None
    enrichment_prompt: OptionalPromptText | None = None
    vlm_params: VlmParams | None = None
    output_category: OutputCategory | None = None
    answer: AnswerBody | None = None


class AlertConfigUpdateRequest(_Body):
    """Body of `PUT /api/v1/verification/config/{alert_type}`: what is absent or null stays.

    Inside `vlm_params`, null unsets a parameter. `answer` is replaced as a whole, because its parts
    depend on each other.
    """

    prompt: OptionalPromptText | None = None
    system_prompt: OptionalPromptText | None = None
    enrichment_prompt: OptionalPromptText | None = None
    vlm_params: VlmParams | None = None
    output_category: OutputCategory | None = None
    answer: AnswerBody | None = None


class AlertConfigResponse(BaseModel):
    """One alert type as the API shows it; times are ISO 8601.

    The routes leave `answer` out when it is None.
    """

    alert_type: str
    prompt: str
    system_prompt: str = ""
    enrichment_prompt: str = ""
    vlm_params: dict[str, Any] = Field(default_factory=dict)
    output_category: str = ""
    answer: dict[str, Any] | None = None
    created_at: str = ""
    updated_at: str = ""


class AlertConfigListResponse(BaseModel):
    """All alert types."""

    status: Literal["success"] = "success"
    configs: list[AlertConfigResponse]
    count: int


class AlertConfigSuccessResponse(BaseModel):
    """Answer without content of its own, such as to a deletion."""

    status: Literal["success"] = "success"
    message: str


class AlertTypePrompts(BaseModel):
    """`prompts` of an entry of the file."""

    user: Annotated[str, StringConstraints(min_length=1)]
    system: str | None = None
    enrichment: str | None = None


def _plain_word(value: object) -> object:
    return value.strip().lower() if isinstance(value, str) else value


class AlertTypeEntry(BaseModel):
    """An entry of the file. VSS has more keys than these; they are read elsewhere or not at all."""

    alert_type: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    prompts: AlertTypePrompts
    output_category: str | None = None
    output_verdict_description: dict[str, str] | None = None
    segment_anchor: Annotated[Anchor, BeforeValidator(_plain_word)] | None = None
    vlm_params: VlmParams | None = None
    answer: AnswerBody | None = None


class AlertTypeFile(BaseModel):
    """`alert_type_config.json` of VSS."""

    alerts: list[AlertTypeEntry]


def read_request(request: AlertConfigRequest) -> AlertConfig:
    """Read a new alert type."""
    return AlertConfig(
        alert_type=request.alert_type,
        prompt=request.prompt,
        system_prompt=request.system_prompt or "",
        enrichment_prompt=request.enrichment_prompt or "",
        vlm_params=_params(request.vlm_params),
        output_category=request.output_category or "",
        rules=_rules(request.answer),
    )


def read_entry(entry: AlertTypeEntry) -> AlertConfig:
    """Read an alert type of the file."""
    return AlertConfig(
        alert_type=entry.alert_type,
        prompt=entry.prompts.user,
        system_prompt=entry.prompts.system or "",
        enrichment_prompt=entry.prompts.enrichment or "",
        vlm_params=_params(entry.vlm_params),
        output_category=entry.output_category or "",
        rules=_rules(entry.answer),
        segment_anchor=entry.segment_anchor,
    )


def apply_update(config: AlertConfig, update: AlertConfigUpdateRequest) -> AlertConfig:
    """Change what the update names. An empty `prompt` stays too: there is no asking without one."""
    texts = update.model_dump(exclude={"vlm_params", "answer"}, exclude_none=True)
    changed = replace(config, **{**texts, "prompt": texts.get("prompt") or config.prompt})
    changed = replace(changed, rules=_rules(update.answer) or config.rules)
    if update.vlm_params is None:
        return changed
    merged = {**config.vlm_params, **update.vlm_params.model_dump(exclude_unset=True)}
    kept = {name: value for name, value in merged.items() if value is not None}
    return replace(changed, vlm_params=MappingProxyType(kept))


def write_response(config: AlertConfig) -> AlertConfigResponse:
    """Show an alert type."""
    return AlertConfigResponse(
        alert_type=config.alert_type,
        prompt=config.prompt,
        system_prompt=config.system_prompt,
        enrichment_prompt=config.enrichment_prompt,
        vlm_params=dict(config.vlm_params),
        output_category=config.output_category,
        answer=None if config.rules is None else write_answer(config.rules),
        created_at=_iso(config.created_at),
        updated_at=_iso(config.updated_at),
    )


def write_list(configs: Sequence[AlertConfig]) -> AlertConfigListResponse:
    """Show all alert types."""
    return AlertConfigListResponse(
        configs=[write_response(config) for config in configs], count=len(configs)
    )


def _params(params: VlmParams | None) -> Mapping[str, Any]:
    return MappingProxyType({} if params is None else params.model_dump(exclude_none=True))


def _rules(answer: AnswerBody | None) -> AnswerRules | None:
    return None if answer is None else read_answer(answer)


def _iso(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()
