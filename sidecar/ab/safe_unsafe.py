"""The video data set of safe and unsafe behaviours in a factory (doi 10.1016/j.dib.2024.111258).

Eight classes in four pairs, an unsafe behaviour (0 to 3) and its safe counterpart (4 to 7). Two
layouts are read: FiftyOne's `samples.json` with `filepath` and a label (as the sample of the set on
the Hugging Face hub has it), and folders that are named by class, such as
`0_safe_walkway_violation`, with the clips in them.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from sidecar.ab.importing import Imported, Item, read_json
from sidecar.errors import SettingsError

CLASSES: Final = (
    *("safe walkway violation", "unauthorized intervention", "opened panel cover"),
    *("carrying overload with forklift", "safe walkway", "authorized intervention"),
    *("closed panel cover", "safe carrying"),
)
"""By number."""
PAIRS: Final = {
    "walkway-violation": "Does a worker in this clip walk outside of the green walkway that is "
    "marked on the floor? Worn paint and places without paint do not count. Answer yes or no.",
    "unauthorized-intervention": "Does somebody in this clip stand at a machine and work on it "
    "without wearing a green vest? People who sit do not count. Answer yes or no.",
    "open-panel": "Is the cover of a machine's panel left open in this clip after somebody worked "
    "on it? Answer yes or no.",
    "forklift-overload": "Does a forklift in this clip carry three or more blocks at a time? "
    "Answer yes or no.",
}
"""What is asked about each pair of classes."""

_CLIPS: Final = frozenset({".mp4", ".mov", ".m4v", ".avi", ".webm", ".mkv"})
_WORDS: Final = re.compile(r"[a-z]+")
_NUMBER: Final = re.compile(r"\A([0-7])(?!\d)")
_LABEL_KEYS: Final = ("ground_truth", "label", "classification", "class")


def read_safe_unsafe(folder: Path) -> Imported:
    """Read the clips below a folder.

    Raises:
        SettingsError: there are none whose class is known.
    """
    manifest = folder / "samples.json"
    found = list(_listed(manifest) if manifest.is_file() else _in_folders(folder))
    if not found:
        raise SettingsError(
            f"No clips of known classes below {folder}: expected samples.json with labels, or "
            "folders such as 0_safe_walkway_violation."
        )
    names, items = list(PAIRS), []
    for clip, number in sorted(found):
        alert_type = names[number % len(names)]
        inside = clip.relative_to(folder) if clip.is_relative_to(folder) else Path(clip.name)
        identity = inside.with_suffix("").as_posix()
        items.append(Item(identity, "factory", alert_type, clip, number < len(names)))
    return Imported(items, PAIRS)


def class_of(name: str) -> int | None:
    """Return the number of a class by its label or folder; None when it names none.

    `0_safe_walkway_violation`, `Safe Walkway Violation` and `safe-walkway-violation` are the same.
    """
    plain = " ".join(_WORDS.findall(name.lower()))
    if plain in CLASSES:
        return CLASSES.index(plain)
    number = _NUMBER.match(name)
    return int(number[1]) if number else None


def _listed(manifest: Path) -> Iterator[tuple[Path, int]]:
    content = read_json(manifest)
    samples = content.get("samples") if isinstance(content, dict) else content
    if not isinstance(samples, list):
        raise SettingsError(f"{manifest} holds no list `samples`.")
    for sample in samples:
        number = class_of(_label(sample))
        if number is not None and sample.get("filepath"):
            yield manifest.parent / str(sample["filepath"]), number


def _label(sample: Mapping[str, Any]) -> str:
    value = next((sample[key] for key in _LABEL_KEYS if sample.get(key)), "")
    return str(value.get("label", "")) if isinstance(value, dict) else str(value)


def _in_folders(folder: Path) -> Iterator[tuple[Path, int]]:
    for clip in folder.rglob("*"):
        number = class_of(clip.parent.name)
        if clip.suffix.lower() in _CLIPS and number is not None:
            yield clip, number
