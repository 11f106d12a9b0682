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
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from adapters._announced import (
    NOUNS,
    NOUNS_CJK,
    find_announced,
    is_set_aside,
    require_undisputed,
)
from adapters._nonsense import (
    contradictory,
    has_refusal,
    is_unsure,
    plain,
    refuse_nonsense,
    refused,
    split_words,
    unparsable,
)
from adapters._sequels import (
    begins_with,
    holds_on_condition,
    interjects,
    require_standing,
    takes_back,
)
from adapters._words import (
    CLOSE,
    DECORATION,
    END,
    LETTERS,
    OPEN,
    PAUSE,
    SAID,
    SPOKEN,
    SPOKEN_WORD,
    STRIPPED,
    WORDS,
    WRITTEN,
    read_word,
)

_AFTER_VERDICT: Final = " \t\r\n*_`\"'」』】),.!;:。、\u2013\u2014-"
_LEAD: Final = re.compile(
    rf"{OPEN}(?P<word>{SPOKEN_WORD}){END}{CLOSE}(?!(?<=no)\.\s{{0,3}}\d)"
    rf"(?:{PAUSE}|(?=\s(?:the|there|it|this|he|she|they)\b))",
    re.IGNORECASE,
)
# "Confirmed: a man falls." The infinitives also begin instructions.
_WRITTEN_LEAD: Final = re.compile(
    rf"{OPEN}(?P<word>confirmed|true|rejected|false){END}{CLOSE}{PAUSE}",
    re.IGNORECASE,
)
# "Looking at the clip, yes, he fell." The clause ends with what was looked at, so that a speaker
# who corrects himself ("In the clip a man, no, a woman") says no verdict.
_INTRODUCED: Final = re.compile(
    r"(?:(?:well|okay|ok|sure|certainly|indeed|so|therefore|thus|hence|overall|finally"
    r"|in (?:conclusion|summary|short)|結論として|したがって|よって|因此|所以)"
    r"|(?:looking at|based on|judging from|judging by|according to|given|from|in"
    r"|after (?:reviewing|watching)|having (?:reviewed|watched))\s(?:\w{1,20}\s){0,5}"
    r"(?:clip|evidence|footage|frames?|images?|pictures?|recording|scene|sequence|video)"
    r"(?:\s(?:above|itself|provided|shown))?"
    r"|(?:based on|from|given) what (?:i|we) (?:can )?see)"
    rf"[,、]{OPEN}(?P<word>{SPOKEN_WORD}){END}{CLOSE}{PAUSE}",
    re.IGNORECASE,
)
_OPTION: Final = re.compile(
    rf"[{DECORATION}]{{0,20}}(?:\((?P<one>[ABab])\)|(?P<two>[AB])[).:])(?=\s|$)"
)
_LISTED_OPTION: Final = re.compile(r"\b([AB])[).:]")
_LIST_CHARS: Final = 500  # from option A to option B
_LONGEST_QUESTION: Final = 300  # characters
_MOST_LINES: Final = 500
_SIGNS: Final = (*NOUNS, *NOUNS_CJK, "boxed")
# Options to tick, of which a line says nothing by itself: "[x] Yes", "☐ No".
_TICKED: Final = re.compile(r"\[[ xX]?\]|[☐☑☒◯○●◉]")
_CONDITION: Final = re.compile(r"\b(?:if|whether|unless|not|never|cannot)\b|n't\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Reading:
    """A verdict in prose, and the prose beside it.

    Attributes:
        leads: whether the answer starts with the verdict's word.
    """

    confirmed: bool
    description: str = ""
    leads: bool = False


def read_prose(text: str, *, opening: bool = True) -> Reading:
    """Find the one verdict of an answer.

    Args:
        text: the answer without thinking tags and JSON.
        opening: whether a verdict before the end counts; not in a train of thought.

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
    if ("[" in text or not text.isascii()) and _TICKED.search(text):
        raise unparsable(text)
    announced = find_announced(text, words)
    if not opening:
        announced = [it for it in announced if not text[it.end :].strip(STRIPPED)]
    final = [it for it in announced if it.is_final]
    for it in final or announced:
        require_undisputed(text, words, it)
    if final:
        verdict = _agreed(text, {it.confirmed for it in final})
        return Reading(verdict, text[: final[-1].start].strip())
    lead = _lead(text, words) if opening else None
    ending, before = _last_line(text)
    found = {it.confirmed for it in announced}
    if ending is not None:
        found |= {ending} | _bare_lines(text, words)
    if lead is not None:
        found.add(lead.confirmed)
        if interjects(lead.description, words, verdict=not lead.confirmed):
            raise contradictory(text)
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
        or "?" in text
        or any(pattern.match(text) for pattern in (_LEAD, _WRITTEN_LEAD, _INTRODUCED, _OPTION))
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
    said = [plain(piece) for piece in pieces]
    if any(has_refusal(piece) for piece in said if piece):
        raise refused(text)
    for before, after in pairwise(said):
        if is_set_aside(before) or _goes_on_with_if(after):
            raise unparsable(text)
        if takes_back(after.lstrip(), verdict=True):
            raise contradictory(text)


def interjected(text: str) -> set[bool]:
    """Return the verdicts that a text interjects: "on second thought, no"."""
    text = plain(text)
    words = frozenset(split_words(text.lower()))
    return {side for side in (True, False) if interjects(text, words, verdict=side)}


def _agreed(text: str, found: set[bool]) -> bool:
    if not found:
        raise refused(text) if is_unsure(text) else unparsable(text)
    if len(found) > 1:
        raise contradictory(text)
    return found.pop()


def _meaning(match: re.Match[str]) -> bool:
    return WORDS[match["word"].casefold()]


def _lead(text: str, words: frozenset[str]) -> Reading | None:
    """Read a verdict at the very start."""
    text = text.strip()
    first = text.partition("\n")[0]
    word = read_word(first)
    if word is not None:
        return _followed(text, word, first, len(first))
    spoken = _LEAD.match(text) or _written_lead(text, words)
    if spoken is not None:
        return _followed(text, _meaning(spoken), spoken["word"], spoken.end())
    introduced = _INTRODUCED.match(text)
    if introduced is not None and not _CONDITION.search(text, 0, introduced.start("word")):
        return _introduced(text, introduced)
    option = _OPTION.match(text)
    return _asked(text) if option is None else _option(text, option)


def _written_lead(text: str, words: frozenset[str]) -> re.Match[str] | None:
    """Find "Rejected: ..." at the start, unless the opposite stands anywhere."""
    found = _WRITTEN_LEAD.match(text)
    if found is None:
        return None
    opposite = not _meaning(found)
    others = {word for word, side in WRITTEN.items() if side is opposite} | SAID[opposite]
    return found if words.isdisjoint(others) else None


def _option(text: str, match: re.Match[str]) -> Reading:
    """Read "(A) Possible", unless both options are listed or its text says the opposite."""
    letter = match["one"] or match["two"]
    verdict, rest = LETTERS[letter.casefold()], text[match.end() :]
    if _lists_options(text) or begins_with(rest, verdict=not verdict):
        raise contradictory(text)
    return _followed(text, verdict, letter, match.end())


def _lists_options(text: str) -> bool:
    """Tell whether an option B follows an option A, as in an echoed question."""
    last_a = len(text)
    for match in _LISTED_OPTION.finditer(text):
        if match[1] == "A":
            last_a = match.end()
        elif 0 <= match.start() - last_a <= _LIST_CHARS:
            return True
    return False


def _introduced(text: str, match: re.Match[str]) -> Reading | None:
    """Read a verdict after an introductory clause, unless another verdict word stands anywhere."""
    if sum(word in SPOKEN for word in split_words(text.lower())) > 1:
        return None
    reading = _followed(text, _meaning(match), match["word"], match.end())
    return Reading(reading.confirmed, text)


def _asked(text: str) -> Reading | None:
    """Read the answer to a single question that is repeated before it: "Did he fall? No"."""
    question, mark, answer = text[:_LONGEST_QUESTION].partition("?")
    answer += text[_LONGEST_QUESTION:]
    if not mark or "?" in answer or not SPOKEN.keys().isdisjoint(split_words(question.lower())):
        return None
    answer = answer.lstrip()
    spoken = _LEAD.match(answer)
    if spoken is None:
        return None
    reading = _followed(answer, _meaning(spoken), spoken["word"], spoken.end())
    return Reading(reading.confirmed, reading.description)


def _followed(text: str, verdict: bool, word: str, end: int) -> Reading:
    """Read a verdict at the start, unless what follows takes it back."""
    rest = text[end:]
    require_standing(text, verdict, word, rest)
    return Reading(verdict, rest.lstrip(_AFTER_VERDICT).rstrip(), leads=True)


def _goes_on_with_if(after: str) -> bool:
    """Tell whether the line on which JSON ends goes on with a condition."""
    after = after.lstrip(" \t`'\"")
    return after[:1].islower() and holds_on_condition(after)


def _last_line(text: str) -> tuple[bool | None, str]:
    before, _, last = text.rstrip().rpartition("\n")
    return read_word(last), before.strip()


def _bare_lines(text: str, words: frozenset[str]) -> set[bool]:
    """Return what lines say that are nothing but a verdict, if both sides may be among them."""
    if len({WORDS[word] for word in words if word in WORDS}) < len(SAID):
        return set()
    said = (read_word(line) for line in text.splitlines()[:_MOST_LINES])
    return {side for side in said if side is not None}
