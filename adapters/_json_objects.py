"""Taking JSON objects out of an answer, also slightly broken ones."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, Final

import json_repair

from adapters._nonsense import contradictory, unparsable
from sidecar.errors import ContradictoryAnswer, TruncatedAnswer
from sidecar.model import AnswerRules

# Keys are compared without case and punctuation: "isConfirmed" and "is_confirmed" are one.
BINDING_KEYS: Final = frozenset({"verdict", "finalanswer", "predictionanswer"})
VERDICT_KEYS: Final = BINDING_KEYS | {
    "answer",
    "alertconfirmed",
    "confirmed",
    "decision",
    "detected",
    "eventconfirmed",
    "eventdetected",
    "isalert",
    "isanomalous",
    "isanomaly",
    "isconfirmed",
    "isdetected",
    "ishazardous",
    "isincident",
    "ispresent",
    "istruepositive",
    "isunsafe",
    "isviolation",
    "prediction",
    "result",
    "verified",
}
INVERTED_KEYS: Final = frozenset({"falsealarm", "falsepositive", "isfalsealarm", "isfalsepositive"})
_OBJECT_START: Final = re.compile(r"\{\s{0,200}(?:[\"'“]|[A-Za-z_]\w{0,60}\s{0,10}:|\})")
_KEY: Final = re.compile(r"[{,]\s{0,80}[\"'“]?([A-Za-z_]\w{0,60})[\"'”]?\s{0,10}:")
_ANY_KEY: Final = re.compile(r"[\"'“]?\b([A-Za-z_]\w{0,60})[\"'”]?\s{0,10}:")
# In JSON that has to be repaired, a verdict is one plain value, and the end or a key comes next:
# not "true or false", "yes" | "no", or a comment that says the opposite.
_PLAIN_VALUE: Final = re.compile(
    r"\s{0,80}(?:[\[{]|(?:\"[^\"]{0,1000}\"|'[^']{0,1000}'|“[^”]{0,1000}”|[\w.]{1,40})\s{0,80}"
    r"(?:[,;]\s{0,80}){0,3}(?:[}\]]|\.\.\.|…|[\"'“][^\"'“”\n]{1,60}[\"'”]\s{0,10}:"
    r"|[A-Za-z_]\w{0,60}\s{0,10}:))"
)
_MAX_OBJECTS: Final = 16
MAX_FIELDS: Final = 256  # of all objects together
_MAX_REPAIRED: Final = 4_000  # characters
_NOT_ALNUM: Final = re.compile(r"[\W_]+")


@dataclass(frozen=True, slots=True)
class JsonAnswer:
    """The objects in an answer, and the texts before, between and after them."""

    objects: tuple[Mapping[str, Any], ...]
    pieces: tuple[str, ...]

    @property
    def around(self) -> str:
        """All text outside of the objects."""
        return " ".join(self.pieces)


def find_objects(text: str, rules: AnswerRules) -> JsonAnswer:
    """Take the JSON objects out of an answer.

    Raises:
        TruncatedAnswer: an object starts and does not end.
        UnparsableAnswer: an object is broken beyond what may be repaired.
        ContradictoryAnswer: an object says its verdict twice, differently.
    """
    objects: list[Mapping[str, Any]] = []
    pieces: list[str] = []
    position = 0
    while start := _OBJECT_START.search(text, position):
        if len(objects) == _MAX_OBJECTS:
            raise unparsable(text)
        pieces.append(text[position : start.start()])
        value, position = _decode(text, start.start(), rules)
        objects.append(value)
    pieces.append(text[position:])
    return JsonAnswer(tuple(objects), tuple(pieces))


def fold(name: str) -> str:
    """Write the name of a key without case and punctuation."""
    return _NOT_ALNUM.sub("", name).casefold()


@lru_cache(maxsize=64)
def _decoder(verdict_field: str) -> json.JSONDecoder:
    return json.JSONDecoder(object_pairs_hook=partial(_unique, verdict_field))


def _decode(text: str, start: int, rules: AnswerRules) -> tuple[Mapping[str, Any], int]:
    """Return the object at `start` and the position after it."""
    try:
        value, end = _decoder(rules.verdict_field).raw_decode(text, start)
    except RecursionError as error:
        raise unparsable(text) from error
    except ValueError:
        return _repair(text, start, rules)
    return value, end


def _repair(text: str, start: int, rules: AnswerRules) -> tuple[Mapping[str, Any], int]:
    """Repair what looks like exactly one complete object: quotes, commas, Python's True, `...`."""
    end = text.rfind("}") + 1
    region = text[start:end]
    if not region or region.count("{") > region.count("}"):
        raise TruncatedAnswer("the JSON object of the answer does not end. Raise max_tokens.")
    names = _KEY.findall(region[:_MAX_REPAIRED])
    if (
        len(region) > _MAX_REPAIRED
        or len(names) > MAX_FIELDS
        or region.count("{") != region.count("}")
    ):
        raise unparsable(text)
    try:
        value = json_repair.loads(region, skip_json_loads=True, strict=True)
    except (ValueError, RecursionError) as error:
        raise unparsable(text) from error
    if not isinstance(value, dict):
        raise unparsable(text)
    keys = [fold(name) for name in names if _is_verdict(name, rules.verdict_field)]
    if len(keys) > len(set(keys)):
        raise contradictory(text)
    if any(
        _is_verdict(key[1], rules.verdict_field) and not _PLAIN_VALUE.match(region, key.end())
        for key in _ANY_KEY.finditer(region)
    ):
        raise unparsable(text)
    return value, end


def _unique(verdict_field: str, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, but let no second verdict replace a different first one."""
    value: dict[str, Any] = {}
    for name, item in pairs:
        if name in value and value[name] != item and _is_verdict(name, verdict_field):
            raise ContradictoryAnswer(f"its JSON has two different values of {name!r}.")
        value[name] = item
    return value


def _is_verdict(name: str, verdict_field: str) -> bool:
    """Tell whether a key may hold a verdict, or lead to it."""
    key = fold(name)
    return key in VERDICT_KEYS or key in INVERTED_KEYS or name in verdict_field.split(".")
