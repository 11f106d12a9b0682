"""What comes of trying a prompt on the latest events of its type: one JSON object a line."""

from typing import Literal

from pydantic import BaseModel


class SaidLine(BaseModel):
    """What the version in force says, as it was `published` or `asked` for now."""

    verdict: str
    reason: str
    source: Literal["published", "asked"]


class TriedLine(BaseModel):
    """What the prompt that is tried says."""

    verdict: str
    reason: str
    confidence: float | None
    latencyMs: int


class ClipLine(BaseModel):
    """One event. `agrees` and the rest are null where there is no verdict, or no label."""

    kind: Literal["clip"] = "clip"
    done: int
    of: int
    id: str
    verdictKey: str
    sensorId: str
    timestamp: str
    arm: str
    current: SaidLine
    tried: TriedLine
    agrees: bool | None
    label: bool | None
    currentRight: bool | None
    triedRight: bool | None


class SkippedLine(BaseModel):
    """An event that could not be asked about again."""

    kind: Literal["skipped"] = "skipped"
    done: int
    of: int
    id: str
    verdictKey: str
    reason: str


class SummaryLine(BaseModel):
    """The last line. `version`: the one in force, which was compared with.

    `compared`: events on which both gave a verdict, `agreed` of these the same. `labelled`: events
    with a label on which both gave a verdict.
    """

    kind: Literal["summary"] = "summary"
    version: int
    of: int
    tried: int = 0
    skipped: int = 0
    compared: int = 0
    agreed: int = 0
    labelled: int = 0
    currentRight: int = 0
    triedRight: int = 0

    def count(self, line: ClipLine | SkippedLine) -> None:
        """Add what came of one event."""
        if isinstance(line, SkippedLine):
            self.skipped += 1
            return
        self.tried += 1
        self.compared += line.agrees is not None
        self.agreed += line.agrees is True
        if line.currentRight is not None and line.triedRight is not None:
            self.labelled += 1
            self.currentRight += line.currentRight
            self.triedRight += line.triedRight
