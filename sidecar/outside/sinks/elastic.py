"""Verdicts as documents in Elasticsearch."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, Final

import orjson

from sidecar.errors import DeliveryError, DeliveryRefused
from sidecar.model import EventKind, OutboxEntry
from sidecar.outside.elastic import BULK, HOSTS_ADVICE, ElasticClient, failure_of
from sidecar.outside.sinks._batches import Batches, Outcomes
from sidecar.outside.sinks._bulk import BulkItem, bulk_item, outcome_of, reason_of
from sidecar.outside.sinks._documents import day_of, search_document, version_of
from sidecar.settings import ElasticSinkSettings

MAX_ITEMS: Final = 500
MAX_BYTES: Final = 5_000_000

_PING_TIMEOUT_S: Final = 3.0
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
        self._ping_timeout_s = min(_PING_TIMEOUT_S, settings.timeout_s)
        self._client = ElasticClient(settings)
        self._bases = {
            EventKind.INCIDENT: settings.incidents_index,
            EventKind.ALERT: settings.alerts_index,
        }
        self._batches = Batches(self._send, max_items=MAX_ITEMS, max_bytes=MAX_BYTES)
        self._indices: set[str] = set()
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
        try:
            status, answer = await self._client.exchange("GET", "", limit_s=self._ping_timeout_s)
            # A key that may only write is forbidden to look at the cluster.
            if status == HTTPStatus.UNAUTHORIZED:
                raise failure_of(status, answer)
        except DeliveryError as error:
            return error.detail
        return self._trouble

    async def close(self) -> None:
        """Give up what is on its way and close the connections."""
        await self._batches.close()
        await self._client.close()

    async def _send(self, items: Sequence[BulkItem]) -> Outcomes:
        for index in {item.index for item in items} - self._indices:
            await self._create(index)
        return await self._write(items)

    async def _create(self, index: str) -> None:
        """Make an index unless it exists; who may not create may still write to what is there."""
        status, answer = await self._client.exchange("PUT", index, orjson.dumps(_INDEX))
        if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.TOO_MANY_REQUESTS}:
            raise failure_of(status, answer)
        self._indices.add(index)

    async def _write(self, items: Sequence[BulkItem]) -> Outcomes:
        body = b"".join(item.lines for item in items)
        status, answer = await self._client.exchange("POST", BULK, body)
        if status == HTTPStatus.OK:
            return self._outcomes(items, answer)
        if status not in _NEVER:
            raise failure_of(status, answer)
        if len(items) == 1:
            return [DeliveryRefused(f"Elasticsearch refused the verdict: {reason_of(answer)}.")]
        # One of them spoils the request for all: find it.
        half = len(items) // 2
        return [*await self._write(items[:half]), *await self._write(items[half:])]

    def _outcomes(self, items: Sequence[BulkItem], answer: Any) -> Outcomes:
        results = answer.get("items") if isinstance(answer, dict) else None
        if not isinstance(results, list) or len(results) != len(items):
            raise DeliveryError(f"The answer is not one of Elasticsearch. {HOSTS_ADVICE}")
        outcomes = [outcome_of(item, result) for item, result in zip(items, results, strict=True)]
        # An index that somebody deleted has to be made again.
        pairs = zip(items, outcomes, strict=True)
        self._indices -= {item.index for item, error in pairs if error is not None}
        return outcomes
