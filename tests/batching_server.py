"""A server that batches, on a virtual clock: the more at the same time, the more, up to a knee."""

import heapq
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from sidecar.core.limits import AdaptiveLimit, Ticket

Curve = Callable[[int], float]
"""Tokens a second of all requests together, by how many there are."""


def hard_knee(best: float, knee: int) -> Curve:
    """Return the curve of a server whose throughput grows evenly up to a number of requests."""
    return lambda n: best * min(1.0, n / knee)


def soft_knee(best: float, half: float) -> Curve:
    """Return the curve of a server that nears its best slowly: half of it with `half` requests."""
    return lambda n: best * n / (n + half)


def falling(best: float, knee: int, loss: float) -> Curve:
    """Return the curve of a server that does less with every request beyond its knee."""
    return lambda n: best * min(n / knee, max(0.1, 1.0 - loss * (n - knee) / knee))


@dataclass
class BatchingServer:
    """Shares its throughput evenly among its requests.

    Attributes:
        curve: of the throughput.
        spread: of the work of a request, as a share of its tokens (1 standard deviation).
        stall: share of the requests that take ten times their work.
        refuses_above: so many at the same time are one too many; 0 is no limit.
        clock_s: now.
        done: tokens of the requests that were answered.
    """

    curve: Curve
    seed: int = 0
    spread: float = 0.3
    stall: float = 0.0
    refuses_above: int = 0
    clock_s: float = 0.0
    done: float = 0.0
    _shared: float = 0.0
    _running: list[tuple[float, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._numbers = count()

    @property
    def in_flight(self) -> int:
        return len(self._running)

    def begin(self, tokens: float) -> int | None:
        """Take a request; returns its number, or None when it is refused."""
        if self.refuses_above and self.in_flight >= self.refuses_above:
            return None
        work = tokens * max(0.05, self.random.gauss(1.0, self.spread))
        if self.random.random() < self.stall:
            work *= 10
        number = next(self._numbers)
        heapq.heappush(self._running, (self._shared + work, number))
        return number

    def next_end_s(self) -> float:
        """Return when the next request ends if no other begins."""
        left = self._running[0][0] - self._shared
        return self.clock_s + left * self.in_flight / self.curve(self.in_flight)

    def run_until(self, clock_s: float) -> None:
        """Let time pass in which nothing begins or ends."""
        if self._running:
            per_request = self.curve(self.in_flight) / self.in_flight
            self._shared += (clock_s - self.clock_s) * per_request
        self.clock_s = clock_s

    def end(self) -> int:
        """Let the next request end; returns its number."""
        self.run_until(self.next_end_s())
        return heapq.heappop(self._running)[1]


@dataclass
class Drive:
    """Keeps a server busy behind a limit.

    Attributes:
        tokens: draws how large the next request is.
        levels: the limit after every request, oldest first.
    """

    server: BatchingServer
    limit: AdaptiveLimit
    tokens: Callable[[random.Random], float] = lambda _: 2000.0
    levels: deque[int] = field(default_factory=deque)
    most: int = 0
    _began: dict[int, tuple[float, float, Ticket]] = field(default_factory=dict)

    def run(self, requests: int) -> float:
        """Answer so many requests; returns the tokens a second that the server did."""
        begun_s, tokens_done = self.server.clock_s, 0.0
        for _ in range(requests):
            self._fill()
            in_flight = self.server.in_flight
            since, tokens, ticket = self._began.pop(self.server.end())
            seconds = self.server.clock_s - since
            self.limit.succeed(ticket, seconds, tokens, in_flight)
            tokens_done += tokens
            self.levels.append(self.limit.value)
        return tokens_done / (self.server.clock_s - begun_s)

    def _fill(self) -> None:
        while self.server.in_flight < self.limit.value:
            tokens = self.tokens(self.server.random)
            ticket = self.limit.begin(self.server.in_flight + 1)
            number = self.server.begin(tokens)
            if number is None:
                self.limit.refuse(ticket)
                continue
            self._began[number] = (self.server.clock_s, tokens, ticket)
            self.most = max(self.most, self.server.in_flight)
