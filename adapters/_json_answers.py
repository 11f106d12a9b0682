"""Reading a verdict out of JSON objects."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

from adapters._json_objects import BINDING_KEYS, INVERTED_KEYS, MAX_FIELDS, VERDICT_KEYS, fold
from adapters._nonsense import contradictory, is_refusal, is_unsure, refused, unparsable
from adapters._verdicts import read_prose
from adapters._words import read_word
from sidecar.errors import (
    AnswerError,
    ContradictoryAnswer,
    RefusedAnswer,
    UnparsableAnswer,
)
from sidecar.model import AnswerRules, Finding

# Keys under which a number may be that of a class or an option, or a count.
_NUMBERED_KEYS: Final = frozenset({"answer", "decision", "prediction", "result"})
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
    {*VERDICT_KEYS, *INVERTED_KEYS, *_REASONING_KEYS, *_DESCRIPTION_KEYS}
    | {_CONFIDENCE_KEY, *_RESERVED_KEYS}
)
_MAX_EXTRAS: Final = 16
_MAX_EXTRA: Final = 1000  # characters
_EXTRA_NAME: Final = re.compile(r"[A-Za-z_]\w{0,63}", re.ASCII)
_MAX_DEPTH: Final = 3
_TRUTHS: Final = {True: ("yes", "true"), False: ("no", "false")}


@dataclass(frozen=True, slots=True)
class Stated:
    """The verdict of JSON, and where it stands.

    Attributes:
        finding: what the objects say.
        name: key of the verdict; "" when several keys hold one.
        value: the verdict as it is written there.
        is_inverted: whether the key asks for the opposite, such as `is_false_alarm`.
    """

    finding: Finding
    name: str = ""
    value: object = None
    is_inverted: bool = False


@dataclass(frozen=True, slots=True)
class _Field:
    """One field of an object; `key` is its name without case and punctuation."""

    name: str
    key: str
    value: Any


def read_objects(
    objects: tuple[Mapping[str, Any], ...], text: str, rules: AnswerRules
) -> Stated | None:
    """Return what the objects say, or None when none of them has a verdict key.

    Raises:
        UnparsableAnswer: the verdict is neither yes nor no, or `rules.verdict_field` is missing.
        RefusedAnswer: the verdict is a word for not knowing.
        ContradictoryAnswer: the verdicts differ.
    """
    if not objects:
        return None
    fields = _fields(objects, text)
    found = (
        _at_field(objects, text, rules) if rules.verdict_field else _by_name(fields, text, rules)
    )
    if len({verdict for _, verdict in found}) > 1:
        raise contradictory(text)
    if not found:
        return None
    stated, verdict = found[0]
    finding = Finding(
        confirmed=verdict,
        reasoning=_reasoning(objects, fields, rules),
        description=_first_text(fields, _DESCRIPTION_KEYS),
        confidence=_confidence(fields),
        extra=_extra(fields, rules),
    )
    if len(found) > 1:
        return Stated(finding)
    return Stated(finding, stated.name, stated.value, stated.key in INVERTED_KEYS)


def mapped(said: bool, rules: AnswerRules) -> bool:
    """Return what a yes or no means by the mapping, which may turn it round."""
    for word in _TRUTHS[said] if rules.verdict_mapping else ():
        verdict = read_word(rules.verdict_mapping.get(word, ""))
        if verdict is not None:
            return verdict
    return said


def _at_field(
    objects: tuple[Mapping[str, Any], ...], text: str, rules: AnswerRules
) -> list[tuple[_Field, bool]]:
    """List the verdicts at the configured path, at least one."""
    *_, name = rules.verdict_field.split(".")
    values = [value for obj in objects for value in _at_path(obj, rules.verdict_field)]
    if not values:
        raise UnparsableAnswer(
            f"its JSON has no field {rules.verdict_field!r}. Name that field in the prompt, or "
            "change the alert type's verdict_field."
        )
    found = []
    for value in values:
        verdict = _meaning(value, rules)
        if verdict is None:
            raise _undecided(value, text)
        found.append((_Field(name, "", value), verdict))
    return found


def _by_name(fields: list[_Field], text: str, rules: AnswerRules) -> list[tuple[_Field, bool]]:
    """List the verdicts under the usual names."""
    found = []
    for field in fields:
        if field.key not in VERDICT_KEYS and field.key not in INVERTED_KEYS:
            continue
        if field.key in _NUMBERED_KEYS and type(field.value) is int and not rules.verdict_mapping:
            continue
        verdict = _meaning(field.value, rules)
        if verdict is not None:
            found.append((field, not verdict if field.key in INVERTED_KEYS else verdict))
        elif field.key in BINDING_KEYS and not isinstance(field.value, Mapping):
            raise _undecided(field.value, text)
    return found


def _at_path(value: object, path: str) -> Iterator[Any]:
    """Yield the value at a dotted path, if there is one."""
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return
        value = value[name]
    yield value


def _meaning(value: object, rules: AnswerRules) -> bool | None:
    """Return the verdict in a value: by the mapping where that lists it, else what it says."""
    if rules.verdict_mapping and isinstance(value, str | int | float):
        written = str(value).strip()
        word = rules.verdict_mapping.get(written.lower(), rules.verdict_mapping.get(written))
        if word is not None:
            return read_word(word)
    said = _as_bool(value)
    return None if said is None else mapped(said, rules)


def _undecided(value: object, text: str) -> RefusedAnswer | UnparsableAnswer:
    is_refused = isinstance(value, str) and (is_refusal(value) or is_unsure(value))
    return refused(text) if is_refused else unparsable(text)


def _fields(objects: tuple[Mapping[str, Any], ...], text: str) -> list[_Field]:
    """List all fields, nested objects included."""
    walked = (item for obj in objects for item in _walk(obj, _MAX_DEPTH))
    fields = [_Field(name, fold(name), value) for name, value in islice(walked, MAX_FIELDS + 1)]
    if len(fields) > MAX_FIELDS:
        raise unparsable(text)
    return fields


def _walk(value: Mapping[str, Any], depth: int) -> Iterator[tuple[str, Any]]:
    """Yield names and values, nested objects included."""
    for name, item in value.items():
        yield str(name), item
        if isinstance(item, Mapping) and depth > 1:
            yield from _walk(item, depth - 1)


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


def _reasoning(
    objects: tuple[Mapping[str, Any], ...], fields: list[_Field], rules: AnswerRules
) -> str:
    if not rules.reasoning_fields:
        return _first_text(fields, _REASONING_KEYS)
    found = (
        value.strip()
        for path in rules.reasoning_fields
        for obj in objects
        for value in _at_path(obj, path)
        if isinstance(value, str)
    )
    return next(filter(None, found), "")


def _first_text(fields: list[_Field], keys: tuple[str, ...]) -> str:
    for wanted in keys:
        for field in fields:
            if field.key == wanted and isinstance(field.value, str) and field.value.strip():
                return field.value.strip()
    return ""


def _confidence(fields: list[_Field]) -> float | None:
    """Return the first confidence that is a probability; also one written as a string."""
    for field in fields:
        if field.key != _CONFIDENCE_KEY or isinstance(field.value, bool):
            continue
        try:
            number = float(field.value)
        except (TypeError, ValueError, OverflowError):
            continue
        if 0.0 <= number <= 1.0:
            return number
    return None


def _extra(fields: list[_Field], rules: AnswerRules) -> Mapping[str, str]:
    """Return the scalar fields that nothing else reads, as Python's `str()` writes them."""
    read = {*rules.verdict_field.split("."), *rules.reasoning_fields}
    extra: dict[str, str] = {}
    for field in fields:
        if not isinstance(field.value, str | int | float) or field.value == "":
            continue
        if field.name in read or not _is_extra(field):
            continue
        label = _SEVERITY_KEY if field.key == _SEVERITY_KEY else field.name
        extra.setdefault(label, _extra_text(label, field.value))
    return dict(islice(extra.items(), _MAX_EXTRAS))


def _is_extra(field: _Field) -> bool:
    is_taken = field.key in _TAKEN_KEYS or field.key.startswith(_RESERVED_PREFIX)
    return not is_taken and _EXTRA_NAME.fullmatch(field.name) is not None


def _extra_text(name: str, value: str | float) -> str:
    text = str(value).strip()[:_MAX_EXTRA]
    return text.casefold() if name == _SEVERITY_KEY else text
