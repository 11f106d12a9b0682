"""Asking again about a decided event, on the wire."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sidecar.contract.config import OptionalPromptText, PromptText
from sidecar.contract.enrich import document_of
from sidecar.model import Verdict, VerdictRecord


class PromptBody(BaseModel):
    """Texts to ask with; placeholders are filled in. A `system` of null keeps the alert type's."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    user: PromptText
    system: OptionalPromptText | None = None


class TryRequest(BaseModel):
    """Body of `POST /api/v1/verdicts/{id}/try`.

    `arm`: null is the one that the policy asks first. `prompt`: null is that of the alert type.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arm: str | None = Field(default=None, min_length=1, max_length=64)
    prompt: PromptBody | None = None


class TriedPrompt(BaseModel):
    """What was asked, filled in. `version` is 0 for one that is only tried."""

    alertType: str
    version: int
    user: str
    system: str


class TryResponse(BaseModel):
    """What came of asking again. It is not kept and not published.

    `verdict`, `reason` and `detail` are as in a verdict, a failure included; `published` is the
    verdict that counts, and `agrees` whether this one says the same. `event` is what would be
    published.
    """

    status: Literal["success"] = "success"
    verdict: str
    reason: str
    detail: str
    published: str
    agrees: bool
    arm: str
    model: str
    adapter: str
    confidence: float | None
    reasoning: str
    description: str
    latencyMs: int
    framesAsked: int | None
    framesSeen: int | None
    prompt: TriedPrompt | None
    event: dict[str, Any]


def write_trial(verdict: Verdict, record: VerdictRecord) -> TryResponse:
    """Build the public form of what came of asking again.

    Args:
        verdict: what came of it.
        record: what was published.
    """
    document = dict(document_of(verdict))
    info, finding, prompt = document["info"], verdict.finding, verdict.prompt
    return TryResponse(
        verdict=verdict.outcome.value,
        reason=info.get("sidecarReason", ""),
        detail=info.get("sidecarDetail", "") or info.get("verificationResponseStatus", ""),
        published=record.outcome.value,
        agrees=verdict.outcome is record.outcome,
        arm=verdict.arm,
        model=verdict.model,
        adapter=verdict.adapter,
        confidence=finding.confidence if finding else None,
        reasoning=(finding.reasoning or "") if finding else "",
        description=(finding.description or "") if finding else "",
        latencyMs=verdict.latency_ms,
        framesAsked=verdict.frames_asked,
        framesSeen=verdict.frames_seen,
        prompt=TriedPrompt(
            alertType=prompt.alert_type,
            version=prompt.version,
            user=prompt.user,
            system=prompt.system,
        )
        if prompt
        else None,
        event=document,
    )
