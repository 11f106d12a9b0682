"""Chunks of a live stream become events. Cases are those of VSS's own tests."""

from typing import Any

import pytest

from sidecar.core.consolidation import MAX_QUERIES, Folded, consolidate
from sidecar.settings import ConsolidationSettings

BOUNDS = ConsolidationSettings()


def a_chunk(number: int, start: str, end: str, **changes: Any) -> dict[str, Any]:
    info = {"chunkIdx": str(number), "requestId": "r", "verdict": "confirmed"}
    return {
        "Id": f"chunk-{number}",
        "sensorId": "camera-1",
        "category": "fire",
        "timestamp": f"2026-01-31T{start}Z",
        "end": f"2026-01-31T{end}Z",
        "info": info | changes.pop("info", {}),
        "llm": {"queries": [{"id": f"r:{number}"}]},
        **changes,
    }


NEAR = [
    a_chunk(13, "08:00:00", "08:00:30", info={"reasoning": "A long look at the flames."}),
    a_chunk(14, "08:00:25", "08:00:55", info={"reasoning": "Flames."}),
]


def spans(folded: Folded) -> list[tuple[str, str]]:
    return [(event["timestamp"][11:19], event["end"][11:19]) for event in folded.events]


def test_chunks_that_follow_each_other_are_one_event() -> None:
    """The event spans both, names them, and keeps the shape of an incident."""
    (event,) = consolidate(NEAR, BOUNDS).events

    assert [("08:00:00", "08:00:55")] == spans(consolidate(NEAR, BOUNDS))
    assert {
        "isConsolidated": "true",
        "chunkCount": "2",
        "chunkIdxRange": "13-14",
        "mergedQueryCount": "2",
        "chunkIdx": "14",
    }.items() <= event["info"].items()
    assert ["chunk-13", "chunk-14"] == event["chunk_ids"]
    assert [{"id": "r:13"}, {"id": "r:14"}] == event["llm"]["queries"]
    assert event["Id"] == event["_id"]
    assert event["Id"].startswith("evt-")


def test_an_event_keeps_its_identity_as_it_grows() -> None:
    """A later look finds the same event, longer."""
    ids = {consolidate(NEAR[:n], BOUNDS).events[0]["Id"] for n in (1, 2)}

    assert 1 == len(ids)


def test_a_pause_ends_an_event() -> None:
    """60 s between two chunks are one event, more are two, the later first."""
    at_limit = a_chunk(15, "08:01:55", "08:02:25")
    beyond = a_chunk(16, "08:03:26", "08:03:56")
    folded = consolidate([beyond, at_limit, *NEAR], BOUNDS)

    assert [("08:03:26", "08:03:56"), ("08:00:00", "08:02:25")] == spans(folded)
    assert {"gap": 1} == folded.splits


def test_a_long_event_is_cut() -> None:
    """No event is longer than 300 s, unless that is unlimited."""
    chunks = [a_chunk(n, f"08:{n:02}:00", f"08:{n:02}:50") for n in range(8)]
    unlimited = ConsolidationSettings(max_duration_s=None)

    assert ["3", "5"] == [it["info"]["chunkCount"] for it in consolidate(chunks, BOUNDS).events]
    assert {"outer": 1} == consolidate(chunks, BOUNDS).splits
    assert 1 == len(consolidate(chunks, unlimited).events)


@pytest.mark.parametrize("change", [{"sensorId": "camera-2"}, {"category": "smoke"}])
def test_cameras_and_alert_types_are_apart(change: dict[str, str]) -> None:
    """What another camera saw, or another rule, is another event."""
    assert 2 == len(consolidate([NEAR[0], {**NEAR[1], **change}], BOUNDS).events)


@pytest.mark.parametrize(
    "change",
    [
        {"info": {"verdict": "rejected"}},
        {"info": "text"},
        {"timestamp": "yesterday"},
        {"sensorId": ""},
    ],
)
def test_what_is_no_confirmed_chunk_is_left_out(change: dict[str, Any]) -> None:
    """It stays among the incidents one by one."""
    folded = consolidate([NEAR[0], {**NEAR[1], **change}], BOUNDS)

    assert ["1"] == [event["info"]["chunkCount"] for event in folded.events]


def test_the_longest_reasoning_can_stand_for_all() -> None:
    """The text of an event is then that of its most talkative chunk."""
    talkative = ConsolidationSettings(representative="longest_reasoning")
    (event,) = consolidate(NEAR, talkative).events

    assert "A long look at the flames." == event["info"]["reasoning"]


def test_queries_are_counted_but_not_all_kept() -> None:
    """An event stays of a size that can be sent."""
    chunk = {**NEAR[0], "llm": {"queries": [{}] * (MAX_QUERIES + 1)}}
    (event,) = consolidate([chunk], BOUNDS).events

    assert str(MAX_QUERIES + 1) == event["info"]["mergedQueryCount"]
    assert MAX_QUERIES == len(event["llm"]["queries"])


def test_documents_are_not_changed() -> None:
    """What was read can be read again."""
    before = repr(NEAR)
    consolidate(NEAR, BOUNDS)

    assert before == repr(NEAR)
