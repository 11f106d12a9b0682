"""What follows a verdict's word and takes its force: doubt, a condition, the opposite.

Every quantifier is bounded or applies to a single character class, so reading takes time linear in
the length.
"""

import re
from typing import Final

from adapters._nonsense import contradictory, is_refusal, refused, unparsable
from adapters._words import CLOSE, DECORATION, PAUSE, SAID, SPOKEN, SPOKEN_WORD, read_word

_WRONG: Final = r"(?:wrong|incorrect|false|untrue|a mistake|mistaken)"
_NOT_SO: Final = r"not (?:right|correct|true|so|the case|the (?:right |correct )?answer)"
_ENDS: Final = r"\s{0,3}(?:$|[.,;!?)\n])"
_SECOND_THOUGHT: Final = r"(?:wait|actually|hmm|no wait|sorry)\W{1,4}"
_THAT_IS: Final = r"(?:that|this|it)(?:'s|\sis|\swas)\s"
# "Yes, that would be wrong.", "Yes is wrong.", "No. Wait, that is not right.", "Yes. Actually not."
_TAKEN_BACK: Final = re.compile(
    r"\W{0,8}(?:"
    rf"(?:(?:wait|actually|hmm|but)\W{{1,4}}){{0,2}}(?:(?:that|this|it|which)\s)?would be (?:the )?"
    rf"(?:{_WRONG}(?!\sto\b)|not\s)"
    rf"|(?:is|was|(?:and |but )?which (?:is|was))\s(?:the )?(?:{_WRONG}|not\s)"
    rf"|{_SECOND_THOUGHT}(?:but\s)?(?:not\b\W{{0,4}}$|{_THAT_IS}(?:{_WRONG}|{_NOT_SO}){_ENDS})"
    r"|(?:but\s)?not\b\W{0,4}$"
    r"|(?:das\s)?wäre (?:falsch|nicht)|(?:ce|cela|ça) serait (?:faux|incorrect)"
    r"|(?:eso\s)?sería (?:falso|incorrecto))",
    re.IGNORECASE,
)
# What denies a yes, and agrees with a no: "that is not the case", "not really".
_DENIED: Final = re.compile(
    rf"\W{{0,8}}(?:but\s)?(?:{_THAT_IS}(?:{_WRONG}|{_NOT_SO}){_ENDS}"
    rf"|not (?:really|exactly|quite){_ENDS}|it would be {_WRONG} to\b)",
    re.IGNORECASE,
)
_ON_CONDITION: Final = re.compile(
    r"\W{0,8}(?:but\s)?(?:only\s)?(?:if|unless|assuming|provided that|as long as)\b", re.IGNORECASE
)
_ON_FOREIGN_CONDITION: Final = re.compile(
    r"\W{0,8}(?:wenn|falls|sofern|si|à condition|seulement si|cuando|siempre que|solo si)\b",
    re.IGNORECASE,
)
_QUESTIONED: Final = re.compile(r"\W{0,8}?\?")
_FOREIGN: Final = frozenset({"ja", "nein", "oui", "non", "sí", "si"})
_HEDGED: Final = re.compile(
    r"\W{0,8}(?:but\s)?(?:(?:it|this|that)(?:'s|\sis)\s)?(?:possibly|maybe|perhaps|probably|likely"
    r"|presumably|potentially|vielleicht|wahrscheinlich|möglicherweise|peut-être|probablement"
    r"|quizás?|tal vez|probablemente|おそらく|たぶん|多分|可能|也许|大概)"
    rf"(?:{_ENDS}|。)"
    r"|\W{0,8}(?:but\s)?(?:not (?:entirely |completely |fully |quite |very )?(?:sure|certain)"
    r"|unsure|uncertain)\b"
    r"|\W{0,8}(?:aber nicht sicher|mais pas (?:sûre?|certaine?)|pero no (?:estoy )?segur[oa])\b"
    r"|[ \t]{0,3}[,;(\u2013\u2014-]\s{0,3}(?:but |as |because |since )?it(?: is|'s)"
    r" (?:(?:hard|difficult|impossible) to (?:tell|say|see|judge|determine|know|be sure)"
    r"|(?:unclear|uncertain|not clear|not certain)\s{0,3}(?:$|[.,;!?)\n]|(?:if|whether)\b))",
    re.IGNORECASE,
)
# An assistant's pleasantry that says yes to the request, not to the question.
_ACKNOWLEDGED: Final = re.compile(
    r"\W{0,6}(?:(?:of course|sure|certainly)\W{1,4})?(?:(?:i|we)(?:'ll| can| will| am able to"
    r"|(?: would|'d) be (?:happy|glad) to)\s(?:certainly |definitely )?(?:help|assist|analy[sz]e"
    r"|answer|do (?:that|this|so)|provide|describe|view|watch"
    r"|see (?:the|this|your) (?:video|clip|image|picture|footage|frame)s?\s{0,3}(?:$|[.,;!\n]))"
    r"|here(?:'s| is| are) (?:the|my|an?|your) (?:\w{1,20} )?(?:analysis|answer|response|result"
    r"|description|breakdown|summary|assessment|output))",
    re.IGNORECASE,
)
_FIRST_WORD: Final = re.compile(rf"\W{{0,8}}(?P<word>{SPOKEN_WORD})(?![^\W_])", re.IGNORECASE)
# "はい、いいえで答えてください": as Japanese writes no spaces, no pause follows the second word.
_JAPANESE_OTHER: Final = {
    True: re.compile(r"\W{0,4}(?:いいえ|いえ)"),
    False: re.compile(r"\W{0,4}はい"),
}
_INTERJECTED: Final = re.compile(rf"(?:{SPOKEN_WORD})(?![^\W_]){CLOSE}{PAUSE}", re.IGNORECASE)
_BEFORE_INTERJECTED: Final = re.compile(
    r"(?:^|[.!?。\n]|\b(?:or|and|but|actually|wait|rather|correction|thoughts?|however|fact|aber"
    r"|oder|mais|ou|pero)\b)"
    rf"[{DECORATION},:(]{{0,12}}$",
    re.IGNORECASE,
)
_BEFORE_CHARS: Final = 24


def require_standing(text: str, verdict: bool, word: str, rest: str) -> None:
    """Refuse a verdict that what comes right after it takes back.

    Args:
        text: the whole answer, for the error.
        verdict: what the word means.
        word: as it is written.
        rest: what follows it.

    Raises:
        ContradictoryAnswer: it is denied.
        RefusedAnswer: the model says that it cannot tell, or only guesses.
        UnparsableAnswer: it holds on a condition, is a question, or is about something else.
    """
    if (
        takes_back(rest, verdict=verdict)
        or read_word(rest) is (not verdict)
        or _JAPANESE_OTHER[verdict].match(rest)
    ):
        raise contradictory(text)
    if is_refusal(rest) or _HEDGED.match(rest):
        raise refused(text)
    is_foreign = word.casefold() in _FOREIGN
    if (
        holds_on_condition(rest)
        or _QUESTIONED.match(rest)
        or (is_foreign and _ON_FOREIGN_CONDITION.match(rest))
        or (verdict and _ACKNOWLEDGED.match(rest))
    ):
        raise unparsable(text)


def takes_back(rest: str, *, verdict: bool) -> bool:
    """Tell whether what follows a verdict denies it."""
    return bool(_TAKEN_BACK.match(rest) or (verdict and _DENIED.match(rest)))


def holds_on_condition(rest: str) -> bool:
    """Tell whether what follows a verdict begins with an "if"."""
    return _ON_CONDITION.match(rest) is not None


def begins_with(rest: str, *, verdict: bool) -> bool:
    """Tell whether a text begins with a spoken word for that verdict: "No person", "yes it is"."""
    first = _FIRST_WORD.match(rest)
    return first is not None and SPOKEN[first["word"].casefold()] is verdict


def interjects(rest: str, words: frozenset[str], *, verdict: bool) -> bool:
    """Tell whether a spoken word for that verdict stands in a text as a remark of its own.

    Args:
        rest: where to look.
        words: of it, or of a text around it; what is not among them is not looked for.
        verdict: what the word has to mean.
    """
    lower = rest.lower()
    for word in words & SAID[verdict]:
        for start in occurrences(lower, word):
            before = max(0, start - _BEFORE_CHARS)
            if _INTERJECTED.match(rest, start) and _BEFORE_INTERJECTED.search(rest, before, start):
                return True
    return False


def occurrences(text: str, word: str) -> list[int]:
    """List where a word occurs, also inside of others."""
    found = []
    start = text.find(word)
    while start >= 0:
        found.append(start)
        start = text.find(word, start + 1)
    return found
