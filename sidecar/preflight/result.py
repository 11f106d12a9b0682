"""What a preflight finds."""

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """One check.

    Attributes:
        name: what was looked at.
        text: what was found, and what to do when it is not well.
    """

    name: str
    status: Status
    text: str
