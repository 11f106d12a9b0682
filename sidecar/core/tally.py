"""What this process has decided since its start, counted for operators. For one event loop."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from sidecar.core.verify import Look
from sidecar.errors import row_of

KEPT: Final = 512
"""Latest latencies of an arm that percentiles are taken of."""


@dataclass(frozen=True, slots=True)
class Percentiles:
    """Of the latest `count` times, in seconds; None without any."""

    count: int
    p50_s: float | None
    p95_s: float | None


class Tally:
    """Counts verdicts by outcome and reason, and remembers how long arms took."""

    def __init__(self) -> None:
        self._outcomes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._latencies: dict[str, deque[float]] = {}

    @property
    def outcomes(self) -> Mapping[str, int]:
        """How many verdicts there were, by their wire value."""
        return MappingProxyType(self._outcomes)

    @property
    def reasons(self) -> Mapping[str, int]:
        """How many verifications failed, by reason of the error table."""
        return MappingProxyType(self._reasons)

    def take(self, look: Look) -> None:
        """Count a committed verdict. Returns at once."""
        verdict = look.verdict
        self._outcomes[verdict.outcome.value] += 1
        if verdict.error is not None:
            self._reasons[row_of(verdict.error).reason] += 1
        for answer in verdict.heard:
            latest = self._latencies.setdefault(answer.arm, deque(maxlen=KEPT))
            latest.append(answer.latency_ms / 1000)

    def latency_of(self, arm: str) -> Percentiles:
        """Return how long an arm took for a finding, decoding included."""
        return percentiles_of(self._latencies.get(arm, ()))


def percentiles_of(times_s: Sequence[float] | deque[float]) -> Percentiles:
    """Return the percentiles of times, by nearest rank."""
    ordered = sorted(times_s)
    if not ordered:
        return Percentiles(0, None, None)
    last = len(ordered) - 1
    return Percentiles(len(ordered), ordered[round(0.5 * last)], ordered[round(0.95 * last)])
