"""Published incidents, read from Elasticsearch as VSS's `incident_service.py` reads them."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson

from sidecar.errors import DeliveryError, IncidentQueryFailed
from sidecar.model import IncidentPage, IncidentQuery
from sidecar.outside.elastic import ElasticClient, failure_of
from sidecar.settings import ElasticSinkSettings


class ElasticIncidents:
    """Fulfils `ports.IncidentSearch` over the daily indices of incidents."""

    def __init__(self, settings: ElasticSinkSettings) -> None:
        self._client = ElasticClient(settings)
        self._path = f"{settings.incidents_index}-*/_search"

    async def search(self, query: IncidentQuery, *, offset: int, limit: int) -> IncidentPage:
        """Return one page, newest first, each document with its `_id` and `_index`."""
        body = {
            "query": {"bool": {"filter": _filters(query)}},
            "from": offset,
            "size": limit,
            "sort": [{"timestamp": {"order": "desc", "unmapped_type": "date"}}],
            "track_total_hits": True,
        }
        try:
            status, answer = await self._client.exchange("POST", self._path, orjson.dumps(body))
            if status != HTTPStatus.OK:
                raise failure_of(status, answer)
        except DeliveryError as error:
            raise IncidentQueryFailed(f"Elasticsearch query failed: {error.detail}") from error
        return _read(answer)

    async def ping(self) -> str:
        """Return "" when a host answers, else a sentence."""
        try:
            await self._client.exchange("GET", "")
        except DeliveryError as error:
            return error.detail
        return ""

    async def close(self) -> None:
        """Close the connections. Safe to call twice."""
        await self._client.close()


def _filters(query: IncidentQuery) -> list[Mapping[str, Any]]:
    terms = {"sensorId.keyword": query.sensor_id, "category.keyword": query.category}
    if query.confirmed_chunks:
        terms["info.verdict.keyword"] = "confirmed"
    filters: list[Mapping[str, Any]] = [
        {"term": {name: value}} for name, value in terms.items() if value
    ]
    if query.confirmed_chunks:  # verified incidents of detectors have no chunks
        filters.append({"exists": {"field": "info.chunkIdx"}})
    bounds = {"gte": query.since, "lte": query.until}
    span = {name: moment.isoformat() for name, moment in bounds.items() if moment}
    if span:
        filters.append({"range": {"timestamp": span}})
    return filters


def _read(answer: Any) -> IncidentPage:
    try:
        hits = answer["hits"]
        documents = tuple(
            {**hit["_source"], "_id": hit["_id"], "_index": hit["_index"]} for hit in hits["hits"]
        )
        total = hits["total"]
        return IncidentPage(documents, total["value"] if isinstance(total, Mapping) else total)
    except (TypeError, KeyError) as error:
        raise IncidentQueryFailed(
            "Elasticsearch query failed: the answer is not one of a search. "
            "Correct SIDECAR_SINKS__ELASTIC__HOSTS."
        ) from error
