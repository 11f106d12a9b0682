"""How many requests a server turns into throughput, found while it works; and waiting for a place.

A server that batches does more the more it is asked at the same time, up to a knee; beyond that,
requests only wait inside it, where nobody can reorder, shed or cancel them cheaply. NVIDIA's own
table shows it: Cosmos3-Nano on one H100 answers 17.4 requests a second with 64, 128 and 256 in
flight, while the latency grows from 3.3 to 11.1 s (NVIDIA/cosmos, inference_benchmarks.md).
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sidecar.core.vitals import EndpointVitals
from sidecar.model import ChatReply

Matrix = NDArray[np.float64]

INITIAL: Final = 8
"""Requests at the same time before anything is known."""
_SAMPLES: Final = 24
"""Requests, at least, that tell what a server does at one level; three times the level if that is
more."""
_ENDED: Final = 0.9
"""Share of them that must have ended. Which ones end first says nothing of the others: with fewer,
the short ones would stand for all, the more so the more there are at the same time."""
_ENOUGH: Final = 0.975
"""The level to work at is the lowest one with this share of the best throughput."""
_FORGETS: Final = 0.96
"""Weight that every level keeps after each window."""
_MOST_WEIGHT: Final = 8.0
_STALE: Final = 0.6
"""A neighbour whose weight has fallen below this is tried again."""
_BREAK: Final = 1.6
"""A level whose throughput changes by this factor from one window to the next is another server."""
_BACKOFF: Final = 0.7
"""What a refusal leaves of the limit."""
_OUTLIER: Final = 4.0
"""A request that took this many times the usual counts as if it had taken no longer."""
_NEARLY: Final = 0.7
"""Share of the growth in requests that shows as throughput, above which the next step is larger."""
_OUTPUT_TOKEN: Final = 8.0
"""What a token of the answer costs, in tokens of the prompt: 100 more of them cost an H100 as much
as a third of a 10 s clip (same table, output lengths 1 and 100)."""
_NO_GAIN: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Ticket:
    """A request that was let through.

    Attributes:
        period: in which of the limit's periods it began.
        is_sample: whether it is one of those that tell about the limit of that period.
        in_flight: how many were in flight when it began, itself included.
    """

    period: int
    is_sample: bool
    in_flight: int


@dataclass(slots=True)
class _Rate:
    """What a server does at one level, in tokens a second, and how much is known of it."""

    value: float
    weight: float


@dataclass(slots=True)
class _Window:
    """Requests that began and ended at one level."""

    per_token: list[tuple[float, float]] = field(default_factory=list)
    in_flight: float = 0.0

    def add(self, seconds: float, cost: float, in_flight: float) -> None:
        self.per_token.append((seconds / cost, cost))
        self.in_flight += in_flight

    def throughput(self) -> float:
        """Return tokens a second, by Little's law, so that a pause in the demand changes nothing.

        The latency is taken for each token, as clips differ, and one stall does not decide.
        """
        most = _OUTLIER * median(latency for latency, _ in self.per_token)
        seconds = sum(min(latency, most) * cost for latency, cost in self.per_token)
        cost = sum(cost for _, cost in self.per_token)
        mean_in_flight = self.in_flight / len(self.per_token)
        return mean_in_flight * cost / max(seconds, 1e-9)


class AdaptiveLimit:
    """Finds how many requests a server turns into throughput. Pure: no clock, no I/O.

    It works at one level for a window of requests, compares the levels, and goes where hardly more
    throughput can be had by more requests: up while that pays, down while it costs nothing. Now and
    then a neighbouring level is tried again, as servers change. Refusals and timeouts cut the limit
    at once, and it comes back by one at a time (AIMD). Only requests that found the limit reached
    tell anything; without demand nothing changes.

    Args:
        most: it never lets more through.
        initial: where it begins.
        is_fixed: it stays at `most`.
    """

    def __init__(self, most: int, *, initial: int = INITIAL, is_fixed: bool = False) -> None:
        self._most = most
        self._is_fixed = is_fixed
        self._value = most if is_fixed else max(1, min(initial, most))
        self._ceiling = float(most)
        self._rates: dict[int, _Rate] = {}
        self._window = _Window()
        self._begun = 0
        self._period = 0
        self._cut_in = 0

    @property
    def value(self) -> int:
        """How many requests may be in flight, from 1 on."""
        return self._value

    @property
    def throughputs(self) -> Mapping[int, float]:
        """Tokens a second by level, as far as they are known."""
        return {level: rate.value for level, rate in sorted(self._rates.items())}

    def begin(self, in_flight: int) -> Ticket:
        """Note that a request begins.

        Args:
            in_flight: how many there are now, itself included.
        """
        is_full = in_flight >= self._value
        is_sample = is_full and self._begun < self._samples
        self._begun += is_sample
        return Ticket(self._period, is_sample, in_flight)

    def succeed(self, ticket: Ticket, seconds: float, cost: float, in_flight: int) -> None:
        """Note that a request was answered.

        Args:
            ticket: of the request.
            seconds: how long it took.
            cost: how much work it was, above 0, in any unit.
            in_flight: how many there were at its end, itself included.
        """
        if self._is_fixed or ticket.period != self._period or not ticket.is_sample:
            return
        self._window.add(seconds, cost, (ticket.in_flight + in_flight) / 2)
        if len(self._window.per_token) >= _ENDED * self._samples:
            self._conclude()

    def lose(self, ticket: Ticket) -> None:
        """Note that a request ended in a way that says nothing about the load."""
        if ticket.period == self._period and ticket.is_sample:
            self._begun -= 1

    def refuse(self, ticket: Ticket) -> None:
        """Note that the server had too much to do.

        Requests that began before the limit was last cut for that do not cut it again.
        """
        if self._is_fixed or ticket.period < self._cut_in:
            return
        self._ceiling = max(1.0, self._value * _BACKOFF)
        self._rates = {level: it for level, it in self._rates.items() if level < self._value}
        self._move(int(self._ceiling))
        self._cut_in = self._period

    def _conclude(self) -> None:
        """Learn from a window, and choose the level of the next one."""
        self._learn(self._window.throughput())
        self._ceiling = min(self._ceiling + 1.0, float(self._most))
        self._move(self._next_level())

    @property
    def _samples(self) -> int:
        return max(_SAMPLES, 3 * self._value)

    def _move(self, level: int) -> None:
        self._window, self._begun = _Window(), 0
        self._value = level
        self._period += 1

    def _learn(self, throughput: float) -> None:
        known = self._rates.get(self._value)
        if known is not None and not 1 / _BREAK < throughput / known.value < _BREAK:
            self._rates = {}
            known = None
        for rate in self._rates.values():
            rate.weight *= _FORGETS
        if known is None:
            self._rates[self._value] = _Rate(throughput, 1.0)
            return
        known.value += (throughput - known.value) / (known.weight + 1.0)
        known.weight = min(known.weight + 1.0, _MOST_WEIGHT)

    def _next_level(self) -> int:
        fitted = _fit(self._rates)
        best = max(fitted.values())
        knee = min(level for level, rate in fitted.items() if rate >= _ENOUGH * best)
        highest = min(self._most, int(self._ceiling))
        if knee > highest:
            return highest
        if knee == max(self._rates) < highest:
            return min(self._stride(knee), highest)
        up, down = min(_above(knee), highest), _below(knee)
        if down < knee and min(self._rates) == knee:
            return down
        stale = [it for it in (up, down) if self._is_stale(it) and it != knee]
        return stale[0] if stale and self._value == knee else knee

    def _stride(self, level: int) -> int:
        """Return a level above all that are known; a larger step while throughput keeps up."""
        below = max((it for it in self._rates if it < level), default=None)
        if below is None:
            return _above(level)
        growth = self._rates[level].value / self._rates[below].value - 1.0
        is_steep = growth > _NEARLY * (level / below - 1.0)
        return _above(_above(level)) if is_steep else _above(level)

    def _is_stale(self, level: int) -> bool:
        known = self._rates.get(level)
        return known is None or known.weight < _STALE


class Gate:
    """Lets requests through to one server, in the order of their coming. For one event loop.

    Args:
        vitals: of the server; its levels are kept up to date here.
        limit: says how many at a time.
    """

    def __init__(self, vitals: EndpointVitals, limit: AdaptiveLimit) -> None:
        self._vitals = vitals
        self._limit = limit
        self._line: deque[asyncio.Future[bool]] = deque()
        vitals.limit = limit.value

    async def enter(self) -> Ticket | None:
        """Wait for a place; None when the line was sent away to look for another server."""
        if self._line or self._vitals.in_flight >= self._limit.value:
            if not await self._stand_in_line():
                return None
        else:
            self._vitals.in_flight += 1
        return self._limit.begin(self._vitals.in_flight)

    def leave(self) -> None:
        """Give a place back."""
        self._vitals.in_flight -= 1
        self._call()

    def answered(self, ticket: Ticket, seconds: float, reply: ChatReply) -> None:
        """Learn from a request that was answered; its place is not given back by that."""
        self._limit.succeed(ticket, seconds, cost_of(reply), self._vitals.in_flight)
        self._vitals.limit = self._limit.value

    def refused(self, ticket: Ticket) -> None:
        """Learn from a request for which the server had no time."""
        self._limit.refuse(ticket)
        self._vitals.limit = self._limit.value

    def lost(self, ticket: Ticket) -> None:
        """Take note of a request that ended in a way that says nothing about the load."""
        self._limit.lose(ticket)

    def send_away(self) -> None:
        """Let those who wait look for another server."""
        for waiter in self._line:
            if not waiter.done():
                waiter.set_result(False)
        self._line.clear()

    async def _stand_in_line(self) -> bool:
        waiter: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._line.append(waiter)
        self._vitals.waiting += 1
        try:
            return await waiter
        except asyncio.CancelledError:
            with suppress(ValueError):
                self._line.remove(waiter)
            was_called = waiter.done() and not waiter.cancelled() and bool(waiter.result())
            if was_called:
                self.leave()  # the place came too late
            raise
        finally:
            self._vitals.waiting -= 1

    def _call(self) -> None:
        """Hand places that are free to those who wait."""
        while self._line and self._vitals.in_flight < self._limit.value:
            waiter = self._line.popleft()
            if not waiter.done():
                self._vitals.in_flight += 1
                waiter.set_result(True)


def cost_of(reply: ChatReply) -> float:
    """Return how much work an answer was, in tokens of a prompt; 1 where the server counts none."""
    if reply.prompt_tokens is None:
        return 1.0
    return max(1.0, reply.prompt_tokens + _OUTPUT_TOKEN * (reply.completion_tokens or 0))


def _above(level: int) -> int:
    """Return the next level: 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on."""
    power = 1 << (level.bit_length() - 1)
    return power * 3 // 2 if level < power * 3 // 2 else power * 2


def _below(level: int) -> int:
    """Return the level before; 1 for 1."""
    power = 1 << (level.bit_length() - 1)
    if level > power * 3 // 2 > power:
        return power * 3 // 2
    return power if level > power else max(1, power // 2 * 3 // 2)


def _fit(rates: Mapping[int, _Rate]) -> dict[int, float]:
    """Return throughput by level as the nearest curve of the kind that batching has.

    It begins at 0, does not fall, and is concave: each further request adds less than the one
    before. So levels bear each other out, and one that was lucky does not draw the limit up. Such a
    curve is a sum of `min(n, level)` with weights from 0 on, found by least squares.
    """
    levels = sorted(rates)
    seen = np.array([rates[level].value for level in levels])
    certainty = np.sqrt([rates[level].weight for level in levels]) / seen  # errors are relative
    hinges = np.minimum.outer(levels, levels).astype(float)
    weights = _nonnegative_least_squares(hinges * certainty[:, None], seen * certainty)
    return dict(zip(levels, (hinges @ weights).tolist(), strict=True))


def _nonnegative_least_squares(a: Matrix, b: Matrix) -> Matrix:
    """Return the x from 0 on with the least |ax - b| (Lawson and Hanson, 1974, chapter 23)."""
    x, free = np.zeros(a.shape[1]), np.zeros(a.shape[1], dtype=bool)
    for _ in range(3 * a.shape[1]):
        gradient = np.where(free, -np.inf, a.T @ (b - a @ x))
        best = int(gradient.argmax())
        if gradient[best] <= _NO_GAIN:
            break
        free[best] = True
        while True:
            wanted = np.zeros_like(x)
            wanted[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            if (wanted[free] > 0).all():
                break
            below = free & (wanted <= 0)
            step = float((x[below] / (x[below] - wanted[below] + _NO_GAIN)).min())
            x += step * (wanted - x)
            free &= x > _NO_GAIN
            x[~free] = 0.0
        x = wanted
    return x
