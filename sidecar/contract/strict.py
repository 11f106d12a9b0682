"""Answers in the words that the strict parsers of VSS's Alert Bridge read. Pure: no I/O.

What they accept is told by services/alert, schemas/vlm_responses.py: of free text, a text that
starts with `<think>` and holds nothing but a verdict behind `</think>`, or the bare verdict; of
JSON, an object with the exact verdict under one key. Punctuation is not tolerated.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import json_repair
import orjson

from sidecar.model import Finding

VERDICT_KEY: Final = "prediction_answer"
"""Default of `json_verdict_field`."""
REASONING_KEYS: Final = ("reasoning", "thinking", "explanation", "video_description")
"""Default of `json_reasoning_fields`."""

_EXACT: Final = frozenset({"YES", "NO", "A", "B"})
_TAG: Final = re.compile(r"<(?=\s*[\\/]*\s*(?:think|answer))", re.IGNORECASE)
_MAX_CHARS: Final = 20_000


def verdict_text(finding: Finding) -> str:
    """Write a finding so that the parser `cosmos-reason` reads it.

    Without reasoning the verdict stands alone: that form needs no tags to be understood.
    """
    assert finding.confirmed is not None
    word = _word(finding)
    reasoning = _untagged(finding.reasoning or finding.description or "")
    return f"<think>{reasoning}</think>{word}" if reasoning else word


def verdict_object(
    finding: Finding,
    said: str,
    prompt: str,
    names_verdict: Callable[[str], bool],
    *,
    is_strict: bool,
) -> str:
    """Write a finding as the JSON object that the prompt asked for.

    Args:
        finding: what the answer says.
        said: the model's text.
        prompt: the texts of the request.
        names_verdict: tells whether a JSON text has the finding's verdict in it.
        is_strict: whether a schema says which keys there are, so that none may be added.

    Returns:
        The model's own object, repaired, where that has the verdict; else one with VSS's default
        keys added to it.
    """
    own = find_object(said)
    has_key = VERDICT_KEY in own or VERDICT_KEY not in prompt
    if own and is_strict:
        return _dumped(own)
    if not own or not has_key or not names_verdict(_dumped(own)):
        own = {**own, VERDICT_KEY: _word(finding)}
    if VERDICT_KEY in own:
        own[VERDICT_KEY] = _exact(own[VERDICT_KEY], finding)
    reasoning = _encodable(finding.reasoning or finding.description or "")
    if reasoning and not any(own.get(key) for key in REASONING_KEYS):
        own["reasoning"] = reasoning
    return _dumped(own)


def refusal_text(reason: str, detail: str) -> str:
    """Say that there is no verdict, in words that no parser takes for one."""
    return _untagged(f"No verdict ({reason}): {detail}")


def find_object(text: str) -> dict[str, Any]:
    """Return the JSON object behind the thinking of an answer; {} when there is none."""
    answer = text.rpartition("</think>")[2]
    start, end = answer.find("{"), answer.rfind("}")
    if start < 0 or end < start or end - start > _MAX_CHARS:
        return {}
    answer = answer[start : end + 1]
    try:
        found = orjson.loads(answer)
    except orjson.JSONDecodeError:
        found = _repaired(answer)
    return dict(found) if isinstance(found, Mapping) else {}


def _word(finding: Finding) -> str:
    return "YES" if finding.confirmed else "NO"


def _repaired(text: str) -> object:
    """Repair JSON; None when it cannot be, or holds what JSON cannot (endless numbers)."""
    try:
        found = json_repair.loads(text, skip_json_loads=True, strict=True)
        orjson.dumps(found)
    except (ValueError, TypeError):
        return None
    return found


def _exact(value: object, finding: Finding) -> str:
    plain = str(value).strip()
    return plain if plain.upper() in _EXACT else _word(finding)


def _untagged(text: str) -> str:
    """Keep a text from closing or opening a block of its own."""
    return _TAG.sub("(", _encodable(text)).strip()


def _encodable(text: str) -> str:
    """Replace halves of surrogate pairs, which a repaired escape may leave."""
    return text.encode(errors="replace").decode()


def _dumped(value: Mapping[str, Any]) -> str:
    return orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
