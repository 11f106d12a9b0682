"""Answers that decide nothing: refusals, loops and garbage, in the languages that models answer in.

What has to be found anywhere in a text is looked up among its words first, which is much faster
than the pattern that then decides.
"""

import re
from collections.abc import Mapping
from typing import Final

from sidecar.errors import (
    ContradictoryAnswer,
    DegenerateAnswer,
    RefusedAnswer,
    UnparsableAnswer,
)

_TELL: Final = (
    "(?:determine|tell|verify|confirm|assess|answer|help|assist|provide|view|access|analy[sz]e"
    "|watch|judge|comply|process|see (?:the|any|this|your) (?:video|clip|image|picture|footage"
    "|frame))"
)
_REFUSAL: Final = re.compile(
    r"\W{0,8}(?:but\s)?(?:"
    r"(?:i'?m|i am|we are)\s(?:very\s)?(?:sorry|unable|not able)"
    r"|sorry\b|i apologi[sz]e|as an ai\b"
    rf"|i (?:cannot|can'?t|can not|could not|couldn'?t) {_TELL}"
    r"|i (?:do not|don'?t) (?:know|have access)\b"
    r"|es tut mir leid|entschuldigung\b"
    r"|(?:ich kann|(?:das|dies) kann ich) (?:[^\W_]{1,12}\s){0,3}nicht"
    r" (?:feststellen|beurteilen|bestimmen|sehen|sagen)"
    r"|ich weiß (?:es )?nicht\b"
    r"|je suis désolée?\b|désolée?\b|je ne sais pas\b"
    r"|je ne peux pas (?:le |la |l')?(?:déterminer|voir|confirmer|dire|répondre|vérifier)"
    r"|lo siento\b|no (?:lo )?sé\b"
    r"|no puedo (?:determinar|ver el|ver la|confirmar|decir|responder|verificar)"
    r"|申し訳|すみません|わかりません|分かりません|抱歉|对不起|无法|不知道|不确定|不清楚)",
    re.IGNORECASE,
)
_REFUSAL_WORDS: Final = frozenset(
    {"sorry", "unable", "able", "apologize", "apologise", "ai", "cannot", "can", "could", "couldn"}
    | {"don", "do", "cant", "couldnt", "dont"}
    | {"leid", "entschuldigung", "kann", "weiß", "désolé", "désolée", "peux", "sais", "siento"}
    | {"puedo", "sé"}
)
_UNDECIDED: Final = re.compile(
    r"(?:cannot|can'?t|could not|couldn'?t) be (?:determined|verified|confirmed|assessed)"
    r"|(?:unable|impossible|not possible) to (?:determine|verify|confirm|tell|assess|judge)"
    r"|(?:not enough|insufficient) information"
    r"|(?:i'?m|i am|answer is) (?:not (?:certain|sure)|uncertain|unsure|unclear)"
    r"|nicht (?:festgestellt|beurteilt|bestimmt) werden"
    r"|impossible de (?:déterminer|dire|vérifier)"
    r"|no se puede (?:determinar|verificar|saber)"
    r"|(?:^|[.:;,(\n]\s{0,3}|\b(?:i|we) )(?:cannot|can'?t|could not|couldn'?t|unable to)"
    r" (?:see|view|access|watch|open|load|play|process) (?:the|any|this|your)"
    r" (?:video|clip|image|picture|footage|frame)"
    r"|\bno (?:video|clip|image|footage|media|frame)s? (?:(?:was|were|is|are|has been|have been) )?"
    r"(?:provided|attached|given|available|uploaded|supplied|included|shared)"
)
# Every text with such a phrase has one of these words, or one of each of the two sets below.
_UNDECIDED_WORDS: Final = frozenset(
    {"determined", "verified", "confirmed", "assessed", "determine", "verify", "confirm", "tell"}
    | {"assess", "judge", "information", "certain", "sure", "uncertain", "unsure", "unclear"}
    | {"festgestellt", "beurteilt", "bestimmt", "déterminer", "dire", "vérifier", "determinar"}
    | {"verificar", "saber", "provided", "attached", "given", "available", "uploaded", "supplied"}
    | {"included", "shared"}
)
_INABILITIES: Final = frozenset({"cannot", "can", "cant", "could", "couldn", "couldnt", "unable"})
_MEDIA: Final = frozenset({"video", "clip", "image", "picture", "footage", "frame"})
# Japanese and Chinese write no spaces between words.
_REFUSALS_CJK: Final = ("申し訳", "すみません", "抱歉", "对不起", "无法")
_UNDECIDED_CJK: Final = (
    *("判断できません", "判断できない", "判定できません", "判定できない", "お答えできません"),
    *("无法判断", "无法确定", "无法回答"),
)
# What says in an answer without a verdict that this is on purpose.
_UNSURE_START: Final = re.compile(
    r"it is (?:not clear|unclear|uncertain|unknown)\b"
    r"|i (?:do not|don'?t) see (?:any|a|the) (?:video|clip|image|footage)"
    r"|(?:maybe|possibly|perhaps)\b|不知道|不确定|わかりません|分かりません|不明",
    re.IGNORECASE,
)
_UNSURE: Final = frozenset(
    {"unknown", "uncertain", "unclear", "unsure", "undetermined", "indeterminate"}
    | {"inconclusive", "cannot determine", "not sure", "不確定"}
)
_LONGEST_UNSURE: Final = 20  # characters
_SENTENCE_END: Final = re.compile(r"[.!?。\n]")
_STRIPPED: Final = " \t\r\n*_`\"'.!。"

# Full-width forms and curly quotes become ASCII, and so do letters that equal an ASCII one only
# without regard to case.
_TO_ASCII: Final[Mapping[str, str]] = {
    **{chr(code): chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys("\u2018\u2019", "'"),
    **dict.fromkeys("\u201c\u201d", '"'),
    "\u0130": "I",
    "\u0131": "i",
    "\u017f": "s",
}
_NOT_PLAIN: Final = re.compile("[\uff01-\uff5e\u2018\u2019\u201c\u201d\u0130\u0131\u017f]")
# Latin words, and runs of other letters.
_WORD: Final = re.compile(r"[a-z0-9\u00df-\u024f]+|[^\W_a-z0-9\u00df-\u024f]+")
_ALNUM: Final = re.compile(r"[^\W_]")
_TO_SPACE: Final = {code: " " for code in range(128) if not chr(code).isalnum()}
_FEW_WORDS: Final = 3
_MANY_WORDS: Final = 30
_LEAST_VARIETY: Final = 0.15  # different words among all; ordinary prose has more than 0.3
_TAIL: Final = 240  # characters that a loop at the end fills
_LONGEST_LOOP: Final = 60
_SEED: Final = 12
_SHORT: Final = 3  # characters
_QUOTED: Final = 150  # characters of an answer in an error text


def quoted(text: str) -> str:
    """Return the start of an answer for an error text."""
    return repr(" ".join(text[: 2 * _QUOTED].split())[:_QUOTED])


def plain(text: str) -> str:
    """Write full-width forms and curly quotes as ASCII; the length stays."""
    if text.isascii():
        return text
    for char in set(_NOT_PLAIN.findall(text)):
        text = text.replace(char, _TO_ASCII[char])
    return text


def split_words(lower: str) -> list[str]:
    """List the words of a lower-cased text."""
    if lower.isascii():
        return lower.translate(_TO_SPACE).split()
    return _WORD.findall(lower)


def is_refusal(text: str) -> bool:
    """Tell whether a text starts by refusing."""
    return _REFUSAL.match(text) is not None


def is_unsure(text: str) -> bool:
    """Tell whether a text without a verdict says that it gives none."""
    text = text[: 2 * _LONGEST_UNSURE].strip(_STRIPPED)
    is_word = len(text) <= _LONGEST_UNSURE and text.casefold() in _UNSURE
    return is_word or _UNSURE_START.match(text) is not None


def has_refusal(text: str) -> bool:
    """Tell whether any sentence of a text refuses, or says that there is no telling."""
    lower = text.lower()
    words = frozenset(split_words(lower))
    if _is_undecided(lower, words):
        return True
    if _REFUSAL_WORDS.isdisjoint(words) and not any(sign in lower for sign in _REFUSALS_CJK):
        return False
    return any(_REFUSAL.match(it) for it in _SENTENCE_END.split(lower) if it and not it.isspace())


def ends_in_loop(text: str) -> bool:
    """Tell whether the end of a text is one short piece again and again.

    The distance between the last few characters and where they stood before is its length.
    """
    tail = text[-_TAIL:]
    if len(tail) < _TAIL:
        return False
    period = len(tail) - _SEED - tail.rfind(tail[-_SEED:], 0, -1)
    return period <= _LONGEST_LOOP and tail[period:] == tail[:-period]


def refuse_nonsense(text: str) -> frozenset[str]:
    """Refuse a text in which no answer can be looked for; return the words of any other.

    Raises:
        RefusedAnswer: it declines to answer, or says that there is no telling.
        DegenerateAnswer: it repeats itself.
    """
    lower = text.lower()
    words = split_words(lower)
    different = frozenset(words)
    if is_refusal(text) or _is_undecided(lower, different):
        raise refused(text)
    if _is_loop(lower, words, different):
        raise degenerate(text)
    return different


def is_garbage(text: str) -> bool:
    """Tell whether a text is more than a few signs and has neither letters nor digits."""
    return _ALNUM.search(text) is None and len("".join(text.split())) > _SHORT


def refused(text: str) -> RefusedAnswer:
    """Build the error for an answer that declines to decide."""
    return RefusedAnswer(f"the model says that it cannot tell. Raw response: {quoted(text)}")


def unparsable(text: str) -> UnparsableAnswer:
    """Build the error for an answer without a verdict, worded as VSS words it."""
    return UnparsableAnswer(f"not in expected YES/NO format. Raw response: {quoted(text)}")


def contradictory(text: str) -> ContradictoryAnswer:
    """Build the error for an answer that says both."""
    return ContradictoryAnswer(f"it says both yes and no. Raw response: {quoted(text)}")


def degenerate(text: str) -> DegenerateAnswer:
    """Build the error for an answer that got out of hand."""
    return DegenerateAnswer(f"it repeats itself or is garbage. Raw response: {quoted(text)}")


def _is_undecided(lower: str, words: frozenset[str]) -> bool:
    """Tell whether a text says anywhere that there is no telling."""
    may_say = not words.isdisjoint(_UNDECIDED_WORDS) or not (
        words.isdisjoint(_INABILITIES) or words.isdisjoint(_MEDIA)
    )
    if may_say and _UNDECIDED.search(lower):
        return True
    return not lower.isascii() and any(sign in lower for sign in _UNDECIDED_CJK)


def _is_loop(lower: str, words: list[str], different: frozenset[str]) -> bool:
    """Tell whether a text repeats itself: few words all over, or one piece up to its end."""
    count = len(words)
    if count >= _FEW_WORDS and len(different) == 1:
        return True
    if count >= _MANY_WORDS and len(different) < count * _LEAST_VARIETY:
        return True
    return ends_in_loop(lower)
