"""Events that were not looked at, once more, on the wire."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from sidecar.contract.event import Timestamp

ShedReason = Literal["overloaded", "deadline_expired"]


class ReplayRequest(BaseModel):
    """Body of `POST /api/v1/verdicts/replay`: which ones; without any field, all.

    Times compare with the event's `timestamp`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    sensorId: str = Field(default="", max_length=256)
    category: str = Field(default="", max_length=256)
    since: Timestamp | None = Field(default=None, alias="from")
    until: Timestamp | None = Field(default=None, alias="to")
    reasons: tuple[ShedReason, ...] = Field(
        default=("overloaded", "deadline_expired"), min_length=1
    )
    limit: int = Field(default=1000, ge=1, le=10_000)


class ReplayResponse(BaseModel):
    """What became of them.

    `accepted`: they will be decided again; `known`: they were replayed before; `lost`: their
    document does not hold the event; `refused`: why there may be more, "" when all were seen.
    """

    status: Literal["success"] = "success"
    accepted: int
    known: int
    lost: int
    refused: str = ""
