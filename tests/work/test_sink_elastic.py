"""The Elasticsearch sink against a server on a real socket, and against Elasticsearch itself."""

import asyncio
import ssl
import subprocess
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from containers import elasticsearch_container
from ledger_samples import T0, a_record
from payloads import BEHAVIOR, COLLISION

from sidecar.errors import DeliveryError, DeliveryRefused, SettingsError
from sidecar.model import EventKind, OutboxEntry
from sidecar.outside.sinks.elastic import ElasticSink
from sidecar.settings import ElasticSinkSettings
from sidecar.testing.fake_elastic import FakeElastic, basic

INCIDENTS = "mdx-vlm-incidents-2026-01-31"
VERIFIED = {
    "verdict": "confirmed",
    "reasoning": "Two cars collide.",
    "description": "",
    "videoSource": "http://vst/clip.mp4",
    "verificationResponseCode": "200",
    "verificationResponseStatus": "OK",
}


def an_entry(key: str = "key-1", **changes: Any) -> OutboxEntry:
    return OutboxEntry(1, "elastic", a_record(key, **changes))


def an_update(end: str, decided_s: float = 0.0, **fields: Any) -> OutboxEntry:
    """One state of the incident `key-1`, which ended at `end` so far."""
    document = {"timestamp": "2026-01-31T08:00:00.000Z", "end": end, **fields}
    return an_entry(document=document, decided_at=T0 + timedelta(seconds=decided_s))


@asynccontextmanager
async def sink_to(*hosts: str, **settings: Any) -> AsyncGenerator[ElasticSink]:
    sink = ElasticSink(ElasticSinkSettings(hosts=hosts, **settings))
    try:
        yield sink
    finally:
        await sink.close()


async def stored(url: str, index: str, identity: str) -> dict[str, Any]:
    """Read a document as VSS would."""
    async with aiohttp.ClientSession() as client:
        answer = await client.get(f"{url}/{index}/_doc/{identity}")
        return dict((await answer.json())["_source"])


async def found(url: str, pattern: str, *filters: dict[str, Any]) -> list[dict[str, Any]]:
    """Search as VSS's video-analytics-api does."""
    query = {"query": {"bool": {"filter": list(filters)}}}
    async with aiohttp.ClientSession() as client:
        await client.post(f"{url}/{INCIDENTS}/_refresh")
        answer = await client.post(f"{url}/{pattern}/_search", json=query)
        return [hit["_source"] for hit in (await answer.json())["hits"]["hits"]]


@pytest.fixture
async def fake() -> AsyncGenerator[FakeElastic]:
    async with FakeElastic() as server:
        yield server


@pytest.fixture(scope="module")
def container_url() -> Iterator[str]:
    with elasticsearch_container() as url:
        yield url


@pytest.fixture(params=["fake", pytest.param("container", marks=pytest.mark.docker)])
async def url(request: pytest.FixtureRequest) -> AsyncGenerator[str]:
    """A server without the indices that these tests write."""
    if request.param == "fake":
        async with FakeElastic() as server:
            yield server.url
        return
    address: str = request.getfixturevalue("container_url")
    yield address
    async with aiohttp.ClientSession() as client:
        for index in (INCIDENTS, "mdx-vlm-incidents-2025-09-11", "mdx-vlm-alerts-2025-01-15"):
            await client.delete(f"{address}/{index}")


async def test_incident_is_indexed_by_its_day_and_id(url: str) -> None:
    """Every field of VSS's example event is there, with the verdict, under the `Id`."""
    document = {
        **COLLISION,
        "type": "mdx-vlm-incidents",
        "Id": "f00d",
        "info": {**COLLISION["info"], **VERIFIED},
        "embeddings": [{"vector": [0.5]}],
        "kafka": {"offset": 1},
        "message": "raw",
        "@timestamp": "2025-09-11T00:08:27Z",
        "@version": "1",
    }
    when = datetime(2025, 9, 11, 0, 8, 27, 822_000, UTC)
    async with sink_to(url) as sink:
        await sink.publish(an_entry(fingerprint="f00d", timestamp=when, document=document))
    written = await stored(url, "mdx-vlm-incidents-2025-09-11", "f00d")

    assert written == {
        **COLLISION,
        "type": "mdx-vlm-incidents",
        "Id": "f00d",
        "info": {**COLLISION["info"], **VERIFIED},
    }


async def test_alert_is_indexed_with_a_geo_json_track(url: str) -> None:
    """Tracks are flattened, embeddings of boxes left out, and times have three digits."""
    track = {"type": "linestring", "coordinates": [{"point": [1.0, 2.0]}, {"point": [3.0, 4.0]}]}
    document = {
        **BEHAVIOR,
        "locations": track,
        "object": {"id": "7", "bbox3d": {"confidence": 0.5, "embeddings": [{"vector": [1]}]}},
    }
    when = datetime(2025, 1, 15, 14, 30, tzinfo=UTC)
    entry = an_entry(fingerprint="a1e7", kind=EventKind.ALERT, timestamp=when, document=document)
    async with sink_to(url) as sink:
        await sink.publish(entry)
    written = await stored(url, "mdx-vlm-alerts-2025-01-15", "a1e7")

    assert written["locations"] == {"type": "LineString", "coordinates": [[1.0, 2.0], [3.0, 4.0]]}
    assert written["object"] == {"id": "7", "bbox3d": {"confidence": 0.5}}
    assert written["timestamp"] == written["end"] == "2025-01-15T14:30:00.000Z"


async def test_document_has_what_readers_require(url: str) -> None:
    """`Id`, `end` and `place` are there even when the event had none."""
    async with sink_to(url) as sink:
        await sink.publish(an_entry(fingerprint="bare", document={"info": {}}))

    assert await stored(url, INCIDENTS, "bare") == {
        "Id": "bare",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:00.000Z",
        "place": {"name": ""},
        "info": {},
    }


async def test_vss_finds_the_verdict(url: str) -> None:
    """The filters of video-analytics-api and of the agent's tools select by verdict and time."""
    async with sink_to(url) as sink:
        for verdict in ("confirmed", "rejected", "verification-failed"):
            document = {"sensorId": "camera-1", "info": {"verdict": verdict}}
            await sink.publish(an_entry(verdict, fingerprint=verdict, document=document))
    span = (
        {"range": {"timestamp": {"lte": "2026-01-31T09:00:00.000Z"}}},
        {"range": {"end": {"gte": "2026-01-31T07:00:00.000Z"}}},
    )
    by_verdict = {"term": {"info.verdict.keyword": "confirmed"}}
    unconfirmed = {"terms": {"info.verdict.keyword": ["rejected", "verification-failed"]}}
    pattern = "mdx-vlm-incidents-*"
    one = await found(url, pattern, *span, by_verdict, {"term": {"sensorId.keyword": "camera-1"}})
    two = await found(url, pattern, *span, unconfirmed)
    by_id = await found(url, pattern, {"term": {"Id.keyword": "rejected"}})

    assert [document["Id"] for document in one] == ["confirmed"]
    assert {document["Id"] for document in two} == {"rejected", "verification-failed"}
    assert [document["Id"] for document in by_id] == ["rejected"]


async def test_newer_state_of_an_incident_wins(url: str) -> None:
    """Updates replace each other in the order of the event, in whatever order they arrive."""
    first = an_update("2026-01-31T08:00:10Z", state="first")
    second = an_update("2026-01-31T08:00:20Z", state="second")
    states = []
    async with sink_to(url) as sink:
        for update in (first, second, first):
            await sink.publish(update)
            states.append((await stored(url, INCIDENTS, "fingerprint of key-1"))["state"])

    assert states == ["first", "second", "second"]


async def test_later_decision_on_the_same_state_wins(url: str) -> None:
    """A verdict that is delivered late does not replace the one that was reached after it."""
    early = an_update("2026-01-31T08:00:00Z", decided_s=5, state="early")
    late = an_update("2026-01-31T08:00:00Z", decided_s=60, state="late")
    async with sink_to(url) as sink:
        await sink.publish(late)
        await sink.publish(early)

    assert (await stored(url, INCIDENTS, "fingerprint of key-1"))["state"] == "late"


async def test_clock_of_a_camera_does_not_stop_updates(url: str) -> None:
    """Events from before 1970, and verdicts from before their event, are still indexed."""
    async with sink_to(url) as sink:
        for state, end in (("old", "1969-01-01T00:00:00Z"), ("future", "2199-01-01T00:00:00Z")):
            entry = an_update(end, state=state)
            await sink.publish(entry)
            await sink.publish(entry)

    assert (await stored(url, INCIDENTS, "fingerprint of key-1"))["state"] == "future"


async def test_document_that_does_not_fit_is_refused_alone(url: str) -> None:
    """A mapping error makes a dead letter of that verdict, and its neighbours are stored."""
    async with sink_to(url) as sink:
        await sink.publish(an_entry("good", fingerprint="good", document={"place": {"name": "x"}}))
        outcomes = await asyncio.gather(
            sink.publish(an_entry("bad", fingerprint="bad", document={"place": "x"})),
            sink.publish(an_entry("fine", fingerprint="fine", document={"place": {"name": "y"}})),
            return_exceptions=True,
        )
        problem = await sink.ping()

    assert isinstance(outcomes[0], DeliveryRefused)
    assert "document_parsing_exception" in outcomes[0].detail
    assert outcomes[1] is None
    assert (await stored(url, INCIDENTS, "fine"))["place"] == {"name": "y"}
    assert problem == ""


async def test_day_is_that_of_utc(fake: FakeElastic) -> None:
    """An event just before midnight in New York belongs to the next day's index."""
    when = datetime.fromisoformat("2026-01-30T23:30:00-05:00")
    async with sink_to(fake.url) as sink:
        await sink.publish(an_entry(timestamp=when))

    assert [index for index, _ in fake.documents] == [INCIDENTS]


async def test_index_is_made_like_vss_makes_it(fake: FakeElastic) -> None:
    """One shard, no replicas, dynamic mapping; and made again when somebody deleted it."""
    async with sink_to(fake.url) as sink:
        await sink.publish(an_entry())
        made = fake.indices[INCIDENTS]
        fake.item_errors["gone"] = (404, "index_not_found_exception")
        fake.indices.clear()
        with pytest.raises(DeliveryError, match="index_not_found_exception"):
            await sink.publish(an_entry(fingerprint="gone"))
        await sink.publish(an_entry())

    assert made["settings"] == {"number_of_shards": 1, "number_of_replicas": 0}
    assert made["mappings"] == {"dynamic": True}
    assert fake.indices[INCIDENTS] == made


async def test_verdicts_of_one_moment_share_a_request(fake: FakeElastic) -> None:
    """Two hundred concurrent deliveries need a handful of requests, and each is confirmed."""
    async with sink_to(fake.url) as sink:
        entries = [an_entry(f"key-{n}", fingerprint=f"f{n}") for n in range(200)]
        await asyncio.gather(*(sink.publish(entry) for entry in entries))

    assert len(fake.documents) == 200
    assert len(fake.bulk_sizes) <= 3


async def test_requests_stay_within_what_servers_take(fake: FakeElastic) -> None:
    """Large documents travel in several requests, of at most 5 MB each."""
    document = {"info": {"reasoning": "x" * 1_000_000}}
    async with sink_to(fake.url) as sink:
        entries = [an_entry(fingerprint=f"f{n}", document=document) for n in range(20)]
        await asyncio.gather(*(sink.publish(entry) for entry in entries))

    assert [4] * 5 == fake.bulk_sizes


@pytest.mark.parametrize("status", [429, 500, 502, 503])
async def test_cluster_in_trouble_is_asked_again(fake: FakeElastic, status: int) -> None:
    """Statuses that pass are errors of the moment; ping tells until a delivery works."""
    async with sink_to(fake.url) as sink:
        fake.status = status
        with pytest.raises(DeliveryError, match=f"{status}") as caught:
            await sink.publish(an_entry())
        while_down = await sink.ping()
        fake.status = 0
        await sink.publish(an_entry())
        problem = await sink.ping()

    assert type(caught.value) is DeliveryError
    assert str(status) in while_down
    assert problem == ""


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (429, "es_rejected_execution_exception"),
        (503, "unavailable_shards_exception"),
        (403, "cluster_block_exception"),
        (400, "validation_exception"),
    ],
)
async def test_document_is_tried_again_when_the_cluster_is_at_fault(
    fake: FakeElastic, status: int, kind: str
) -> None:
    """A full queue, a lost shard, a full disk and too many shards are no fault of the verdict."""
    fake.item_errors["busy"] = (status, kind)
    async with sink_to(fake.url) as sink:
        with pytest.raises(DeliveryError, match=kind) as caught:
            await sink.publish(an_entry(fingerprint="busy"))

    assert type(caught.value) is DeliveryError


async def test_too_large_document_is_refused_alone(fake: FakeElastic) -> None:
    """When a request is too large, the document that makes it so is found."""
    fake.max_body_bytes = 10_000
    async with sink_to(fake.url) as sink:
        large = an_entry(fingerprint="large", document={"info": {"text": "x" * 20_000}})
        small = [an_entry(fingerprint=f"f{n}") for n in range(10)]
        outcomes = await asyncio.gather(
            *(sink.publish(entry) for entry in (*small[:5], large, *small[5:])),
            return_exceptions=True,
        )

    assert [type(outcome) for outcome in outcomes] == [
        *[type(None)] * 5,
        DeliveryRefused,
        *[type(None)] * 5,
    ]
    assert len(fake.documents) == 10


@pytest.mark.parametrize(
    ("settings", "header"),
    [
        ({"api_key": "a2V5", "username": "elastic", "password": "no"}, "ApiKey a2V5"),
        ({"username": "elastic", "password": "s3cret"}, basic("elastic", "s3cret")),
    ],
)
async def test_access_is_asked_for(
    fake: FakeElastic, settings: dict[str, str], header: str
) -> None:
    """The API key wins over the user; without either, the error tells which setting is missing."""
    fake.authorization = header
    async with sink_to(fake.url, **settings) as sink:
        await sink.publish(an_entry())
        allowed = await sink.ping()
    async with sink_to(fake.url) as sink:
        with pytest.raises(DeliveryError, match="SIDECAR_SINKS__ELASTIC__API_KEY") as caught:
            await sink.publish(an_entry())
        denied = await sink.ping()

    assert allowed == ""
    assert "401" in denied
    assert type(caught.value) is DeliveryError


async def test_credentials_of_the_url_are_used_and_not_shown(fake: FakeElastic) -> None:
    """`http://user:password@host` logs in, and errors leave it out."""
    fake.authorization = basic("user", "pass-secret")
    host = fake.url.replace("//", "//user:pass-secret@")
    async with sink_to(host) as sink:
        await sink.publish(an_entry())
        await fake.stop()
        with pytest.raises(DeliveryError, match="cannot be reached") as caught:
            await sink.publish(an_entry())
        problem = await sink.ping()

    assert "secret" not in caught.value.detail + problem
    assert "SIDECAR_SINKS__ELASTIC__HOSTS" in problem


async def test_next_host_takes_over(fake: FakeElastic) -> None:
    """While one host is away, the others do the work, also when it answered before."""
    async with FakeElastic() as first, sink_to(first.url, fake.url) as sink:
        await sink.publish(an_entry(fingerprint="one"))
        await first.stop()
        await sink.publish(an_entry(fingerprint="two"))
        first_documents = list(first.documents)

    assert first_documents == [(INCIDENTS, "one")]
    assert list(fake.documents) == [(INCIDENTS, "two")]


async def test_slow_cluster_times_out(fake: FakeElastic) -> None:
    """The configured time is kept."""
    fake.delay_s = 5
    async with sink_to(fake.url, timeout_s=0.05) as sink:
        with pytest.raises(DeliveryError, match=r"did not answer within 0\.05 s"):
            await sink.publish(an_entry())


async def test_something_else_at_the_address_takes_no_verdicts() -> None:
    """A web page with status 200 is no confirmation."""

    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>It works!</html>")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", page)
    async with TestServer(app) as server, sink_to(str(server.make_url("/"))) as sink:
        with pytest.raises(DeliveryError, match="not one of Elasticsearch"):
            await sink.publish(an_entry())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1, with its key beside it."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=127.0.0.1",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-keyout",
            folder / "key.pem",
            "-out",
            folder / "cert.pem",
        ],
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem"


async def test_certificates_are_checked(certificate: Path) -> None:
    """An unknown authority is refused unless it is named, or the check is off."""
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, certificate.with_name("key.pem"))
    async with FakeElastic(tls=tls) as fake:
        async with sink_to(fake.url) as sink:
            with pytest.raises(DeliveryError, match="SIDECAR_SINKS__ELASTIC__CA_CERTS"):
                await sink.publish(an_entry(fingerprint="refused"))
        async with sink_to(fake.url, ca_certs=certificate) as sink:
            await sink.publish(an_entry(fingerprint="known"))
        async with sink_to(fake.url, verify_certs=False) as sink:
            await sink.publish(an_entry(fingerprint="unchecked"))

        assert {identity for _, identity in fake.documents} == {"known", "unchecked"}


@pytest.mark.parametrize("host", ["elastic:9200", "ftp://x", "http://", "http://[secret"])
def test_wrong_host_stops_the_start(host: str) -> None:
    """A host that can never answer is a wrong setting."""
    with pytest.raises(SettingsError, match="SIDECAR_SINKS__ELASTIC__HOSTS") as caught:
        ElasticSink(ElasticSinkSettings(hosts=(host,)))

    assert "secret" not in caught.value.detail


def test_wrong_certificate_file_stops_the_start(tmp_path: Path) -> None:
    """A file without certificates is a wrong setting."""
    (tmp_path / "ca.pem").write_text("no certificate")
    settings = ElasticSinkSettings(hosts=("https://x:9200",), ca_certs=tmp_path / "ca.pem")

    with pytest.raises(SettingsError, match="SIDECAR_SINKS__ELASTIC__CA_CERTS"):
        ElasticSink(settings)


async def test_closes_while_a_delivery_hangs(fake: FakeElastic) -> None:
    """A stop does not wait for a server that hangs, and closing twice is safe."""
    fake.delay_s = 30
    sink = ElasticSink(ElasticSinkSettings(hosts=(fake.url,)))
    publishing = asyncio.create_task(sink.publish(an_entry()))
    await asyncio.sleep(0.05)
    publishing.cancel()
    async with asyncio.timeout(2):
        await sink.close()
        await sink.close()

    assert publishing.cancelled()
