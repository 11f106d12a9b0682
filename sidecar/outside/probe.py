"""Finding a server's dialect by a dozen small requests.

The frames that the model saw are told by `usage.prompt_tokens` alone: the same clip is sent in
two widths, and the difference of the two counts is what the added pixels cost, whatever the text
costs. Two frames share a grid of tokens, one token for each 32 x 32 pixels (Qwen3-VL line).
"""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from sidecar.contract.openai import model_ids
from sidecar.dialect import ReasoningField, ServerDialect, StructuredForm
from sidecar.errors import VlmServerError, VlmTimeout, VlmUnreachable
from sidecar.outside.frames import to_mp4

FRAMES_SENT: Final = 12
PROBE_FPS: Final = 2
NARROW: Final = 64
WIDE: Final = 128
HEIGHT: Final = 64
_TOKENS_PER_ADDED_GRID: Final = (WIDE - NARROW) // 32 * (HEIGHT // 32)
_FRAMES_PER_GRID: Final = 2
_WORDS: Final = ("azure", "crimson")
"""Words that no model answers by itself to the probe's question."""
_QUESTION: Final = "Is there a person in the video? Answer yes or no."
_READY_PATHS: Final = (
    ("/v1/ready", "rt-vlm"),
    ("/v1/health/ready", "nim"),
    ("/health", "vllm"),
)

Answer = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Probe:
    """Asks one endpoint.

    Attributes:
        url: of the endpoint, including `/v1`.
        session: to ask with; its headers carry the credentials.
        timeout_s: for each request.
    """

    url: str
    session: aiohttp.ClientSession
    timeout_s: float

    async def run(self) -> ServerDialect:
        """Find the dialect.

        Raises:
            VlmError: the server does not answer, serves no model, or refuses a plain question.
        """
        models = model_ids(await self._need(*await self._get(f"{self.url}/models"), "/models"))
        if not models:
            raise VlmServerError(f"NoModel: {self.url}/models lists no model")
        server, version, ready_path = await self._identify()
        plain = await self._ask(models[0], _text(_QUESTION))
        message = _message(plain)
        clip = await self._try(models[0], _video(NARROW), _text(_QUESTION))
        options = {"media_io_kwargs": {"video": {"fps": 1, "num_frames": -1}}}
        thinned = clip and await self._try(models[0], _video(NARROW), _text(_QUESTION), **options)
        structured, thinking_switch = await self._structured(models[0])
        scored = await self._try(models[0], _text(_QUESTION), logprobs=True, top_logprobs=2)
        return ServerDialect(
            server=server,
            version=version,
            models=tuple(models),
            ready_path=ready_path,
            takes_video=clip is not None,
            frames_seen=await self._frames_seen(models[0], clip),
            frames_sent=FRAMES_SENT,
            media_options=thinned is not None,
            sets_fps=bool(clip and thinned and _tokens(thinned) < _tokens(clip)),
            structured=structured,
            thinking_switch=thinking_switch,
            reasoning=_reasoning_field(message),
            content_is_null=message.get("content") is None,
            logprobs=bool(scored and (_choice(scored).get("logprobs") or {}).get("content")),
        )

    async def _identify(self) -> tuple[str, str, str]:
        root = self.url.removesuffix("/v1")
        _, told = await self._get(f"{root}/version")
        version = str(told.get("version", ""))
        server_info, _ = await self._get(f"{root}/get_server_info")
        if server_info == HTTPStatus.OK:
            return "sglang", version, "/health"
        for path, server in _READY_PATHS:
            status, _ = await self._get(root + path)
            if status == HTTPStatus.OK:
                return server, version, path
        return "unknown", version, ""

    async def _structured(self, model: str) -> tuple[StructuredForm, bool]:
        """Ask for words that only a constraint can bring about."""
        switch: Mapping[str, Any] = {"chat_template_kwargs": {"enable_thinking": False}}
        choice = {"structured_outputs": {"choice": list(_WORDS)}}
        schema = {"type": "string", "enum": list(_WORDS)}
        json_schema = {"name": "word", "schema": schema, "strict": True}
        formats: dict[StructuredForm, Mapping[str, Any]] = {
            StructuredForm.STRUCTURED_OUTPUTS: choice,
            StructuredForm.RESPONSE_FORMAT: {
                "response_format": {"type": "json_schema", "json_schema": json_schema}
            },
        }
        for form, fields in formats.items():
            for extra in (switch, {}):
                answer = await self._try(model, _text(_QUESTION), **fields, **extra)
                content = answer and _message(answer).get("content")
                if content and content.strip().strip('"') in _WORDS:
                    return form, bool(extra)
        return StructuredForm.NONE, False

    async def _frames_seen(self, model: str, narrow: Answer | None) -> int | None:
        wide = narrow and await self._try(model, _video(WIDE), _text(_QUESTION))
        if not narrow or not wide or not _tokens(narrow):
            return None
        grids = (_tokens(wide) - _tokens(narrow)) // _TOKENS_PER_ADDED_GRID
        return min(grids * _FRAMES_PER_GRID, FRAMES_SENT)

    async def _try(self, model: str, *parts: Answer, **fields: object) -> Answer | None:
        """Ask; None when the server refuses this request."""
        status, answer = await self._post(model, parts, fields)
        return answer if status == HTTPStatus.OK and answer.get("choices") else None

    async def _ask(self, model: str, *parts: Answer) -> Answer:
        status, answer = await self._post(model, parts, {})
        return await self._need(status, answer, "/chat/completions")

    async def _need(self, status: int, answer: Answer, path: str) -> Answer:
        if status != HTTPStatus.OK:
            raise VlmServerError(f"HTTPError: {self.url}{path} answers with HTTP {status}")
        return answer

    async def _post(
        self, model: str, parts: Sequence[Answer], fields: Mapping[str, object]
    ) -> tuple[int, Answer]:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": list(parts)}],
            "max_tokens": 16,
            "temperature": 0,
            **fields,
        }
        return await self._exchange("POST", f"{self.url}/chat/completions", orjson.dumps(body))

    async def _get(self, url: str) -> tuple[int, Answer]:
        return await self._exchange("GET", url, None)

    async def _exchange(self, method: str, url: str, body: bytes | None) -> tuple[int, Answer]:
        timeout = aiohttp.ClientTimeout(total=self.timeout_s)
        headers = {"Content-Type": "application/json"} if body else None
        try:
            async with self.session.request(
                method, url, data=body, headers=headers, timeout=timeout
            ) as response:
                return response.status, _json_object(await response.read())
        except TimeoutError as error:
            raise VlmTimeout(f"TimeoutError: {url}: no answer in {self.timeout_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise VlmUnreachable(f"{type(error).__name__}: {error}") from error


async def probe_dialect(url: str, api_key: str, timeout_s: float) -> ServerDialect:
    """Find the dialect of an endpoint.

    Args:
        url: including `/v1`.
        api_key: sent as a bearer token when not "".
        timeout_s: for each of about a dozen requests.

    Raises:
        VlmError: the server does not answer, serves no model, or refuses a plain question.
    """
    headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        return await Probe(url.rstrip("/"), session, timeout_s).run()


@cache
def _clip(width: int) -> bytes:
    """Make the probe's MP4: a square that walks over a grey picture."""
    import numpy as np

    pictures = []
    for number in range(FRAMES_SENT):
        picture = np.full((HEIGHT, width, 3), 90, np.uint8)
        left = number * (width - 16) // FRAMES_SENT
        picture[24:40, left : left + 16] = 230
        pictures.append(picture)
    return to_mp4(pictures, Fraction(PROBE_FPS))


def _video(width: int) -> Answer:
    url = f"data:video/mp4;base64,{b64encode(_clip(width)).decode('ascii')}"
    return {"type": "video_url", "video_url": {"url": url}}


def _text(text: str) -> Answer:
    return {"type": "text", "text": text}


def _json_object(body: bytes) -> Answer:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _choice(answer: Answer) -> Answer:
    return dict(answer["choices"][0])


def _message(answer: Answer) -> Answer:
    return dict(_choice(answer).get("message") or {})


def _tokens(answer: Answer) -> int:
    return int((answer.get("usage") or {}).get("prompt_tokens") or 0)


def _reasoning_field(message: Answer) -> ReasoningField:
    for field in (ReasoningField.REASONING, ReasoningField.REASONING_CONTENT):
        if field.value in message:
            return field
    return ReasoningField.INLINE
