"""What `GET /api/v1/ab/summary` answers: what is known about arms that saw the same events.

Every estimate comes with a 95 % interval and the number of observations behind it; null means that
there is nothing to estimate it from.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Number(BaseModel):
    """An estimate with its 95 % interval."""

    model_config = ConfigDict(from_attributes=True, frozen=True)

    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int = 0


class Percentiles(BaseModel):
    """Milliseconds from question to verdict."""

    p50: Number = Number()
    p95: Number = Number()
    p99: Number = Number()


class ArmSummary(BaseModel):
    """One arm by itself.

    Rates of failure are shares of the events that it was asked about; `unparsable`, of those that
    its model answered. Against labels: `accuracy` counts a failure as wrong; `sensitivity`,
    `specificity`, `precision` and `balancedAccuracy` are about its verdicts.
    """

    name: str
    models: list[str] = []
    adapters: list[str] = []
    asked: int = 0
    verdicts: int = 0
    confirms: Number = Number()
    failed: Number = Number()
    unparsable: Number = Number()
    failures: dict[str, int] = {}
    labelled: int = 0
    accuracy: Number = Number()
    sensitivity: Number = Number()
    specificity: Number = Number()
    precision: Number = Number()
    balancedAccuracy: Number = Number()
    rocArea: Number = Number()
    latencyMs: Percentiles = Percentiles()
    promptTokens: float | None = Field(default=None, description="Mean per answer.")
    completionTokens: float | None = Field(default=None, description="Mean per answer.")
    busySeconds: float = Field(
        default=0.0, description="How long at least one question was on its way to the arm."
    )
    busySecondsPerVerdict: float | None = None


class Slice(BaseModel):
    """A pair of arms over the events of one sensor or of one alert type.

    `pValue` is McNemar's: of equal accuracy where there are labels, of confirming equally often
    where there are none; `correctedP` is Holm's correction over all slices of the list.
    """

    name: str
    compared: int
    agreement: Number = Number()
    labelled: int = 0
    accuracyDifference: Number = Number()
    confirmsDifference: Number = Number()
    pValue: float | None = None
    correctedP: float | None = None
    isDifferent: bool = False


class Span(BaseModel):
    """A rate in a span of time that begins at `start`."""

    start: datetime
    rate: Number


class DriftSummary(BaseModel):
    """A rate over time, and whether it changed (CUSUM test, Holm's correction over the rates)."""

    name: str
    pValue: float | None = None
    isAlarm: bool = False
    changedAt: datetime | None = None
    before: Number = Number()
    after: Number = Number()
    spans: list[Span] = []


class CheckSummary(BaseModel):
    """A condition of the promotion gate."""

    name: str
    passed: bool
    breached: bool
    words: str


class GateSummary(BaseModel):
    """What the promotion gate would do with this evidence if it looked now for the first time."""

    action: Literal["wait", "recommend"]
    words: str
    checks: list[CheckSummary]


class PairSummary(BaseModel):
    """A candidate beside the reference, over the events that both were asked about.

    Differences are candidate minus reference. `matrix` has a row for each outcome of the reference
    and a column for each of the candidate, in the order of `outcomes`.
    """

    reference: str
    candidate: str
    compared: int = 0
    outcomes: list[str] = ["confirmed", "rejected", "failed"]
    matrix: list[list[int]] = []
    agreement: Number = Number()
    kappa: Number = Number()
    confirmsDifference: Number = Number()
    confirmsP: float | None = None
    labelled: int = 0
    labelledDisagreements: int = 0
    labelsAreSelected: bool = Field(
        default=False,
        description="Whether disagreements were labelled so much more often than agreements that "
        "rates of single arms against the labels mislead.",
    )
    onlyReferenceRight: int = 0
    onlyCandidateRight: int = 0
    accuracyDifference: Number = Number()
    mcnemarP: float | None = None
    detectableDifference: float | None = Field(
        default=None, description="What so many labels show four times of five, at 5 %."
    )
    labelsNeeded: int = Field(
        default=0, description="To show non-inferiority within the gate's margin, if equal."
    )
    unparsableDifference: Number = Number()
    medianLatencyDifferenceMs: Number = Number()
    p95LatencyDifferenceMs: Number = Number()
    p95LatencyRatio: Number = Number()
    byAlertType: list[Slice] = []
    bySensor: list[Slice] = []
    slicesLeftOut: int = 0
    drift: list[DriftSummary] = []
    gate: GateSummary | None = None
    conclusion: list[str] = []


class Summary(BaseModel):
    """The answer. `from` and `to` bound the events' timestamps; "" where the request did not."""

    model_config = ConfigDict(populate_by_name=True)

    status: Literal["success"] = "success"
    start: str = Field(default="", alias="from")
    end: str = Field(default="", alias="to")
    sensor: str = ""
    alertType: str = ""
    events: int = 0
    labelled: int = 0
    firstEvent: datetime | None = None
    lastEvent: datetime | None = None
    arms: list[ArmSummary] = []
    pairs: list[PairSummary] = []
