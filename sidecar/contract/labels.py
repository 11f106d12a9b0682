"""Labels on the wire, and what arms said about labelled events."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from sidecar.compared import ComparedEvent, Label
from sidecar.contract.compared import ComparedLine, LabelLine, read_truth
from sidecar.errors import InvalidRequest, Issue

MOST_ISSUES: Final = 50
_UNNAMED: Final = "import"


class LabelRequest(BaseModel):
    """Body of `PUT /api/v1/verdicts/{id}/label`.

    `truth`: whether what was alerted on happened; null when it cannot be told.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    truth: bool | None
    note: str = Field(default="", max_length=2000)


class AnswersResponse(ComparedLine):
    """An event, what every arm said about it, and every label, oldest first.

    The last label counts that was not taken back.
    """

    status: Literal["success"] = "success"
    labels: list[LabelLine]


class ComparedListResponse(BaseModel):
    """One page, the latest stored first; pass `nextCursor` as `cursor` for the next page."""

    status: Literal["success"] = "success"
    events: list[ComparedLine]
    count: int
    nextCursor: str | None = None


class DisputesResponse(ComparedListResponse):
    """One page of events that arms gave different verdicts on and that nobody labelled.

    `remaining`: how many there are in all, whatever was asked for.
    """

    remaining: int


class LabelsResponse(BaseModel):
    """What became of a file of labels. `unknown` are identities without a verdict."""

    status: Literal["success"] = "success"
    labelled: int
    unknown: list[str]


def read_labels(text: bytes, labeller: str, now: datetime) -> list[tuple[str, Label]]:
    """Read JSON lines, each with the identity of its event; empty ones are skipped.

    Args:
        text: the lines; each has `id` or `key`, and `truth`.
        labeller: says what a line says that names nobody.
        now: when, for lines that do not tell.

    Raises:
        InvalidRequest: names each line that is wrong, up to 50; then nothing was taken.
    """
    labels: list[tuple[str, Label]] = []
    issues: list[Issue] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            identity, label = read_truth(line, f"line {number}", now)
        except InvalidRequest as error:
            issues += error.issues
        else:
            said_by = labeller if label.labeller == _UNNAMED else label.labeller
            labels.append((identity, replace(label, labeller=said_by)))
    if issues:
        raise InvalidRequest(tuple(issues[:MOST_ISSUES]))
    return labels


def write_answers(event: ComparedEvent, labels: Sequence[Label]) -> dict[str, Any]:
    """Build the public form of an event with all its labels (shape: AnswersResponse)."""
    return {
        "status": "success",
        **write_compared(event),
        "labels": [
            LabelLine.model_validate(label).model_dump(mode="json", by_alias=True)
            for label in labels
        ],
    }


def write_compared(event: ComparedEvent) -> dict[str, Any]:
    """Build the public form of an event (shape: ComparedLine)."""
    return ComparedLine.model_validate(event).model_dump(mode="json", by_alias=True)


def write_page(events: Sequence[ComparedEvent], limit: int) -> dict[str, Any]:
    """Build one page of at most `limit` events (shape: ComparedListResponse)."""
    following = str(events[-1].position) if len(events) == limit else None
    shown = [write_compared(event) for event in events]
    return {"status": "success", "events": shown, "count": len(shown), "nextCursor": following}
