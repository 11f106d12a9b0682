"""A model's server behind the OpenAI API: vLLM, NIM, RT-VLM, SGLang."""

import asyncio
import io
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from sidecar.contract.openai import failure_from_body, model_ids, reply_from_completion
from sidecar.dialect import ServerDialect
from sidecar.errors import (
    VlmBusy,
    VlmError,
    VlmInvalidPayload,
    VlmRefused,
    VlmServerError,
    VlmTimeout,
    VlmUnreachable,
)
from sidecar.model import ChatReply, ChatRequest
from sidecar.outside.probe import probe_dialect
from sidecar.settings import ArmSettings

_MAX_REPLY_BYTES: Final = 16 * 2**20
_PROBE_TIMEOUT_S: Final = 5.0
_CAUSE_CHARS: Final = 150  # as VSS cuts the root cause in its status texts
_READ_CHARS: Final = 20_000  # of a server's message, before secrets are taken out of it

_SECRETS: Final = (
    (re.compile(r"data:[\w.+-]{1,40}/[\w.+-]{1,80}[^,\s]{0,80},[\w+/=,-]*"), "data:..."),
    (re.compile(r"//[^/@\s'\"]{1,500}@"), "//***@"),
    (re.compile(r"(https?://[^\s?'\"]{1,2000})\?[^\s'\"]*"), r"\1?..."),
)


class HttpVlm:
    """Completes chats at one OpenAI-compatible endpoint. Implements `ports.VlmBackend`.

    The number of connections is not limited: the caller decides how much is in flight.

    Args:
        name: of the arm, for texts that a user reads.
        settings: where the server is and how to talk to it.
    """

    def __init__(self, name: str, settings: ArmSettings) -> None:
        self._name = name
        self._url = settings.url.rstrip("/")
        self._settings = settings
        self._discovered = ""
        self._dialect: ServerDialect | None = None
        self._probing = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None

    async def model(self) -> str:
        """Return the configured id, or the first that the server lists.

        Raises:
            VlmError: the server does not answer or lists none.
        """
        if self._settings.model:
            return self._settings.model
        if not self._discovered:
            served = await self._served_models()
            if not served:
                raise VlmServerError(f"NoModel: {self._url}/models lists no model")
            self._discovered = served[0]
        return self._discovered

    async def dialect(self) -> ServerDialect:
        """Return what the server accepts: asked once, and again after it failed or refused.

        Raises:
            VlmError: the server does not answer.
        """
        async with self._probing:
            if self._dialect is None:
                key = self._settings.api_key.get_secret_value()
                self._dialect = await probe_dialect(self._url, key, self._settings.timeout_s)
            return self._dialect

    async def complete(self, request: ChatRequest, timeout_s: float) -> ChatReply:
        """Complete one chat within `timeout_s` and the arm's own limit.

        Raises:
            VlmTimeout: the time is over.
            VlmUnreachable: no connection, or it broke before the answer was complete.
            VlmServerError: status 5xx, or 200 without a completion.
            VlmInvalidPayload: status 422.
            VlmBusy: status 429.
            VlmRefused: any other status.
        """
        limit_s = min(timeout_s, self._settings.timeout_s)
        body = orjson.dumps(dict(request.body))
        try:
            return reply_from_completion(await self._exchange("/chat/completions", limit_s, body))
        except VlmError:
            self._dialect = None  # it may be another server, or the same with other options
            raise

    async def ping(self) -> str:
        """Return "" when the server answers and serves the configured model, else a sentence."""
        try:
            served = await self._served_models()
        except VlmError as error:
            return (
                f"The model server of arm {self._name} at {_redacted(self._url)} does not "
                f"work: {error.detail}. Start it, or correct arms.{self._name}.url."
            )
        wanted = self._settings.model
        if wanted and served and wanted not in served:
            return (
                f"The model server of arm {self._name} serves {', '.join(served)}, not {wanted}. "
                f"Correct arms.{self._name}.model."
            )
        return ""

    async def close(self) -> None:
        """Close all connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _served_models(self) -> tuple[str, ...]:
        limit_s = min(_PROBE_TIMEOUT_S, self._settings.timeout_s)
        return model_ids(await self._exchange("/models", limit_s))

    async def _exchange(
        self, path: str, limit_s: float, body: bytes | None = None
    ) -> Mapping[str, Any]:
        """GET, or POST when there is a body, and return the JSON object of a good answer."""
        timeout = aiohttp.ClientTimeout(total=max(limit_s, 0.001))  # 0 would mean no limit
        async with (
            _translated(limit_s),
            self._open_session().request(
                "GET" if body is None else "POST",
                self._url + path,
                data=None if body is None else io.BytesIO(body),
                timeout=timeout,
                allow_redirects=False,
            ) as response,
        ):
            answer = _decoded(await _read(response))
        if response.status == HTTPStatus.NOT_FOUND:
            self._discovered = ""  # the server may serve another model now
        if (
            response.status == HTTPStatus.OK
            and isinstance(answer, dict)
            and not answer.get("error")
        ):
            return answer
        raise _failure(response.status, answer)

    def _open_session(self) -> aiohttp.ClientSession:
        """Return the session, which belongs to the running loop and so is made on first use."""
        if self._session is None:
            headers = {"Content-Type": "application/json"}
            key = self._settings.api_key.get_secret_value()
            if key:
                headers["Authorization"] = f"Bearer {key}"
            self._session = aiohttp.ClientSession(
                headers=headers, connector=aiohttp.TCPConnector(limit=0)
            )
        return self._session


@asynccontextmanager
async def _translated(limit_s: float) -> AsyncIterator[None]:
    """Turn what aiohttp raises into our tree."""
    try:
        yield
    except TimeoutError as error:
        raise VlmTimeout(f"{type(error).__name__}: no answer within {limit_s:.1f} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise VlmUnreachable(_root_cause(type(error).__name__, str(error))) from error


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > _MAX_REPLY_BYTES:
            raise VlmServerError(f"ReplyTooLarge: more than {_MAX_REPLY_BYTES} bytes")
    return bytes(body)


def _decoded(body: bytes) -> object:
    """Return the JSON value, or the text of a body that is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:_READ_CHARS].decode(errors="replace")


def _failure(status: int, answer: object) -> VlmError:
    kind, message = failure_from_body(answer)
    cause = _root_cause(kind or "HTTPError", f"HTTP {status}, {message.strip() or 'no message'}")
    if status == HTTPStatus.OK or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return VlmServerError(cause)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return VlmInvalidPayload(cause)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return VlmBusy(cause)
    return VlmRefused(cause)


def _root_cause(kind: str, text: str) -> str:
    """Write a cause as VSS does: `<Type>: <text>`, the text cut; secrets and media taken out."""
    return f"{_redacted(kind)[:60]}: {_redacted(text)[:_CAUSE_CHARS]}"


def _redacted(text: str) -> str:
    """Take media, credentials and query strings (signatures) out of a text that users read."""
    text = text[:_READ_CHARS]
    for pattern, replacement in _SECRETS:
        text = pattern.sub(replacement, text)
    return text
