"""From a model's reply to a finding, or to the error that says why there is none.

An answer is taken apart from the outside in: thinking, `<answer>` tags, code fences, JSON, prose.
What was cut off is a verdict only when it is whole all the same: a verdict word and nothing else,
or a complete JSON object (VSS's `max_tokens: 1` mode ends every answer with "length").
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from adapters._json_answers import find_objects, read_objects
from adapters._verdicts import (
    contradictory,
    is_letter,
    read_prose,
    read_start,
    read_word,
    require_meant,
    unparsable,
)
from sidecar.errors import EmptyAnswer, TruncatedAnswer, UnparsableAnswer
from sidecar.model import ChatReply, Finding

# vLLM: length, abort, error, repetition; OpenAI: content_filter.
_CUT: Final = frozenset({"length", "abort", "error", "repetition", "content_filter"})
_MAX_CHARS: Final = 200_000

# Also as Markdown escapes them: `\<think\>`, `<think\>`, `<\/think>`.
_TAG: Final = re.compile(
    r"\\?<\s{0,3}(?P<close>\\?/)?\s{0,3}(?P<name>think|answer)\s{0,3}\\?>", re.IGNORECASE
)
_FENCE: Final = re.compile(
    r"```(?:(?:json5?|jsonc|text|txt|plaintext|markdown|md|xml|html|python|py)(?=[\s{\[]|$))?",
    re.IGNORECASE,
)
_SPECIAL_TOKEN: Final = re.compile(r"<\|\w{1,40}\|>|</s>")
_VERDICT_TOKENS: Final = 24  # at the end of a completion, closing tags and end token included
_LEAST_ALTERNATIVES: Final = 2
_INVISIBLE: Final = dict.fromkeys(map(ord, "\ufeff\u200b\u200c\u200d\u2060\x00"))


@dataclass(frozen=True, slots=True)
class _Parts:
    """A reply taken apart.

    Attributes:
        answer: what follows the thinking.
        reasoning: the thinking.
        is_open: whether the thinking has no end; `answer` then is what precedes it, or itself.
    """

    answer: str
    reasoning: str = ""
    is_open: bool = False


def parse_reply(reply: ChatReply) -> Finding:
    """Read the verdict of a reply.

    Raises:
        EmptyAnswer: there is no text.
        TruncatedAnswer: the text ends before the verdict is sure.
        UnparsableAnswer: the text is not a verdict.
        ContradictoryAnswer: it is two.
    """
    parts = _take_apart(reply)
    is_cut = reply.finish_reason in _CUT
    if not parts.answer.strip():
        raise _empty(reply, is_cut=is_cut)
    if is_cut:
        _require_whole(parts)
    finding = _read(parts)
    confidence = _confidence(reply.top_logprobs, finding.confirmed, parts)
    return replace(
        finding,
        reasoning=parts.reasoning or finding.reasoning,
        confidence=finding.confidence if confidence is None else confidence,
    )


def read_answer(reply: ChatReply) -> str:
    """Return the whole answer of a reply, without thinking, tags and code fences.

    Raises:
        EmptyAnswer: there is no text.
        TruncatedAnswer: the server cut the text off, or the thinking has no end.
    """
    parts = _take_apart(reply)
    is_cut = reply.finish_reason in _CUT
    if not parts.answer.strip():
        raise _empty(reply, is_cut=is_cut)
    if is_cut or parts.is_open:
        raise _cut_off()
    return _FENCE.sub("\n", _without_tags(parts.answer)).strip()


def _take_apart(reply: ChatReply) -> _Parts:
    """Find answer and reasoning, wherever the server put them.

    A server with a reasoning parser puts the whole answer of a model that does not think into
    `reasoning` and leaves `content` null (vLLM's qwen3 parser).
    """
    content = _clean(reply.content)
    reasoning = _clean(reply.reasoning)
    if not content:
        return _split_thinking(reasoning)
    parts = _split_thinking(content)
    both = "\n".join(text for text in (reasoning, parts.reasoning) if text)
    return replace(parts, reasoning=both)


def _clean(text: str | None) -> str:
    if not text:
        return ""
    if len(text) > _MAX_CHARS:
        raise UnparsableAnswer(f"it is longer than {_MAX_CHARS} characters.")
    return _SPECIAL_TOKEN.sub("", text.translate(_INVISIBLE)).strip()


def _split_thinking(text: str) -> _Parts:
    """Split at the last `</think>`; the opening tag may be missing, as templates may write it."""
    tags = [tag for tag in _TAG.finditer(text) if tag["name"].casefold() == "think"]
    closing = [tag for tag in tags if tag["close"]]
    after = closing[-1].end() if closing else 0
    opening = next((tag for tag in tags if tag.start() >= after), None)
    reasoning = _without_tags(text[: closing[-1].start()]) if closing else ""
    if opening is None:
        return _Parts(text[after:].strip(), reasoning)
    said = text[after : opening.start()].strip()
    return _Parts(said or text[opening.end() :].strip(), reasoning, is_open=True)


def _without_tags(text: str) -> str:
    return _TAG.sub("", text).strip()


def _empty(reply: ChatReply, *, is_cut: bool) -> EmptyAnswer | TruncatedAnswer:
    if is_cut:
        return TruncatedAnswer(
            f"the answer was cut off before it began (finish_reason {reply.finish_reason!r}). "
            "Raise max_tokens."
        )
    return EmptyAnswer(f"finish_reason was {reply.finish_reason!r}.")


def _require_whole(parts: _Parts) -> None:
    """Refuse an answer that was cut off, unless nothing can be missing from its verdict."""
    text = _without_tags(_FENCE.sub("", parts.answer))
    # "A" may be the first word of a sentence.
    is_word = read_word(text) is not None and not is_letter(text)
    is_object = text.startswith("{") and text.endswith("}")
    if parts.is_open or not (is_word or is_object):
        raise _cut_off()


def _cut_off() -> TruncatedAnswer:
    return TruncatedAnswer("the answer was cut off before its end. Raise max_tokens.")


def _read(parts: _Parts) -> Finding:
    blocks = _answer_blocks(parts.answer)
    if not blocks:
        return _read_text(_without_tags(parts.answer), opening=not parts.is_open)
    findings = [_read_text(block, opening=True) for block in blocks]
    if len({finding.confirmed for finding in findings}) > 1:
        raise contradictory(parts.answer)
    return findings[-1]


def _answer_blocks(text: str) -> list[str]:
    """List what stands between `<answer>` tags; the last closing tag may be missing."""
    tags = [tag for tag in _TAG.finditer(text) if tag["name"].casefold() == "answer"]
    opening = [index for index, tag in enumerate(tags) if not tag["close"]]
    ends = [tag.start() for tag in tags[1:]] + [len(text)]
    blocks = [text[tags[index].end() : ends[index]].strip() for index in opening]
    if blocks and not any(blocks):
        raise EmptyAnswer("its <answer> block is empty.")
    return [block for block in blocks if block]


def _read_text(text: str, *, opening: bool) -> Finding:
    """Read one answer without tags: JSON with a verdict first, then prose."""
    text = _FENCE.sub("\n", text).strip()
    if not text:
        raise unparsable(text)
    found = find_objects(text)
    finding = read_objects(found.objects, text)
    if finding is None:
        if found.objects and not found.around.strip():
            raise unparsable(text)
        reading = read_prose(found.around, opening=opening)
        return Finding(reading.confirmed, description=reading.description)
    require_meant(found.pieces, text)
    for said in (found.around, finding.reasoning, finding.description):
        _require_agreement(finding, said or "", text)
    return finding


def _require_agreement(finding: Finding, prose: str, text: str) -> None:
    """Refuse JSON whose verdict the prose beside or in it denies."""
    try:
        said = read_prose(prose).confirmed
    except UnparsableAnswer:
        return
    if said is not finding.confirmed:
        raise contradictory(text)


def _confidence(
    tokens: tuple[Mapping[str, float], ...], confirmed: bool | None, parts: _Parts
) -> float | None:
    """Return the probability of a bare verdict against its opposite, where its first token stands.

    Case and space variants of either are summed. None when the answer is more than a verdict
    word, or when the server gave no alternatives.
    """
    text = _bare_text(parts.answer)
    if confirmed is None or read_word(text) is not confirmed:
        return None
    alternatives = _verdict_token(tokens, confirmed)
    if len(alternatives) < _LEAST_ALTERNATIVES:
        return None
    mass = {True: 0.0, False: 0.0}
    for token, logprob in alternatives.items():
        side = read_start(token, letter=is_letter(text))
        if side is not None:
            mass[side] += math.exp(logprob)
    total = mass[True] + mass[False]
    return mass[confirmed] / total if total > 0.0 else None


def _verdict_token(tokens: tuple[Mapping[str, float], ...], confirmed: bool) -> Mapping[str, float]:
    """Return the alternatives where the verdict at the end of the completion starts."""
    ending = ""
    for alternatives in reversed(tokens[-_VERDICT_TOKENS:]):
        ending = next(iter(alternatives), "") + ending
        if read_word(_bare_text(ending)) is confirmed:
            return alternatives
    return {}


def _bare_text(text: str) -> str:
    return _without_tags(_FENCE.sub("", _SPECIAL_TOKEN.sub("", text)))
