r"""Verdicts that prose announces: "Answer: no", "so the answer is yes", "Final answer: A".

An announcement counts only when nothing but a few known words introduces it in its clause. So one
that is denied, quoted, asked for, or somebody else's is none: "a careless viewer's answer: yes",
"the sign reads 'Answer: yes'".

Every quantifier is bounded or applies to a single character class, so reading takes time linear in
the length.
"""

import re
from dataclasses import dataclass
from typing import Final

from adapters._nonsense import contradictory, degenerate
from adapters._sequels import begins_with, interjects, occurrences, require_standing
from adapters._words import (
    ANY_WORD,
    CLOSE,
    DECORATION,
    END,
    LETTERS,
    OPEN,
    PAUSE,
    SPOKEN_WORD,
    WORDS,
)

NOUNS: Final = frozenset(
    {"answer", "verdict", "decision", "conclusion", "result", "output", "response"}
    | {"antwort", "réponse", "respuesta"}
)
NOUNS_CJK: Final = frozenset({"回答", "答え", "判定結果", "判定", "結論", "答案", "结论"})
_CONNECTIVES: Final = frozenset(
    {"so", "therefore", "thus", "hence", "conclusion", "summary", "short", "overall"}
)
_CONNECTIVES_CJK: Final = ("よって", "したがって", "以上より", "因此", "所以")
_OPTION: Final = rf"[{DECORATION}]{{0,20}}(?:\((?P<one>[AB])\)|(?P<two>(?-i:[AB]))[).:])(?=\s|$)"
# "答案是否" asks whether; it does not say no.
_IS: Final = r"(?:(?:\bis\b|\bist\b|\blautet\b|\best\b|\bes\b|は|是(?!否|不是))\s?:?|[:=])"
_ANNOUNCED: Final = re.compile(
    rf"(?:\b(?:{'|'.join(sorted(NOUNS))})|{'|'.join(sorted(NOUNS_CJK, key=len, reverse=True))})"
    r"(?:\sto\s(?:the|your|this|that)(?:\s(?:question|prompt|query))?\b)?"
    rf"[*_`\"'\s]{{0,6}}{_IS}"
    r"(?:\s?(?:clearly|definitely|certainly|indeed|simply|therefore)\b)?"
    rf"(?:{OPEN}(?P<word>{ANY_WORD}){END}{CLOSE}{PAUSE}|{_OPTION})",
    re.IGNORECASE,
)
_CONCLUDED: Final = re.compile(
    r"(?:so|therefore|thus|hence|overall|in (?:conclusion|summary|short)"
    rf"|{'|'.join(_CONNECTIVES_CJK)})[,:、]\s{{0,3}}"
    rf"{OPEN}(?P<word>{SPOKEN_WORD}){END}{CLOSE}{PAUSE}",
    re.IGNORECASE,
)
_BOXED: Final = re.compile(
    rf"\\boxed\{{(?:\\text\{{)?\s{{0,3}}(?P<word>{ANY_WORD})\s{{0,3}}\}}", re.IGNORECASE
)
_FINAL: Final = re.compile(r"\bfinal\s{1,3}$", re.IGNORECASE)
_FINAL_CHARS: Final = 9
_IN: Final = re.compile(r"\bin\s$", re.IGNORECASE)
_MOST: Final = 32
_WINDOW: Final = 200  # characters before an announcement in which its sentence starts

_SENTENCE_END: Final = re.compile(r"[.!?。\n]")
_CLAUSE_END: Final = re.compile(
    r"[,;、\u2013\u2014]|\b(?:so|thus|hence|therefore|consequently|donc)\b", re.IGNORECASE
)
# All that may stand between the start of a clause and the noun.
_INTRODUCTION: Final = re.compile(
    r"[\W\d]{0,20}(?:(?:then|finally|and so|overall|in (?:conclusion|summary|short)|conclusion"
    r"|summary|step \d{1,2}|(?:it is (?:clear|evident|true)|i (?:think|believe|conclude|determine)"
    r"|(?:this|that|which) means)(?: that)?|based on (?:this|that|the \w{1,20}(?: \w{1,20})?)"
    r"|(?:in|for) (?:this|the) (?:video|clip|case|scene|footage|recording)"
    r"|したがって|よって|つまり|以上より|因此|所以|综上所述)\W{0,4}){0,3}"
    r"(?:(?:the|my|our|die|meine|la|ma|mi|私の|我的)\s?)?"
    r"(?:(?:final|correct|right|best|overall|short|clear|definitive|endgültige|richtige|bonne|最終的?な?|最终的?"
    r"|正しい|正确的?)\s?)?[の的]?[\W]{0,8}",
    re.IGNORECASE,
)
# What makes a whole sentence hypothetical, or a report of what somebody says.
_NOT_MEANT: Final = re.compile(
    r"\b(?:if|whether|unless|suppose|assuming|instead of|might|would|initially|at first"
    r"|first glance|says?|said|asks?|asked|reads?|tells?|told|claims?|format|examples?"
    r"|instructions?|prompt|wenn|si|lorsque|quand|cuando)\b|^\W*(?:when|falls)\b|もし|場合|如果",
    re.IGNORECASE,
)
# The end of a line after which no answer follows: "If he falls:", "Example:", "The expected format
# is", "Respond with".
_SET_ASIDE: Final = re.compile(
    r"\b(?:if|unless|would|examples?|instead of|e\.g)\b|\bnot\W{0,4}$"
    r"|\b(?:sample|template)\W{1,4}(?:\w{1,20}\W{1,4}){0,2}$"
    r"|\bformat (?:is|should|must|would|looks?)\b|^\W*(?:the )?(?:\w{1,20} ){0,2}format\W*$"
    r"|\b(?:this|following|that) format\W*$|^\W*instructions?\W*$"
    r"|^\W*(?:please )?(?:respond|reply|return|answer|output|write|use)\s(?:with|using|like|as"
    r"|exactly|only|in (?:this|the following|that))\b",
    re.IGNORECASE,
)
_ABBREVIATED: Final = re.compile(r"\be\.g\.\W{0,4}$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Announcement:
    """A verdict that prose announces, `word` from `start` to `end`."""

    word: str
    start: int
    end: int
    is_final: bool

    @property
    def confirmed(self) -> bool:
        """What it says."""
        return WORDS[self.word.casefold()]


def find_announced(text: str, words: frozenset[str]) -> list[Announcement]:
    """List the announcements that are meant, the boxed ones last.

    Args:
        text: the answer.
        words: of it, lower-cased.

    Raises:
        DegenerateAnswer: there are too many.
    """
    lower = text.lower()
    found = _named(text, lower, words) + _concluded(text, lower, words)
    if len(found) > _MOST:
        raise degenerate(text)
    boxed = _BOXED.finditer(text) if "boxed" in words else ()
    return found + [_announcement(it, it.start(), is_final=True) for it in boxed]


def require_undisputed(text: str, words: frozenset[str], said: Announcement) -> None:
    """Refuse an announcement that what follows takes back.

    Raises:
        ContradictoryAnswer: it is denied.
        RefusedAnswer: the model says that it cannot tell, or only guesses.
        UnparsableAnswer: it holds on a condition.
    """
    rest = text[said.end :]
    require_standing(text, said.confirmed, said.word, rest)
    is_denied = said.word.casefold() in LETTERS and begins_with(rest, verdict=not said.confirmed)
    if is_denied or interjects(rest, words, verdict=not said.confirmed):
        raise contradictory(text)


def is_set_aside(before: str) -> bool:
    """Tell whether the end of a text makes what follows it an example or a condition."""
    line = before.rstrip()[-_WINDOW:].rpartition("\n")[2]
    if _ABBREVIATED.search(line):
        return True
    sentence = _SENTENCE_END.split(line)[-1]
    return _SET_ASIDE.search(sentence) is not None


def _named(text: str, lower: str, words: frozenset[str]) -> list[Announcement]:
    nouns = NOUNS & words
    if not lower.isascii():
        nouns |= {noun for noun in NOUNS_CJK if noun in lower}
    found = []
    for start in sorted(start for noun in nouns for start in occurrences(lower, noun)):
        match = _ANNOUNCED.match(text, start)
        if match is None:
            continue
        final = _FINAL.search(text, max(0, start - _FINAL_CHARS), start)
        begun = final.start() if final else start
        if _is_meant(text, begun):
            found.append(_announcement(match, begun, is_final=final is not None))
        if len(found) > _MOST:
            break
    return found


def _concluded(text: str, lower: str, words: frozenset[str]) -> list[Announcement]:
    """List "Therefore, yes." where a sentence starts with it."""
    found = []
    connectives = [*words & _CONNECTIVES, *(it for it in _CONNECTIVES_CJK if it in lower)]
    for word in connectives:
        for start in occurrences(lower, word):
            begun = start - 3 if _IN.search(text, max(0, start - 3), start) else start
            match = _CONCLUDED.match(text, begun)
            if match is not None and not _sentence_before(text, begun).strip():
                found.append(_announcement(match, begun, is_final=False))
            if len(found) > _MOST:
                break
    return found


def _announcement(match: re.Match[str], start: int, *, is_final: bool) -> Announcement:
    groups = match.groupdict()
    word = groups["word"] or groups.get("one") or groups.get("two") or ""
    return Announcement(word, start, match.end(), is_final)


def _is_meant(text: str, start: int) -> bool:
    """Tell whether an announcement at `start` is the answer, by what comes before it."""
    sentence = _sentence_before(text, start)
    if _NOT_MEANT.search(sentence):
        return False
    clause = _CLAUSE_END.split(sentence)[-1]
    if _INTRODUCTION.fullmatch(clause) is None:
        return False
    line = text[max(0, start - _WINDOW) : start].rpartition("\n")[2]
    if _is_quoted(line):
        return False
    return bool(sentence.strip()) or not is_set_aside(text[:start])


def _sentence_before(text: str, start: int) -> str:
    return _SENTENCE_END.split(text[max(0, start - _WINDOW) : start])[-1]


def _is_quoted(line: str) -> bool:
    """Tell whether a quotation is open at the end of a line that has other words before it."""
    opened = line.lstrip(" \t*_#>-").startswith('"')
    return (line.count('"') % 2 == 1 and not opened) or line.rfind("「") > line.rfind("」")
