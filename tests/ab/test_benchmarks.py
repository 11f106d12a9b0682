"""Benchmarks that a user downloads: their layouts in, a submission out."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from ab.samples import BEGIN, Habit, simulate

from sidecar.ab.recorded import read_events
from sidecar.ab.safe_unsafe import PAIRS, class_of, read_safe_unsafe
from sidecar.ab.vantage import read_vantage, submission
from sidecar.errors import SettingsError
from sidecar.model import Outcome
from sidecar.outside.prompts import load_alert_types


def _annotate(folder: Path, content: Any, name: str = "test_annotation.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))
    return folder


def _vantage(root: Path) -> Path:
    """Make a folder as the released data set has it: three shapes of file, two depths."""
    filtered = root / "data" / "event_verification" / "filtered"
    metropolis = _annotate(
        filtered / "metropolis_event_verification",
        {
            "bcq": [
                {
                    "id": "m1",
                    "video": "videos/C0065_clip02.mp4",
                    "system_prompt": "You watch a crossing.",
                    "question": "Is there a collision?",
                },
                {"id": "m0", "video": "videos/C0065_clip01.mp4", "question": "Is there smoke?"},
            ]
        },
    )
    _annotate(
        filtered / "tailgating" / "tailgating_courtyard",
        {"items": [{"id": "t0", "video_id": "gate_7", "question": "Is there smoke?"}]},
    )
    _annotate(
        filtered / "warehouse_near_miss",
        [{"id": "w0", "video": "aisle.mp4", "question": "A near miss?", "answer": "Yes"}],
        "test_annotations.json",
    )
    (metropolis / "videos").mkdir()
    (metropolis / "videos" / "C0065_clip01.mp4").write_bytes(b"clip")
    return root


def test_vantage_is_read_from_every_shape_of_file(tmp_path: Path) -> None:
    """Identifiers are those of its toolkit: by name of the clip, numbered through all files."""
    found = read_vantage(_vantage(tmp_path))
    ids = [it.id for it in found.items]

    assert [
        "C0065_clip01__ev_000000",
        "C0065_clip02__ev_000001",
        "aisle__ev_000002",
        "gate_7__ev_000003",
    ] == ids
    assert [None, None, True, None] == [it.truth for it in found.items]
    assert 3 == len(found.prompts)  # one question was asked about two clips
    assert 3 == len(found.missing)
    assert "You watch a crossing.\n\nQuestion: Is there a collision?" in found.prompts.values()


def test_what_is_imported_can_be_replayed(tmp_path: Path) -> None:
    """The events are ones that the pipeline takes, and their alert types ones that it knows."""
    found = read_vantage(_vantage(tmp_path))
    events, alert_types = tmp_path / "events.jsonl", tmp_path / "alert_types.json"
    found.write(events, alert_types)
    recorded = list(read_events(events.read_bytes().splitlines(), "events", BEGIN))
    known = {config.alert_type: config.prompt for config in load_alert_types(alert_types)}

    assert [it.id for it in found.items] == [it.event.id for it in recorded]
    assert len({it.event.key for it in recorded}) == len(recorded)
    assert {it.event.category for it in recorded} == set(known)
    labels = [it.label.truth if it.label else None for it in recorded]
    assert [None, None, True, None] == labels


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("just text", "holds no list of questions"),
        ([{"video": "a.mp4"}], "item 0 needs `video` and `question`"),
        ([{"question": "?"}], "item 0 needs `video` and `question`"),
        ([7], "item 0 needs `video` and `question`"),
    ],
)
def test_a_wrong_annotation_is_refused_by_name(tmp_path: Path, content: Any, text: str) -> None:
    """With the file and the number of the item."""
    _annotate(tmp_path, content)

    with pytest.raises(SettingsError, match=text):
        read_vantage(tmp_path)


def test_an_empty_folder_is_no_benchmark(tmp_path: Path) -> None:
    """Both importers say what they expected."""
    with pytest.raises(SettingsError, match="no test_annotation"):
        read_vantage(tmp_path)
    with pytest.raises(SettingsError, match=r"expected samples\.json"):
        read_safe_unsafe(tmp_path)


def test_a_submission_has_the_rows_that_the_benchmark_takes() -> None:
    """The model's own words, or our reading of them; what the arm was not asked is left out."""
    first, second, third = simulate({"new": Habit(1, 1, 0)}, 3, prevalence=1)
    answer = replace(first.answers[0], text="<think>hm</think> Yes, it does.")
    failed = replace(second.answers[0], outcome=Outcome.FAILED, text="I see a street.")
    events = [
        replace(first, id="a__ev_000000", answers=(answer,)),
        replace(second, id="b__ev_000001", answers=(failed,)),
        replace(third, answers=()),
    ]
    rows = [json.loads(line) for line in submission(events, "new")]
    values = [row["conversations"][0]["value"] for row in rows]
    read = [json.loads(line) for line in submission(events, "new", as_verdicts=True)]

    assert {
        "id": "a__ev_000000",
        "task": "event_verification",
        "conversations": [{"from": "assistant", "value": "<think>hm</think> Yes, it does."}],
        "metadata": {"model": "nvidia/new", "box_coord_order": "xyxy", "extra": {}},
    } == rows[0]
    assert ["<think>hm</think> Yes, it does.", "I see a street."] == values
    assert ["Yes", ""] == [row["conversations"][0]["value"] for row in read]


def test_safe_and_unsafe_behaviours_are_read_from_folders(tmp_path: Path) -> None:
    """An unsafe class is a true event, its safe counterpart a false one of the same alert type."""
    for folder in ("0_safe_walkway_violation", "4_safe_walkway", "7_safe_carrying", "notes"):
        (tmp_path / "test" / folder).mkdir(parents=True)
        (tmp_path / "test" / folder / "clip.mp4").write_bytes(b"")
    found = read_safe_unsafe(tmp_path)

    assert [
        ("test/0_safe_walkway_violation/clip", "walkway-violation", True),
        ("test/4_safe_walkway/clip", "walkway-violation", False),
        ("test/7_safe_carrying/clip", "forklift-overload", False),
    ] == [(it.id, it.alert_type, it.truth) for it in found.items]
    assert PAIRS == found.prompts


def test_safe_and_unsafe_behaviours_are_read_from_fiftyone(tmp_path: Path) -> None:
    """`samples.json`, with labels as objects or as text; what has none is left out."""
    samples = [
        {"filepath": "data/a.mp4", "ground_truth": {"label": "Opened Panel Cover"}},
        {"filepath": "data/b.mp4", "label": "closed_panel_cover"},
        {"filepath": "data/c.mp4", "tags": []},
    ]
    (tmp_path / "samples.json").write_text(json.dumps({"samples": samples}))
    found = read_safe_unsafe(tmp_path)

    assert [("data/a", True), ("data/b", False)] == [(it.id, it.truth) for it in found.items]
    assert tmp_path / "data" / "a.mp4" in found.missing


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("Safe Walkway Violation", 0),
        ("safe-walkway", 4),
        ("3_carrying_overload_with_forklift", 3),
        ("5", 5),
        ("12_other", None),
        ("something else", None),
    ],
)
def test_classes_are_known_by_label_and_by_number(name: str, number: int | None) -> None:
    """However they are written."""
    assert number == class_of(name)
