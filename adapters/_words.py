"""Words that are verdicts, in the languages that models answer in, and how they are written."""

import re
import unicodedata
from collections.abc import Mapping
from typing import Final

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
SAID: Final = {
    side: frozenset(word for word, it in SPOKEN.items() if it is side) for side in (True, False)
}
# Words that are verdicts only where they stand alone: "True colours" is none.
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
# Words that may go on as another one when an answer is cut off: "A man", "不清楚" (not clear).
_UNFINISHED: Final = frozenset({*LETTERS, "不"})

# Models put check marks and crosses before a yes as well as before a no.
_MARKS: Final = "✅✔❌✖✗✘\ufe0f"
DECORATION: Final = rf"\s*_#>`\"'「」『』【】•{_MARKS}\-"
END: Final = r"(?:(?![^\W_])|(?=です(?!か)))"
"""The end of a word; Japanese writes "it is" right after it."""
OPEN: Final = rf"[{DECORATION}(]{{0,20}}"
CLOSE: Final = rf"[*_`\"'」』】)]{{0,8}}(?:\s?[{_MARKS}]{{1,4}})?"
# What may follow a verdict: the end, punctuation, a remark in brackets, or Japanese "it is".
PAUSE: Final = r"(?=[ \t]{0,8}(?:$|[.,!;:。、\n\u2013\u2014(]|-\s)|です(?!か))"
STRIPPED: Final = f" \t\r\n*_#>`\"'「」『』【】•{_MARKS}-()[].,!;:。、"


def alternatives(words: Mapping[str, bool]) -> str:
    """Write a pattern for any of the words, the longest first."""
    return "|".join(sorted(map(re.escape, words), key=len, reverse=True))


SPOKEN_WORD: Final = alternatives(SPOKEN)
ANY_WORD: Final = alternatives({**SPOKEN, **WRITTEN}) + r"|(?-i:[AB])"


def read_word(text: str) -> bool | None:
    """Return the verdict when `text` is nothing but a verdict word, else None."""
    return WORDS.get(bare(text))


def is_letter(text: str) -> bool:
    """Tell whether `text` is nothing but an option letter."""
    return bare(text) in LETTERS


def is_unfinished(text: str) -> bool:
    """Tell whether a verdict word may be the start of something else, had it not been cut off."""
    return bare(text) in _UNFINISHED


def bare(text: str) -> str:
    """Strip decoration and punctuation off a word and fold its case; "" for longer texts."""
    text = text.strip(STRIPPED)
    if len(text) > _LONGEST_WORD:
        return ""
    return unicodedata.normalize("NFKC", text).strip(STRIPPED).casefold()
