"""Compared events as columns, so that statistics over many of them are a few numpy operations."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from sidecar.compared import ArmAnswer, ComparedEvent
from sidecar.errors import ROWS, AnswerError, FramesNotSeen, UnsureAnswer
from sidecar.model import Outcome

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.int8]
Indices = npt.NDArray[np.int64]


class Said(IntEnum):
    """What an arm made of an event; NOTHING: it was not asked, or only described the clip."""

    NOTHING = -1
    REJECTED = 0
    CONFIRMED = 1
    FAILED = 2


_SAID: Final = {
    Outcome.CONFIRMED: Said.CONFIRMED,
    Outcome.REJECTED: Said.REJECTED,
    Outcome.FAILED: Said.FAILED,
    Outcome.NONE: Said.NOTHING,
}
_NOT_THE_WORDS: Final = (UnsureAnswer, FramesNotSeen)
"""Answers that can be read and yet are no verdict: by the user's wish, or by the server's fault."""
UNPARSABLE: Final = frozenset(
    row.reason
    for error, row in ROWS.items()
    if issubclass(error, AnswerError) and error not in _NOT_THE_WORDS
)
"""Reasons of the error table that say: the model answered, and no verdict can be read from it."""


@dataclass(frozen=True, slots=True)
class ArmColumns:
    """What one arm said, a row for each event.

    Attributes:
        said: values of `Said`.
        is_unparsable: whether it answered something that is no verdict.
        is_published: whether its answer is the event's verdict.
        latency_ms: NaN where it was not asked, as in all of the following.
        confidence: probability, 0..1, of the verdict that it gave.
        decided_at: seconds since the epoch.
        reasons: how often each failure happened, by its reason.
        models, adapters: that answered, the most frequent first.
    """

    said: Codes
    is_unparsable: Bools
    is_published: Bools
    latency_ms: Floats
    prompt_tokens: Floats
    completion_tokens: Floats
    confidence: Floats
    decided_at: Floats
    reasons: Mapping[str, int]
    models: tuple[str, ...]
    adapters: tuple[str, ...]

    @property
    def is_asked(self) -> Bools:
        """Which events it said something about."""
        return np.not_equal(self.said, Said.NOTHING)

    @property
    def has_verdict(self) -> Bools:
        """Which events it confirmed or rejected."""
        return np.isin(self.said, (Said.CONFIRMED, Said.REJECTED))


@dataclass(frozen=True, slots=True)
class Comparisons:
    """Compared events, a row for each.

    Attributes:
        arms: by name, in the order in which they first answered.
        sensors, categories: names that the codes of `sensor` and `category` stand for.
        timestamp: of the event, in seconds since the epoch.
        truth: of the label: 1, 0, or -1 where there is none or it cannot be told.
    """

    arms: Mapping[str, ArmColumns]
    sensor: Indices
    sensors: tuple[str, ...]
    category: Indices
    categories: tuple[str, ...]
    timestamp: Floats
    truth: Codes

    @property
    def total(self) -> int:
        """How many events there are."""
        return len(self.truth)

    @property
    def is_labelled(self) -> Bools:
        """Which events a person told the truth about."""
        return np.greater_equal(self.truth, 0)

    def is_right(self, arm: str) -> Bools:
        """Tell where an arm's verdict is the labelled truth; a failure is never right."""
        return self.is_labelled & np.equal(self.arms[arm].said, self.truth)

    def reference(self) -> str:
        """Return the arm to compare the others with: whose answers were published most often."""
        published = {name: int(arm.is_published.sum()) for name, arm in self.arms.items()}
        return max(published, key=lambda name: published[name])


@dataclass(slots=True)
class _Growing:
    """The columns of one arm while they are being filled."""

    rows: list[int] = field(default_factory=list)
    answers: list[tuple[Any, ...]] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    models: dict[str, int] = field(default_factory=dict)
    adapters: dict[str, int] = field(default_factory=dict)

    def add(self, row: int, answer: ArmAnswer) -> None:
        self.rows.append(row)
        self.answers.append(_numbers(answer))
        for counts, name in (
            (self.reasons, answer.reason),
            (self.models, answer.model),
            (self.adapters, answer.adapter),
        ):
            if name:
                counts[name] = counts.get(name, 0) + 1

    def finished(self, total: int) -> ArmColumns:
        at = np.array(self.rows, dtype=np.int64)
        said = np.full(total, Said.NOTHING, dtype=np.int8)
        flags = np.zeros((2, total), dtype=np.bool_)
        floats = np.full((5, total), np.nan)
        if len(at):
            table = np.array(self.answers, dtype=np.float64).T
            said[at] = table[0].astype(np.int8)
            flags[:, at] = table[1:3] != 0
            floats[:, at] = table[3:]
        return ArmColumns(
            said=said,
            is_unparsable=flags[0],
            is_published=flags[1],
            latency_ms=floats[0],
            prompt_tokens=floats[1],
            completion_tokens=floats[2],
            confidence=floats[3],
            decided_at=floats[4],
            reasons=_by_count(self.reasons),
            models=tuple(_by_count(self.models)),
            adapters=tuple(_by_count(self.adapters)),
        )


def tabulate(events: Iterable[ComparedEvent]) -> Comparisons:
    """Turn compared events into columns; reads each event once."""
    arms: dict[str, _Growing] = {}
    sensors: dict[str, int] = {}
    categories: dict[str, int] = {}
    facts: list[tuple[int, int, float, int]] = []
    for row, event in enumerate(events):
        sensor = sensors.setdefault(event.sensor_id, len(sensors))
        category = categories.setdefault(event.category, len(categories))
        facts.append((sensor, category, event.timestamp.timestamp(), _truth(event)))
        for answer in event.answers:
            arms.setdefault(answer.arm, _Growing()).add(row, answer)
    table = np.array(facts, dtype=np.float64).reshape(-1, 4).T
    return Comparisons(
        arms={name: arm.finished(len(facts)) for name, arm in arms.items()},
        sensor=table[0].astype(np.int64),
        sensors=tuple(sensors),
        category=table[1].astype(np.int64),
        categories=tuple(categories),
        timestamp=table[2],
        truth=table[3].astype(np.int8),
    )


def names_by_code(codes: Indices, names: Sequence[str], chosen: Bools) -> list[tuple[str, Bools]]:
    """Split the chosen rows by code: each name that has any, with its rows, the largest first."""
    counts = np.bincount(codes[chosen], minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    return [(names[code], chosen & (codes == code)) for code in order if counts[code]]


def _truth(event: ComparedEvent) -> int:
    if event.label is None or event.label.truth is None:
        return -1
    return int(event.label.truth)


def _numbers(answer: ArmAnswer) -> tuple[Any, ...]:
    """Return a row of `_Growing.answers`; None becomes NaN."""
    return (
        _SAID[answer.outcome],
        answer.reason in UNPARSABLE,
        answer.is_published,
        answer.latency_ms,
        answer.prompt_tokens,
        answer.completion_tokens,
        answer.confidence,
        answer.decided_at.timestamp(),
    )


def _by_count(counts: Mapping[str, int]) -> dict[str, int]:
    return dict(sorted(counts.items(), key=lambda item: -item[1]))
