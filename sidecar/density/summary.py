"""The numbers of a density run, as its JSON holds them."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from sidecar.density.scenario import Scenario


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, ser_json_inf_nan="null")


class Latency(_Fact):
    """Seconds from the scheduled time to the verdict. None: so many events have no verdict."""

    mean: float | None
    p50: float | None
    p90: float | None
    p95: float | None
    p99: float | None
    longest: float | None


class Check(_Fact):
    """One condition of a pass.

    Attributes:
        name: which.
        passed: None when it was not looked at.
        detail: what was found, in a sentence.
    """

    name: str
    passed: bool | None
    detail: str


class Accounting(_Fact):
    """What became of all events that were offered, those outside the measured window too."""

    offered: int
    verified: int
    failed: dict[str, int]
    shed: dict[str, int]
    missing: int
    duplicates: int
    strangers: int


class Fairness(_Fact):
    """How evenly sensors were served. Shares are those of a sensor's events within the promise."""

    jain: float | None
    lowest_share: float | None
    highest_share: float | None
    starved: list[str]


class Run(_Fact):
    """One run: so many streams, one seed.

    Attributes:
        streams: virtual sensors.
        seed: of their times.
        window: start and end of what is measured, seconds of the board.
        measured: events that were due within it and count for the promise.
        per_s_offered: their rate.
        per_s_verified: verdicts per second within it.
        latency: of the measured events.
        noisy_latency: of sensors that flood; None when none does.
        slope_per_s: of the number of events in the system.
        in_system_at_end: how many had not ended at the end of the window.
        sent_late_p99: how late the driver itself was; a driver that is late measures itself.
        added_p99: share of the strictest promise that this is.
        verdict_share: in agreement with the known answer; None when there is none.
        checks: conditions.
        passed: all of them.
        binding: names of those that failed.
        stopped_early: it could not pass any more.
        cpu_ms: of the watched process per verdict.
    """

    streams: int
    seed: int
    window: tuple[float, float]
    measured: int
    per_s_offered: float
    per_s_verified: float
    latency: Latency
    noisy_latency: Latency | None
    slope_per_s: float
    in_system_at_end: int
    sent_late_p99: float
    agreement: float | None
    accounting: Accounting
    fairness: Fairness
    checks: list[Check]
    passed: bool
    binding: list[str]
    stopped_early: bool
    cpu_ms: float | None = None


class Paired(_Fact):
    """By how much the events of one target took longer than the same events of another."""

    reference: str
    target: str
    median_s: float
    low_s: float
    high_s: float
    pairs: int


class Density(_Fact):
    """The result of a search, of one target.

    Attributes:
        target: what was asked.
        streams: the largest number that passed; 0 when none did, None when none was looked for.
        planning: 85 % of it.
        per_minute: events that this means.
        failed_at: the smallest number that failed; None when none did.
        binding: what failed there.
        confirmed: how many of the confirming seeds passed there.
        runs: all, in their order.
    """

    target: str
    streams: int | None
    planning: int | None
    per_minute: float | None
    failed_at: int | None
    binding: list[str]
    confirmed: int
    confirming: int
    runs: list[Run]


class Report(_Fact):
    """Everything that was found."""

    kind: Literal["density-report-1"] = "density-report-1"
    created: datetime
    version: str
    machine: str
    scenario: Scenario
    speed: float
    answers: Literal["known", "any"]
    found: list[Density]
    paired: list[Paired] = []
