"""A board behind the mock server: the emulator moved on by the clock, `speed` times as fast."""

import asyncio
import math
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest

from sidecar.errors import SettingsError
from sidecar.testing.emulated_boards import Emulated, emulate, load_emulator
from sidecar.testing.emulated_requests import BadMedia, shape_of
from sidecar.testing.emulator import Emulator, TooLarge
from sidecar.testing.mock_vlm import RefusedByEngine, Served

_MODEL: Final = "model_name"


def engine_for(
    hw: str, model: str, precision: str, stack: str, speed: float, cv_streams: int
) -> "EmulatedServer | None":
    """Return the server of `sidecar mock-vlm --hw`; None without a board.

    Raises:
        NotFound: there is no such board or model.
        SettingsError: something else does not go together; says what to choose instead.
    """
    if not hw:
        if (precision, stack, speed, cv_streams) != ("bf16", "rtvi-vlm", 1.0, 0):
            raise SettingsError(
                "--precision, --stack, --speed and --cv-streams belong to a board: "
                f"name one of {', '.join(load_emulator().boards)} with --hw."
            )
        return None
    if not 0 < speed < math.inf:
        raise SettingsError(f"--speed: {speed:g} must be above 0; 10 is ten times as fast.")
    emulated = emulate(hw, model, precision, stack=stack, cv_streams=cv_streams)
    return EmulatedServer(emulated, model, speed)


class EmulatedServer:
    """Answers after the time that a board would take. For one event loop.

    Args:
        emulated: the model on its board.
        model_id: for the labels of the metrics.
        speed: by which every time is divided.
    """

    def __init__(self, emulated: Emulated, model_id: str, speed: float = 1.0) -> None:
        self._emulated = emulated
        self._emulator = Emulator(emulated.speed)
        self._speed = speed
        self._began: float | None = None
        self._numbers = count()
        self._answers: dict[str, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._metrics = _Metrics(model_id)

    async def serve(self, body: Mapping[str, Any], answer_tokens: int) -> Served:
        """Wait as long as the board would take for a request and an answer of so many tokens.

        Raises:
            RefusedByEngine: the request's media cannot be read, or it is too large.
        """
        try:
            shape = await asyncio.to_thread(shape_of, body, answer_tokens)
        except BadMedia as error:
            raise RefusedByEngine(str(error)) from error
        job = self._emulated.job(shape)
        key = str(next(self._numbers))
        self._move_on()
        try:
            self._emulator.submit(key, job)
        except TooLarge as error:
            raise RefusedByEngine(str(error)) from error
        self._answers[key] = asyncio.get_running_loop().create_future()
        self._arm()
        try:
            await self._answers[key]
        finally:
            self._answers.pop(key, None)
            if self._emulator.cancel(key):
                self._arm()
        self._metrics.count(job.prompt_tokens, job.answer_tokens)
        return Served(job.prompt_tokens, job.answer_tokens)

    def metrics(self) -> bytes:
        """Return what vLLM's `/metrics` tells of the same, in Prometheus's text format."""
        self._move_on()
        self._arm()
        state = self._emulator.state
        return self._metrics.text(state.running, state.in_front + state.waiting, state.kv_usage)

    def _now(self) -> float:
        time = asyncio.get_running_loop().time()
        if self._began is None:
            self._began = time
        return (time - self._began) * self._speed

    def _move_on(self) -> None:
        for finished in self._emulator.advance(self._now()):
            answer = self._answers.get(finished.key)
            if answer is not None and not answer.done():
                answer.set_result(None)

    def _arm(self) -> None:
        """Come back when something happens next."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        at = self._emulator.next_at()
        if at is not None:
            wait_s = max(0.0, at - self._now()) / self._speed
            self._timer = asyncio.get_running_loop().call_later(wait_s, self._tick)

    def _tick(self) -> None:
        self._move_on()
        self._arm()


class _Metrics:
    """The names are vLLM's (vllm/v1/metrics/loggers.py)."""

    def __init__(self, model_id: str) -> None:
        self._registry = CollectorRegistry()
        self._model_id = model_id
        self._running = self._gauge("vllm:num_requests_running", "In the batch.")
        self._waiting = self._gauge("vllm:num_requests_waiting", "Not in the batch yet.")
        self._cache = self._gauge("vllm:kv_cache_usage_perc", "Share of the KV cache, 0 to 1.")
        self._prompts = self._counter("vllm:prompt_tokens", "Tokens of prompts.")
        self._written = self._counter("vllm:generation_tokens", "Tokens of answers.")
        self._ended = self._counter("vllm:request_success", "Requests that were answered.")

    def count(self, prompt_tokens: int, answer_tokens: int) -> None:
        self._prompts.labels(self._model_id).inc(prompt_tokens)
        self._written.labels(self._model_id).inc(answer_tokens)
        self._ended.labels(self._model_id).inc()

    def text(self, running: int, waiting: int, kv_usage: float) -> bytes:
        self._running.labels(self._model_id).set(running)
        self._waiting.labels(self._model_id).set(waiting)
        self._cache.labels(self._model_id).set(kv_usage)
        return generate_latest(self._registry)

    def _gauge(self, name: str, about: str) -> Gauge:
        return Gauge(name, about, [_MODEL], registry=self._registry)

    def _counter(self, name: str, about: str) -> Counter:
        return Counter(name, about, [_MODEL], registry=self._registry)
