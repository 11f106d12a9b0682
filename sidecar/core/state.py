"""How the service does at the moment, for operators."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Protocol

from sidecar.core.arms import Arms, ArmState
from sidecar.core.service import Service
from sidecar.core.tally import Percentiles, Tally
from sidecar.model import Health, OutboxLevels

MOST_LINES: Final = 10
PATIENCE_S: Final = 2.0
"""How long a part is waited for that says nothing: the rest is to be seen all the same."""
FINDINGS_S: Final = 60.0
"""How long what was found in the settings is believed: looking asks servers."""


class SettingFinding(Protocol):
    """What is wrong with a setting, or worth a thought; `sidecar check` prints the same."""

    @property
    def severity(self) -> str:
        """`error`, `warning` or `note`."""

    @property
    def setting(self) -> str:
        """Its dotted name."""

    @property
    def text(self) -> str:
        """A sentence."""


@dataclass(frozen=True, slots=True)
class DensityRun:
    """What the last run of `sidecar density` found.

    Attributes:
        streams: the most that kept the promise; None when that was not looked for.
        planning: 85 % of it.
        failed_at: the fewest that broke it, by what is in `binding`.
        offered, passed, p95_s: of its last load.
        problem: why nothing is known; "" when something is.
    """

    scenario: str = ""
    at: datetime | None = None
    target: str = ""
    streams: int | None = None
    planning: int | None = None
    failed_at: int | None = None
    binding: tuple[str, ...] = ()
    offered: int | None = None
    passed: bool | None = None
    p95_s: float | None = None
    problem: str = ""


ReadsDensity = Callable[[], Awaitable[DensityRun | None]]
FindsProblems = Callable[[], Awaitable[Sequence[SettingFinding]]]


class Lines(Protocol):
    """Events that wait for a place here."""

    @property
    def queued(self) -> int:
        """How many there are."""

    def longest_lines(self, most: int) -> Sequence[tuple[str, int]]:
        """Return the sensors with the most of them, and how many each has."""


@dataclass(frozen=True, slots=True)
class ServiceState:
    """The service at the moment.

    Attributes:
        undecided: accepted events without a verdict, of all replicas.
        queued: of these, how many stand in line here; `lines` are the longest, by sensor.
        in_flight: how many are worked on here, of so many `places`.
        outcomes, reasons: verdicts of this process since its start.
        latencies: of arms, by name.
        findings: None when nobody can tell.
        density: of the last run; None when none is known.
    """

    now: datetime
    started_at: datetime
    uptime_s: float
    health: Sequence[Health]
    undecided: int
    queued: int
    lines: Sequence[tuple[str, int]]
    in_flight: int
    places: int
    outcomes: Mapping[str, int]
    reasons: Mapping[str, int]
    arms: Sequence[ArmState]
    latencies: Mapping[str, Percentiles]
    outbox: OutboxLevels
    findings: Sequence[SettingFinding] | None
    density: DensityRun | None = None


@dataclass(slots=True)
class Reporter:
    """Looks at everything. For one event loop.

    Attributes:
        lines: what waits for a place.
        find_problems: looks at the settings; None when nobody does.
        read_density: reads the last density run; None when no report is named.
    """

    service: Service
    arms: Arms
    tally: Tally
    lines: Lines
    find_problems: FindsProblems | None = None
    read_density: ReadsDensity | None = None
    _started_at: datetime = field(init=False)
    _begun: float = field(init=False)
    _findings: Sequence[SettingFinding] | None = None
    _found_at: float = 0.0
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        self._started_at = self.service.clock.now()
        self._begun = self.service.clock.monotonic()

    async def look(self) -> ServiceState:
        """Look at everything.

        Raises:
            StoreUnavailable: the ledger cannot be read.
        """
        service, lines, clock = self.service, self.lines, self.service.clock
        health, arms, undecided, outbox, findings = await asyncio.gather(
            service.health(within_s=PATIENCE_S),
            self.arms.states(within_s=PATIENCE_S),
            service.ledger.backlog(),
            service.ledger.outbox_levels(),
            self._look_at_settings(),
        )
        return ServiceState(
            now=clock.now(),
            started_at=self._started_at,
            uptime_s=clock.monotonic() - self._begun,
            health=health,
            undecided=undecided,
            queued=lines.queued,
            lines=lines.longest_lines(MOST_LINES),
            in_flight=service.slots.taken,
            places=service.slots.total,
            outcomes=self.tally.outcomes,
            reasons=self.tally.reasons,
            arms=arms,
            latencies={arm.name: self.tally.latency_of(arm.name) for arm in arms},
            outbox=outbox,
            findings=findings,
            density=await self.read_density() if self.read_density else None,
        )

    async def _look_at_settings(self) -> Sequence[SettingFinding] | None:
        if self.find_problems is None:
            return None
        async with self._looking:
            now = self.service.clock.monotonic()
            if self._findings is None or now > self._found_at + FINDINGS_S:
                self._findings = await self.find_problems()
                self._found_at = now
        return self._findings
