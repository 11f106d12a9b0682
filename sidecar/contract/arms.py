"""Arms on the wire: what is in force, what shall be, and what was."""

from collections.abc import Sequence
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sidecar.contract.verdict import stamp
from sidecar.policy import ArmChoice, Policy, write_policy


class ArmChoiceRequest(BaseModel):
    """Body of `PUT /api/v1/arms`: one of `primary`, `policy` and `restore`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    primary: str | None = Field(default=None, min_length=1, max_length=64)
    """The arm that answers everything."""
    policy: Policy | None = None
    restore: int | None = Field(default=None, ge=1)
    """Version whose policy to put in force again."""
    reason: str = Field(default="", max_length=1000)
    """Why, for the audit trail; wins over the header `X-Sidecar-Reason`."""
    version: int | None = Field(default=None, ge=0)
    """The version that was seen in force; the choice is refused when it is another one by now."""
    force: bool = False
    """Take the choice although servers that would answer are away."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(it is not None for it in (self.primary, self.policy, self.restore)) != 1:
            raise ValueError("give exactly one of `primary`, `policy` and `restore`")
        return self


class EndpointResponse(BaseModel):
    """One server of an arm. `leftOut`: it gets no requests because it fails.

    `inFlight`: requests that it is answering, up to `limit`, which follows what it turns into
    throughput; `waiting`: further ones, in line here.
    """

    url: str
    inFlight: int
    waiting: int
    limit: int
    leftOut: bool
    problem: str


class ArmResponse(BaseModel):
    """One arm. `typicalSeconds` is what nearly every completion stays below; null before the first.

    `answers`: its verdicts may be published; `lead`: it answers when nothing is known of an event.
    """

    name: str
    adapter: str
    model: str
    problem: str
    answers: bool
    lead: bool
    shadow: bool
    typicalSeconds: float | None = None
    endpoints: list[EndpointResponse]


class ArmChoiceResponse(BaseModel):
    """A choice of arms. `primary` is null where a policy says more than one arm's name."""

    version: int
    primary: str | None
    policy: dict[str, Any]
    actor: str
    reason: str
    chosenAt: str


class ArmsResponse(ArmChoiceResponse):
    """What is in force, and the arms."""

    status: Literal["success"] = "success"
    arms: list[ArmResponse]


class ArmHistoryResponse(BaseModel):
    """One page of choices, newest first; pass `nextCursor` as `cursor` for the next page."""

    status: Literal["success"] = "success"
    choices: list[ArmChoiceResponse]
    count: int
    nextCursor: str | None = None


class PlanResponse(BaseModel):
    """Who is asked about an event, and why.

    `mode`: `one`, `cascade` or `vote`. `unsure` and `secondOpinionOn` belong to a cascade, `umpire`
    to a vote. `shadow` is asked afterwards; "" when no arm is.
    """

    status: Literal["success"] = "success"
    version: int
    rule: str
    why: str
    mode: str
    arms: list[str]
    fallback: list[str]
    unsure: list[float] | None = None
    secondOpinionOn: list[str] = []
    umpire: str = ""
    shadow: str = ""
    facts: dict[str, Any]


def write_choice(choice: ArmChoice) -> dict[str, Any]:
    """Build the public form of a choice (shape: ArmChoiceResponse)."""
    return {
        "version": choice.version,
        "primary": choice.policy.sole,
        "policy": write_policy(choice.policy),
        "actor": choice.actor,
        "reason": choice.reason,
        "chosenAt": stamp(choice.chosen_at),
    }


def write_history(choices: Sequence[ArmChoice], limit: int) -> dict[str, Any]:
    """Build one page of at most `limit` choices (shape: ArmHistoryResponse)."""
    following = str(choices[-1].version) if len(choices) == limit else None
    shown = [write_choice(choice) for choice in choices]
    return {
        "status": "success",
        "choices": shown,
        "count": len(shown),
        "nextCursor": following,
    }
