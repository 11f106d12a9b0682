"""What several arms said about the same event, and what a person said about it. All frozen."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sidecar.model import Outcome


class Role(StrEnum):
    """Why an arm was asked about an event.

    PRIMARY: its answer was published. SHADOW: beside the published answer, off its path.
    FALLBACK: another arm could not answer. CASCADE: an earlier arm was unsure or disagreed with.
    VOTE: one of several that had to agree. REPLAY: offline, about a recorded event.
    """

    PRIMARY = "primary"
    SHADOW = "shadow"
    FALLBACK = "fallback"
    CASCADE = "cascade"
    VOTE = "vote"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class ArmAnswer:
    """What one arm made of one event.

    Attributes:
        key: verdict key of the event.
        arm: name of the arm; `model` the id that its server told.
        outcome: `confirmed`, `rejected`, or `verification-failed` with its `reason`, one of the
            error table.
        is_published: whether this is the answer that the event's verdict carries.
        confidence: probability of the verdict, 0..1; None when unknown.
        latency_ms: from being asked to the finding, decoding included.
        prompt_tokens, completion_tokens: as the server counted them; None when it does not tell.
        text: the answer in the model's own words, shortened.
    """

    key: str
    arm: str
    model: str
    adapter: str
    role: Role
    outcome: Outcome
    decided_at: datetime
    latency_ms: int
    reason: str = ""
    is_published: bool = False
    confidence: float | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    frames_asked: int | None = None
    frames_seen: int | None = None
    prompt_version: int = 0
    text: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """What a person says about an event.

    Attributes:
        truth: whether what was alerted on happened; None when it cannot be told.
        labeller: who says so.
    """

    key: str
    truth: bool | None
    labeller: str
    labelled_at: datetime
    note: str = ""


@dataclass(frozen=True, slots=True)
class ComparedEvent:
    """An event with everything that was said about it.

    Attributes:
        id: that the submitter knows.
        answers: the latest of each arm, in the order in which they were asked.
        label: the latest; None when nobody labelled it.
    """

    key: str
    id: str
    sensor_id: str
    category: str
    timestamp: datetime
    answers: tuple[ArmAnswer, ...]
    label: Label | None = None

    def answer_of(self, arm: str) -> ArmAnswer | None:
        """Return what an arm said; None when it was not asked."""
        return next((it for it in self.answers if it.arm == arm), None)
