"""The promotion gate on the wire."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from sidecar.contract.verdict import stamp
from sidecar.policy import Promotion


class PromotionRequest(BaseModel):
    """Body of `PUT /api/v1/ab/gate`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    candidate: str = Field(min_length=1, max_length=64)
    """The arm to promote."""
    reference: str = Field(default="", max_length=64)
    """The arm whose events it shall answer; by default the leading one."""
    reason: str = Field(default="", max_length=1000)
    """Why, for the audit trail; wins over the header `X-Sidecar-Reason`."""
    version: int | None = Field(default=None, ge=0)
    """The choice that was seen in force; the promotion is refused when it is another one by now."""


class PromotionResponse(BaseModel):
    """Where a promotion stands.

    `stage`: `observing`, `canary`, `promoted` or `rolled-back`. `share`: of the reference's events
    that the candidate answers. `since`: answers before are no evidence; null: all that are kept
    are. `shareSince`: when it got its share; null while it has none. `words`: why it stands there.
    """

    candidate: str
    reference: str
    stage: str
    share: float
    since: str | None
    shareSince: str | None
    words: str


class GateCheckResponse(BaseModel):
    """A condition. `breached`: it was shown not to hold, which takes a candidate back."""

    name: str
    passed: bool
    breached: bool
    words: str


class GateLookResponse(BaseModel):
    """What a look at the evidence leads to: `wait`, `recommend`, `advance` or `roll-back`."""

    action: str
    stage: str
    share: float
    words: str
    checks: list[GateCheckResponse]
    labelled: int
    atShare: int
    lookedAt: str


class GateResponse(BaseModel):
    """The gate. `promotion` and `look` are null while no arm is being promoted."""

    status: Literal["success"] = "success"
    acts: bool
    version: int
    promotion: PromotionResponse | None = None
    look: GateLookResponse | None = None
    rules: dict[str, Any]


def write_promotion(promotion: Promotion) -> dict[str, Any]:
    """Build the public form of a promotion (shape: PromotionResponse)."""
    return {
        "candidate": promotion.candidate,
        "reference": promotion.reference,
        "stage": promotion.stage.value,
        "share": promotion.share,
        "since": None if promotion.since is None else stamp(promotion.since),
        "shareSince": None if promotion.share_since is None else stamp(promotion.share_since),
        "words": promotion.words,
    }


def write_rules(rules: Mapping[str, Any]) -> dict[str, Any]:
    """Build the public form of the gate's rules."""
    names = {
        "margin": "margin",
        "alpha": "alpha",
        "min_labelled": "minLabelled",
        "max_p95_ratio": "maxP95Ratio",
        "unparsable_allowance": "unparsableAllowance",
        "shares": "shares",
        "step_events": "stepEvents",
    }
    return {public: rules[name] for name, public in names.items()}
