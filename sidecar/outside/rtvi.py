"""RT-VLM's API, as far as VSS's Alert Bridge uses it (services/alert, rtvi_client.py)."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import aiohttp
import orjson

from sidecar.errors import RtviInvalidResponse, RtviUnavailable
from sidecar.redaction import redact
from sidecar.settings import RealtimeSettings

_ADVICE: Final = "Start it, or correct SIDECAR_REALTIME__BASE_URL."
_LISTS: Final = ("results", "streams", "items", "data")
_REASON_CHARS: Final = 300
_PING_TIMEOUT_S: Final = 3.0


class RtviClient:
    """Fulfils `ports.LiveVlm`. Connects when it is first used."""

    def __init__(self, settings: RealtimeSettings) -> None:
        self._url = settings.base_url.rstrip("/")
        self._timeout_s = settings.timeout_s
        self._session: aiohttp.ClientSession | None = None

    async def streams(self) -> Mapping[str, str]:
        """Return the URLs of the streams by id, whatever the answer wraps them in."""
        listed = await self._ask("GET", "/streams/get-stream-info")
        if isinstance(listed, dict):
            listed = next((listed[key] for key in _LISTS if isinstance(listed.get(key), list)), [])
        if not isinstance(listed, list):
            return {}
        entries = [entry for entry in listed if isinstance(entry, dict) and entry.get("id")]
        return {str(entry["id"]): str(entry.get("liveStreamUrl") or "") for entry in entries}

    async def add_stream(self, stream: Mapping[str, Any]) -> str:
        """Open a stream and return its id."""
        answer = await self._ask("POST", "/streams/add", {"streams": [stream]})
        stream_id = _stream_id(answer)
        if stream_id:
            return stream_id
        errors = answer.get("errors") if isinstance(answer, dict) else None
        if errors:
            raise RtviUnavailable(f"RT-VLM did not open the stream: {_shortened(errors)}.")
        raise RtviInvalidResponse(
            "RT-VLM accepted the stream but did not return a stream id; the rule cannot be managed "
            "and the stream may be orphaned."
        )

    async def caption(self, request: Mapping[str, Any], accepted: Callable[[str], None]) -> None:
        """Let RT-VLM look at a stream; returns when it ends that."""
        # The answer stays open as long as the stream is looked at, and is silent between chunks.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeout_s)
        async with self._exchange("POST", "/generate_captions", request, timeout) as response:
            accepted(response.headers.get("X-Request-ID", ""))
            async for _ in response.content.iter_any():
                pass

    async def stop_captions(self, stream_id: str, request_id: str) -> None:
        """End one request, or all of the stream."""
        query = f"?request_id={quote(request_id, safe='')}" if request_id else ""
        await self._ask("DELETE", f"/generate_captions/{quote(stream_id, safe='')}{query}")

    async def delete_stream(self, stream_id: str) -> None:
        """Close a stream."""
        await self._ask("DELETE", f"/streams/delete/{quote(stream_id, safe='')}")

    async def ping(self) -> str:
        """Return "" when RT-VLM is ready, else a sentence."""
        timeout = aiohttp.ClientTimeout(total=min(_PING_TIMEOUT_S, self._timeout_s))
        try:
            async with self._exchange("GET", "/ready", None, timeout):
                return ""
        except RtviUnavailable as error:
            return error.detail

    async def close(self) -> None:
        """Close all connections. Safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """Return the JSON of a good answer, None when it has none or there is nothing to delete."""
        timeout = aiohttp.ClientTimeout(total=self._timeout_s)
        async with self._exchange(method, path, body, timeout) as response:
            try:
                return orjson.loads(await response.read())
            except orjson.JSONDecodeError:
                return None

    @asynccontextmanager
    async def _exchange(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        limits: aiohttp.ClientTimeout,
    ) -> AsyncGenerator[aiohttp.ClientResponse]:
        """Give the answer, and translate everything that is not one."""
        what = f"RT-VLM at {self._url}"
        try:
            async with self._open_session().request(
                method,
                self._url + path,
                data=None if body is None else orjson.dumps(body, default=dict),
                headers={"Content-Type": "application/json"},
                timeout=limits,
                allow_redirects=False,
            ) as response:
                gone = method == "DELETE" and response.status == HTTPStatus.NOT_FOUND
                if not (response.ok or gone):
                    reason = _shortened(await response.read())
                    raise RtviUnavailable(f"{what} answered {response.status}: {reason}")
                yield response
        except TimeoutError as error:
            raise RtviUnavailable(f"{what} did not answer in time. {_ADVICE}") from error
        except (aiohttp.ClientError, OSError) as error:
            reason = type(error).__name__
            raise RtviUnavailable(f"{what} cannot be reached ({reason}). {_ADVICE}") from error

    def _open_session(self) -> aiohttp.ClientSession:
        """Return the session, which belongs to the running loop and so is made on first use."""
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        return self._session


def _stream_id(answer: Any) -> str:
    if not isinstance(answer, dict):
        return ""
    results = answer.get("results")
    first = results[0] if isinstance(results, list) and results else None
    named = first.get("id") if isinstance(first, dict) else None
    return str(named or answer.get("stream_id") or answer.get("id") or "")


def _shortened(answer: object) -> str:
    """Return the message of an error body, or its text."""
    if isinstance(answer, bytes):
        try:
            parsed = orjson.loads(answer)
        except orjson.JSONDecodeError:
            parsed = None
        message = parsed.get("message") if isinstance(parsed, dict) else None
        answer = message or answer.decode(errors="replace")
    return redact(str(answer))[:_REASON_CHARS]
