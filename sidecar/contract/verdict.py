"""Answers of the HTTP door that VSS has (submission, errors, health) and that are ours (verdicts).

Limits are those of the Alert Bridge's openapi.json (services/alert, 3.2/3.3 line).
"""

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from sidecar.errors import Issue, RequestError
from sidecar.model import StoredEvent, VerdictRecord


class SubmissionResponse(BaseModel):
    """202: the event is durable and will be verified."""

    status: str = Field(default="accepted", max_length=32)
    id: str = Field(max_length=256)
    message: str = Field(max_length=2000)
    timestamp: str = Field(max_length=64)


class OnDemandResponse(BaseModel):
    """202: the verdict will be found under `correlationId`."""

    status: Literal["accepted"] = "accepted"
    correlationId: str
    message: str = "Verification request accepted for processing"
    timestamp: str


class ErrorResponse(BaseModel):
    """Every refusal. `error` is a reason of the error table."""

    status: str = Field(default="error", max_length=32)
    error: str = Field(max_length=64)
    message: str = Field(max_length=2000)
    details: list[dict[str, Any]] | None = None
    timestamp: str = Field(max_length=64)


class HealthResponse(BaseModel):
    """Health of the submission routes."""

    status: str
    service: str = "alert-submission"
    timestamp: str
    components: dict[str, str] = {}
    error: str | None = None


class ReadinessResponse(BaseModel):
    """Whether the service lives (`/health`) or can work (`/ready`), and what stops it."""

    status: Literal["ok", "not_ready"]
    message: str
    components: dict[str, str] = {}


class VerdictResponse(BaseModel):
    """A verdict, or the event that waits for one."""

    status: Literal["decided", "pending"]
    id: str
    Id: str = ""
    verdictKey: str
    kind: Literal["incident", "alert"]
    sensorId: str = ""
    category: str = ""
    verdict: str | None = None
    reason: str = ""
    arm: str = ""
    timestamp: str = ""
    decidedAt: str | None = None
    event: dict[str, Any]


class VerdictListResponse(BaseModel):
    """One page of verdicts, newest first; pass `nextCursor` as `cursor` for the next page."""

    status: Literal["success"] = "success"
    verdicts: list[VerdictResponse]
    count: int
    nextCursor: str | None = None


def stamp(moment: datetime) -> str:
    """Write a time as VSS's responses do: ISO 8601 with `Z`."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def error_response(
    reason: str, message: str, now: datetime, issues: tuple[Issue, ...] = ()
) -> dict[str, Any]:
    """Build the body of a refusal."""
    body: dict[str, Any] = {
        "status": "error",
        "error": reason,
        "message": message[:2000],
        "timestamp": stamp(now),
    }
    if issues:
        body["details"] = [
            {"field": issue.field, "type": issue.type, "message": issue.message} for issue in issues
        ]
    return body


def refusal_message(error: RequestError, issues: tuple[Issue, ...]) -> str:
    """Word a refusal as VSS does for wrong fields, else as the error says."""
    if not issues:
        return error.detail
    return (
        f"Request validation failed with {len(issues)} error(s). "
        "Please check the request format and required fields."
    )


def verdict_response(found: VerdictRecord | StoredEvent) -> dict[str, Any]:
    """Build the public form of a verdict or of a waiting event (shape: VerdictResponse)."""
    if isinstance(found, StoredEvent):
        return {
            "status": "pending",
            "id": str(found.raw.get("id") or found.key),
            "verdictKey": found.key,
            "kind": found.kind.value,
            "event": dict(found.raw),
        }
    return {
        "status": "decided",
        "id": found.id,
        "Id": found.fingerprint,
        "verdictKey": found.key,
        "kind": found.kind.value,
        "sensorId": found.sensor_id,
        "category": found.category,
        "verdict": found.outcome.value,
        "reason": found.reason,
        "arm": found.arm,
        "timestamp": stamp(found.timestamp),
        "decidedAt": stamp(found.decided_at),
        "event": dict(found.document),
    }
