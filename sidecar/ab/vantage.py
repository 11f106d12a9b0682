"""VANTAGE-Bench's event verification: read its data, write its submission.

Layout, order and identifiers are those of its toolkit (Clemson-Capstone/VANTAGE-Bench,
scripts/run_lmudata.py, vlmeval/dataset/utils/vantagebench/id_rules.py and emit.py): annotation
files `test_annotation*.json` anywhere below the folder, each a list of items or an object that
holds one, with `video` relative to the file; sorted by name of the clip and `id`, an item's place
is part of its identifier. Its answers are withheld; what has `answer` is labelled with it.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

import orjson

from sidecar.ab.importing import Imported, Item, read_json
from sidecar.ab.scorers import first_word
from sidecar.compared import ArmAnswer, ComparedEvent
from sidecar.errors import SettingsError
from sidecar.model import Outcome

TASK: Final = "event_verification"
_ANNOTATIONS: Final = "test_annotation*.json"
_SAID: Final = {Outcome.CONFIRMED: "Yes", Outcome.REJECTED: "No"}


def read_vantage(folder: Path) -> Imported:
    """Read the items below a folder.

    Raises:
        SettingsError: there are none, or a file has another shape.
    """
    files = sorted(folder.glob(f"**/{_ANNOTATIONS}"))
    if not files:
        raise SettingsError(f"There is no {_ANNOTATIONS} below {folder}.")
    found: dict[tuple[str, str], tuple[Path, Mapping[str, Any]]] = {}
    for file in files:
        for item in _items(file):
            name = _clip_name(item)
            identity = str(item.get("id") or "") or str(item["question"])[:80]
            found.setdefault((name, identity), (file, item))
    ordered = sorted(found.items(), key=lambda it: (it[0][0], str(it[1][1].get("id") or "")))
    prompts: dict[str, str] = {}
    items = [
        _item(folder, file, item, f"{_stem(name)}__ev_{place:06d}", prompts)
        for place, ((name, _), (file, item)) in enumerate(ordered)
    ]
    return Imported(items, {alert_type: text for text, alert_type in prompts.items()})


def submission(
    events: Iterable[ComparedEvent], arm: str, *, as_verdicts: bool = False
) -> Iterator[bytes]:
    """Yield the lines of `event_verification.jsonl`, one for each event that the arm was asked.

    Args:
        events: compared events whose ids are the benchmark's.
        arm: whose answers to submit.
        as_verdicts: submit "Yes" or "No" as the sidecar reads the answer; False submits what the
            model said, word by word, which the benchmark reads by its own rule.
    """
    for event in events:
        answer = event.answer_of(arm)
        if answer is None:
            continue
        value = _SAID.get(answer.outcome, "") if as_verdicts else answer.text
        yield orjson.dumps(_row(event.id, answer, value)) + b"\n"


def _row(identity: str, answer: ArmAnswer, value: str) -> dict[str, Any]:
    return {
        "id": identity,
        "task": TASK,
        "conversations": [{"from": "assistant", "value": value}],
        "metadata": {
            "model": answer.model or answer.arm,
            "box_coord_order": "xyxy",
            "extra": {},
        },
    }


def _items(file: Path) -> Iterator[Mapping[str, Any]]:
    content = read_json(file)
    if isinstance(content, dict):
        lists = [value for value in content.values() if isinstance(value, list)]
        content = content.get("bcq") or (lists[0] if lists else None)
    if not isinstance(content, list):
        raise SettingsError(f"{file} holds no list of questions.")
    for number, item in enumerate(content):
        if not isinstance(item, dict) or not _clip_name(item) or not item.get("question"):
            raise SettingsError(f"{file}: item {number} needs `video` and `question`.")
        yield item


def _item(
    folder: Path, file: Path, item: Mapping[str, Any], identity: str, prompts: dict[str, str]
) -> Item:
    corpus = file.parent.relative_to(folder).as_posix()
    corpus = file.parent.name if corpus == "." else PurePosixPath(corpus).name
    question, framing = str(item["question"]).strip(), str(item.get("system_prompt") or "").strip()
    text = f"{framing}\n\nQuestion: {question}" if framing else question
    alert_type = prompts.setdefault(text, f"{corpus}-{len(prompts) + 1}")
    video = str(item.get("video") or item.get("video_id"))
    clip = file.parent / video
    if not clip.suffix:
        clip = clip.with_name(f"{clip.name}.mp4")
    return Item(identity, corpus, alert_type, clip, first_word(str(item.get("answer") or "")))


def _clip_name(item: Mapping[str, Any]) -> str:
    video = str(item.get("video") or item.get("video_id") or "")
    name = PurePosixPath(video).name
    return name if not name or name.endswith(".mp4") else f"{name}.mp4"


def _stem(name: str) -> str:
    return name.removesuffix(".mp4")
