"""Recorded events, the file of answers that grows, and asking arms again."""

import asyncio
import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from ab.samples import Habit, simulate

from sidecar.ab.journal import Journal, read_compared
from sidecar.ab.recorded import Recorded, of_record, read_events
from sidecar.ab.replay import Replay, ReplayArm
from sidecar.contract.compared import merge, read_line, read_truth, write_line
from sidecar.contract.enrich import enrich, record_of
from sidecar.contract.published import original
from sidecar.core.intake import Intake
from sidecar.errors import InvalidRequest, SettingsError, VlmUnreachable
from sidecar.model import EventKind, Finding, Prompt, Verdict, VerifyEvent
from sidecar.outside.clock import SystemClock
from sidecar.testing.fakes import FrozenClock

EVENT = {
    "id": "one",
    "sensorId": "gate-1",
    "timestamp": "2026-01-31T08:00:00Z",
    "end": "2026-01-31T08:00:02Z",
    "category": "motion",
    "info": {"video_path": "gate.mp4", "note": "kept"},
}
NOW = datetime(2026, 2, 1, tzinfo=UTC)


def _recorded(count: int) -> list[Recorded]:
    lines = [
        json.dumps({**EVENT, "id": f"e{n}", "sensorId": f"s{n}"}).encode() for n in range(count)
    ]
    return list(read_events(lines, "events", NOW))


def _verdict(event: VerifyEvent, arm: str, **changes: Any) -> Verdict:
    said = Verdict(
        event=event, arm=arm, adapter=arm, decided_at=NOW, latency_ms=7, finding=Finding(True)
    )
    return replace(said, **changes)


class _Arm:
    """Confirms everything; counts what it was asked, and how much at the same time.

    Args:
        name: of the arm.
        wait: how many questions have to be on their way before any is answered.
        failing: how many of the first questions end as if the server was away.
    """

    def __init__(self, name: str, wait: int = 1, failing: int = 0) -> None:
        self.name = name
        self.asked: list[str] = []
        self.peak = 0
        self._now = 0
        self._wait = wait
        self._failing = failing
        self._full = asyncio.Event()

    async def ask(self, event: VerifyEvent) -> Verdict:
        self.asked.append(event.id)
        self._now += 1
        self.peak = max(self.peak, self._now)
        if self._now >= self._wait:
            self._full.set()
        await self._full.wait()
        self._now -= 1
        if len(self.asked) <= self._failing:
            return _verdict(event, self.name, finding=None, error=VlmUnreachable("away"))
        return _verdict(event, self.name)


async def _replay(path: Path, events: list[Recorded], *arms: ReplayArm) -> dict[str, int]:
    told: Counter[str] = Counter()
    with Journal(path) as journal:
        work = Replay(journal, SystemClock(), lambda arm, _: told.update([arm]))
        await work.run(work.missing(events, arms), arms)
        journal.compact()
    return dict(told)


async def test_every_arm_is_asked_about_every_event_once(tmp_path: Path) -> None:
    """The file has a line for each event, with the answers of both."""
    first, second = _Arm("a"), _Arm("b")
    told = await _replay(
        tmp_path / "out.jsonl",
        _recorded(20),
        ReplayArm("a", first.ask, 4),
        ReplayArm("b", second.ask, 2),
    )
    found = list(read_compared(tmp_path / "out.jsonl"))

    assert {"a": 20, "b": 20} == told
    assert sorted(first.asked) == sorted(second.asked) == sorted(f"e{n}" for n in range(20))
    assert 20 == len(found)
    assert all(["a", "b"] == sorted(answer.arm for answer in it.answers) for it in found)


async def test_each_arm_is_kept_at_its_own_limit(tmp_path: Path) -> None:
    """Each waits until so many questions are on their way; none gets more, or waits for others."""
    first, second = _Arm("a", wait=5), _Arm("b", wait=2)
    await _replay(
        tmp_path / "out.jsonl",
        _recorded(20),
        ReplayArm("a", first.ask, 5),
        ReplayArm("b", second.ask, 2),
    )

    assert (5, 2) == (first.peak, second.peak)


async def test_an_interrupted_replay_goes_on_where_it_stopped(tmp_path: Path) -> None:
    """What was answered is not asked again, and nothing is missing in the end."""
    events, path = _recorded(10), tmp_path / "out.jsonl"
    done = asyncio.Event()
    hanging = _Arm("a", wait=99)

    async def ask(event: VerifyEvent) -> Verdict:
        if len(hanging.asked) < 4:
            hanging.asked.append(event.id)
            return _verdict(event, "a")
        done.set()
        return await hanging.ask(event)

    task = asyncio.create_task(_replay(path, events, ReplayArm("a", ask, 1)))
    await done.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    rest = _Arm("a")
    told = await _replay(path, events, ReplayArm("a", rest.ask, 3))

    assert {"a": 6} == told
    assert set(rest.asked).isdisjoint(hanging.asked[:4])
    assert 10 == len(list(read_compared(path)))


async def test_failures_that_may_pass_are_asked_again(tmp_path: Path) -> None:
    """A server that was away for three questions; the later answer counts."""
    events, path, arm = _recorded(5), tmp_path / "out.jsonl", _Arm("a", failing=3)
    await _replay(path, events, ReplayArm("a", arm.ask, 1))
    told = await _replay(path, events, ReplayArm("a", arm.ask, 1))

    assert {"a": 3} == told
    assert 8 == len(arm.asked)
    assert all(not answer.reason for it in read_compared(path) for answer in it.answers)


async def test_questions_are_paced(tmp_path: Path) -> None:
    """Four a second: the eleventh question is asked 2.5 s after the first, by the clock."""
    clock, pauses = FrozenClock(), []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        clock.advance(seconds)

    arm = _Arm("a")
    with Journal(tmp_path / "out.jsonl") as journal:
        work = Replay(journal, clock, lambda *_: None, sleep=sleep)
        arms = (ReplayArm("a", arm.ask, 1, rate=4.0),)
        await work.run(work.missing(_recorded(11), arms), arms)

    assert sum(pauses) == pytest.approx(2.5)


def test_a_torn_last_line_is_cut_off(tmp_path: Path) -> None:
    """As a killed process leaves it; the lines before it stay."""
    path = tmp_path / "out.jsonl"
    first, second = simulate({"a": Habit()}, 2)
    path.write_bytes(write_line(first) + write_line(second)[:40])
    with Journal(path) as journal:
        assert {(first.key, "a")} == journal.answered()
        journal.append(second)

    assert [first, second] == list(read_compared(path))


@pytest.mark.parametrize("content", [b"", b"{", b'{"key":"k","timest'])
def test_a_file_of_nothing_but_a_torn_line_starts_anew(tmp_path: Path, content: bytes) -> None:
    """An empty file too."""
    path = tmp_path / "out.jsonl"
    path.write_bytes(content)
    Journal(path).close()

    assert b"" == path.read_bytes()


def test_something_else_than_compared_events_is_not_overwritten(tmp_path: Path) -> None:
    """The error names the line; the file stays as it was."""
    path = tmp_path / "events.jsonl"
    path.write_text(json.dumps(EVENT) + "\n")
    with Journal(path) as journal, pytest.raises(InvalidRequest, match=r"events.jsonl:1: key"):
        journal.answered()

    assert EVENT == json.loads(path.read_text())


@pytest.mark.parametrize("content", [b"no newline at all", b'{"id": "one"}', b"\n[1, 2]"])
def test_what_is_no_torn_line_of_ours_is_not_cut(tmp_path: Path, content: bytes) -> None:
    """Such as another file's only line; it stays as it was."""
    path = tmp_path / "precious.json"
    path.write_bytes(content)

    with pytest.raises(SettingsError, match="something else"):
        Journal(path)
    assert content == path.read_bytes()


def test_a_journal_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """Such as below a file."""
    (tmp_path / "file").write_text("")

    with pytest.raises(SettingsError, match="Cannot write"):
        Journal(tmp_path / "file" / "out.jsonl")


def test_lines_keep_everything() -> None:
    """Written and read again, an event is the same."""
    events = simulate({"a": Habit(has_confidence=True), "b": Habit(failing=0.5)}, 50, labelled=0.5)
    lines = [write_line(event) for event in events]

    assert events == [read_line(line, "x") for line in lines]


def test_what_is_said_later_about_an_event_counts() -> None:
    """Answers by arm, and the label; the order of the events stays."""
    (first, other), (second, _) = (simulate({"a": Habit()}, 2, seed=s) for s in (1, 2))
    renamed = replace(second, answers=(replace(second.answers[0], arm="b"),), label=None)
    newer = replace(first, answers=(replace(first.answers[0], latency_ms=1),), label=None)
    (joined, alone) = merge([first, other, renamed, newer])

    assert other == alone
    assert [("a", 1), ("b", second.answers[0].latency_ms)] == [
        (it.arm, it.latency_ms) for it in joined.answers
    ]
    assert first.label == joined.label


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"{", "f:1: "),
        (b'{"key": "k"}', "f:1: timestamp: Field required"),
        (b'{"key": "", "timestamp": "2026-01-31T08:00:00Z"}', "f:1: key"),
        (b'{"key": "k", "timestamp": "2026-01-31T08:00:00"}', "f:1: timestamp"),
        (
            b'{"key": "k", "timestamp": 0, "answers": [{"arm": "a", "outcome": "perhaps"}]}',
            "f:1: answers.0.outcome",
        ),
    ],
)
def test_a_wrong_line_is_named(line: bytes, text: str) -> None:
    """With its place and the field."""
    with pytest.raises(InvalidRequest, match=text):
        read_line(line, "f:1")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"truth": true}', "needs the `id` or the `key`"),
        (b'{"id": "a"}', "f:1: truth: Field required"),
        (b'{"id": "a", "truth": "perhaps"}', "f:1: truth"),
        (b"[]", "f:1"),
    ],
)
def test_a_wrong_label_is_named(line: bytes, text: str) -> None:
    """As above."""
    with pytest.raises(InvalidRequest, match=text):
        read_truth(line, "f:1", NOW)


def test_labels_name_their_event_by_id_or_key() -> None:
    """The key wins; null says that it cannot be told."""
    assert ("a", True) == _truth(b'{"id": "a", "truth": true, "labeller": "ann"}')
    assert ("k", None) == _truth(b'{"id": "a", "key": "k", "truth": null}')


def _truth(line: bytes) -> tuple[str, bool | None]:
    identity, label = read_truth(line, "f:1", NOW)
    assert NOW == label.labelled_at
    return identity, label.truth


def test_a_published_document_becomes_the_event_again() -> None:
    """Same key, same category, same media; what the verdict added is gone."""
    event = Intake().read(EVENT, EventKind.INCIDENT)
    prompt = Prompt("motion", "Does it move?", output_category="Motion (verified)")
    document = enrich(_verdict(event, "a", prompt=prompt))
    (found,) = read_events([json.dumps(document).encode()], "documents", NOW)

    assert "Motion (verified)" == document["category"]
    assert (event.key, event.category, event.media) == (
        found.event.key,
        found.event.category,
        found.event.media,
    )
    assert {"video_path": "gate.mp4", "note": "kept"} == found.event.raw["info"]


def test_an_alert_of_the_ledger_becomes_the_event_again() -> None:
    """Behaviours are flattened when they are published."""
    raw = {
        "id": "b1",
        "sensor": {"id": "cam-2"},
        "timestamp": "2026-01-31T08:00:00Z",
        "end": "2026-01-31T08:00:05Z",
        "analyticsModule": {"id": "Motion Detection Module"},
    }
    event = Intake().read(raw, EventKind.ALERT)
    found = of_record(record_of(_verdict(event, "a")))

    assert (event.key, event.sensor_id, event.category, event.kind) == (
        found.event.key,
        found.event.sensor_id,
        found.event.category,
        found.event.kind,
    )


def test_an_event_without_a_verdict_stays_as_it_is() -> None:
    """Also one whose info has the same words as a verdict's."""
    raw = {**EVENT, "info": {"verdict": "mine", "description": "of the camera"}}

    assert raw == original(raw)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b"{", "events:1: .*not valid JSON"),
        (b"{}", "events:1: .*Field required"),
        (json.dumps({"event": EVENT, "truth": "yes"}).encode(), "events:1: truth must be true"),
    ],
)
def test_a_line_that_is_no_event_is_named(line: bytes, text: str) -> None:
    """Before anything is asked."""
    with pytest.raises(InvalidRequest, match=text):
        list(read_events([line], "events", NOW))


def test_events_may_come_with_their_truth() -> None:
    """As importers write them; null is no label."""
    lines = [
        json.dumps({"event": EVENT, "truth": truth, "labeller": "ann"}).encode()
        for truth in (True, False, None)
    ]
    labels = [it.label for it in read_events([*lines, b"", b"  "], "events", NOW)]

    assert [True, False, None] == [it.truth if it else None for it in labels]
    assert labels[0] is not None
    assert ("ann", NOW) == (labels[0].labeller, labels[0].labelled_at)
