"""Prompts of alert types and their versions, on the wire, as operators edit them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from sidecar.contract.answers import write_answer
from sidecar.contract.config import OptionalPromptText, PromptText
from sidecar.contract.trial import PromptBody
from sidecar.contract.verdict import stamp
from sidecar.model import AlertConfig

MOST_TRIED: Final = 50


class PublishRequest(BaseModel):
    """Body of `PUT /api/v1/prompts/{alertType}`: what is absent or null stays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: PromptText
    system: OptionalPromptText | None = None
    enrichment: OptionalPromptText | None = None


class RollbackRequest(BaseModel):
    """Body of `POST /api/v1/prompts/{alertType}/rollback`: the version to put in force again."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1, le=2**31)


class TryPromptRequest(BaseModel):
    """Body of `POST /api/v1/prompts/{alertType}/try`.

    `last`: how many of the latest verdicts of this type to ask about again. `arm`: null is, for
    each event, the one whose verdict was published.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: PromptBody
    last: int = Field(default=10, ge=1, le=MOST_TRIED)
    arm: str | None = Field(default=None, min_length=1, max_length=64)


class PromptResponse(BaseModel):
    """One version of an alert type. The header `ETag` is its version."""

    status: Literal["success"] = "success"
    alertType: str
    version: int
    user: str
    system: str
    enrichment: str
    vlmParams: dict[str, Any]
    outputCategory: str
    answer: dict[str, Any] | None
    createdAt: str | None
    updatedAt: str | None


class PromptListResponse(BaseModel):
    """The alert types in force, by name."""

    status: Literal["success"] = "success"
    prompts: list[PromptResponse]
    count: int


class PromptVersionsResponse(BaseModel):
    """Every version of an alert type, newest first; `current` is null when it was deleted."""

    status: Literal["success"] = "success"
    alertType: str
    current: int | None
    versions: list[PromptResponse]


def apply_publication(config: AlertConfig, request: PublishRequest) -> AlertConfig:
    """Return an alert type with the texts of a request."""
    system, enrichment = request.system, request.enrichment
    return replace(
        config,
        prompt=request.user,
        system_prompt=config.system_prompt if system is None else system,
        enrichment_prompt=config.enrichment_prompt if enrichment is None else enrichment,
    )


def write_prompt(config: AlertConfig) -> PromptResponse:
    """Build the public form of a version."""
    created, updated = config.created_at, config.updated_at
    return PromptResponse(
        alertType=config.alert_type,
        version=config.version,
        user=config.prompt,
        system=config.system_prompt,
        enrichment=config.enrichment_prompt,
        vlmParams=dict(config.vlm_params),
        outputCategory=config.output_category,
        answer=None if config.rules is None else write_answer(config.rules),
        createdAt=None if created is None else stamp(created),
        updatedAt=None if updated is None else stamp(updated),
    )


def write_prompts(configs: Sequence[AlertConfig]) -> PromptListResponse:
    """Build the list of alert types."""
    return PromptListResponse(prompts=[write_prompt(it) for it in configs], count=len(configs))


def write_versions(
    versions: Sequence[AlertConfig], current: AlertConfig | None
) -> PromptVersionsResponse:
    """Build the list of at least one version.

    Args:
        versions: newest first.
        current: the one in force, if the alert type was not deleted.
    """
    return PromptVersionsResponse(
        alertType=versions[0].alert_type,
        current=None if current is None else current.version,
        versions=[write_prompt(it) for it in versions],
    )
