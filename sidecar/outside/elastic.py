"""One Elasticsearch cluster: whichever host answers is asked, and errors are translated here."""

import io
import ssl
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from sidecar.errors import DeliveryError, SettingsError
from sidecar.outside.sinks._bulk import reason_of
from sidecar.settings import ElasticSinkSettings

BULK: Final = "_bulk"
HOSTS_ADVICE: Final = "Start it, or correct SIDECAR_SINKS__ELASTIC__HOSTS."

_ACCESS_ADVICE: Final = (
    "Check SIDECAR_SINKS__ELASTIC__API_KEY, or USERNAME and PASSWORD, and that they may create and "
    "write the indices."
)
_LINES: Final = "application/x-ndjson"
_DENIED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})


class ElasticClient:
    """Sends requests, and connects when it is first used.

    Raises:
        SettingsError: a host, or the certificate file, cannot be used.
    """

    def __init__(self, settings: ElasticSinkSettings) -> None:
        self._timeout_s = settings.timeout_s
        self._authorization = _authorization(settings)
        keep_user = not self._authorization
        self._hosts = deque(_parse_host(host, keep_user=keep_user) for host in settings.hosts)
        self._ssl = _ssl_context(settings)
        self._session: aiohttp.ClientSession | None = None

    async def close(self) -> None:
        """Close the connections. Safe to call twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def exchange(
        self, method: str, path: str, body: bytes | None = None, limit_s: float | None = None
    ) -> tuple[int, Any]:
        """Ask the hosts in turn, the one that answered last first; returns status and JSON.

        Raises:
            DeliveryError: no host gives an answer below 500.
        """
        trouble = DeliveryError("No Elasticsearch host is set.")
        for _ in range(len(self._hosts)):
            try:
                return await self._ask(
                    method, self._hosts[0], path, body, limit_s or self._timeout_s
                )
            except DeliveryError as error:
                trouble = error
                self._hosts.rotate(-1)
        raise trouble

    async def _ask(
        self, method: str, host: URL, path: str, body: bytes | None, limit_s: float
    ) -> tuple[int, Any]:
        async with (
            _translated(host, limit_s),
            self._open_session().request(
                method,
                host / path if path else host,
                data=None if body is None else io.BytesIO(body),
                headers={"Content-Type": _LINES if path == BULK else "application/json"},
                timeout=aiohttp.ClientTimeout(total=limit_s),
                allow_redirects=False,
            ) as response,
        ):
            text = await response.read()
        answer = _decoded(text)
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise failure_of(response.status, answer)
        return response.status, answer

    def _open_session(self) -> aiohttp.ClientSession:
        """Return the session, which belongs to the running loop and so is made on first use."""
        if self._session is None:
            headers = {"Authorization": self._authorization} if self._authorization else {}
            connector = aiohttp.TCPConnector(ssl=self._ssl)
            self._session = aiohttp.ClientSession(headers=headers, connector=connector)
        return self._session


@asynccontextmanager
async def _translated(host: URL, limit_s: float) -> AsyncGenerator[None]:
    place = f"Elasticsearch at {host.host}:{host.port}"
    try:
        yield
    except TimeoutError as error:
        raise DeliveryError(f"{place} did not answer within {limit_s:g} s.") from error
    except aiohttp.ClientSSLError as error:
        raise DeliveryError(
            f"{place} has a certificate that is not trusted. "
            "Set SIDECAR_SINKS__ELASTIC__CA_CERTS to the file of its authority."
        ) from error
    except (aiohttp.ClientError, OSError) as error:
        reason = type(error).__name__
        raise DeliveryError(f"{place} cannot be reached ({reason}). {HOSTS_ADVICE}") from error


def failure_of(status: int, answer: Any) -> DeliveryError:
    """Word an answer that is none."""
    advice = _ACCESS_ADVICE if status in _DENIED else ""
    return DeliveryError(f"Elasticsearch answered {status}: {reason_of(answer)}. {advice}".strip())


def _decoded(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return None


def _authorization(settings: ElasticSinkSettings) -> str:
    if key := settings.api_key.get_secret_value():
        return f"ApiKey {key}"
    if settings.username:
        password = settings.password.get_secret_value()
        return aiohttp.encode_basic_auth(settings.username, password)
    return ""


def _ssl_context(settings: ElasticSinkSettings) -> ssl.SSLContext | bool:
    if not settings.verify_certs:
        return False
    if settings.ca_certs is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_certs)
    except OSError as error:
        raise SettingsError(
            f"{settings.ca_certs} is not a PEM file of certificates. "
            "Correct SIDECAR_SINKS__ELASTIC__CA_CERTS."
        ) from error


def _parse_host(text: str, *, keep_user: bool) -> URL:
    advice = "Set SIDECAR_SINKS__ELASTIC__HOSTS to URLs such as http://elasticsearch:9200."
    try:
        url = URL(text)
    except ValueError as error:
        raise SettingsError(f"A host of Elasticsearch cannot be read. {advice}") from error
    if url.scheme not in {"http", "https"} or not url.host:
        raise SettingsError(f"A host of Elasticsearch is no URL of HTTP. {advice}")
    return url if keep_user else url.with_user(None)
