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
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from sidecar.errors import ContradictoryAnswer, UnparsableAnswer

_SPOKEN: Final = {
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
# Words that are verdicts only where nothing else is said: "True colours" is none.
_WRITTEN: Final = {
    "confirmed": True,
    "confirm": True,
    "true": True,
    "rejected": False,
    "reject": False,
    "false": False,
}
# VSS's Alert Bridge reads A as confirmed and B as rejected.
_LETTERS: Final = {"a": True, "b": False}
_WORDS: Final = {**_SPOKEN, **_WRITTEN, **_LETTERS}
_LONGEST_WORD: Final = 40  # characters of a verdict word with its decoration

_DECORATION: Final = r"\s*_#>`\"'「」『』•\-"
_OPEN: Final = rf"[{_DECORATION}(]{{0,20}}"
_CLOSE: Final = r"[*_`\"'」』)]{0,8}"
_PAUSE: Final = r"(?=[ \t]{0,8}(?:$|[.,!;:。、\n\u2013\u2014]|-\s))"
_STRIPPED: Final = " \t\r\n*_#>`\"'「」『』•-()[].,!;:。、"
_AFTER_VERDICT: Final = " \t\r\n*_`\"'」』),.!;:。、\u2013\u2014-"
# Full-width forms and curly quotes become ASCII, and so do letters that equal an ASCII one only
# without regard to case.
_TO_ASCII: Final[Mapping[int, int]] = {
    **{code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)},
    **dict.fromkeys((0x2018, 0x2019), ord("'")),
    **dict.fromkeys((0x201C, 0x201D), ord('"')),
    0x130: ord("I"),
    0x131: ord("i"),
    0x17F: ord("s"),
}


def _alternatives(words: Mapping[str, bool]) -> str:
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


_SPOKEN_WORD: Final = _alternatives(_SPOKEN)
_ANY_WORD: Final = _alternatives({**_SPOKEN, **_WRITTEN}) + r"|(?-i:[AB])"

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
_BOTH_OPTIONS: Final = re.compile(r"\bA[).:].{0,500}\bB[).:]", re.DOTALL)
_ANNOUNCED: Final = re.compile(
    r"(?P<final>\bfinal\s{1,3})?"
    r"(?:\b(?:answer|verdict|decision|conclusion|result|output|response|antwort|réponse|respuesta)"
    r"|回答|答え|判定|結論|答案|结论)"
    rf"[*_`\"'\s]{{0,6}}(?:(?:\bis\b|\bist\b|\best\b|\bes\b|は|是)\s?:?|[:=])"
    rf"{_OPEN}(?P<word>{_ANY_WORD})(?![^\W_]){_CLOSE}{_PAUSE}",
    re.IGNORECASE,
)
_BOXED: Final = re.compile(
    rf"\\boxed\{{(?:\\text\{{)?\s{{0,3}}(?P<word>{_ANY_WORD})\s{{0,3}}\}}", re.IGNORECASE
)
_SPOKEN_ANYWHERE: Final = re.compile(rf"\b(?:{_SPOKEN_WORD})\b", re.IGNORECASE)
_INTERJECTION: Final = re.compile(
    r"(?:^|[.!?。\n]|\b(?:or|and|but|actually|wait|rather|correction|aber|oder|mais|ou|pero)\b)"
    rf"[{_DECORATION},:(]{{0,12}}(?P<word>{_SPOKEN_WORD})(?![^\W_]){_CLOSE}{_PAUSE}",
    re.IGNORECASE,
)
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
_REFUSAL: Final = re.compile(
    r"\W{0,8}(?:but\s)?(?:"
    r"(?:i'?m|i am|we are)\s(?:very\s)?(?:sorry|unable|not able)"
    r"|sorry\b|i apologi[sz]e|as an ai\b"
    r"|i (?:cannot|can'?t|can not|could not|couldn'?t) (?:determine|tell|verify|confirm"
    r"|assess|answer|help|assist|provide|view|access|analy[sz]e|watch|judge|comply|process"
    r"|see (?:the|any|this|your) (?:video|clip|image|picture|footage|frame))"
    r"|申し訳|すみません|抱歉|对不起|无法)",
    re.IGNORECASE,
)
_REFUSAL_ANYWHERE: Final = re.compile(rf"(?:^|[.!?\n])(?:{_REFUSAL.pattern})", re.IGNORECASE)
_UNDECIDED: Final = re.compile(
    r"\b(?:cannot|can'?t|could not|couldn'?t) be"
    r" (?:determined|verified|confirmed|assessed)"
    r"|\b(?:unable|impossible|not possible) to (?:determine|verify|confirm|tell|assess|judge)"
    r"|\b(?:not enough|insufficient) information"
    r"|\b(?:i'?m|i am|answer is) (?:not (?:certain|sure)|uncertain|unsure|unclear)",
    re.IGNORECASE,
)
_WORD: Final = re.compile(r"\w+")
_FEW_WORDS: Final = 3
_MANY_WORDS: Final = 30
_LEAST_VARIETY: Final = 0.15  # different words among all; ordinary prose has more than 0.3
_WINDOW: Final = 200  # characters before an announcement in which its sentence starts
_QUOTED: Final = 150  # characters of an answer in an error text


@dataclass(frozen=True, slots=True)
class Reading:
    """A verdict in prose, and the prose beside it."""

    confirmed: bool
    description: str = ""


def read_word(text: str) -> bool | None:
    """Return the verdict when `text` is nothing but a verdict word, else None."""
    return _WORDS.get(_bare(text))


def is_letter(text: str) -> bool:
    """Tell whether `text` is nothing but an option letter, which may also start a sentence."""
    return _bare(text) in _LETTERS


def read_start(token: str, *, letter: bool) -> bool | None:
    """Return the verdict that a word starting with `token` would be; None when not one alone.

    Args:
        token: a piece of text as the model's tokenizer cuts it, such as " Yes" or "Ne".
        letter: whether the answer is an option letter, not a word.
    """
    words = _LETTERS if letter else {**_SPOKEN, **_WRITTEN}
    start = _bare(token)
    if start in words:
        return words[start]
    sides = {side for word, side in words.items() if start and word.startswith(start)}
    return sides.pop() if len(sides) == 1 else None


def read_prose(text: str, *, opening: bool = True) -> Reading:
    """Find the one verdict of an answer.

    Args:
        text: the answer without thinking tags and JSON.
        opening: whether a verdict at the very start counts; not in a train of thought.

    Raises:
        UnparsableAnswer: there is none, or the answer is a refusal or repeats itself.
        ContradictoryAnswer: there are both.
    """
    text = text.translate(_TO_ASCII)
    word = read_word(text)
    if word is not None:
        return Reading(word)
    _refuse_nonsense(text)
    announced = _announced(text)
    final = [match for match in announced if match["final"]] + list(_BOXED.finditer(text))
    if final:
        return Reading(_agreed(text, _verdicts(final)), text[: final[-1].start()].strip())
    lead = _lead(text) if opening else None
    ending, before = _last_line(text)
    found = _verdicts(announced)
    if ending is not None:
        found.add(ending)
    if lead is not None:
        found |= {lead.confirmed} | _verdicts(_INTERJECTION.finditer(lead.description))
    verdict = _agreed(text, found)
    if lead is not None:
        return lead
    return Reading(verdict, before if ending is not None else text[: announced[0].start()].strip())


def require_meant(pieces: tuple[str, ...], text: str) -> None:
    """Refuse JSON that the prose around it does not put forward as the answer.

    Args:
        pieces: what stands before, between and after the objects.
        text: the whole answer, for the error.

    Raises:
        UnparsableAnswer: it is an example, holds on a condition, or comes with a refusal.
        ContradictoryAnswer: it is taken back.
    """
    for before, after in pairwise(piece.translate(_TO_ASCII).strip() for piece in pieces):
        line = before[-_WINDOW:].rpartition("\n")[2]
        if _SET_ASIDE.search(_SENTENCE_END.split(line)[-1]):
            raise unparsable(text)
        if _TAKEN_BACK.match(after):
            raise contradictory(text)
    for piece in pieces:
        said = piece.translate(_TO_ASCII)
        if _REFUSAL_ANYWHERE.search(said) or _UNDECIDED.search(said):
            raise unparsable(text)


def quoted(text: str) -> str:
    """Return the start of an answer for an error text."""
    return repr(" ".join(text[: 2 * _QUOTED].split())[:_QUOTED])


def unparsable(text: str) -> UnparsableAnswer:
    """Build the error for an answer without a verdict, worded as VSS words it."""
    return UnparsableAnswer(f"not in expected YES/NO format. Raw response: {quoted(text)}")


def contradictory(text: str) -> ContradictoryAnswer:
    """Build the error for an answer that says both."""
    return ContradictoryAnswer(f"it says both yes and no. Raw response: {quoted(text)}")


def _bare(text: str) -> str:
    text = text.strip(_STRIPPED)
    if len(text) > _LONGEST_WORD:
        return ""
    return unicodedata.normalize("NFKC", text).strip(_STRIPPED).casefold()


def _agreed(text: str, found: set[bool]) -> bool:
    if not found:
        raise unparsable(text)
    if len(found) > 1:
        raise contradictory(text)
    return found.pop()


def _verdict(match: re.Match[str]) -> bool:
    return _WORDS[match["word"].casefold()]


def _announced(text: str) -> list[re.Match[str]]:
    """List announcements that hold without a condition, each with its `final` and `word`."""
    return [
        match for match in _ANNOUNCED.finditer(text) if not _is_conditional(text, match.start())
    ]


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
        return _followed(text, _verdict(spoken), spoken.end())
    introduced = _INTRODUCED.match(text)
    if introduced is not None and not _is_conditional(text, introduced.start("word")):
        return _introduced(text, introduced)
    option = _OPTION.match(text)
    if option is None:
        return None
    if _BOTH_OPTIONS.search(text):
        raise contradictory(text)
    letter = option["one"] or option["two"]
    reading = _followed(text, _LETTERS[letter.casefold()], option.end())
    named = read_word(reading.description)
    _agreed(text, {reading.confirmed} | (set() if named is None else {named}))
    return reading


def _introduced(text: str, match: re.Match[str]) -> Reading | None:
    """Read a verdict after an introductory clause, unless another verdict word stands anywhere."""
    if sum(1 for _ in _SPOKEN_ANYWHERE.finditer(text)) > 1:
        return None
    reading = _followed(text, _verdict(match), match.end())
    return Reading(reading.confirmed, text)


def _followed(text: str, verdict: bool, end: int) -> Reading:
    rest = text[end:]
    if _TAKEN_BACK.match(rest):
        raise contradictory(text)
    if _REFUSAL.match(rest) or _ON_CONDITION.match(rest):
        raise unparsable(text)
    return Reading(verdict, rest.lstrip(_AFTER_VERDICT).rstrip())


def _verdicts(matches: Iterable[re.Match[str]]) -> set[bool]:
    return {_verdict(match) for match in matches}


def _last_line(text: str) -> tuple[bool | None, str]:
    before, _, last = text.rstrip().rpartition("\n")
    return read_word(last), before.strip()


def _refuse_nonsense(text: str) -> None:
    if _REFUSAL.match(text) or _UNDECIDED.search(text):
        raise unparsable(text)
    words = [word.casefold() for word in _WORD.findall(text)]
    variety = len(set(words)) / max(1, len(words))
    if (len(words) >= _FEW_WORDS and len(set(words)) == 1) or (
        len(words) >= _MANY_WORDS and variety < _LEAST_VARIETY
    ):
        raise UnparsableAnswer(f"it repeats itself. Raw response: {quoted(text)}")
