"""Our way from protobuf to JSON against protobuf's own."""

import math
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st
from nv_wire import SCHEMA, sample

from sidecar.contract.protojson import to_json_object
from sidecar.pb.nv import ext_pb2, schema_pb2
from sidecar.pb.v1 import verifier_pb2

NUMBERS = st.floats(allow_nan=False)
TEXT = st.text(max_size=8)
INFO = st.dictionaries(TEXT, TEXT, max_size=3)


def _as_protobuf_does(message: Message) -> dict[str, Any]:
    shown: dict[str, Any] = MessageToDict(message, always_print_fields_with_no_presence=True)
    return shown


@pytest.mark.parametrize("name", SCHEMA)
@pytest.mark.parametrize("is_full", [True, False])
def test_every_message_of_nvschema_is_written_as_protobuf_writes_it(
    name: str, *, is_full: bool
) -> None:
    """With every field set, and with none."""
    outer, _, inner = name.partition(".")
    kind = getattr(ext_pb2, outer, None) or getattr(schema_pb2, outer)
    message = getattr(kind, inner)() if inner else kind()
    if is_full:
        message.ParseFromString(sample(name)[0])

    assert _as_protobuf_does(message) == to_json_object(message)


@given(
    fields=st.fixed_dictionaries(
        {},
        optional={
            "sensorId": TEXT,
            "category": TEXT,
            "objectIds": st.lists(TEXT, max_size=3),
            "isAnomaly": st.booleans(),
            "info": INFO,
            "place": st.builds(
                schema_pb2.Place,
                name=TEXT,
                info=INFO,
                location=st.builds(schema_pb2.Location, lat=NUMBERS, lon=NUMBERS),
            ),
            "analyticsModule": st.builds(schema_pb2.AnalyticsModule, id=TEXT, info=INFO),
            "embeddings": st.lists(
                st.builds(schema_pb2.Embedding, vector=st.lists(st.floats(width=32), max_size=3)),
                max_size=2,
            ),
        },
    ),
    seconds=st.integers(-62_135_596_800, 253_402_300_799),
    nanos=st.integers(0, 999_999_999),
)
def test_any_incident_is_written_as_protobuf_writes_it(
    fields: dict[str, Any], seconds: int, nanos: int
) -> None:
    """Whatever is set or not, down to the decimals of its times."""
    message = ext_pb2.Incident(**fields)
    message.timestamp.FromNanoseconds(seconds * 10**9 + nanos)

    assert _as_protobuf_does(message) == to_json_object(message)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf, -0.0, 1e300])
def test_numbers_that_json_does_not_have_are_words(number: float) -> None:
    """As protobuf's JSON has them."""
    message = ext_pb2.Behavior(distance=number, speedOverTime=[1.5, number])

    assert repr(_as_protobuf_does(message)) == repr(
        {name: to_json_object(message)[name] for name in _as_protobuf_does(message)}
    )


def test_messages_with_other_kinds_of_fields_are_left_to_protobuf() -> None:
    """Enums, bytes, durations and 64-bit numbers are written in its way."""
    message = verifier_pb2.Verdict(seq=2**63, outcome=verifier_pb2.OUTCOME_FAILED)
    message.latency.FromMilliseconds(1500)

    assert _as_protobuf_does(message) == to_json_object(message)


def test_a_time_outside_of_the_calendar_is_refused() -> None:
    """It has no RFC 3339 form."""
    message = ext_pb2.Incident(sensorId="a")
    message.timestamp.seconds = 10**15
    with pytest.raises(ValueError, match="Timestamp is not valid"):
        to_json_object(message)
