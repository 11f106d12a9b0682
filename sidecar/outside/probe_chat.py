"""Asking a server what it may refuse."""

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from sidecar.errors import VlmUnreachable
from sidecar.outside.vlm_errors import failure, translated

QUESTION: Final = {"type": "text", "text": "Is a person to be seen? Answer yes or no."}
_ENOUGH_TOKENS: Final = 16
_AT_A_TIME: Final = 4
_BUSY: Final = (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE)
_PAUSES_S: Final = (0.0, 0.3, 1.0)

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one request.

    Attributes:
        status: 0 when the connection broke.
        body: the JSON object that came; empty when none came.
    """

    status: int
    body: Body = field(default_factory=dict)

    @property
    def is_answer(self) -> bool:
        """Whether it is a completion."""
        return self.status == HTTPStatus.OK and bool(self.choice)

    @property
    def is_breakdown(self) -> bool:
        """Whether the server failed, rather than refused."""
        return self.status == 0 or self.status >= HTTPStatus.INTERNAL_SERVER_ERROR

    @property
    def choice(self) -> Body:
        """The completion; empty when there is none."""
        choices = self.body.get("choices")
        return _mapping(choices[0]) if isinstance(choices, list) and choices else {}

    @property
    def message(self) -> Body:
        """Its message."""
        return _mapping(self.choice.get("message"))

    @property
    def has_logprobs(self) -> bool:
        """Whether tokens of the answer have probabilities."""
        return bool(_mapping(self.choice.get("logprobs")).get("content"))

    @property
    def tokens(self) -> int:
        """Tokens of the prompt; 0 when the server does not count them."""
        count = _mapping(self.body.get("usage")).get("prompt_tokens")
        return count if isinstance(count, int) else 0


@dataclass(slots=True)
class ProbeChat:
    """Asks at one endpoint, a few requests at a time.

    Attributes:
        url: of the endpoint, including `/v1`.
        session: to ask with; its headers carry the credentials.
        timeout_s: for each request.
        model: to ask.
        broke_down: whether a request made the server fail.
    """

    url: str
    session: aiohttp.ClientSession
    timeout_s: float
    model: str = ""
    broke_down: bool = False
    _free: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_A_TIME))

    async def ask_plainly(self) -> Outcome:
        """Ask what every server answers.

        Raises:
            VlmError: it does not.
        """
        outcome = await self._complete((), {})
        if not outcome.is_answer:
            raise failure(outcome.status, outcome.body)
        return outcome

    async def ask(self, *media: Body, **fields: object) -> Outcome:
        """Ask about media or with fields that the server may refuse.

        Raises:
            VlmTimeout: no answer in time.
            VlmBusy, VlmServerError: the server stays busy.
        """
        try:
            outcome = await self._complete(media, fields)
        except VlmUnreachable:
            outcome = Outcome(0)
        self.broke_down |= outcome.is_breakdown
        return outcome

    async def get(self, url: str) -> Outcome:
        """GET a URL.

        Raises:
            VlmError: the server does not answer.
        """
        return await self._exchange("GET", url)

    async def _complete(self, media: Sequence[Body], fields: Body) -> Outcome:
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": [*media, QUESTION]}],
            "max_tokens": _ENOUGH_TOKENS,
            "temperature": 0,
            **fields,
        }
        raw = orjson.dumps(body)
        for pause_s in _PAUSES_S:
            await asyncio.sleep(pause_s)
            outcome = await self._exchange("POST", f"{self.url}/chat/completions", raw)
            if outcome.status not in _BUSY:
                return outcome
        raise failure(outcome.status, outcome.body)

    async def _exchange(self, method: str, url: str, body: bytes | None = None) -> Outcome:
        timeout = aiohttp.ClientTimeout(total=self.timeout_s)
        headers = {"Content-Type": "application/json"} if body else None
        async with (
            self._free,
            translated(self.timeout_s),
            self.session.request(
                method, url, data=body, headers=headers, timeout=timeout
            ) as response,
        ):
            return Outcome(response.status, _json_object(await response.read()))


async def together(asked: Iterable[Awaitable[Outcome]]) -> list[Outcome]:
    """Wait for all; when one raises, the others are cancelled."""
    tasks = [asyncio.ensure_future(one) for one in asked]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _json_object(body: bytes) -> Body:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return _mapping(value)


def _mapping(value: object) -> Body:
    return value if isinstance(value, dict) else {}
