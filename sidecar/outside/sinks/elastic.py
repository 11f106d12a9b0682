"""Verdicts as documents in Elasticsearch."""

import io
import ssl
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Final

import aiohttp
import orjson
from yarl import URL

from sidecar.errors import DeliveryError, DeliveryRefused, SettingsError
from sidecar.model import EventKind, OutboxEntry
from sidecar.outside.sinks._batches import Batches, Outcomes
from sidecar.outside.sinks._bulk import BulkItem, bulk_item, outcome_of, reason_of
from sidecar.outside.sinks._documents import day_of, search_document, version_of
from sidecar.settings import ElasticSinkSettings

MAX_ITEMS: Final = 500
MAX_BYTES: Final = 5_000_000

_HOSTS_ADVICE: Final = "Start it, or correct SIDECAR_SINKS__ELASTIC__HOSTS."
_ACCESS_ADVICE: Final = (
    "Check SIDECAR_SINKS__ELASTIC__API_KEY, or USERNAME and PASSWORD, and that they may create and "
    "write the indices."
)
_BULK: Final = "_bulk"
_LINES: Final = "application/x-ndjson"
_PING_TIMEOUT_S: Final = 3.0
_DENIED: Final = frozenset({HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN})
_NEVER: Final = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})
# As VSS makes them: one shard, no replicas, any field.
_INDEX: Final = {
    "settings": {"number_of_shards": 1, "number_of_replicas": 0},
    "mappings": {"dynamic": True},
}


class ElasticSink:
    """Indexes each verdict into the index of its event's day, under the `Id` of the event.

    Writing a verdict again changes nothing, and a verdict never replaces one about a later state of
    its incident, whoever wrote that and when: see `version_of`. Verdicts that are published at the
    same time travel in one `_bulk` request.

    Raises:
        SettingsError: a host, or the certificate file, cannot be used.
    """

    def __init__(self, settings: ElasticSinkSettings) -> None:
        self._settings = settings
        self._authorization = _authorization(settings)
        keep_user = not self._authorization
        self._hosts = deque(_parse_host(host, keep_user=keep_user) for host in settings.hosts)
        self._ssl = _ssl_context(settings)
        self._bases = {
            EventKind.INCIDENT: settings.incidents_index,
            EventKind.ALERT: settings.alerts_index,
        }
        self._batches = Batches(self._send, max_items=MAX_ITEMS, max_bytes=MAX_BYTES)
        self._indices: set[str] = set()
        self._session: aiohttp.ClientSession | None = None
        self._trouble = ""

    @property
    def name(self) -> str:
        """The name in the outbox."""
        return "elastic"

    @property
    def most_at_once(self) -> int:
        """How many verdicts may be on their way at the same time."""
        return 256

    async def publish(self, entry: OutboxEntry) -> None:
        """Index one document.

        Raises:
            DeliveryError: no host answers, access is denied, or the cluster cannot write now.
            DeliveryRefused: the document does not fit the mapping, or is too large.
        """
        record = entry.record
        index = f"{self._bases[record.kind]}-{day_of(record)}"
        document = orjson.dumps(search_document(record), default=dict)
        item = bulk_item(index, record.fingerprint, version_of(record), document)
        try:
            await self._batches.add(item, len(item.lines))
        except DeliveryRefused:
            raise
        except DeliveryError as error:
            self._trouble = error.detail
            raise
        self._trouble = ""

    async def ping(self) -> str:
        """Return "" when a host answers and the latest delivery worked, else a sentence."""
        limit_s = min(_PING_TIMEOUT_S, self._settings.timeout_s)
        try:
            status, answer = await self._exchange("GET", "", limit_s=limit_s)
            # A key that may only write is forbidden to look at the cluster.
            if status == HTTPStatus.UNAUTHORIZED:
                raise _failure(status, answer)
        except DeliveryError as error:
            return error.detail
        return self._trouble

    async def close(self) -> None:
        """Give up what is on its way and close the connections."""
        await self._batches.close()
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(self, items: Sequence[BulkItem]) -> Outcomes:
        for index in {item.index for item in items} - self._indices:
            await self._create(index)
        return await self._write(items)

    async def _create(self, index: str) -> None:
        """Make an index unless it exists; who may not create may still write to what is there."""
        status, answer = await self._exchange("PUT", index, orjson.dumps(_INDEX))
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}:
            raise _failure(status, answer)
        self._indices.add(index)

    async def _write(self, items: Sequence[BulkItem]) -> Outcomes:
        body = b"".join(item.lines for item in items)
        status, answer = await self._exchange("POST", _BULK, body)
        if status == HTTPStatus.OK:
            return self._outcomes(items, answer)
        if status not in _NEVER:
            raise _failure(status, answer)
        if len(items) == 1:
            return [DeliveryRefused(f"Elasticsearch refused the verdict: {reason_of(answer)}.")]
        # One of them spoils the request for all: find it.
        half = len(items) // 2
        return [*await self._write(items[:half]), *await self._write(items[half:])]

    def _outcomes(self, items: Sequence[BulkItem], answer: Any) -> Outcomes:
        results = answer.get("items") if isinstance(answer, dict) else None
        if not isinstance(results, list) or len(results) != len(items):
            raise DeliveryError(f"The answer is not one of Elasticsearch. {_HOSTS_ADVICE}")
        outcomes = [outcome_of(item, result) for item, result in zip(items, results, strict=True)]
        # An index that somebody deleted has to be made again.
        pairs = zip(items, outcomes, strict=True)
        self._indices -= {item.index for item, error in pairs if error is not None}
        return outcomes

    async def _exchange(
        self, method: str, path: str, body: bytes | None = None, limit_s: float | None = None
    ) -> tuple[int, Any]:
        """Ask the hosts in turn, the one that answered last first; returns status and JSON."""
        failure = DeliveryError("No Elasticsearch host is set.")
        for _ in range(len(self._hosts)):
            try:
                return await self._ask(
                    method, self._hosts[0], path, body, limit_s or self._settings.timeout_s
                )
            except DeliveryError as error:
                failure = error
                self._hosts.rotate(-1)
        raise failure

    async def _ask(
        self, method: str, host: URL, path: str, body: bytes | None, limit_s: float
    ) -> tuple[int, Any]:
        async with (
            _translated(host, limit_s),
            self._open_session().request(
                method,
                host / path if path else host,
                data=None if body is None else io.BytesIO(body),
                headers={"Content-Type": _LINES if path == _BULK else "application/json"},
                timeout=aiohttp.ClientTimeout(total=limit_s),
                allow_redirects=False,
            ) as response,
        ):
            text = await response.read()
        answer = _decoded(text)
        if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _failure(response.status, answer)
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
        raise DeliveryError(f"{place} cannot be reached ({reason}). {_HOSTS_ADVICE}") from error


def _failure(status: int, answer: Any) -> DeliveryError:
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
