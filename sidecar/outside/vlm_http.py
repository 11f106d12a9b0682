"""A model's server behind the OpenAI API: vLLM, NIM, RT-VLM, SGLang."""

import io
import time
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson

from sidecar.contract.openai import model_ids, reply_from_completion
from sidecar.dialect import ServerDialect
from sidecar.errors import VlmError, VlmServerError, VlmUnreachable
from sidecar.model import ChatReply, ChatRequest
from sidecar.outside.probe import probe_dialect
from sidecar.outside.shared import Shared
from sidecar.outside.vlm_errors import READ_CHARS, failure, translated
from sidecar.redaction import redact
from sidecar.settings import ArmSettings

_MAX_REPLY_BYTES: Final = 16 * 2**20
_PING_TIMEOUT_S: Final = 5.0
_SURE_S: Final = 10.0
"""How long a dialect is believed that was found again exactly as it was: what the server refused
then was no matter of its dialect, and asking takes about twenty requests."""
_REPLACED: Final = (HTTPStatus.NOT_FOUND, HTTPStatus.BAD_GATEWAY)
"""Answers after which another server, or another model, may be at the same address."""


class HttpVlm:
    """Completes chats at one OpenAI-compatible endpoint. Implements `ports.VlmBackend`.

    The number of connections is not limited: the caller decides how much is in flight.

    Args:
        name: of the arm, for texts that a user reads.
        settings: where the server is and how to talk to it.
        headers: gives further ones for each request.
    """

    def __init__(
        self,
        name: str,
        settings: ArmSettings,
        headers: Callable[[], Mapping[str, str]] = dict,
    ) -> None:
        self._headers = headers
        self._name = name
        self._url = settings.url.rstrip("/")
        self._settings = settings
        self._discovered = Shared(self._discover)
        self._dialect = Shared(self._probe)
        self._sure_until = 0.0
        self._session: aiohttp.ClientSession | None = None

    async def model(self) -> str:
        """Return the configured id, or the first that the server lists.

        Raises:
            VlmError: the server does not answer or lists none.
        """
        if self._settings.model:
            return self._settings.model
        return await self._discovered.get()

    async def dialect(self, *, stale: ServerDialect | None = None) -> ServerDialect:
        """Return what the server accepts, asked once for all callers.

        It is asked again after the connection broke, after a 404, and for `stale`.

        Args:
            stale: the value that this method returned before, when a request made for it was
                refused or not obeyed. The server is asked again unless that happened since.

        Raises:
            VlmError: the server does not answer, or refuses a plain question.
        """
        is_current = stale is not None and self._dialect.known is stale
        if is_current and time.monotonic() >= self._sure_until:
            self._forget()
            found = await self._dialect.get()
            if found == stale:
                self._sure_until = time.monotonic() + _SURE_S
            return found
        return await self._dialect.get()

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
        except VlmUnreachable:
            self._forget()
            raise

    async def ping(self) -> str:
        """Return "" when the server answers and serves the configured model, else a sentence."""
        try:
            served = await self._served_models()
        except VlmError as error:
            return (
                f"The model server of arm {self._name} at {redact(self._url)} does not "
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
        await self._dialect.close()
        await self._discovered.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _forget(self) -> None:
        """Ask anew: the server may come back as another, or with other options."""
        self._dialect.forget()
        self._discovered.forget()

    async def _probe(self) -> ServerDialect:
        arm = self._settings
        key = arm.api_key.get_secret_value()
        return await probe_dialect(self._url, key, arm.timeout_s, model=arm.model)

    async def _discover(self) -> str:
        served = await self._served_models()
        if not served:
            raise VlmServerError(f"NoModel: {self._url}/models lists no model")
        return served[0]

    async def _served_models(self) -> tuple[str, ...]:
        limit_s = min(_PING_TIMEOUT_S, self._settings.timeout_s)
        return model_ids(await self._exchange("/models", limit_s))

    async def _exchange(
        self, path: str, limit_s: float, body: bytes | None = None
    ) -> Mapping[str, Any]:
        """GET, or POST when there is a body, and return the JSON object of a good answer."""
        timeout = aiohttp.ClientTimeout(total=max(limit_s, 0.001))  # 0 would mean no limit
        async with (
            translated(limit_s),
            self._open_session().request(
                "GET" if body is None else "POST",
                self._url + path,
                data=None if body is None else io.BytesIO(body),
                headers=self._headers(),
                timeout=timeout,
                allow_redirects=False,
            ) as response,
        ):
            answer = _decoded(await _read(response))
        if response.status in _REPLACED:
            self._forget()
        if (
            response.status == HTTPStatus.OK
            and isinstance(answer, dict)
            and not answer.get("error")
        ):
            return answer
        raise failure(response.status, answer)

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
        return body[:READ_CHARS].decode(errors="replace")
