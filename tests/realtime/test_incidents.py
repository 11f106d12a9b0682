"""Published incidents are read from Elasticsearch, one by one or as events."""

from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from sidecar.core.incidents import Incidents
from sidecar.errors import IncidentQueryFailed, IncidentsUnavailable
from sidecar.model import IncidentQuery
from sidecar.observe.realtime_metrics import PrometheusRealtimeMeter
from sidecar.outside.incidents import ElasticIncidents
from sidecar.settings import ConsolidationSettings, ElasticSinkSettings
from sidecar.testing.fake_elastic import FakeElastic, Stored
from sidecar.testing.fakes import FrozenClock

CHUNK = {
    "sensorId": "camera-1",
    "category": "fire",
    "timestamp": "2026-01-31T08:00:00.000Z",
    "end": "2026-01-31T08:00:30.000Z",
    "info": {"chunkIdx": "1", "verdict": "confirmed"},
}
CHUNKS = [
    CHUNK,
    {**CHUNK, "timestamp": "2026-01-31T08:00:25.000Z", "end": "2026-01-31T08:00:55.000Z"},
    {**CHUNK, "timestamp": "2026-01-31T09:00:00.000Z", "end": "2026-01-31T09:00:30.000Z"},
    {**CHUNK, "sensorId": "camera-2", "info": {"verdict": "confirmed"}},
]
ANY = IncidentQuery()


@pytest.fixture
async def elastic() -> AsyncGenerator[FakeElastic]:
    async with FakeElastic() as server:
        for number, document in enumerate(CHUNKS):
            place = ("mdx-vlm-incidents-2026-01-31", f"chunk-{number}")
            server.documents[place] = Stored(document, 1)
        server.documents["mdx-vlm-alerts-2026-01-31", "x"] = Stored(CHUNK, 1)
        yield server


@pytest.fixture
async def index(elastic: FakeElastic) -> AsyncGenerator[ElasticIncidents]:
    index = ElasticIncidents(ElasticSinkSettings(hosts=(elastic.url,)))
    yield index
    await index.close()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def incidents(index: ElasticIncidents, registry: CollectorRegistry) -> Incidents:
    meter = PrometheusRealtimeMeter(registry)
    return Incidents(index, ConsolidationSettings(), FrozenClock(), meter)


def ids(documents: Any) -> list[str]:
    return [document["_id"] for document in documents]


async def test_incidents_come_newest_first_page_by_page(incidents: Incidents) -> None:
    """Each document says where it is stored; other indices are left alone."""
    listed = await incidents.list(ANY, offset=0, limit=2)
    rest = await incidents.list(ANY, offset=2, limit=2)

    assert ["chunk-2", "chunk-1"] == ids(listed.documents)
    assert {"chunk-0", "chunk-3"} == set(ids(rest.documents))
    assert (4, False) == (listed.total, listed.is_truncated)
    assert "mdx-vlm-incidents-2026-01-31" == listed.documents[0]["_index"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (IncidentQuery(sensor_id="camera-2"), 1),
        (IncidentQuery(category="smoke"), 0),
        (IncidentQuery(since=datetime(2026, 1, 31, 8, 30, tzinfo=UTC)), 1),
        (IncidentQuery(until=datetime(2026, 1, 31, 8, 30, tzinfo=UTC)), 3),
    ],
)
async def test_incidents_are_filtered(
    incidents: Incidents, query: IncidentQuery, expected: int
) -> None:
    """By camera, by category and by time."""
    assert expected == (await incidents.list(query, offset=0, limit=10)).total


async def test_chunks_become_events(incidents: Incidents, registry: CollectorRegistry) -> None:
    """Pages are pages of events; what a detector reported is no chunk of a live stream."""
    listed = await incidents.list_events(ANY, offset=0, limit=1)
    rest = await incidents.list_events(ANY, offset=1, limit=10)

    assert (2, "1") == (listed.total, listed.documents[0]["info"]["chunkCount"])
    assert [["chunk-0", "chunk-1"]] == [event["chunk_ids"] for event in rest.documents]
    assert 6 == registry.get_sample_value("alert_bridge_dedup_chunks_in_total")
    assert 4 == registry.get_sample_value("alert_bridge_dedup_events_out_total")
    outer = {"reason": "outer"}
    assert 2 == registry.get_sample_value("alert_bridge_dedup_split_reason_total", outer)


async def test_an_index_that_fails_is_told_and_counted(
    incidents: Incidents, elastic: FakeElastic, registry: CollectorRegistry
) -> None:
    """The error has the reason of Elasticsearch."""
    elastic.status = 400

    with pytest.raises(IncidentQueryFailed, match="as the test wants it"):
        await incidents.list(ANY, offset=0, limit=1)
    assert 1 == registry.get_sample_value("alert_bridge_incident_query_failures_total")


async def test_another_server_is_not_taken_for_an_index(
    index: ElasticIncidents, elastic: FakeElastic
) -> None:
    """An answer of another shape is an error, not an empty list."""
    elastic.documents = {("mdx-vlm-incidents-1", "x"): Stored(None, 1)}  # type: ignore[arg-type]

    with pytest.raises(IncidentQueryFailed):
        await index.search(ANY, offset=0, limit=1)
    assert "" == await index.ping()


async def test_without_elasticsearch_there_are_no_incidents(registry: CollectorRegistry) -> None:
    """The error names the setting."""
    meter = PrometheusRealtimeMeter(registry)
    incidents = Incidents(None, ConsolidationSettings(), FrozenClock(), meter)

    with pytest.raises(IncidentsUnavailable, match="SIDECAR_SINKS__ELASTIC__HOSTS"):
        await incidents.list(ANY, offset=0, limit=1)
