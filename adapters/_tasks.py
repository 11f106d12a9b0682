"""Reading answers to tasks other than verification: timelines, boxes and points.

The shapes are those of NVIDIA's prompt guides for Cosmos Reason 2 and Cosmos 3: a JSON array of
objects, or a single object. Times are relative to the clip. Coordinates are 0..1000 on both axes
from the top left corner, also where the prompt spoke of pixels.
"""

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import json_repair

from adapters._answers import read_answer
from adapters._verdicts import quoted
from sidecar.errors import TruncatedAnswer, UnparsableAnswer
from sidecar.model import ChatReply

_CLOCK: Final = re.compile(
    r"(?:(?P<h>\d{1,3}):(?=\d{1,2}:))?(?P<m>\d{1,3}):(?P<s>[0-5]?\d(?:\.\d{1,3})?)", re.ASCII
)
_SECONDS: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s?(?:s|sec|seconds)?", re.ASCII)
_MINUTES_AN_HOUR: Final = 60
_SECONDS_A_MINUTE: Final = 60
_START_KEYS: Final = ("start", "start_time")
_END_KEYS: Final = ("end", "end_time")
_CAPTION_KEYS: Final = ("caption", "description", "event", "label")
_BOX_KEYS: Final = ("bbox_2d", "bbox", "box_2d")
_POINT_KEYS: Final = ("point_2d", "point")
_SCALE: Final = 1000.0
_MAX_REPAIRED: Final = 20_000  # characters
_OPENING: Final = re.compile(r"[\[{]")


@dataclass(frozen=True, slots=True)
class Interval:
    """Something that happens in the clip; times in seconds from its start."""

    start_s: float
    end_s: float
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Box:
    """A box in the picture, 0..1 per axis from the top left corner, x1 <= x2 and y1 <= y2.

    Attributes:
        is_clipped: whether the model named a place outside of the picture.
    """

    x1: float
    y1: float
    x2: float
    y2: float
    label: str = ""
    is_clipped: bool = False


@dataclass(frozen=True, slots=True)
class Point:
    """A point in the picture, 0..1 per axis from the top left corner.

    Attributes:
        is_clipped: whether the model named a place outside of the picture.
    """

    x: float
    y: float
    label: str = ""
    is_clipped: bool = False


def parse_timestamp(value: object) -> float:
    """Return seconds from `[h:]mm:ss[.f]` (up to three decimals), "12.5", "12.5s" or a number.

    Raises:
        UnparsableAnswer: it is none of these, or negative.
    """
    if isinstance(value, str):
        return _written_time(value.strip())
    return _number(value, least=0.0)


def parse_timeline(reply: ChatReply) -> tuple[Interval, ...]:
    """Read when what happens: objects with `start`, `end` and, if it has one, `caption`.

    Raises:
        AnswerError: the answer is empty, cut off or not a timeline; an end precedes its start.
    """
    return tuple(_interval(item) for item in _items(reply))


def parse_boxes(reply: ChatReply) -> tuple[Box, ...]:
    """Read 2D boxes: objects with `bbox_2d` [x1, y1, x2, y2] and, if it has one, `label`.

    Raises:
        AnswerError: the answer is empty, cut off or not a list of boxes.
    """
    return tuple(_box(item) for item in _items(reply))


def parse_points(reply: ChatReply) -> tuple[Point, ...]:
    """Read points, such as a trajectory: objects with `point_2d` [x, y] and possibly `label`.

    Raises:
        AnswerError: the answer is empty, cut off or not a list of points.
    """
    return tuple(_point(item) for item in _items(reply))


def _written_time(text: str) -> float:
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        hours, minutes = int(clock["h"] or 0), int(clock["m"])
        if clock["h"] is None or minutes < _MINUTES_AN_HOUR:
            seconds = (hours * _MINUTES_AN_HOUR + minutes) * _SECONDS_A_MINUTE
            return seconds + float(clock["s"])
    bare = _SECONDS.fullmatch(text)
    if bare is None:
        raise UnparsableAnswer(f"{quoted(text)} is not a time such as 01:02.50 or 62.5.")
    return float(bare[1])


def _interval(item: Mapping[str, Any]) -> Interval:
    start = parse_timestamp(_required(item, _START_KEYS))
    end = parse_timestamp(_required(item, _END_KEYS))
    if end < start:
        raise UnparsableAnswer(f"an interval ends at {end} s, before its start at {start} s.")
    return Interval(start, end, _text(item, _CAPTION_KEYS))


def _box(item: Mapping[str, Any]) -> Box:
    (x1, y1, x2, y2), is_clipped = _coordinates(_required(item, _BOX_KEYS), 4)
    label = _text(item, ("label",))
    return Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2), label, is_clipped)


def _point(item: Mapping[str, Any]) -> Point:
    (x, y), is_clipped = _coordinates(_required(item, _POINT_KEYS), 2)
    return Point(x, y, _text(item, ("label",)), is_clipped)


def _coordinates(value: object, count: int) -> tuple[list[float], bool]:
    """Return `count` numbers scaled from 0..1000 to 0..1, and whether any lay outside."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != count:
        raise UnparsableAnswer(f"{quoted(str(value))} is not a list of {count} coordinates.")
    given = [_number(item) / _SCALE for item in value]
    inside = [min(1.0, max(0.0, item)) for item in given]
    return inside, inside != given


def _number(value: object, *, least: float = -math.inf) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.nan
        if math.isfinite(number) and number >= least:
            return number
    raise UnparsableAnswer(f"{quoted(str(value))} is not a number that fits here.")


def _required(item: Mapping[str, Any], names: tuple[str, ...]) -> object:
    for name in names:
        if name in item:
            return item[name]
    raise UnparsableAnswer(f"an item has no {names[0]!r}.")


def _text(item: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = (item[name] for name in names if isinstance(item.get(name), str))
    return next(found, "").strip()


def _items(reply: ChatReply) -> list[Mapping[str, Any]]:
    """List the objects of the answer's array, of its only object, or of the one list in that."""
    text = read_answer(reply)
    value = _first_value(text)
    if isinstance(value, dict):
        lists = [item for item in value.values() if isinstance(item, list)]
        is_wrapper = len(value) == 1 and len(lists) == 1
        value = lists[0] if is_wrapper and all(isinstance(i, dict) for i in lists[0]) else [value]
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UnparsableAnswer(f"it is not a list of objects. Raw response: {quoted(text)}")
    return value


def _first_value(text: str) -> object:
    opening = _OPENING.search(text)
    if opening is None:
        raise UnparsableAnswer(f"it holds no JSON. Raw response: {quoted(text)}")
    start = opening.start()
    try:
        value, end = json.JSONDecoder().raw_decode(text, start)
    except RecursionError as error:
        raise _broken(text) from error
    except ValueError:
        return _repaired(text, start)
    if _OPENING.search(text, end):
        raise UnparsableAnswer(f"it holds more than one list. Raw response: {quoted(text)}")
    return value


def _repaired(text: str, start: int) -> object:
    """Repair commas, quotes, Python's literals and `...` in what is closed; never what was cut."""
    end = max(text.rfind("]"), text.rfind("}")) + 1
    region = text[start:end]
    if not region or any(region.count(a) > region.count(b) for a, b in ("[]", "{}")):
        raise TruncatedAnswer("the JSON of the answer does not end. Raise max_tokens.")
    if len(region) > _MAX_REPAIRED:
        raise _broken(text)
    try:
        return json_repair.loads(region, skip_json_loads=True, strict=True)
    except (ValueError, RecursionError) as error:
        raise _broken(text) from error


def _broken(text: str) -> UnparsableAnswer:
    return UnparsableAnswer(f"its JSON is broken beyond repair. Raw response: {quoted(text)}")
