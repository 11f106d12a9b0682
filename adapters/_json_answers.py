"""Reading a verdict out of JSON objects, also slightly broken ones."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import json_repair

from adapters._verdicts import contradictory, read_prose, read_word, unparsable
from sidecar.errors import AnswerError, ContradictoryAnswer, TruncatedAnswer
from sidecar.model import Finding

# Keys are compared without case and punctuation: "isConfirmed" and "is_confirmed" are one.
_BINDING_KEYS: Final = frozenset({"verdict", "finalanswer", "predictionanswer"})
_VERDICT_KEYS: Final = _BINDING_KEYS | {
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
_INVERTED_KEYS: Final = frozenset(
    {"falsealarm", "falsepositive", "isfalsealarm", "isfalsepositive"}
)
# The first four of each that VSS's parser reads, then what the models write besides.
_REASONING_KEYS: Final = ("reasoning", "thinking", "explanation", "rationale", "reason")
_DESCRIPTION_KEYS: Final = ("description", "videodescription", "caption", "summary")
_CONFIDENCE_KEY: Final = "confidence"
_SEVERITY_KEY: Final = "severity"
# Keys of `info` whose meaning is the service's; what the model writes under them is left out.
_RESERVED_KEYS: Final = frozenset(
    {"errorsource", "videosource", "verificationresponsecode", "verificationresponsestatus"}
    | {"vlmresponse", "mediatype", "mediaurls", "imagesprocessed", "imagestotal"}
)
_RESERVED_PREFIX: Final = "sidecar"
_TAKEN_KEYS: Final = frozenset(
    {*_VERDICT_KEYS, *_INVERTED_KEYS, *_REASONING_KEYS, *_DESCRIPTION_KEYS}
    | {_CONFIDENCE_KEY, *_RESERVED_KEYS}
)
_MAX_EXTRAS: Final = 16
_MAX_EXTRA: Final = 1000  # characters
_EXTRA_NAME: Final = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)
_OBJECT_START: Final = re.compile(r"\{\s{0,200}(?:[\"'“]|[A-Za-z_]\w{0,60}\s{0,10}:|\})")
_KEY: Final = re.compile(r"[{,]\s{0,80}[\"'“]?([A-Za-z_]\w{0,60})[\"'”]?\s{0,10}:")
_MAX_DEPTH: Final = 3
_MAX_OBJECTS: Final = 16
_MAX_REPAIRED: Final = 20_000  # characters
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


def find_objects(text: str) -> JsonAnswer:
    """Take the JSON objects out of an answer.

    Raises:
        TruncatedAnswer: an object starts and does not end.
        UnparsableAnswer: an object is broken beyond what may be repaired.
        ContradictoryAnswer: an object says its verdict twice, differently.
    """
    objects: list[Mapping[str, Any]] = []
    pieces: list[str] = []
    position = 0
    while (start := _OBJECT_START.search(text, position)) and len(objects) < _MAX_OBJECTS:
        pieces.append(text[position : start.start()])
        value, position = _decode(text, start.start())
        objects.append(value)
    pieces.append(text[position:])
    return JsonAnswer(tuple(objects), tuple(pieces))


def read_objects(objects: tuple[Mapping[str, Any], ...], text: str) -> Finding | None:
    """Return what the objects say, or None when none of them has a verdict key.

    Raises:
        UnparsableAnswer: the verdict is neither yes nor no.
        ContradictoryAnswer: the verdicts differ.
    """
    fields = [field for obj in objects for field in _walk(obj, _MAX_DEPTH)]
    stated = [(_key(name), value) for name, value in fields]
    verdicts = {_verdict_of(key, value, text) for key, value in stated} - {None}
    if len(verdicts) > 1:
        raise contradictory(text)
    if not verdicts:
        return None
    return Finding(
        confirmed=verdicts.pop(),
        reasoning=_first_text(stated, _REASONING_KEYS),
        description=_first_text(stated, _DESCRIPTION_KEYS),
        confidence=_confidence(stated),
        extra=_extra(fields),
    )


def _decode(text: str, start: int) -> tuple[Mapping[str, Any], int]:
    """Return the object at `start` and the position after it."""
    try:
        value, end = json.JSONDecoder(object_pairs_hook=_unique).raw_decode(text, start)
    except RecursionError as error:
        raise unparsable(text) from error
    except ValueError:
        return _repair(text, start)
    return value, end


def _repair(text: str, start: int) -> tuple[Mapping[str, Any], int]:
    """Repair what looks like exactly one complete object: quotes, commas, Python's True, `...`."""
    end = text.rfind("}") + 1
    region = text[start:end]
    if not region or region.count("{") > region.count("}"):
        raise TruncatedAnswer("the JSON object of the answer does not end. Raise max_tokens.")
    if len(region) > _MAX_REPAIRED or region.count("{") != region.count("}"):
        raise unparsable(text)
    try:
        value = json_repair.loads(region, skip_json_loads=True, strict=True)
    except (ValueError, RecursionError) as error:
        raise unparsable(text) from error
    if not isinstance(value, dict):
        raise unparsable(text)
    keys = [_key(name) for name in _KEY.findall(region)]
    if any(keys.count(key) > 1 for key in _VERDICT_KEYS):
        raise contradictory(text)
    return value, end


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build an object, but let no second verdict replace a different first one."""
    value: dict[str, Any] = {}
    for name, item in pairs:
        if name in value and _key(name) in _VERDICT_KEYS and value[name] != item:
            raise ContradictoryAnswer(f"its JSON has two different values of {name!r}.")
        value[name] = item
    return value


def _walk(value: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    """Yield names and values, nested objects included."""
    for name, item in value.items():
        yield str(name), item
        if isinstance(item, Mapping) and depth > 1:
            yield from _walk(item, depth - 1)


def _key(name: str) -> str:
    return _NOT_ALNUM.sub("", name).casefold()


def _verdict_of(key: str, value: object, text: str) -> bool | None:
    """Return the verdict in one value; None when the key or the value is about something else."""
    if key not in _VERDICT_KEYS and key not in _INVERTED_KEYS:
        return None
    verdict = _as_bool(value)
    if verdict is None and key in _BINDING_KEYS and not isinstance(value, Mapping):
        raise unparsable(text)
    return not verdict if verdict is not None and key in _INVERTED_KEYS else verdict


def _as_bool(value: object) -> bool | None:
    if isinstance(value, bool):
        return value
    if isinstance(value, int) and value in (0, 1):
        return value == 1
    if not isinstance(value, str):
        return None
    word = read_word(value)
    if word is not None:
        return word
    try:
        return read_prose(value).confirmed
    except ContradictoryAnswer:
        raise
    except AnswerError:
        return None


def _first_text(stated: list[tuple[str, Any]], keys: tuple[str, ...]) -> str:
    for wanted in keys:
        for key, value in stated:
            if key == wanted and isinstance(value, str) and value.strip():
                return value.strip()
    return ""


def _confidence(stated: list[tuple[str, Any]]) -> float | None:
    """Return the first confidence that is a probability; also one written as a string."""
    for key, value in stated:
        if key != _CONFIDENCE_KEY or isinstance(value, bool):
            continue
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            continue
        if 0.0 <= number <= 1.0:
            return number
    return None


def _extra(fields: list[tuple[str, Any]]) -> Mapping[str, str]:
    """Return the scalar fields that nothing else reads, as Python's `str()` writes them."""
    extra: dict[str, str] = {}
    for name, value in fields:
        if _is_extra(name) and isinstance(value, str | int | float) and value != "":
            label = _SEVERITY_KEY if _key(name) == _SEVERITY_KEY else name
            extra.setdefault(label, _extra_text(label, value))
    return dict(islice(extra.items(), _MAX_EXTRAS))


def _is_extra(name: str) -> bool:
    key = _key(name)
    is_taken = key in _TAKEN_KEYS or key.startswith(_RESERVED_PREFIX)
    return not is_taken and _EXTRA_NAME.fullmatch(name) is not None


def _extra_text(name: str, value: str | float) -> str:
    text = str(value).strip()[:_MAX_EXTRA]
    return text.casefold() if name == _SEVERITY_KEY else text
