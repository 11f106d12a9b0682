"""How sure a model was of its verdict, from the probabilities of the token that it starts with."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from adapters._words import STRIPPED, bare

_LEAST_ALTERNATIVES: Final = 2
_AFTER_ANSWER: Final = 64  # characters of end tokens and spaces that may follow an answer


@dataclass(frozen=True, slots=True)
class Spot:
    """Where in an answer its verdict starts, and what might have stood there instead.

    Attributes:
        start: index of the first character of the verdict's word.
        words: what may be said there, lower-cased, and whether it means "confirmed".
    """

    start: int
    words: Mapping[str, bool]


def read_confidence(
    tokens: tuple[Mapping[str, float], ...], answer: str, spot: Spot, *, confirmed: bool
) -> float | None:
    """Return the probability of a verdict against its opposite, where its first token stands.

    Case and space variants of either are summed. Where the opposite is not listed, it is counted as
    high as it can be: as the least likely alternative that is.

    Args:
        tokens: for each token of the completion its alternatives, the chosen one first, with
            their log probabilities.
        answer: the end of the completion, from which `spot` counts.
        spot: where the verdict stands.
        confirmed: the verdict.

    Returns:
        None when the server gave no alternatives, or when they are not about this verdict: under a
        constraint, the model may have wanted to say something else than either.
    """
    alternatives = _alternatives_at(tokens, answer, spot.start)
    if len(alternatives) < _LEAST_ALTERNATIVES:
        return None
    chosen, *_ = alternatives
    if _side(chosen, spot.words) is not confirmed:
        return None
    mass = {True: 0.0, False: 0.0}
    for token, logprob in alternatives.items():
        side = _side(token, spot.words)
        if side is not None:
            mass[side] += math.exp(min(logprob, 0.0))
    if not mass[not confirmed]:
        _, *others = alternatives.values()
        mass[not confirmed] = math.exp(min(*others, 0.0))
        if mass[confirmed] < mass[not confirmed]:
            return None
    total = mass[True] + mass[False]
    return mass[confirmed] / total if total > 0.0 else None


def _alternatives_at(
    tokens: tuple[Mapping[str, float], ...], answer: str, start: int
) -> Mapping[str, float]:
    """Return the alternatives of the token with character `start` of the answer."""
    texts = [next(iter(alternatives), "") for alternatives in tokens]
    completion = "".join(texts)
    least = max(0, len(completion) - len(answer) - _AFTER_ANSWER)
    wanted = completion.rfind(answer, least) + start
    if wanted < start:
        return {}
    position = 0
    for text, alternatives in zip(texts, tokens, strict=True):
        if position + len(text) > wanted:
            is_start = not text[: wanted - position].strip(STRIPPED)
            return alternatives if is_start else {}
        position += len(text)
    return {}


def _side(token: str, words: Mapping[str, bool]) -> bool | None:
    """Return the verdict that a word starting with `token` would be; None when not one alone."""
    start = bare(token)
    if start in words:
        return words[start]
    sides = {side for word, side in words.items() if start and word.startswith(start)}
    return sides.pop() if len(sides) == 1 else None
