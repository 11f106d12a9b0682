"""From a model's reply to a finding, or to the error that says why there is none.

An answer is taken apart from the outside in: thinking, `<answer>` tags, code fences, JSON, prose.
What was cut off is a verdict only when it is whole all the same: a verdict word and nothing else,
or a complete JSON object (VSS's `max_tokens: 1` mode ends every answer with "length").
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from adapters._confidence import Spot, read_confidence
from adapters._json_answers import Stated, mapped, read_objects
from adapters._json_objects import JsonAnswer, find_objects
from adapters._nonsense import (
    contradictory,
    degenerate,
    ends_in_loop,
    is_garbage,
    is_refusal,
    plain,
    refused,
    unparsable,
)
from adapters._tasks import find_list, read_boxes, read_points, read_timeline
from adapters._verdicts import interjected, may_decide, read_prose, require_meant
from adapters._words import (
    LETTERS,
    SPOKEN,
    STRIPPED,
    WRITTEN,
    is_letter,
    is_unfinished,
    read_word,
)
from sidecar.errors import EmptyAnswer, RefusedAnswer, TruncatedAnswer, UnparsableAnswer
from sidecar.model import AnswerRules, AnswerShape, ChatReply, Finding

_MAX_CHARS: Final = 200_000  # of a reply
_MAX_ANSWER: Final = 20_000  # characters after the thinking; 4,096 tokens of prose are fewer
_MOST_TAGS: Final = 500
_MOST_FENCES: Final = 100

_TAG: Final = re.compile(
    r"<\s{0,3}(?P<close>\\?/)?\s{0,3}(?P<name>think|answer)\s{0,3}\\?>", re.IGNORECASE
)
# As Markdown escapes tags: `\<think\>`, `<think\>`, `<\/think>`.
_ESCAPED_TAG: Final = re.compile(
    r"\\<(?=\s{0,3}(?:\\?/)?\s{0,3}(?:think|answer)\s{0,3}\\?>)", re.IGNORECASE
)
_FENCE: Final = re.compile(
    r"```(?:(?:json5?|jsonc|text|txt|plaintext|markdown|md|xml|html|python|py)(?=[\s{\[]|$))?",
    re.IGNORECASE,
)
_SPECIAL_TOKEN: Final = re.compile(r"<\|\w{1,40}\|>|</s>")
_COLON: Final = re.compile(r"\s{0,8}:\s{0,8}[\"']?")
_INVISIBLE: Final = "\ufeff\u200b\u200c\u200d\u2060\x00"
_DIGITS: Final = {"1": True, "0": False}


@dataclass(frozen=True, slots=True)
class _Parts:
    """A reply taken apart.

    Attributes:
        answer: what follows the thinking.
        reasoning: the thinking.
        is_open: whether the thinking has no end; `answer` then is what precedes it, or itself.
        is_cut: whether the server cut the reply off.
    """

    answer: str
    reasoning: str = ""
    is_open: bool = False
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class _Reading:
    """A finding, and where in the answer it was read.

    Attributes:
        stated: the JSON that says it, if it was JSON.
        led: the text that starts with the verdict's word, if it was such a text.
    """

    finding: Finding
    stated: Stated | None = None
    led: str = ""


def parse_reply(reply: ChatReply, rules: AnswerRules) -> Finding:
    """Read what a reply says, by the rules of its alert type.

    Raises:
        EmptyAnswer: there is no text.
        TruncatedAnswer: the text ends before what it says is sure.
        UnparsableAnswer: the text is not what the rules ask for.
        RefusedAnswer: the model declines to answer.
        DegenerateAnswer: it repeats itself or is garbage.
        ContradictoryAnswer: it says both.
    """
    parts = _take_apart(reply, rules)
    if not parts.answer.strip():
        raise _empty(reply, is_cut=parts.is_cut)
    if rules.shape is AnswerShape.VERDICT:
        reading = _read_verdict(parts, rules)
    elif rules.shape is AnswerShape.DESCRIPTION:
        reading = _read_description(parts)
    else:
        reading = _read_list(parts, rules)
    finding = reading.finding
    if parts.reasoning:
        finding = replace(finding, reasoning=parts.reasoning)
    confidence = _confidence(reply.top_logprobs, reading, parts.answer, rules)
    return finding if confidence is None else replace(finding, confidence=confidence)


def _take_apart(reply: ChatReply, rules: AnswerRules) -> _Parts:
    """Find answer and reasoning, wherever the server put them.

    A server with a reasoning parser puts the whole answer of a model that does not think into
    `reasoning` and leaves `content` null (vLLM's qwen3 parser). Where the model was asked to think,
    it may be a thought without an end just as well.
    """
    is_cut = reply.is_cut
    content = _clean(reply.content)
    reasoning = _clean(reply.reasoning)
    if not content:
        parts = _split_thinking(reasoning, "", is_cut=is_cut)
        was_asked = rules.reasoned or bool(rules.perspectives)
        return replace(parts, is_open=True) if was_asked and not parts.reasoning else parts
    return _split_thinking(content, reasoning, is_cut=is_cut)


def _clean(text: str | None) -> str:
    if not text:
        return ""
    if len(text) > _MAX_CHARS:
        raise UnparsableAnswer(f"it is longer than {_MAX_CHARS} characters.")
    for char in _INVISIBLE:
        text = text.replace(char, "")
    if "<" in text:
        if text.count("<") > _MOST_TAGS:
            raise degenerate(text)
        text = _ESCAPED_TAG.sub("<", _SPECIAL_TOKEN.sub("", text))
    return text.strip()


def _split_thinking(text: str, reasoning: str, *, is_cut: bool) -> _Parts:
    """Split at the last `</think>`; the opening tag may be missing, as templates may write it.

    Args:
        text: the answer with inline thinking.
        reasoning: what the server already set apart.
        is_cut: whether the server cut the answer off.
    """
    if "<" not in text:
        return _Parts(text, reasoning, is_cut=is_cut)
    tags = [tag for tag in _TAG.finditer(text) if tag["name"].casefold() == "think"]
    closing = [tag for tag in tags if tag["close"]]
    after = closing[-1].end() if closing else 0
    opening = next((tag for tag in tags if tag.start() >= after), None)
    inline = _without_tags(text[: closing[-1].start()]) if closing else ""
    reasoning = "\n".join(it for it in (reasoning, inline) if it)
    answer = text[after:].strip()
    if opening is not None:
        answer = text[after : opening.start()].strip() or text[opening.end() :].strip()
    return _Parts(answer, reasoning, is_open=opening is not None, is_cut=is_cut)


def _without_tags(text: str) -> str:
    return _TAG.sub("", text).strip() if "<" in text else text.strip()


def _without_fences(text: str) -> str:
    if "```" not in text:
        return text.strip()
    if text.count("```") > _MOST_FENCES:
        raise degenerate(text)
    return _FENCE.sub("\n", text).strip()


def _empty(reply: ChatReply, *, is_cut: bool) -> EmptyAnswer | TruncatedAnswer:
    if is_cut:
        return TruncatedAnswer(
            f"the answer was cut off before it began (finish_reason {reply.finish_reason!r}). "
            "Raise max_tokens."
        )
    return EmptyAnswer(f"finish_reason was {reply.finish_reason!r}.")


def _cut_off() -> TruncatedAnswer:
    return TruncatedAnswer("the answer was cut off before its end. Raise max_tokens.")


def _require_short(text: str) -> None:
    if len(text) <= _MAX_ANSWER:
        return
    if ends_in_loop(text):
        raise degenerate(text)
    raise UnparsableAnswer(f"what follows the thinking is longer than {_MAX_ANSWER} characters.")


def _read_description(parts: _Parts) -> _Reading:
    """Take the whole text over."""
    if parts.is_cut or parts.is_open:
        raise _cut_off()
    text = _without_tags(parts.answer)
    if is_refusal(plain(text)):
        raise refused(text)
    if is_garbage(text) or ends_in_loop(text):
        raise degenerate(text)
    return _Reading(Finding(None, description=text))


def _read_list(parts: _Parts, rules: AnswerRules) -> _Reading:
    """Read a list, and the verdict of the object around or beside it if there is one."""
    if parts.is_cut or parts.is_open:
        raise _cut_off()
    _require_short(parts.answer)
    text = _without_fences(_without_tags(parts.answer))
    listed = find_list(text, rules.shape)
    require_meant(listed.pieces, text)
    stated = read_objects((listed.holder or {},), text, rules)
    if stated is not None:
        _require_agreement(stated.finding, " ".join(listed.pieces), text, rules)
    elif listed.is_beside:
        raise UnparsableAnswer("an object without a verdict stands beside its list.")
    finding = Finding(None) if stated is None else stated.finding
    if rules.shape is AnswerShape.TIMELINE:
        finding = replace(finding, timeline=read_timeline(listed.items))
    elif rules.shape is AnswerShape.BOXES:
        finding = replace(finding, boxes=read_boxes(listed.items))
    else:
        finding = replace(finding, points=read_points(listed.items))
    return _Reading(finding, stated)


def _read_verdict(parts: _Parts, rules: AnswerRules) -> _Reading:
    if parts.is_cut:
        _require_whole(parts)
    _require_short(parts.answer)
    blocks = _answer_blocks(parts.answer)
    if not blocks:
        return _read_text(_without_tags(parts.answer), rules, opening=not parts.is_open)
    readings = [_read_text(block, rules, opening=True) for block in blocks]
    if len({reading.finding.confirmed for reading in readings}) > 1:
        raise contradictory(parts.answer)
    _require_agreement(readings[-1].finding, _after_blocks(parts.answer), parts.answer, rules)
    return readings[-1]


def _require_whole(parts: _Parts) -> None:
    """Refuse an answer that was cut off, unless nothing can be missing from its verdict."""
    text = _without_tags(_FENCE.sub("", parts.answer))
    is_word = read_word(text) is not None and not is_unfinished(text)
    is_object = text.startswith("{") and text.endswith("}")
    if parts.is_open or not (is_word or is_object):
        raise _cut_off()


def _answer_blocks(text: str) -> list[str]:
    """List what stands between `<answer>` tags; the last closing tag may be missing."""
    if "<" not in text:
        return []
    tags = [tag for tag in _TAG.finditer(text) if tag["name"].casefold() == "answer"]
    opening = [index for index, tag in enumerate(tags) if not tag["close"]]
    ends = [tag.start() for tag in tags[1:]] + [len(text)]
    blocks = [text[tags[index].end() : ends[index]].strip() for index in opening]
    if blocks and not any(blocks):
        raise EmptyAnswer("its <answer> block is empty.")
    return [block for block in blocks if block]


def _after_blocks(text: str) -> str:
    """Return what follows the last `</answer>`; "" when the last block has no end."""
    *_, last = (tag for tag in _TAG.finditer(text) if tag["name"].casefold() == "answer")
    return _without_tags(text[last.end() :]) if last["close"] else ""


def _read_text(text: str, rules: AnswerRules, *, opening: bool) -> _Reading:
    """Read one answer without tags: JSON with a verdict first, then prose."""
    text = _without_fences(text)
    if is_garbage(text):
        raise degenerate(text)
    found = find_objects(text, rules)
    stated = read_objects(found.objects, text, rules)
    if stated is None:
        if found.objects and not found.around.strip():
            raise unparsable(text)
        reading = read_prose(found.around, opening=opening)
        if rules.needs_json:
            raise UnparsableAnswer("it is not JSON with a verdict, which the alert type asks for.")
        finding = Finding(mapped(reading.confirmed, rules), description=reading.description)
        return _Reading(finding, led=text if reading.leads else "")
    if not opening and found.pieces[-1].strip(STRIPPED):
        raise unparsable(text)
    _require_stated(stated.finding, found, text, rules)
    return _Reading(stated.finding, stated)


def _require_stated(finding: Finding, found: JsonAnswer, text: str, rules: AnswerRules) -> None:
    """Refuse JSON that is not put forward as the answer, or that what is beside or in it denies."""
    require_meant(found.pieces, text)
    for said in (finding.reasoning or "", finding.description or ""):
        if is_refusal(said):
            raise refused(text)
        if ends_in_loop(said):
            raise degenerate(text)
        _require_agreement(finding, said, text, rules)
    _require_agreement(finding, found.around, text, rules)
    sides = [side for piece in found.pieces[1:] for side in interjected(piece)]
    if any(mapped(side, rules) is not finding.confirmed for side in sides):
        raise contradictory(text)


def _require_agreement(finding: Finding, prose: str, text: str, rules: AnswerRules) -> None:
    """Refuse JSON whose verdict the prose beside or in it denies."""
    if not prose or prose.isspace() or not may_decide(prose):
        return
    try:
        said = read_prose(prose).confirmed
    except (UnparsableAnswer, RefusedAnswer):
        return
    if mapped(said, rules) is not finding.confirmed:
        raise contradictory(text)


def _confidence(
    tokens: tuple[Mapping[str, float], ...], reading: _Reading, answer: str, rules: AnswerRules
) -> float | None:
    """Return the probability of the verdict; None where its first token cannot be told for sure."""
    confirmed = reading.finding.confirmed
    if not tokens or confirmed is None:
        return None
    if reading.stated is not None:
        spot = _spot_in_json(answer, reading.stated, rules)
    else:
        spot = _spot_at_start(answer, reading.led, rules)
    return None if spot is None else read_confidence(tokens, answer, spot, confirmed=confirmed)


def _spot_in_json(answer: str, stated: Stated, rules: AnswerRules) -> Spot | None:
    key = f'"{stated.name}"'
    if not stated.name or answer.count(key) != 1:
        return None
    colon = _COLON.match(answer, answer.index(key) + len(key))
    if colon is None:
        return None
    words = _words(rules, letter=is_letter(str(stated.value)))
    if stated.is_inverted:
        words = {word: not side for word, side in words.items()}
    return Spot(colon.end(), words)


def _spot_at_start(answer: str, text: str, rules: AnswerRules) -> Spot | None:
    if not text or answer.count(text) != 1:
        return None
    word = text.lstrip(STRIPPED)
    start = answer.index(text) + len(text) - len(word)
    return Spot(start, _words(rules, letter=is_letter(word) or word[1:2] in {")", ".", ":"}))


def _words(rules: AnswerRules, *, letter: bool) -> dict[str, bool]:
    """List what a verdict may be written as, and what each means by the mapping."""
    words = LETTERS if letter else {**SPOKEN, **WRITTEN, **_DIGITS}
    meant = {word: mapped(side, rules) for word, side in words.items()}
    for written, meaning in rules.verdict_mapping.items():
        side = read_word(meaning)
        if side is not None:
            meant[written.casefold()] = side
    return meant
