"""What a model's server does with its time: a queueing model of continuous batching. Pure.

A request passes a front end (workers that decode and prepare its media), then waits for a place
among the running sequences and for KV cache, then its prompt is worked off in chunks, several
requests to a step, and its answer grows by a token a step. That is the order of vLLM's scheduler
(vllm/v1/core/sched/scheduler.py): answers first, then prompts that were begun, then new ones, as
long as the step's budget of tokens lasts.

Time is a number that the caller moves on, so the same model runs in virtual time, for fits and
tests, and behind a server in real time. Nothing in it is random.
"""

import heapq
import math
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

_SOON: Final = 1e-9
"""Seconds by which a time may be off after additions."""


class TooLarge(ValueError):
    """A request that the server can never run."""


@dataclass(frozen=True, slots=True)
class Speed:
    """What a server can do.

    Attributes:
        workers: of the front end.
        tflops: trillions of operations a second on prompts, as reached, not as advertised.
        weights_s: seconds to read all weights once, which every step takes at least.
        kv_token_s: seconds to read what one token of context keeps.
        token_tflop: trillions of operations for one token of an answer.
        step_s: what every step takes beside that.
        kv_tokens: that the cache holds.
        sequences: that run at the same time.
        step_tokens: of one step, prompts and answers together.
    """

    workers: int
    tflops: float
    weights_s: float
    kv_token_s: float
    token_tflop: float
    kv_tokens: int
    sequences: int
    step_tokens: int
    step_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Job:
    """What a request costs.

    Attributes:
        front_s: seconds of one worker of the front end.
        prompt_tokens: text and media together, 1 at least.
        tflop: trillions of operations for the whole prompt, the vision encoder's included.
        answer_tokens: 1 at least.
    """

    front_s: float
    prompt_tokens: int
    tflop: float
    answer_tokens: int = 1

    @property
    def kv_tokens(self) -> int:
        """Tokens of context at the end."""
        return self.prompt_tokens + self.answer_tokens


@dataclass(frozen=True, slots=True)
class Finished:
    """A request that was answered; times in seconds.

    Attributes:
        since: when it came.
        first_at: when the first token of its answer was there.
        at: when the last one was.
    """

    key: str
    since: float
    first_at: float
    at: float

    @property
    def seconds(self) -> float:
        """How long it took."""
        return self.at - self.since


@dataclass(frozen=True, slots=True)
class State:
    """Where requests are, and how full the cache is (0..1)."""

    in_front: int
    waiting: int
    running: int
    kv_usage: float


@dataclass(slots=True, eq=False)
class _Request:
    key: str
    job: Job
    since: float
    prefilled: int = 0
    produced: int = 0
    first_at: float = math.nan
    is_gone: bool = False


@dataclass(slots=True)
class _Step:
    """What the GPU does: prompts' tokens by request; 0 for a token of an answer."""

    began: float
    ends: float
    parts: list[tuple[_Request, int]] = field(default_factory=list)


class Emulator:
    """The server. Move it on with `advance` before anything else is done at a later time.

    Args:
        speed: what it can do.
    """

    def __init__(self, speed: Speed) -> None:
        self._speed = speed
        self._now = 0.0
        self._queued: deque[_Request] = deque()
        self._preparing: list[tuple[float, int, _Request]] = []
        self._waiting: deque[_Request] = deque()
        self._running: list[_Request] = []
        self._known: dict[str, _Request] = {}
        self._step: _Step | None = None
        self._kv_used = 0
        self._number = 0
        self._gpu_s = 0.0

    @property
    def now(self) -> float:
        """Seconds up to which everything has been worked off."""
        return self._now

    @property
    def gpu_s(self) -> float:
        """Seconds of all steps that have ended."""
        return self._gpu_s

    @property
    def state(self) -> State:
        """Where requests are now."""
        front = sum(not it.is_gone for it in self._queued)
        front += sum(not it.is_gone for _, _, it in self._preparing)
        waiting = sum(not it.is_gone for it in self._waiting)
        usage = self._kv_used / self._speed.kv_tokens
        return State(front, waiting, len(self._running), usage)

    def submit(self, key: str, job: Job) -> None:
        """Take in a request now.

        Raises:
            TooLarge: its context is longer than the whole cache.
            ValueError: the key is in use.
        """
        if key in self._known:
            raise ValueError(f"There is already a request {key!r}.")
        if job.kv_tokens > self._speed.kv_tokens:
            raise TooLarge(
                f"The request needs {job.kv_tokens} tokens of context, and the cache holds "
                f"{self._speed.kv_tokens}."
            )
        request = _Request(key, job, self._now)
        self._known[key] = request
        self._queued.append(request)
        self._prepare()

    def cancel(self, key: str) -> bool:
        """Let go of a request, as when its client hangs up; tells whether it was there.

        What the GPU does for it in the step that runs is not given back.
        """
        request = self._known.pop(key, None)
        if request is None:
            return False
        request.is_gone = True
        if request in self._running:
            self._leave(request)
        return True

    def next_at(self) -> float | None:
        """When something happens next; None when nothing is left to do."""
        times = [self._preparing[0][0]] if self._preparing else []
        times += [self._step.ends] if self._step else []
        return min(times, default=None)

    def advance(self, to: float) -> Iterator[Finished]:
        """Work off everything until `to`, in the order in which it ends."""
        while (at := self.next_at()) is not None and at <= to:
            self._now = at
            if self._preparing and self._preparing[0][0] <= at:
                request = heapq.heappop(self._preparing)[2]
                self._waiting.append(request)
                self._prepare()
            else:
                yield from self._end_step()
            if self._step is None:
                self._begin_step()
        self._now = max(self._now, to)

    def _prepare(self) -> None:
        """Give work to the idle workers of the front end."""
        while self._queued and len(self._preparing) < self._speed.workers:
            request = self._queued.popleft()
            if request.is_gone:
                continue
            self._number += 1
            ends = self._now + request.job.front_s
            heapq.heappush(self._preparing, (ends, self._number, request))

    def _begin_step(self) -> None:
        left = self._speed.step_tokens
        parts: list[tuple[_Request, int]] = []
        for request in self._running:
            if request.produced and left:
                parts.append((request, 0))
                left -= 1
        for request in self._running:
            if not request.produced and left:
                tokens = min(request.job.prompt_tokens - request.prefilled, left)
                parts.append((request, tokens))
                left -= tokens
        while left and (admitted := self._admit()):
            tokens = min(admitted.job.prompt_tokens, left)
            parts.append((admitted, tokens))
            left -= tokens
        if parts:
            self._step = _Step(self._now, self._now + self._duration(parts), parts)

    def _admit(self) -> _Request | None:
        """Let the first one in line run, when there is room for it."""
        while self._waiting and self._waiting[0].is_gone:
            self._waiting.popleft()
        if not self._waiting or len(self._running) >= self._speed.sequences:
            return None
        if self._kv_used + self._waiting[0].job.kv_tokens > self._speed.kv_tokens:
            return None
        request = self._waiting.popleft()
        self._kv_used += request.job.kv_tokens
        self._running.append(request)
        return request

    def _duration(self, parts: Iterable[tuple[_Request, int]]) -> float:
        tflop, context = 0.0, 0
        for request, tokens in parts:
            if tokens:
                tflop += request.job.tflop * tokens / request.job.prompt_tokens
            else:
                tflop += self._speed.token_tflop
                context += request.job.prompt_tokens + request.produced
        speed = self._speed
        compute_s = max(tflop / speed.tflops, speed.weights_s)
        return speed.step_s + compute_s + context * speed.kv_token_s

    def _end_step(self) -> Iterator[Finished]:
        step, self._step = self._step, None
        assert step is not None
        self._gpu_s += step.ends - step.began
        for request, tokens in step.parts:
            if request.is_gone:
                continue
            request.prefilled += tokens
            if request.prefilled < request.job.prompt_tokens:
                continue
            if not request.produced:
                request.first_at = self._now
            request.produced += 1
            if request.produced >= request.job.answer_tokens:
                del self._known[request.key]
                self._leave(request)
                yield Finished(request.key, request.since, request.first_at, self._now)

    def _leave(self, request: _Request) -> None:
        self._running.remove(request)
        self._kv_used -= request.job.kv_tokens


def serve_open(speed: Speed, arrivals: Iterable[tuple[float, Job]]) -> list[Finished]:
    """Serve requests that come at given times, whatever happens to the ones before.

    Args:
        speed: of the server.
        arrivals: seconds and jobs, in order.

    Returns:
        All of them, in the order in which they ended; the key is the position in `arrivals`.
    """
    emulator = Emulator(speed)
    ended: list[Finished] = []
    for number, (at, job) in enumerate(arrivals):
        ended += emulator.advance(at)
        emulator.submit(str(number), job)
    ended += emulator.advance(math.inf)
    return ended


def serve_closed(speed: Speed, job: Job, clients: int, count: int) -> list[Finished]:
    """Serve clients that each send the same request again as soon as it is answered.

    Args:
        speed: of the server.
        job: the request.
        clients: at the same time.
        count: answers after which to stop.
    """
    emulator = Emulator(speed)
    for number in range(clients):
        emulator.submit(str(number), job)
    ended: list[Finished] = []
    sent = clients
    while len(ended) < count and (at := emulator.next_at()) is not None:
        for finished in emulator.advance(at + _SOON):
            ended.append(finished)
            emulator.submit(str(sent), job)
            sent += 1
    return ended
