r"""Reading a verdict out of words: single words and prose, in the languages that models answer in.

A statement counts as a verdict only in four places, so that "No helmet is visible", "Answer yes or
no" and "yes would be wrong" never become one:

- the whole answer is a verdict word;
- the answer starts with one, set off by punctuation ("Yes, because ..."), also after an
  introduction when it is the only one ("Looking at the clip, yes, he fell.");
- its last line is one;
- it is announced ("Answer: no", "the answer is yes", "Final answer: A", `\boxed{yes}`).

A final announcement decides; everything else has to agree. Every quantifier in the patterns is
bounded or applies to a single character class, so reading takes time linear in the length.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from adapters._nonsense import (
    degenerate,
    has_refusal,
    is_refusal,
    is_unsure,
    plain,
    quoted,
    refuse_nonsense,
    refused,
    split_words,
)
from sidecar.errors import ContradictoryAnswer, UnparsableAnswer

SPOKEN: Final = {
    "yes": True,
    "no": False,
    "はい": True,
    "いいえ": False,
    "いえ": False,
    "是": True,
    "是的": True,
    "否": False,
    "不是": False,
    "不": False,
    "ja": True,
    "nein": False,
    "oui": True,
    "non": False,
    "sí": True,
    "si": True,
}
_SAID: Final = {
    side: frozenset(word for word, it in SPOKEN.items() if it is side) for side in (True, False)
}
# Words that are verdicts only where nothing else is said: "True colours" is none.
WRITTEN: Final = {
    "confirmed": True,
    "confirm": True,
    "true": True,
    "rejected": False,
    "reject": False,
    "false": False,
}
# VSS's Alert Bridge reads A as confirmed and B as rejected.
LETTERS: Final = {"a": True, "b": False}
WORDS: Final = {**SPOKEN, **WRITTEN, **LETTERS}
_LONGEST_WORD: Final = 40  # characters of a verdict word with its decoration

_DECORATION: Final = r"\s*_#>`\"'「」『』•\-"
_OPEN: Final = rf"[{_DECORATION}(]{{0,20}}"
_CLOSE: Final = r"[*_`\"'」』)]{0,8}"
_PAUSE: Final = r"(?=[ \t]{0,8}(?:$|[.,!;:。、\n\u2013\u2014]|-\s))"
STRIPPED: Final = " \t\r\n*_#>`\"'「」『』•-()[].,!;:。、"
_AFTER_VERDICT: Final = " \t\r\n*_`\"'」』),.!;:。、\u2013\u2014-"


def _alternatives(words: Mapping[str, bool]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_SPOKEN_WORD: Final = _alternatives(SPOKEN)
_ANY_WORD: Final = _alternatives({**SPOKEN, **WRITTEN}) + r"|(?-i:[AB])"

_LEAD: Final = re.compile(
    rf"{_OPEN}(?P<word>{_SPOKEN_WORD})(?![^\W_]){_CLOSE}(?!(?<=no)\.\s{{0,3}}\d)"
    rf"(?:{_PAUSE}|(?=\s(?:the|there|it|this|he|she|they)\b))",
    re.IGNORECASE,
)
# "Looking at the clip, yes, he fell." The clause ends with what was looked at, so that a speaker
# who corrects himself ("In the clip a man, no, a woman") says no verdict.
_INTRODUCED: Final = re.compile(
    r"(?:(?:well|okay|ok|sure|certainly|indeed|so)"
    r"|(?:looking at|based on|judging from|judging by|according to|given|from|in"
    r"|after (?:reviewing|watching)|having (?:reviewed|watched))\s(?:\w{1,20}\s){0,5}"
    r"(?:clip|evidence|footage|frames?|images?|pictures?|recording|scene|sequence|video)"
    r"(?:\s(?:above|itself|provided|shown))?"
    r"|(?:based on|from|given) what (?:i|we) (?:can )?see)"
    rf",{_OPEN}(?P<word>{_SPOKEN_WORD})(?![^\W_]){_CLOSE}{_PAUSE}",
    re.IGNORECASE,
)
_OPTION: Final = re.compile(r"[\s*_#>`\"']{0,20}(?:\((?P<one>[ABab])\)|(?P<two>[AB])[).:])(?=\s|$)")
_LISTED_OPTION: Final = re.compile(r"\b([AB])[).:]")
_LIST_CHARS: Final = 500  # from option A to option B
_NOUNS: Final = frozenset(
    {"answer", "verdict", "decision", "conclusion", "result", "output", "response"}
    | {"antwort", "réponse", "respuesta"}
)
_NOUNS_CJK: Final = frozenset({"回答", "答え", "判定", "結論", "答案", "结论"})
_ANNOUNCED: Final = re.compile(
    rf"(?:\b(?:{'|'.join(sorted(_NOUNS))})|{'|'.join(sorted(_NOUNS_CJK))})"
    rf"[*_`\"'\s]{{0,6}}(?:(?:\bis\b|\bist\b|\best\b|\bes\b|は|是)\s?:?|[:=])"
    rf"{_OPEN}(?P<word>{_ANY_WORD})(?![^\W_]){_CLOSE}{_PAUSE}",
    re.IGNORECASE,
)
_SIGNS: Final = (*_NOUNS, *_NOUNS_CJK, "boxed")
_FINAL: Final = re.compile(r"\bfinal\s{1,3}$", re.IGNORECASE)
_FINAL_CHARS: Final = 9
_MOST_ANNOUNCED: Final = 32
_BOXED: Final = re.compile(
    rf"\\boxed\{{(?:\\text\{{)?\s{{0,3}}(?P<word>{_ANY_WORD})\s{{0,3}}\}}", re.IGNORECASE
)
_INTERJECTED: Final = re.compile(rf"(?:{_SPOKEN_WORD})(?![^\W_]){_CLOSE}{_PAUSE}", re.IGNORECASE)
_BEFORE_INTERJECTED: Final = re.compile(
    r"(?:^|[.!?。\n]|\b(?:or|and|but|actually|wait|rather|correction|aber|oder|mais|ou|pero)\b)"
    rf"[{_DECORATION},:(]{{0,12}}$",
    re.IGNORECASE,
)
_BEFORE_CHARS: Final = 24
_CONDITION: Final = re.compile(r"\b(?:if|whether|unless|not|never|cannot)\b|n't\b", re.IGNORECASE)
_SENTENCE_END: Final = re.compile(r"[.!?。\n]")
_TAKEN_BACK: Final = re.compile(
    r"\W{0,8}(?:(?:wait|actually|hmm|but)\W{1,4}){0,2}(?:(?<=\W)not\b\W{0,4}$"
    r"|(?:(?:that|this|it)\s)?(?:would be|is|was)\s(?:wrong|incorrect|false|not\s))",
    re.IGNORECASE,
)
_ON_CONDITION: Final = re.compile(
    r"\W{0,8}(?:but\s)?(?:only\s)?(?:if|unless|assuming|provided that)\b", re.IGNORECASE
)
# The end of the line before JSON that is not the answer: "If he falls:", "Example:".
_SET_ASIDE: Final = re.compile(
    r"\b(?:if|unless|would|example|instead of)\b|\bnot\W{0,4}$", re.IGNORECASE
)
_WINDOW: Final = 200  # characters before an announcement in which its sentence starts


@dataclass(frozen=True, slots=True)
class Reading:
    """A verdict in prose, and the prose beside it.

    Attributes:
        leads: whether the answer starts with the verdict's word.
    """

    confirmed: bool
    description: str = ""
    leads: bool = False


@dataclass(frozen=True, slots=True)
class _Announcement:
    """A verdict that a noun such as "answer" announces, from `start` on."""

    confirmed: bool
    start: int
    is_final: bool


def read_word(text: str) -> bool | None:
    """Return the verdict when `text` is nothing but a verdict word, else None."""
    return WORDS.get(bare(text))


def is_letter(text: str) -> bool:
    """Tell whether `text` is nothing but an option letter, which may also start a sentence."""
    return bare(text) in LETTERS


def bare(text: str) -> str:
    """Strip decoration and punctuation off a word and fold its case; "" for longer texts."""
    text = text.strip(STRIPPED)
    if len(text) > _LONGEST_WORD:
        return ""
    return unicodedata.normalize("NFKC", text).strip(STRIPPED).casefold()


def read_prose(text: str, *, opening: bool = True) -> Reading:
    """Find the one verdict of an answer.

    Args:
        text: the answer without thinking tags and JSON.
        opening: whether a verdict at the very start counts; not in a train of thought.

    Raises:
        UnparsableAnswer: there is none.
        RefusedAnswer: the answer says that there is no telling.
        DegenerateAnswer: it repeats itself.
        ContradictoryAnswer: there are both.
    """
    text = plain(text)
    word = read_word(text)
    if word is not None:
        return Reading(word, leads=True)
    words = refuse_nonsense(text)
    announced = _announced(text, words)
    final = [it for it in announced if it.is_final]
    if final:
        verdict = _agreed(text, {it.confirmed for it in final})
        return Reading(verdict, text[: final[-1].start].strip())
    lead = _lead(text) if opening else None
    ending, before = _last_line(text)
    found = {it.confirmed for it in announced}
    if ending is not None:
        found.add(ending)
    if lead is not None:
        found |= {lead.confirmed} | _interjected(lead, words)
    verdict = _agreed(text, found)
    if lead is not None:
        return lead
    return Reading(verdict, before if ending is not None else text[: announced[0].start].strip())


def may_decide(text: str) -> bool:
    """Tell cheaply whether prose may hold a verdict: one at its start or end, or announced."""
    text = plain(text).strip()
    lower = text.lower()
    return (
        any(sign in lower for sign in _SIGNS)
        or any(pattern.match(text) for pattern in (_LEAD, _INTRODUCED, _OPTION))
        or read_word(text.partition("\n")[0]) is not None
        or read_word(text.rpartition("\n")[2]) is not None
    )


def require_meant(pieces: tuple[str, ...], text: str) -> None:
    """Refuse JSON that the prose around it does not put forward as the answer.

    Args:
        pieces: what stands before, between and after the objects.
        text: the whole answer, for the error.

    Raises:
        UnparsableAnswer: it is an example, or holds on a condition.
        RefusedAnswer: it comes with a refusal.
        ContradictoryAnswer: it is taken back.
    """
    said = [plain(piece).strip() for piece in pieces]
    for before, after in pairwise(said):
        line = before[-_WINDOW:].rpartition("\n")[2]
        if _SET_ASIDE.search(_SENTENCE_END.split(line)[-1]):
            raise unparsable(text)
        if _TAKEN_BACK.match(after):
            raise contradictory(text)
    if any(has_refusal(piece) for piece in said if piece):
        raise refused(text)


def unparsable(text: str) -> UnparsableAnswer:
    """Build the error for an answer without a verdict, worded as VSS words it."""
    return UnparsableAnswer(f"not in expected YES/NO format. Raw response: {quoted(text)}")


def contradictory(text: str) -> ContradictoryAnswer:
    """Build the error for an answer that says both."""
    return ContradictoryAnswer(f"it says both yes and no. Raw response: {quoted(text)}")


def _agreed(text: str, found: set[bool]) -> bool:
    if not found:
        raise refused(text) if is_unsure(text) else unparsable(text)
    if len(found) > 1:
        raise contradictory(text)
    return found.pop()


def _meaning(match: re.Match[str]) -> bool:
    return WORDS[match["word"].casefold()]


def _announced(text: str, words: frozenset[str]) -> list[_Announcement]:
    """List announcements that hold without a condition, the boxed ones last."""
    lower = text.lower()
    nouns = _NOUNS & words
    if not lower.isascii():
        nouns |= {noun for noun in _NOUNS_CJK if noun in lower}
    found = []
    for start in sorted(start for noun in nouns for start in _occurrences(lower, noun)):
        match = _ANNOUNCED.match(text, start)
        if match is None:
            continue
        final = _FINAL.search(text, max(0, start - _FINAL_CHARS), start)
        begun = final.start() if final else start
        if not _is_conditional(text, begun):
            found.append(_Announcement(_meaning(match), begun, is_final=final is not None))
        if len(found) > _MOST_ANNOUNCED:
            raise degenerate(text)
    boxed = _BOXED.finditer(text) if "boxed" in words else ()
    return found + [_Announcement(_meaning(it), it.start(), is_final=True) for it in boxed]


def _occurrences(text: str, word: str) -> Iterator[int]:
    """Yield where a word occurs, also inside of others."""
    start = text.find(word)
    while start >= 0:
        yield start
        start = text.find(word, start + 1)


def _is_conditional(text: str, start: int) -> bool:
    """Tell whether the sentence up to `start` makes what follows hypothetical or denies it."""
    sentence = _SENTENCE_END.split(text[max(0, start - _WINDOW) : start])[-1]
    return _CONDITION.search(sentence) is not None


def _lead(text: str) -> Reading | None:
    """Read a verdict at the very start."""
    text = text.strip()
    first = text.partition("\n")[0]
    word = read_word(first)
    if word is not None:
        return _followed(text, word, len(first))
    spoken = _LEAD.match(text)
    if spoken is not None:
        return _followed(text, _meaning(spoken), spoken.end())
    introduced = _INTRODUCED.match(text)
    if introduced is not None and not _is_conditional(text, introduced.start("word")):
        return _introduced(text, introduced)
    option = _OPTION.match(text)
    if option is None:
        return None
    if _lists_options(text):
        raise contradictory(text)
    letter = option["one"] or option["two"]
    reading = _followed(text, LETTERS[letter.casefold()], option.end())
    named = read_word(reading.description)
    _agreed(text, {reading.confirmed} | (set() if named is None else {named}))
    return reading


def _lists_options(text: str) -> bool:
    """Tell whether an option B follows an option A, as in an echoed question."""
    last_a = len(text)
    for match in _LISTED_OPTION.finditer(text):
        if match[1] == "A":
            last_a = match.end()
        elif 0 <= match.start() - last_a <= _LIST_CHARS:
            return True
    return False


def _interjected(lead: Reading, words: frozenset[str]) -> set[bool]:
    """Return the opposite of the verdict at the start when it is interjected after it."""
    text = lead.description
    lower = text.lower()
    for word in words & _SAID[not lead.confirmed]:
        for start in _occurrences(lower, word):
            before = max(0, start - _BEFORE_CHARS)
            if _INTERJECTED.match(text, start) and _BEFORE_INTERJECTED.search(text, before, start):
                return {not lead.confirmed}
    return set()


def _introduced(text: str, match: re.Match[str]) -> Reading | None:
    """Read a verdict after an introductory clause, unless another verdict word stands anywhere."""
    if sum(word in SPOKEN for word in split_words(text.lower())) > 1:
        return None
    reading = _followed(text, _meaning(match), match.end())
    return Reading(reading.confirmed, text)


def _followed(text: str, verdict: bool, end: int) -> Reading:
    rest = text[end:]
    if _TAKEN_BACK.match(rest):
        raise contradictory(text)
    if is_refusal(rest):
        raise refused(text)
    if _ON_CONDITION.match(rest):
        raise unparsable(text)
    return Reading(verdict, rest.lstrip(_AFTER_VERDICT).rstrip(), leads=True)


def _last_line(text: str) -> tuple[bool | None, str]:
    before, _, last = text.rstrip().rpartition("\n")
    return read_word(last), before.strip()
