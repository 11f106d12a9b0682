"""What several arms said about the same event, and what a person said about it. All frozen."""

from dataclasses import dataclass
from datetime import datetime

from sidecar.model import ArmAnswer, Role

__all__ = ["ArmAnswer", "ComparedEvent", "Label", "Role"]


@dataclass(frozen=True, slots=True)
class Label:
    """What a person says about an event.

    Attributes:
        truth: whether what was alerted on happened; None when it cannot be told.
        labeller: who says so.
        withdrawn_by: who took it back; "" when it was not.
        withdrawn_at: when.
    """

    key: str
    truth: bool | None
    labeller: str
    labelled_at: datetime
    note: str = ""
    withdrawn_by: str = ""
    withdrawn_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ComparedEvent:
    """An event with everything that was said about it.

    Attributes:
        id: that the submitter knows.
        answers: the latest of each arm, in the order in which they were asked.
        label: the latest that was not taken back; None when there is none.
        position: in the store, by which pages of events are told apart; 0 outside of it.
    """

    key: str
    id: str
    sensor_id: str
    category: str
    timestamp: datetime
    answers: tuple[ArmAnswer, ...]
    label: Label | None = None
    position: int = 0

    def answer_of(self, arm: str) -> ArmAnswer | None:
        """Return what an arm said; None when it was not asked."""
        return next((it for it in self.answers if it.arm == arm), None)


@dataclass(frozen=True, slots=True)
class ComparedFilter:
    """Which events to list; "", () and None mean any. Times compare with the event's timestamp.

    Attributes:
        since, until: both inclusive.
        arms: all of these must have answered.
        labelled: whether somebody has labelled it.
        disputed: only those that arms gave different verdicts on, and that nobody labelled.
    """

    sensor_id: str = ""
    category: str = ""
    since: datetime | None = None
    until: datetime | None = None
    arms: tuple[str, ...] = ()
    labelled: bool | None = None
    disputed: bool = False
