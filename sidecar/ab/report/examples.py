"""Disagreements that are worth a look. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

from sidecar.compared import ArmAnswer, ComparedEvent
from sidecar.model import Outcome

MOST_SHOWN: Final = 12
_VERDICTS: Final = (Outcome.CONFIRMED, Outcome.REJECTED)


@dataclass(frozen=True, slots=True)
class Shown:
    """An answer as the page shows it.

    Attributes:
        mark: `right`, `wrong`, or "" without a label.
    """

    answer: ArmAnswer
    mark: str


@dataclass(frozen=True, slots=True)
class Example:
    """An event on which arms differ.

    Attributes:
        truth: what the label says; "" without one.
        frames: pictures of its clip as data URLs, in their order.
    """

    event: ComparedEvent
    answers: tuple[Shown, ...]
    truth: str
    frames: tuple[str, ...] = ()


def choose_disagreements(
    events: Iterable[ComparedEvent], reference: str, most: int = MOST_SHOWN
) -> list[ComparedEvent]:
    """Choose events whose arms gave different verdicts.

    By turns: the reference alone is wrong, it alone is right, nobody knows. Within each, those
    first whose wrong answer (or any answer) was surest.
    """
    kinds: dict[str, list[tuple[float, int, ComparedEvent]]] = {
        "missed": [],
        "kept": [],
        "open": [],
    }
    for place, event in enumerate(events):
        first = event.answer_of(reference)
        if first is None or first.outcome not in _VERDICTS:
            continue
        others = [it for it in event.answers if it.outcome in _VERDICTS and it.arm != reference]
        if all(it.outcome is first.outcome for it in others):
            continue
        truth = event.label.truth if event.label else None
        is_right = truth is not None and truth == (first.outcome is Outcome.CONFIRMED)
        kind = "open" if truth is None else "kept" if is_right else "missed"
        sure = [
            it.confidence or 0.0
            for it in event.answers
            if kind == "open" or _mark(it, truth) == "wrong"
        ]
        kinds[kind].append((-max(sure, default=0.0), place, event))
    ordered = [
        [event for *_, event in sorted(found, key=lambda it: it[:2])] for found in kinds.values()
    ]
    by_turns = (event for turn in zip_longest(*ordered) for event in turn if event is not None)
    return [event for event, _ in zip(by_turns, range(most), strict=False)]


def examples_of(
    events: Sequence[ComparedEvent], frames: Mapping[str, Sequence[str]]
) -> list[Example]:
    """Prepare chosen events for the page.

    Args:
        events: chosen ones.
        frames: pictures as data URLs, by key.
    """
    found = []
    for event in events:
        truth = event.label.truth if event.label else None
        answers = tuple(Shown(it, _mark(it, truth)) for it in event.answers)
        words = {True: "it happened", False: "it did not happen", None: ""}[truth]
        found.append(Example(event, answers, words, tuple(frames.get(event.key, ()))))
    return found


def _mark(answer: ArmAnswer, truth: bool | None) -> str:
    if truth is None:
        return ""
    said = {Outcome.CONFIRMED: True, Outcome.REJECTED: False}.get(answer.outcome)
    return "right" if said is truth else "wrong"
