"""Deliveries that were given up, on the wire."""

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel

from sidecar.contract.verdict import stamp
from sidecar.model import OutboxEntry


class DeadLetterResponse(BaseModel):
    """A verdict that a sink did not take. `error`: what was last wrong."""

    id: int
    sink: str
    verdictKey: str
    eventId: str
    sensorId: str
    category: str
    verdict: str
    attempts: int
    error: str
    decidedAt: str


class DeadLetterListResponse(BaseModel):
    """One page, oldest first; pass `nextCursor` as `cursor` for the next page."""

    status: Literal["success"] = "success"
    deadLetters: list[DeadLetterResponse]
    count: int
    nextCursor: str | None = None


class LetterReplayResponse(BaseModel):
    """How many deliveries are to be made again."""

    status: Literal["success"] = "success"
    scheduled: int


def write_dead_letters(entries: Sequence[OutboxEntry], limit: int) -> DeadLetterListResponse:
    """Build one page of at most `limit`."""
    return DeadLetterListResponse(
        deadLetters=[_shown(entry) for entry in entries],
        count=len(entries),
        nextCursor=str(entries[-1].id) if len(entries) == limit else None,
    )


def _shown(entry: OutboxEntry) -> DeadLetterResponse:
    record = entry.record
    return DeadLetterResponse(
        id=entry.id,
        sink=entry.sink,
        verdictKey=record.key,
        eventId=record.id,
        sensorId=record.sensor_id,
        category=record.category,
        verdict=record.outcome.value,
        attempts=entry.attempts,
        error=entry.last_error,
        decidedAt=stamp(record.decided_at),
    )
