"""What is known of an arm's servers: which of them work, how much they do, how long they take."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from sidecar.dialect import ServerDialect

_FAILURES: Final = 3
_MEAN_WEIGHT: Final = 1 / 8
_SPREAD_WEIGHT: Final = 1 / 4
_SPREADS: Final = 2.0
_LATEST: Final = 256


class Breaker(StrEnum):
    """Whether requests go to an endpoint.

    CLOSED: yes. OPEN: no, unless there is nowhere else. TRIAL: it answers pings again, and one
    request at a time shows whether it does more.
    """

    CLOSED = "closed"
    OPEN = "open"
    TRIAL = "trial"


@dataclass(slots=True)
class EndpointVitals:
    """One server.

    Attributes:
        place: where it is, for texts that a user reads.
        in_flight: requests that it is answering.
        waiting: requests that wait until it answers fewer.
        limit: how many it may answer at the same time now; see `core.limits`.
        failures: in a row.
        openings: of the breaker, since it last answered as it should.
        trouble: what the latest failure was; "" when it works.
        dialect: what it is known to accept; None until it was asked.
        latest_s: how long its latest completions took.
    """

    place: str
    in_flight: int = 0
    waiting: int = 0
    limit: int = 0
    failures: int = 0
    openings: int = 0
    breaker: Breaker = Breaker.CLOSED
    trouble: str = ""
    dialect: ServerDialect | None = None
    latest_s: deque[float] = field(default_factory=lambda: deque(maxlen=_LATEST))

    def succeeded(self) -> None:
        """It answered."""
        self.failures, self.openings = 0, 0
        self.breaker, self.trouble = Breaker.CLOSED, ""

    def failed(self, trouble: str) -> bool:
        """It did not; tells whether the breaker opened by that."""
        self.failures += 1
        self.trouble = trouble
        is_enough = self.failures >= _FAILURES or self.breaker is Breaker.TRIAL
        opens = is_enough and self.breaker is not Breaker.OPEN
        if opens:
            self.breaker = Breaker.OPEN
            self.openings += 1
        return opens

    def try_again(self) -> None:
        """Let one request at a time find out whether it works."""
        if self.breaker is Breaker.OPEN:
            self.breaker = Breaker.TRIAL


@dataclass(slots=True)
class Vitals:
    """An arm's servers together, written by `core.endpoints`, read by whoever chooses an arm.

    Attributes:
        endpoints: at least one.
        typical_s: what nearly every completion stays below: the mean plus twice the mean deviation,
            both weighted towards the latest, as TCP estimates its round trips (RFC 6298). None
            until there was one.
    """

    endpoints: Sequence[EndpointVitals]
    typical_s: float | None = None
    _mean_s: float = field(default=0.0, repr=False)
    _spread_s: float = field(default=0.0, repr=False)

    @property
    def is_down(self) -> bool:
        """Whether all of them were seen to fail, and none was seen to work since."""
        return all(it.breaker is Breaker.OPEN for it in self.endpoints)

    @property
    def limit(self) -> int:
        """How many requests those that work may answer at the same time; of all when none does."""
        working = [it for it in self.endpoints if it.breaker is not Breaker.OPEN]
        return sum(it.limit for it in working or self.endpoints)

    @property
    def in_flight(self) -> int:
        """How many requests they are answering."""
        return sum(it.in_flight for it in self.endpoints)

    @property
    def waiting(self) -> int:
        """How many requests wait until they answer fewer."""
        return sum(it.waiting for it in self.endpoints)

    def took(self, seconds: float) -> None:
        """One of them completed a chat."""
        if self.typical_s is None:
            self._mean_s, self._spread_s = seconds, seconds / 2
        else:
            off = abs(seconds - self._mean_s)
            self._spread_s += (off - self._spread_s) * _SPREAD_WEIGHT
            self._mean_s += (seconds - self._mean_s) * _MEAN_WEIGHT
        self.typical_s = self._mean_s + _SPREADS * self._spread_s
