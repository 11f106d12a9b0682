"""Between NvSchema bytes and JSON."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from nv_wire import VARINT, entries, message, record, sample, text, time
from payloads import BEHAVIOR, COLLISION, ON_DEMAND, WITH_MEDIA

from sidecar.contract.enrich import enrich
from sidecar.contract.nvschema import UNMAPPED, from_protobuf, to_protobuf
from sidecar.core.intake import Intake
from sidecar.errors import InvalidRequest, Issue, MalformedPayload, VlmTimeout, row_of
from sidecar.model import EventKind, Finding, Prompt, Verdict, VerifyEvent

INCIDENT, ALERT = EventKind.INCIDENT, EventKind.ALERT
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
WHEN = datetime(2026, 1, 31, 8, tzinfo=UTC)
PPE: dict[str, Any] = {
    "sensorId": "warehouse-cam-03",
    "timestamp": "2026-03-17T10:00:00Z",
    "end": "2026-03-17T10:00:10Z",
    "category": "ppe-violation",
    "place": {"name": "warehouse-zone-A"},
    "info": {
        "media_urls": ["http://192.0.2.7:30888/vst/sim/media/ppe-clip.mp4"],
        "media_type": "video",
    },
}
COLLISION_BYTES = b"".join(
    [
        text(1, "Lafayette_Agnew"),
        time(2, 1_757_549_307, 822_000_000),
        time(3, 1_757_549_362, 122_000_000),
        *(text(4, it) for it in ("958741182", "958750871", "958834290", "958730631")),
        message(6, text(2, "city=Montague/intersection=Lafayette_Agnew")),
        message(
            7,
            text(1, "Collision Detection Module"),
            text(2, "Potential collision detected between 4 vehicles"),
        ),
        text(8, "collision"),
        record(10, VARINT, 1),
        entries(11, COLLISION["info"]),
    ]
)
ALERT_BYTES = b"".join(
    [
        text(1, "alert-12345"),
        time(2, 1_736_951_400),
        time(3, 1_736_951_400),
        message(15),
        message(16, text(1, "cam_highway_01")),
        message(
            17,
            text(1, "Alert Module"),
            entries(5, {"dropped": "False", "source": "http_ingest"}),
        ),
        message(18),
        text(20, "/media/videos/traffic_incident.mp4"),
    ]
)
NO_INCIDENT = [
    (b"\xff\xff", "Wire format was corrupt"),
    (COLLISION_BYTES[:-1], "Wire format was corrupt"),
    (orjson.dumps(COLLISION), "Wire format was corrupt"),
    (text(1, "cam") + b"\x0a\x02\xc3\x28", "bad UTF-8"),
    (text(1, "cam") + time(2, 10**15), "Timestamp is not valid"),
]


def _decided(event: VerifyEvent, **change: Any) -> dict[str, Any]:
    verdict = Verdict(
        event=event,
        arm="reason2",
        adapter="cosmos-reason2",
        decided_at=WHEN,
        latency_ms=812,
        finding=Finding(True, "two cars touch", "A crash.", 0.9),
        model="nvidia/Cosmos-Reason2-8B",
        prompt=Prompt("collision", "?", version=3),
    )
    return enrich(replace(verdict, **change))


@pytest.mark.parametrize(("kind", "name"), [(INCIDENT, "Incident"), (ALERT, "Behavior")])
def test_every_field_of_an_event_is_read(kind: EventKind, name: str) -> None:
    """Nothing that the schema has is lost on the way in."""
    body, shown = sample(name)

    assert shown == from_protobuf(body, kind)


def test_an_incident_is_read_with_its_defaults() -> None:
    """VSS's own view of the collision: lists, maps and empty strings stand where nothing came."""
    place = {"id": "", "name": COLLISION["place"]["name"], "type": "", "info": {}}
    module = {**COLLISION["analyticsModule"], "source": "", "version": "", "info": {}}

    assert {
        **COLLISION,
        "frameIds": [],
        "embeddings": [],
        "place": place,
        "analyticsModule": module,
    } == from_protobuf(COLLISION_BYTES, INCIDENT)


def test_an_incident_is_written_byte_by_byte() -> None:
    """The message that VSS's consumers read; what the schema has no field for is not in it."""
    document = {**COLLISION, "id": "i-1", "Id": "f00d", "type": "mdx-vlm-incidents"}

    assert COLLISION_BYTES == to_protobuf(document, INCIDENT)


def test_an_alert_is_written_as_vss_writes_it() -> None:
    """`event` and the flattened names have no place in VSS's mapping; `dropped` is its addition."""
    document = _decided(Intake().read(BEHAVIOR, ALERT))
    body = to_protobuf({**document, "info": {}}, ALERT)

    assert ALERT_BYTES == body


def test_an_alert_keeps_what_vss_maps() -> None:
    """All fields of VSS's mapper, with values, and nothing of those that it leaves out."""
    _, shown = sample("Behavior")
    module = {"id": "höhe", "info": {**shown["analyticsModule"]["info"], "dropped": "True"}}
    kept = {name: value for name, value in shown.items() if name != "event"}
    thing = {"id": "höhe", "type": "höhe", "confidence": 0.1}
    read = from_protobuf(to_protobuf({**shown, "dropped": True}, ALERT), ALERT)
    for name in ("poses", "gazes", "lipActivities"):
        kept[name] = []

    assert {
        **kept,
        "place": {"id": "", "name": "höhe", "type": "", "info": {}},
        "sensor": {"id": "höhe", "type": "", "description": "", "info": {}},
        "analyticsModule": {"description": "", "source": "", "version": "", **module},
        "object": {**thing, "info": {}, "speed": 0.0, "dir": []},
        "embeddings": [{"vector": [0.1, 0.1], "info": {}}] * 2,
    } == read


@pytest.mark.parametrize(
    ("raw", "kind"),
    [(COLLISION, INCIDENT), (WITH_MEDIA, INCIDENT), (PPE, INCIDENT), (BEHAVIOR, ALERT)],
    ids=["P1", "P2", "P5", "P3"],
)
@pytest.mark.parametrize("change", [{}, {"finding": None, "error": VlmTimeout("5 s")}])
def test_the_answer_and_its_provenance_survive(
    raw: dict[str, Any], kind: EventKind, change: dict[str, Any]
) -> None:
    """`info` is the same after protobuf, on the incident route and on the alert route."""
    document = _decided(Intake().read(raw, kind), **change)

    assert document["info"] == from_protobuf(to_protobuf(document, kind), kind)["info"]


@pytest.mark.parametrize("kind", [INCIDENT, ALERT])
def test_an_on_demand_answer_survives(kind: EventKind) -> None:
    """P4 goes to the sink as an incident, or as an alert of the flat sensor when it says so."""
    body = {**ON_DEMAND, "notification_type": "alert"} if kind is ALERT else ON_DEMAND
    document = _decided(Intake().read_on_demand(body, WHEN))
    read = from_protobuf(to_protobuf(document, kind), kind)
    sensor = read["sensor"]["id"] if kind is ALERT else read["sensorId"]

    assert (document["info"], "sensor-01") == (read["info"], sensor)


@pytest.mark.parametrize("raw", [COLLISION, WITH_MEDIA, PPE], ids=["P1", "P2", "P5"])
def test_an_incident_is_the_same_question_through_every_door(raw: dict[str, Any]) -> None:
    """JSON by HTTP and protobuf by Kafka give one key, one document id and the same media."""
    direct = Intake().read(raw, INCIDENT)
    carried = Intake().read(from_protobuf(to_protobuf(raw, INCIDENT), INCIDENT), INCIDENT)
    facts = ("key", "fingerprint", "sensor_id", "category", "timestamp", "end", "media")

    assert [getattr(direct, it) for it in facts] == [getattr(carried, it) for it in facts]


@pytest.mark.parametrize(("body", "cause"), NO_INCIDENT)
def test_bytes_that_are_no_incident_are_refused_with_the_cause(body: bytes, cause: str) -> None:
    """The sender learns what is wrong and what to send."""
    with pytest.raises(MalformedPayload) as caught:
        from_protobuf(body, INCIDENT)
    detail = caught.value.detail

    assert "invalid_payload" == row_of(caught.value).reason
    assert detail.startswith("Invalid Protobuf payload: ")
    assert cause in detail
    assert detail.endswith("Send a serialized nv.Incident.")


def test_an_incident_without_required_fields_is_refused_as_vss_does() -> None:
    """An empty string and an absent time are both missing."""
    with pytest.raises(InvalidRequest) as caught:
        from_protobuf(text(1, "") + time(2, 1), INCIDENT)
    fields = ("sensorId", "end", "category")

    assert tuple(Issue(it, "missing", "Field required") for it in fields) == caught.value.issues


def test_an_alert_end_at_the_epoch_is_no_end() -> None:
    """VSS's encoder writes 1970 when a behaviour has no end; a span back to then is nonsense."""
    document = {name: value for name, value in BEHAVIOR.items() if name != "end"}
    body = to_protobuf(document, ALERT)

    assert time(3, 0) in body
    assert "end" not in from_protobuf(body, ALERT)


@pytest.mark.parametrize(
    ("nanos", "written"),
    [
        (0, "2025-01-15T14:30:00Z"),
        (5_000_000, "2025-01-15T14:30:00.005Z"),
        (5_000, "2025-01-15T14:30:00.000005Z"),
        (5, "2025-01-15T14:30:00.000000005Z"),
    ],
)
def test_times_have_as_many_decimals_as_they_need(nanos: int, written: str) -> None:
    """0, 3, 6 or 9, as protobuf's JSON form has it; the way back loses nothing."""
    body = b"".join(
        [text(1, "cam"), time(2, 1_736_951_400, nanos), time(3, 1_736_951_460), text(8, "fall")]
    )
    read = from_protobuf(body, INCIDENT)

    assert written == read["timestamp"]
    assert body == to_protobuf(read, INCIDENT)


@pytest.mark.parametrize(
    "written",
    ["2025-01-15 14:30:00Z", "2025-01-15T23:30:00+09:00", "2025-01-15t14:30:00z", "1736951400"],
)
def test_every_time_that_a_door_takes_can_be_written(written: str) -> None:
    """Our doors are more tolerant than protobuf's JSON; the sink must not pay for it."""
    read = from_protobuf(to_protobuf({**COLLISION, "timestamp": written}, INCIDENT), INCIDENT)

    assert "2025-01-15T14:30:00Z" == read["timestamp"]
    assert UNMAPPED not in read["info"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frameIds", "12"),
        ("isAnomaly", "perhaps"),
        ("place", {"name": "dock", "location": {"lat": "north"}}),
        ("analyticsModule", {"id": "m", "info": {"threshold": 0.5}}),
        ("embeddings", [{"vector": [1, None]}]),
    ],
)
def test_a_value_that_does_not_fit_costs_one_field(field: str, value: object) -> None:
    """VSS would lose the whole verdict; here everything else arrives and the loss is named."""
    read = from_protobuf(to_protobuf({**COLLISION, field: value}, INCIDENT), INCIDENT)
    without = {name: it for name, it in COLLISION.items() if name != field}
    expected = from_protobuf(to_protobuf(without, INCIDENT), INCIDENT)

    assert {**expected, "info": {**COLLISION["info"], UNMAPPED: field}} == read


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(sorted({*sample("Incident")[1], *sample("Behavior")[1], "Id", "dropped"}))
# protobuf's JSON form rounds the largest 32-bit floats up to numbers that it then refuses
FLOATS = st.floats(-(2.0**126), 2.0**126, width=32)
TIMES = st.integers(1, 10**17).map(lambda it: (EPOCH + timedelta(microseconds=it)).isoformat())
INCIDENTS = st.fixed_dictionaries(
    {
        "sensorId": TEXT.filter(bool),
        "category": TEXT.filter(bool),
        "timestamp": TIMES,
        "end": TIMES,
        "objectIds": st.lists(TEXT, max_size=3),
        "frameIds": st.lists(TEXT, max_size=3),
        "isAnomaly": st.booleans(),
        "embeddings": st.lists(st.fixed_dictionaries({"vector": st.lists(FLOATS, max_size=3)})),
        "info": st.dictionaries(TEXT, TEXT, max_size=4),
    }
)


@given(INCIDENTS)
def test_there_and_back_is_the_same_incident(document: dict[str, Any]) -> None:
    """Writing what was read gives the same bytes, and reading them the same object."""
    body = to_protobuf(document, INCIDENT)
    read = from_protobuf(body, INCIDENT)

    assert body == to_protobuf(read, INCIDENT)
    assert document["info"] == read["info"]
    assert (document["sensorId"], document["objectIds"]) == (read["sensorId"], read["objectIds"])


@given(st.dictionaries(FIELDS, JSON, max_size=6), st.sampled_from(EventKind))
@example({"analyticsModule": [], "sensor": 5, "place": "dock", "embeddings": 1}, ALERT)
def test_no_document_stops_the_sink(document: dict[str, Any], kind: EventKind) -> None:
    """Whatever a sender put into an event that was accepted, the answer in `info` arrives."""
    required = {name: PPE[name] for name in ("sensorId", "category", "timestamp", "end")}
    answered = {**document, **required, "info": {"verdict": "confirmed"}}
    info = from_protobuf(to_protobuf(answered, kind), kind)["info"]

    assert "confirmed" == info["verdict"]
    assert {"verdict", UNMAPPED} >= set(info)


@given(st.binary(max_size=200), st.sampled_from(EventKind))
def test_no_bytes_stop_the_door(body: bytes, kind: EventKind) -> None:
    """Random bytes are an object or a refusal, never a crash."""
    with suppress(InvalidRequest, MalformedPayload):
        read = from_protobuf(body, kind)

        assert read == orjson.loads(orjson.dumps(read))
