"""A bare OpenAI endpoint, which the sidecar is compared with. Knows nothing of the sidecar."""

import asyncio
import base64
import io
from typing import Any, Final

import aiohttp
import orjson

from sidecar.density.account import VERIFIED, End, Ending
from sidecar.density.driver import OnEnd
from sidecar.density.events import Event
from sidecar.density.scenario import Question
from sidecar.errors import SettingsError

_OK: Final = 200
_REFUSED: Final = frozenset({429, 503})
_PROBE_S: Final = 30.0


class DirectTarget:
    """Asks about each clip by itself, as many at a time as there are.

    Args:
        url: endpoint including `/v1`.
        question: what to ask.
        timeout_s: wall seconds for one answer.
        model: its id; "" asks the server.
        api_key: sent as a bearer token; "" sends none.
        knows_answers: the answer has to be the one that the event's name tells.
        name: in reports.
    """

    def __init__(
        self,
        url: str,
        question: Question,
        *,
        timeout_s: float,
        model: str = "",
        api_key: str = "",
        knows_answers: bool = False,
        name: str = "direct",
    ) -> None:
        self._url = url.rstrip("/")
        self._question = question
        self._timeout_s = timeout_s
        self._model = model
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"
        self._knows_answers = knows_answers
        self._name = name
        self._client: aiohttp.ClientSession | None = None

    @property
    def name(self) -> str:
        """As reports call it."""
        return self._name

    async def open(self, on_end: OnEnd) -> None:
        """Connect, and ask for the model's id if none was given.

        Raises:
            SettingsError: the server does not answer.
        """
        del on_end  # each answer comes by itself
        connector = aiohttp.TCPConnector(limit=0)
        self._client = aiohttp.ClientSession(connector=connector, headers=self._headers)
        if not self._model:
            try:
                self._model = await self._first_model(self._client)
            except SettingsError:
                await self.close()
                raise

    async def prepare(self, event: Event) -> bytes:
        """Write the request."""
        return await asyncio.to_thread(self._body, event)

    async def send(self, event: Event, prepared: bytes) -> End | None:
        """Ask about the event's clip."""
        del event
        assert self._client is not None, "`open` comes first"
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        url = f"{self._url}/chat/completions"
        try:
            # a BytesIO is sent in pieces, bytes of that size with a warning
            async with self._client.post(url, data=io.BytesIO(prepared), timeout=timeout) as answer:
                return self._end(answer.status, await answer.read())
        except TimeoutError:
            return End(Ending.FAILED, "timeout")
        except aiohttp.ClientError as error:
            return End(Ending.FAILED, type(error).__name__)

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.close()

    def _body(self, event: Event) -> bytes:
        text = self._question.text
        if self._knows_answers:
            text += f' The event is "{event.name}".'
        parts = [
            {"type": "video_url", "video_url": {"url": _url_of(event)}},
            {"type": "text", "text": text},
        ]
        return orjson.dumps(
            {
                "model": self._model,
                "messages": [{"role": "user", "content": parts}],
                "max_tokens": self._question.max_tokens,
                "temperature": 0,
                **self._question.extra,
            }
        )

    def _end(self, status: int, body: bytes) -> End:
        if status in _REFUSED:
            return End(Ending.SHED, f"http_{status}")
        if status != _OK:
            return End(Ending.FAILED, f"http_{status}")
        if not self._knows_answers:
            return VERIFIED if _has_choice(body) else End(Ending.FAILED, "no_choice")
        says = _verdict_in(body)
        if says is None:
            return End(Ending.FAILED, "unreadable")
        return End(Ending.VERIFIED, confirmed=says)

    async def _first_model(self, client: aiohttp.ClientSession) -> str:
        timeout = aiohttp.ClientTimeout(total=_PROBE_S)
        try:
            async with client.get(f"{self._url}/models", timeout=timeout) as answer:
                body = await answer.json(content_type=None)
                return str(body["data"][0]["id"])
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError, LookupError, TypeError):
            raise SettingsError(
                f"{self._url}/models does not list a model. Start the server, correct the URL "
                "(with /v1), or name the model with --model."
            ) from None


def _url_of(event: Event) -> str:
    clip = event.clip
    if clip.data:
        return "data:video/mp4;base64," + base64.b64encode(clip.data).decode()
    return f"file://{clip.path}" if clip.path else clip.url


def _choice(body: bytes) -> Any:
    try:
        return orjson.loads(body)["choices"][0]["message"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        return None


def _has_choice(body: bytes) -> bool:
    return _choice(body) is not None


def _verdict_in(body: bytes) -> bool | None:
    message = _choice(body)
    text = str(message.get("content") or "").strip().lower() if isinstance(message, dict) else ""
    word = text.rstrip(".!")
    return {"yes": True, "no": False}.get(word)
