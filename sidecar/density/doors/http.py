"""The HTTP door, and the verdicts that the sidecar streams."""

import asyncio
from typing import Any, Final

import aiohttp
import orjson

from sidecar.density.account import VERIFIED, End, Ending
from sidecar.density.driver import OnEnd
from sidecar.density.events import Event
from sidecar.errors import SettingsError

_SHED: Final = frozenset({"overloaded", "deadline_expired"})
"""Reasons of events that were given up because more came in than could be done."""
_ACCEPTED: Final = 202
_FULL: Final = frozenset({429, 503})
_AGAIN_S: Final = 0.5
_CALL_S: Final = 60.0


def end_of(verdict: str, reason: str, *, knows_answers: bool) -> End:
    """Read an end from what every sink says.

    Args:
        verdict: `confirmed`, `rejected` or `verification-failed`.
        reason: why it failed.
        knows_answers: whether the verdict can be compared with a known one.
    """
    if verdict in {"confirmed", "rejected"}:
        confirmed = verdict == "confirmed"
        return End(Ending.VERIFIED, confirmed=confirmed) if knows_answers else VERIFIED
    ending = Ending.SHED if reason in _SHED else Ending.FAILED
    return End(ending, reason or verdict or "no_verdict")


class HttpDoor:
    """Submits incidents; a refusal is the event's end.

    Args:
        url: of the sidecar.
        api_key: sent as a bearer token; "" sends none.
    """

    def __init__(self, url: str, api_key: str = "") -> None:
        self._url = url.rstrip("/")
        self._headers = {"Content-Type": "application/json", **_bearer(api_key)}
        self._client: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """Connect.

        Raises:
            SettingsError: nobody answers there, or it is not ready.
        """
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=_CALL_S)
        self._client = aiohttp.ClientSession(
            connector=connector, headers=self._headers, timeout=timeout
        )
        try:
            async with self._client.get(f"{self._url}/ready") as answer:
                found = await answer.json(content_type=None)
                is_ready, why = answer.ok, found.get("message", "")
        except (aiohttp.ClientError, TimeoutError, ValueError, AttributeError) as error:
            await self.close()
            raise SettingsError(f"No sidecar answers at {self._url}: {error}") from None
        if not is_ready:
            await self.close()
            raise SettingsError(f"The sidecar at {self._url} is not ready. {why}")

    async def prepare(self, event: Event) -> bytes:
        """Write the incident."""
        return orjson.dumps(event.as_incident())

    async def send(self, event: Event, prepared: bytes) -> End | None:
        """Submit an event; None when it was accepted."""
        del event
        assert self._client is not None, "`open` comes first"
        url = f"{self._url}/api/v1/incidents"
        try:
            async with self._client.post(url, data=prepared) as answer:
                body = await answer.json(content_type=None)
                return _end_of_submission(answer.status, body)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            return End(Ending.FAILED, type(error).__name__)

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            await self._client.close()


class VerdictStream:
    """Follows the verdicts over HTTP; after a break it resumes where it was.

    Args:
        url: of the sidecar.
        api_key: sent as a bearer token; "" sends none.
        knows_answers: whether verdicts can be compared with known ones.
    """

    def __init__(self, url: str, api_key: str = "", *, knows_answers: bool = False) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/verdicts"
        self._headers = _bearer(api_key)
        self._knows_answers = knows_answers
        self._client: aiohttp.ClientSession | None = None
        self._following: asyncio.Task[None] | None = None
        self._last = "0"

    async def open(self, on_end: OnEnd) -> None:
        """Follow from the latest verdict that there is.

        Raises:
            SettingsError: verdicts cannot be read.
        """
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CALL_S)
        self._client = aiohttp.ClientSession(headers=self._headers, timeout=timeout)
        try:
            async with self._client.get(f"{self._url}?limit=1") as answer:
                page = await answer.json(content_type=None)
                answer.raise_for_status()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            await self.close()
            raise SettingsError(f"Verdicts cannot be read from {self._url}: {error}") from None
        self._last = page.get("nextCursor") or "0"
        self._following = asyncio.create_task(self._follow(self._client, on_end))

    async def close(self) -> None:
        """Stop."""
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)
        if self._client is not None:
            await self._client.close()

    async def _follow(self, client: aiohttp.ClientSession, on_end: OnEnd) -> None:
        while True:
            try:
                headers = {"Last-Event-ID": self._last}
                async with client.get(f"{self._url}/stream", headers=headers) as answer:
                    answer.raise_for_status()
                    await self._read(answer, on_end)
            except (aiohttp.ClientError, TimeoutError):
                await asyncio.sleep(_AGAIN_S)

    async def _read(self, answer: aiohttp.ClientResponse, on_end: OnEnd) -> None:
        shown = ""
        rest = b""
        async for chunk in answer.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                if line.startswith(b"id:"):
                    shown = line[3:].strip().decode()
                elif line.startswith(b"data:"):
                    found = orjson.loads(line[5:])
                    end = end_of(
                        found.get("verdict") or "",
                        found.get("reason") or "",
                        knows_answers=self._knows_answers,
                    )
                    on_end(found["id"], end)
                elif not line.strip():
                    self._last = shown or self._last


def _end_of_submission(status: int, body: Any) -> End | None:
    facts = body if isinstance(body, dict) else {}
    if status == _ACCEPTED:
        is_dropped = " dropped by " in str(facts.get("message", ""))
        return End(Ending.FAILED, "dropped") if is_dropped else None
    reason = str(facts.get("error") or f"http_{status}")
    return End(Ending.SHED if status in _FULL else Ending.FAILED, reason)


def _bearer(api_key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {api_key}"} if api_key else {}
