"""Reading answers to tasks other than verification: timelines, boxes and points.

The shapes are those of NVIDIA's prompt guides for Cosmos Reason 2 and Cosmos 3: a JSON array of
objects, or a single object; with a verdict when an object around or beside the array holds one.
Times are relative to the clip. Coordinates are 0..1000 on both axes from the top left corner, also
where the prompt spoke of pixels.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import json_repair

from adapters._nonsense import (
    degenerate,
    is_garbage,
    is_unsure,
    plain,
    quoted,
    refuse_nonsense,
    refused,
)
from sidecar.errors import DegenerateAnswer, TruncatedAnswer, UnparsableAnswer
from sidecar.model import AnswerShape, Box, Interval, Point

_CLOCK: Final = re.compile(
    r"(?:(?P<h>\d{1,3}):(?=\d{1,2}:))?(?P<m>\d{1,3}):(?P<s>[0-5]?\d(?:[.,]\d{1,3})?)", re.ASCII
)
_SECONDS: Final = re.compile(
    r"(\d{1,9}(?:\.\d{1,9})?)\s?(?:s|sec|secs|seconds?)?\.?", re.ASCII | re.IGNORECASE
)
# The processors of the Qwen3-VL line write times into prompts as "<1.5 seconds>".
_AROUND_TIME: Final = " \t\n<>[]()"
_MINUTES_AN_HOUR: Final = 60
_SECONDS_A_MINUTE: Final = 60
_START_KEYS: Final = ("start", "start_time")
_END_KEYS: Final = ("end", "end_time")
_CAPTION_KEYS: Final = ("caption", "description", "event", "label")
_BOX_KEYS: Final = ("bbox_2d", "bbox", "box_2d")
_POINT_KEYS: Final = ("point_2d", "point")
_SCALE: Final = 1000.0
_ITEM_KEYS: Final = {
    AnswerShape.TIMELINE: (*_START_KEYS, *_END_KEYS),
    AnswerShape.BOXES: _BOX_KEYS,
    AnswerShape.POINTS: _POINT_KEYS,
}
_MAX_REPAIRED: Final = 8_000  # characters
_MOST_REPEATS: Final = 4
_MOST_VALUES: Final = 2
_OPENING: Final = re.compile(r"[\[{]")
_DECODER: Final = json.JSONDecoder()
_Item = TypeVar("_Item", Interval, Box)


@dataclass(frozen=True, slots=True)
class Listed:
    """What an answer lists, and the object around or beside the list that may hold a verdict.

    Attributes:
        items: the objects of the list.
        holder: that object; None when there is only the list.
        is_beside: whether that object stands beside the list, so that only a verdict explains it.
        pieces: the texts before, between and after the JSON.
    """

    items: tuple[Mapping[str, Any], ...]
    holder: Mapping[str, Any] | None
    is_beside: bool
    pieces: tuple[str, ...]


def parse_timestamp(value: object) -> float:
    """Return seconds from `[h:]mm:ss[.f]`, "12.5", "12.5 seconds", those in brackets, or a number.

    Raises:
        UnparsableAnswer: it is none of these, or negative.
    """
    if isinstance(value, str):
        return _written_time(plain(value).strip(_AROUND_TIME))
    return _number(value, least=0.0)


def find_list(text: str, shape: AnswerShape) -> Listed:
    """Find the list of an answer: an array, the one inside an object, or an object that is an item.

    Args:
        text: the answer without thinking, tags and code fences.
        shape: what the items are.

    Raises:
        AnswerError: there is no list, more than one, or one that is cut off or broken.
    """
    values, pieces = _values(text)
    lists = [value for value in values if isinstance(value, list)]
    holders = [value for value in values if isinstance(value, dict)]
    if len(lists) > 1 or len(holders) > 1:
        raise UnparsableAnswer(f"it holds more than one list. Raw response: {quoted(text)}")
    holder = holders[0] if holders else None
    items = lists[0] if lists else _items_in(holder or {}, shape)
    if not all(isinstance(item, dict) for item in items):
        raise UnparsableAnswer(f"it is not a list of objects. Raw response: {quoted(text)}")
    return Listed(tuple(items), holder, bool(lists and holders), pieces)


def read_timeline(items: Sequence[Mapping[str, Any]]) -> tuple[Interval, ...]:
    """Read when what happens: objects with `start`, `end` and, if it has one, `caption`.

    Raises:
        UnparsableAnswer: an item is none, or its end precedes its start.
        DegenerateAnswer: items repeat themselves.
    """
    return _varied(tuple(_interval(item) for item in items))


def read_boxes(items: Sequence[Mapping[str, Any]]) -> tuple[Box, ...]:
    """Read 2D boxes: objects with `bbox_2d` [x1, y1, x2, y2] and, if it has one, `label`.

    Raises:
        UnparsableAnswer: an item is none.
        DegenerateAnswer: items repeat themselves.
    """
    return _varied(tuple(_box(item) for item in items))


def read_points(items: Sequence[Mapping[str, Any]]) -> tuple[Point, ...]:
    """Read points, such as a trajectory: objects with `point_2d` [x, y] and possibly `label`.

    Raises:
        UnparsableAnswer: an item is none.
    """
    return tuple(_point(item) for item in items)


def _varied(items: tuple[_Item, ...]) -> tuple[_Item, ...]:
    """Refuse a list in a loop; points may stand still, intervals and boxes may not."""
    if len(items) - len(set(items)) >= _MOST_REPEATS:
        raise DegenerateAnswer("it lists the same item again and again.")
    return items


def _written_time(text: str) -> float:
    clock = _CLOCK.fullmatch(text)
    if clock is not None:
        hours, minutes = int(clock["h"] or 0), int(clock["m"])
        if clock["h"] is None or minutes < _MINUTES_AN_HOUR:
            seconds = (hours * _MINUTES_AN_HOUR + minutes) * _SECONDS_A_MINUTE
            return seconds + float(clock["s"].replace(",", "."))
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
    if is_clipped and (x1 == x2 or y1 == y2):
        raise UnparsableAnswer("a box lies outside of the picture; coordinates run from 0 to 1000.")
    label = _text(item, ("label",))
    return Box(min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2), label, is_clipped)


def _point(item: Mapping[str, Any]) -> Point:
    (x, y), is_clipped = _coordinates(_required(item, _POINT_KEYS), 2)
    return Point(x, y, _text(item, ("label",)), is_clipped)


def _coordinates(value: object, count: int) -> tuple[list[float], bool]:
    """Return `count` numbers scaled from 0..1000 to 0..1, and whether any lay outside."""
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != count:
        raise UnparsableAnswer(f"{quoted(str(value))} is not a list of {count} coordinates.")
    numbers = [_number(item) for item in value]
    if all(abs(it) <= 1.0 for it in numbers) and not all(map(float.is_integer, numbers)):
        raise UnparsableAnswer(
            f"{quoted(str(value))} are shares of the picture; coordinates run from 0 to 1000."
        )
    given = [it / _SCALE for it in numbers]
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
    for value in _named(item, names):
        return value
    raise UnparsableAnswer(f"an item has no {names[0]!r}.")


def _text(item: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = (value for value in _named(item, names) if isinstance(value, str))
    return next(found, "").strip()


def _named(item: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[Any]:
    """Yield the values under the names, in their order, whatever the case of the keys."""
    folded = {str(key).casefold(): value for key, value in item.items()}
    return (folded[name] for name in names if name in folded)


def _items_in(holder: Mapping[str, Any], shape: AnswerShape) -> list[Any]:
    """Return the one list of objects in an object, or the object itself when it is an item."""
    if any(True for _ in _named(holder, _ITEM_KEYS[shape])):
        return [holder]
    lists = [it for it in holder.values() if isinstance(it, list)]
    lists = [it for it in lists if it and isinstance(it[0], dict)] or lists
    if len(lists) != 1:
        raise UnparsableAnswer(f"its JSON holds {len(lists)} lists, not one.")
    return list(lists[0])


def _values(text: str) -> tuple[list[Any], tuple[str, ...]]:
    """Decode the JSON values of an answer, two at most; return also the texts around them."""
    values: list[Any] = []
    pieces: list[str] = []
    position = 0
    while (opening := _OPENING.search(text, position)) and len(values) < _MOST_VALUES:
        pieces.append(text[position : opening.start()])
        value, position = _decode(text, opening.start(), is_first=not values)
        values.append(value)
    if not values:
        if is_garbage(text):
            raise degenerate(text)
        refuse_nonsense(text)
        if is_unsure(text):
            raise refused(text)
        raise UnparsableAnswer(f"it holds no JSON. Raw response: {quoted(text)}")
    if opening:
        raise UnparsableAnswer(f"it holds more than one list. Raw response: {quoted(text)}")
    return values, (*pieces, text[position:])


def _decode(text: str, start: int, *, is_first: bool) -> tuple[Any, int]:
    """Return the value at `start` and the position after it."""
    try:
        return _DECODER.raw_decode(text, start)
    except RecursionError as error:
        raise _broken(text) from error
    except ValueError as error:
        if not is_first:
            raise _broken(text) from error
        return _repaired(text, start)


def _repaired(text: str, start: int) -> tuple[Any, int]:
    """Repair commas, quotes, Python's literals and `...` in what is closed; never what was cut."""
    end = max(text.rfind("]"), text.rfind("}")) + 1
    region = text[start:end]
    if not region or any(region.count(a) > region.count(b) for a, b in ("[]", "{}")):
        raise TruncatedAnswer("the JSON of the answer does not end. Raise max_tokens.")
    if len(region) > _MAX_REPAIRED:
        raise _broken(text)
    try:
        value = json_repair.loads(region, skip_json_loads=True, strict=True)
    except (ValueError, RecursionError) as error:
        raise _broken(text) from error
    if not isinstance(value, list | dict):
        raise _broken(text)
    return value, end


def _broken(text: str) -> UnparsableAnswer:
    return UnparsableAnswer(f"its JSON is broken beyond repair. Raw response: {quoted(text)}")
