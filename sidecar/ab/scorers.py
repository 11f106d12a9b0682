"""Score answers of models as benchmarks do, and as the adapters read them. Pure."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from sidecar.ab.statistics import Estimate, balanced_accuracy, proportion
from sidecar.errors import AnswerError
from sidecar.model import PLAIN_RULES, ChatReply
from sidecar.ports import VlmAdapter

_YES_NO: Final = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_THINKING: Final = re.compile(r"<think>(.*?)</think>", re.DOTALL | re.IGNORECASE)
_FENCE: Final = re.compile(r"\A```[\w-]*\s*\n(.*?)\n?```\s*\Z", re.DOTALL)
_MARKED: Final = re.compile(
    r"(?:answer|option|choice|答え|正解|回答)\W{0,6}(?:is|は)?\W{0,4}([A-Z])(?![A-Za-z])",
    re.IGNORECASE,
)
_BRACKETED: Final = re.compile(r"\(([A-Z])\)")
_ALONE: Final = re.compile(r"(?<![A-Za-z])([A-Z])(?![A-Za-z'])")
_LEAST_WORDS: Final = 3
"""Words that a chain of thought has at least; fewer are an empty form that was filled in."""

Reader = Callable[[str], bool | None]
"""Reads yes or no from an answer; None when it says neither."""


@dataclass(frozen=True, slots=True)
class Answered:
    """An answer to score.

    Attributes:
        text: as the model gave it.
        truth: what would be right: yes or no, a letter, or other text.
        style: of the prompt, such as `bare` or `ask-for-thinking`.
        reasoning: what the server gave apart from the text.
    """

    text: str
    truth: str = ""
    style: str = ""
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class YesNoScore:
    """How yes and no were answered.

    Attributes:
        unreadable: share of the answers that say neither.
        accuracy: share of all answers that are right; unreadable ones are not.
        macro_f1: mean of the F1 of yes and of no over readable answers, as VANTAGE-Bench scores
            event verification (unreadable answers are dropped there).
        macro_f1_strict: the same with unreadable answers counted as wrong.
    """

    unreadable: Estimate
    accuracy: Estimate
    sensitivity: Estimate
    specificity: Estimate
    balanced_accuracy: Estimate
    macro_f1: float | None
    macro_f1_strict: float | None


def first_word(text: str) -> bool | None:
    """Read the first "yes" or "no" that stands as a word, whatever the case.

    The rule of VANTAGE-Bench's toolkit (vlmeval/dataset/vantage_event_verification.py).
    """
    found = _YES_NO.search(text)
    return None if found is None else found[1].lower() == "yes"


def by_adapter(adapter: VlmAdapter) -> Reader:
    """Return a reader that reads as the sidecar does."""

    def read(text: str) -> bool | None:
        try:
            return adapter.parse_reply(ChatReply(content=text), PLAIN_RULES).confirmed
        except AnswerError:
            return None

    return read


def score_yes_no(answers: Iterable[Answered], read: Reader) -> YesNoScore:
    """Score yes and no; answers without a known truth are left out."""
    pairs = [
        (truth, read(it.text)) for it in answers if (truth := first_word(it.truth)) is not None
    ]
    hits, positives = _count(pairs, True, True), _count(pairs, True, True, False)
    rejections, negatives = _count(pairs, False, False), _count(pairs, False, True, False)
    unreadable = sum(said is None for _, said in pairs)
    return YesNoScore(
        unreadable=proportion(unreadable, len(pairs)),
        accuracy=proportion(hits + rejections, len(pairs)),
        sensitivity=proportion(hits, positives),
        specificity=proportion(rejections, negatives),
        balanced_accuracy=balanced_accuracy(hits, positives, rejections, negatives),
        macro_f1=_macro_f1([it for it in pairs if it[1] is not None]),
        macro_f1_strict=_macro_f1([(t, (not t) if said is None else said) for t, said in pairs]),
    )


def choice_of(text: str, letters: str = "ABCDEFGH") -> str | None:
    """Find the letter that an answer chooses; None when there is none, or no single one.

    A letter that is marked as the answer wins over one in brackets, and that over one alone; of
    several of the same kind the last counts if they are marked, else they have to agree.
    """
    plain = unicodedata.normalize("NFKC", _THINKING.sub("", text))
    marked = [str(it).upper() for it in _MARKED.findall(plain) if str(it).upper() in letters]
    if marked:
        return marked[-1]
    for pattern in (_BRACKETED, _ALONE):
        found = sorted({str(it) for it in pattern.findall(plain) if it in letters})
        if found:
            return found[0] if len(found) == 1 else None
    return None


def score_choice(answers: Iterable[Answered]) -> tuple[Estimate, Estimate]:
    """Score multiple choice and short answers by exact match.

    An answer is right when the letter that it chooses is the truth's, or, for a truth that is no
    letter, when both are the same text but for case, width and spaces around.

    Returns:
        The share of right answers, and the share that chooses nothing.
    """
    right = unreadable = total = 0
    for it in answers:
        total += 1
        truth = _plain(it.truth)
        if len(truth) == 1 and truth.isalpha():
            chosen = choice_of(it.text)
            unreadable += chosen is None
            right += chosen == truth.upper()
        else:
            right += bool(truth) and _plain(_THINKING.sub("", it.text)) == truth
    return proportion(right, total), proportion(unreadable, total)


def score_json(answers: Iterable[Answered]) -> Estimate:
    """Return the share of answers that are a JSON object or list: valid of all.

    Thinking before it and one code fence around it are allowed, as every parser of these models
    takes them off; prose around it and repairs are not.
    """
    texts = [it.text for it in answers]
    return proportion(sum(map(_is_json, texts)), len(texts))


def score_thinking(answers: Iterable[Answered]) -> Mapping[str, Estimate]:
    """Return, by style of the prompt, the share of answers with a chain of thought."""
    by_style: dict[str, list[bool]] = {}
    for it in answers:
        by_style.setdefault(it.style, []).append(_thinks(it))
    return {style: proportion(sum(found), len(found)) for style, found in by_style.items()}


def _count(pairs: Sequence[tuple[bool, bool | None]], truth: bool, *said: bool) -> int:
    return sum(one is truth and other in said for one, other in pairs)


def _macro_f1(pairs: Sequence[tuple[bool, bool | None]]) -> float | None:
    """Average the F1 of those classes that occur as a truth or as an answer."""
    scores = []
    for value in (True, False):
        hits = _count(pairs, value, value)
        answered, true = sum(said is value for _, said in pairs), sum(t is value for t, _ in pairs)
        if answered + true:
            scores.append(2 * hits / (answered + true))
    return sum(scores) / len(scores) if scores else None


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip().strip(".。").casefold()


def _is_json(text: str) -> bool:
    rest = text.rpartition("</think>")[2].strip()
    fenced = _FENCE.match(rest)
    try:
        value = orjson.loads(fenced[1] if fenced else rest)
    except orjson.JSONDecodeError:
        return False
    return isinstance(value, dict | list)


def _thinks(answer: Answered) -> bool:
    found = _THINKING.search(answer.text)
    thought = answer.reasoning or (found[1] if found else "")
    return len(thought.split()) >= _LEAST_WORDS
