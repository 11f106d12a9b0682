"""A model's server without a model: the OpenAI API with scripted answers, delays and faults.

Besides the API it has the controls of the NIM stub in VSS's own tests (`/stub/stats`,
`/stub/gate/close`, `/stub/gate/open`, `/stub/reset`), so that load tests written for that run here.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final, Protocol

import orjson
from aiohttp import web

from sidecar.errors import SettingsError

_JSON: Final = "application/json"
_METRICS: Final = "text/plain; version=0.0.4; charset=utf-8"
_MAX_BODY_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class ScriptedAnswer:
    """One answer.

    Attributes:
        content: `message.content`; the error message when `status` is not 200.
        reasoning: `message.reasoning`.
        finish_reason: "stop", "length", ...
        status: HTTP status.
        delay_ms: how long it takes; None takes the server's latency.
        raw: sent as the body in place of a completion when not None.
        hang: never answer.
        disconnect: close the connection in the middle of the body.
        prompt_tokens: in `usage`; None leaves `usage` out, as nothing was counted.
        logprobs: entries of `logprobs.content`; () leaves them out.
    """

    content: str | None = "yes"
    reasoning: str | None = None
    finish_reason: str = "stop"
    status: int = 200
    delay_ms: float | None = None
    raw: str | None = None
    hang: bool = False
    disconnect: bool = False
    prompt_tokens: int | None = None
    logprobs: tuple[Mapping[str, Any], ...] = ()


class RefusedByEngine(Exception):
    """A request that the engine would answer with 400; says why."""


@dataclass(frozen=True, slots=True)
class Served:
    """What an engine counted."""

    prompt_tokens: int
    answer_tokens: int


class Engine(Protocol):
    """Tells how long requests take, instead of a latency."""

    async def serve(self, body: Mapping[str, Any], answer_tokens: int) -> Served:
        """Wait until the answer is there.

        Raises:
            RefusedByEngine: there will be none.
        """
        ...

    def metrics(self) -> bytes:
        """Return metrics in Prometheus's text format."""
        ...


@dataclass(frozen=True, slots=True)
class MockVlmOptions:
    """How the server behaves.

    Attributes:
        model_id: the one model in `GET /v1/models`.
        latency_ms: mean time to answer.
        latency_sd_ms: its standard deviation (normal, cut off at 0).
        answers: given in turn, then from the start again.
        choose: gives the answer to a request's body instead of them.
        engine: decides how long answers take, whose own `delay_ms` is added.
        seed: of the latencies.
        keep: how many request bodies to remember.
    """

    model_id: str = "nvidia/cosmos-reason2-8b"
    latency_ms: float = 0.0
    latency_sd_ms: float = 0.0
    answers: tuple[ScriptedAnswer, ...] = (ScriptedAnswer(),)
    choose: Callable[[Mapping[str, Any]], ScriptedAnswer] | None = None
    engine: Engine | None = None
    seed: int = 0
    keep: int = 100


def answers_from_json(text: str) -> tuple[ScriptedAnswer, ...]:
    """Read a script: a JSON array of strings (contents) and objects (fields of ScriptedAnswer).

    Raises:
        SettingsError: names what is wrong.
    """
    try:
        items = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise SettingsError(f"The answers are not JSON: {error}") from error
    if not isinstance(items, list) or not items:
        raise SettingsError("The answers must be a JSON array with at least one answer.")
    return tuple(_scripted(item) for item in items)


class MockVlm:
    """The server. Start it in a running loop, and close it in the same one."""

    def __init__(self, options: MockVlmOptions | None = None) -> None:
        self._options = options or MockVlmOptions()
        self._random = random.Random(self._options.seed)  # noqa: S311 - latencies are no secrets
        self._bodies = [_encode(answer, self._options) for answer in self._options.answers]
        self._recent: deque[bytes] = deque(maxlen=self._options.keep)
        self._gate = asyncio.Event()
        self._gate.set()
        self._arrived = asyncio.Event()
        self._closing = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._in_flight = 0
        self._peak = 0
        self._total = 0

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The latest request bodies, oldest first."""
        return [orjson.loads(body) for body in self._recent]

    @property
    def stats(self) -> dict[str, int | bool]:
        """What `GET /stub/stats` tells."""
        return {
            "in_flight": self._in_flight,
            "peak_in_flight": self._peak,
            "total_requests": self._total,
            "gate_open": self._gate.is_set(),
        }

    def reset(self) -> None:
        """Open the gate and forget the requests so far."""
        self._gate.set()
        self._recent.clear()
        self._total = 0
        self._peak = self._in_flight

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, on a free port when `port` is 0, and return the URL including `/v1`."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.add_routes(self._routes())
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=1.0
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, backlog=4096).start()
        bound = self._runner.addresses[0][1]
        return f"http://{host}:{bound}/v1"

    async def wait_for_in_flight(self, count: int) -> None:
        """Wait until `count` requests are being answered at the same time."""
        while self._in_flight < count:
            self._arrived.clear()
            await self._arrived.wait()

    async def close(self) -> None:
        """Stop listening and let go of the requests that hang."""
        self._closing.set()
        self._gate.set()
        if self._runner is not None:
            await self._runner.cleanup()

    def _routes(self) -> list[web.RouteDef]:
        health = ("/health", "/v1/health/live", "/v1/health/ready")
        return [
            web.post("/v1/chat/completions", self._complete),
            web.get("/v1/models", self._models),
            web.get("/metrics", self._tell_metrics),
            *(web.get(path, _healthy) for path in health),
            web.get("/stub/stats", self._tell_stats),
            web.post("/stub/gate/close", self._close_gate),
            web.post("/stub/gate/open", self._open_gate),
            web.post("/stub/reset", self._reset),
        ]

    async def _complete(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self._recent.append(body)
        answer, encoded = self._next(body)
        self._total += 1
        self._in_flight += 1
        self._peak = max(self._peak, self._in_flight)
        self._arrived.set()
        try:
            return await self._answer(request, answer, encoded)
        finally:
            self._in_flight -= 1

    def _next(self, body: bytes) -> tuple[ScriptedAnswer, bytes]:
        """Return what to answer, and the same as a body."""
        choose = self._options.choose
        if choose is None:
            index = self._total % len(self._bodies)
            return self._options.answers[index], self._bodies[index]
        answer = choose(orjson.loads(body))
        return answer, _encode(answer, self._options)

    async def _answer(
        self, request: web.Request, answer: ScriptedAnswer, body: bytes
    ) -> web.StreamResponse:
        await self._gate.wait()
        engine = self._options.engine
        if engine is not None:
            answer, body = await self._from_engine(engine, await request.read(), answer)
        delay_ms = self._latency_ms() if answer.delay_ms is None else answer.delay_ms
        if delay_ms > 0:
            await asyncio.sleep(delay_ms / 1000)
        if answer.hang:
            await self._closing.wait()
        if answer.disconnect:
            return await _break_off(request, body)
        return web.Response(body=body, status=answer.status, content_type=_JSON)

    async def _from_engine(
        self, engine: Engine, asked: bytes, answer: ScriptedAnswer
    ) -> tuple[ScriptedAnswer, bytes]:
        """Wait for the engine, and let `usage` tell what it counted."""
        try:
            served = await engine.serve(orjson.loads(asked), _words(answer))
        except orjson.JSONDecodeError as error:
            refusal = ScriptedAnswer(f"The body is not JSON: {error}", status=400)
            return refusal, _encode(refusal, self._options)
        except RefusedByEngine as error:
            refusal = ScriptedAnswer(str(error), status=400)
            return refusal, _encode(refusal, self._options)
        counted = replace(answer, prompt_tokens=served.prompt_tokens)
        return counted, _encode(counted, self._options)

    def _latency_ms(self) -> float:
        if self._options.latency_sd_ms == 0:
            return self._options.latency_ms
        return max(0.0, self._random.gauss(self._options.latency_ms, self._options.latency_sd_ms))

    async def _models(self, _request: web.Request) -> web.Response:
        model = {"id": self._options.model_id, "object": "model", "owned_by": "mock"}
        return _json({"object": "list", "data": [model]})

    async def _tell_metrics(self, _request: web.Request) -> web.Response:
        """Tell vLLM's gauge of running requests, or all that an engine knows."""
        engine = self._options.engine
        if engine is not None:
            return web.Response(body=engine.metrics(), headers={"Content-Type": _METRICS})
        text = (
            "# TYPE vllm:num_requests_running gauge\n"
            f'vllm:num_requests_running{{model_name="{self._options.model_id}"}} '
            f"{self._in_flight}\n"
        )
        return web.Response(body=text.encode(), headers={"Content-Type": _METRICS})

    async def _tell_stats(self, _request: web.Request) -> web.Response:
        return _json(self.stats)

    async def _close_gate(self, _request: web.Request) -> web.Response:
        self._gate.clear()
        return _json(self.stats)

    async def _open_gate(self, _request: web.Request) -> web.Response:
        self._gate.set()
        return _json(self.stats)

    async def _reset(self, _request: web.Request) -> web.Response:
        self.reset()
        return _json(self.stats)


async def _healthy(_request: web.Request) -> web.Response:
    return _json({"status": "ready"})


async def _break_off(request: web.Request, body: bytes) -> web.StreamResponse:
    """Promise the whole body, send half of it and hang up."""
    response = web.StreamResponse(headers={"Content-Type": _JSON})
    response.content_length = len(body)
    await response.prepare(request)
    await response.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.close()
    return response


def _json(value: Mapping[str, Any]) -> web.Response:
    return web.Response(body=orjson.dumps(value), content_type=_JSON)


def _encode(answer: ScriptedAnswer, options: MockVlmOptions) -> bytes:
    if answer.raw is not None:
        return answer.raw.encode()
    if answer.status != web.HTTPOk.status_code:
        error = {"message": answer.content, "type": "MockError", "code": answer.status}
        return orjson.dumps({"error": error})
    message = {"role": "assistant", "content": answer.content, "reasoning": answer.reasoning}
    choice = {"index": 0, "message": message, "finish_reason": answer.finish_reason}
    if answer.logprobs:
        choice["logprobs"] = {"content": answer.logprobs}
    completion: dict[str, Any] = {
        "id": "chatcmpl-mock",
        "object": "chat.completion",
        "created": 0,
        "model": options.model_id,
        "choices": [choice],
    }
    if answer.prompt_tokens is not None:
        completion["usage"] = _usage(answer, answer.prompt_tokens)
    return orjson.dumps(completion)


def _usage(answer: ScriptedAnswer, prompt_tokens: int) -> dict[str, int]:
    """Count as a server does, with each word of the answer for a token."""
    words = _words(answer)
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": words,
        "total_tokens": prompt_tokens + words,
    }


def _words(answer: ScriptedAnswer) -> int:
    return len(f"{answer.reasoning or ''} {answer.content or ''}".split())


def _scripted(item: object) -> ScriptedAnswer:
    if isinstance(item, str):
        return ScriptedAnswer(item)
    if not isinstance(item, dict):
        raise SettingsError(f"An answer must be a string or an object, not {item!r}.")
    known = [field.name for field in fields(ScriptedAnswer)]
    unknown = sorted(set(item) - set(known))
    if unknown:
        raise SettingsError(
            f"An answer has no field {', '.join(unknown)}; there are {', '.join(known)}."
        )
    return ScriptedAnswer(**item)
