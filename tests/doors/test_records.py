"""What a broker door does with a record: decode it, store it, or put it aside."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from payloads import BEHAVIOR, COLLISION
from storing_service import MAX_RECORD_BYTES, decode, storing

from sidecar.contract.nvschema import to_protobuf
from sidecar.doors.records import RecordIntake
from sidecar.errors import BodyTooLarge, RequestError, row_of
from sidecar.model import EventKind, Record
from sidecar.testing.fakes import MemoryDeadLetters, RecordMeter

INCIDENT = Record(EventKind.INCIDENT, json.dumps(COLLISION).encode(), "here@1", lag_s=0.1)
NONSENSE = Record(EventKind.INCIDENT, b"nonsense", "here@2")


@pytest.mark.parametrize("space", [b"", b" \r\n\t"])
def test_a_json_object_is_read_as_such(space: bytes) -> None:
    """White space around it does not make it protobuf."""
    assert BEHAVIOR == decode(EventKind.ALERT, space + json.dumps(BEHAVIOR).encode() + space)


def test_anything_else_is_read_as_protobuf() -> None:
    """The kind decides which message it must be."""
    value = to_protobuf(BEHAVIOR, EventKind.ALERT)

    assert "cam_highway_01" == decode(EventKind.ALERT, value)["sensor"]["id"]


@pytest.mark.parametrize(
    ("value", "reason", "detail"),
    [
        (b"", "validation_failed", "The record has no value"),
        (b"[1]", "invalid_payload", "Send a serialized nv.Behavior"),
        (b"{", "validation_failed", "not valid JSON"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "validation_failed", "deeper than 32 levels"),
        (b"\xff\xff", "invalid_payload", "Send a serialized nv.Behavior"),
    ],
)
def test_what_is_neither_is_refused(value: bytes, reason: str, detail: str) -> None:
    """The error tells what the bytes were taken for."""
    with pytest.raises(RequestError, match=detail) as caught:
        decode(EventKind.ALERT, value)

    assert reason == row_of(caught.value).reason


def test_a_record_that_is_too_long_is_refused_unread() -> None:
    """Its length and the limit are told."""
    with pytest.raises(BodyTooLarge, match="1048577 bytes; 1048576"):
        decode(EventKind.ALERT, b"{" * (MAX_RECORD_BYTES + 1))


async def test_a_known_event_is_safe(tmp_path: Path) -> None:
    """A record that is read twice is stored once."""
    async with storing(tmp_path) as store:
        intake = store.intake("kafka")
        await intake.take(INCIDENT)
        await intake.take(INCIDENT)

        assert {"received": 2, "stored": 1, "known": 1} == dict(store.meter.counts)


async def test_a_record_waits_for_room(tmp_path: Path) -> None:
    """It is taken as soon as the backlog is shorter; nothing is put aside."""
    other = Record(EventKind.ALERT, json.dumps(BEHAVIOR).encode(), "here@3")
    async with storing(tmp_path, max_backlog=1) as store:
        intake = store.intake("kafka")
        await intake.take(INCIDENT)
        waiting = asyncio.create_task(intake.take(other))
        await asyncio.sleep(0.3)
        was_done, obstacle = waiting.done(), intake.obstacle
        await store.decide(1)
        await waiting

        assert (False, True, 0) == (was_done, bool(obstacle), store.meter.counts["put_aside"])


async def test_a_dead_letter_names_the_wrong_fields(tmp_path: Path) -> None:
    """The cause is for a person, the reason for a dashboard."""
    letters = MemoryDeadLetters()
    async with storing(tmp_path) as store:
        record = Record(EventKind.ALERT, b'{"id": "a"}', "here@4")
        await store.intake("kafka", letters).take(record)
    (letter,) = letters.taken

    assert ("validation_failed", record) == (letter.reason, letter.record)
    assert "timestamp: Field required" in letter.cause


async def test_dead_letters_that_cannot_be_stored_are_told_of(tmp_path: Path) -> None:
    """`problem` stands until the letter is stored."""
    letters = MemoryDeadLetters("No topic.")
    async with storing(tmp_path) as store:
        intake = store.intake("kafka", letters)
        waiting = asyncio.create_task(intake.take(NONSENSE))
        await asyncio.sleep(0.05)
        before, letters.trouble = intake.problem, ""
        await waiting

        assert ("No topic.", "") == (before, intake.problem)
        assert 1 == store.meter.counts["put_aside"]


async def test_a_defect_costs_one_record(tmp_path: Path) -> None:
    """A record that makes our code fail is put aside, and the door goes on."""

    def broken(kind: EventKind, value: bytes) -> Mapping[str, Any]:
        raise ZeroDivisionError(f"{kind} {len(value)}")

    letters, meter = MemoryDeadLetters(), RecordMeter()
    async with storing(tmp_path) as store:
        await RecordIntake("kafka", broken, store.service, letters, meter).take(INCIDENT)

    assert ["unexpected"] == [letter.reason for letter in letters.taken]
    assert "ZeroDivisionError" in letters.taken[0].cause
