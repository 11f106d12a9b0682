"""Compared events with known rates, made in bulk."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np

from sidecar.compared import ArmAnswer, ComparedEvent, Label, Role
from sidecar.model import Outcome

BEGIN = datetime(2026, 1, 31, 8, tzinfo=UTC)


@dataclass(frozen=True)
class Habit:
    """How an arm of a simulation answers."""

    sensitivity: float = 0.9
    specificity: float = 0.8
    unparsable: float = 0.02
    failing: float = 0.0
    median_ms: float = 900.0
    has_confidence: bool = False


def simulate(
    arms: Mapping[str, Habit],
    events: int,
    *,
    seed: int = 0,
    labelled: float = 1.0,
    prevalence: float = 0.6,
    sensors: int = 4,
    categories: tuple[str, ...] = ("ppe", "fall", "intrusion"),
    every_s: float = 60.0,
) -> list[ComparedEvent]:
    """Let arms answer independently of each other, given the truth."""
    random = np.random.default_rng(seed)
    truth = random.random(events) < prevalence
    has_label = random.random(events) < labelled
    answers = {name: _answers(name, habit, truth, random) for name, habit in arms.items()}
    return [
        ComparedEvent(
            key=f"key-{row}",
            id=f"event-{row}",
            sensor_id=f"camera-{row % sensors}",
            category=categories[row % len(categories)],
            timestamp=BEGIN + timedelta(seconds=row * every_s),
            answers=tuple(column[row] for column in answers.values()),
            label=Label(f"key-{row}", bool(truth[row]), "ann", BEGIN) if has_label[row] else None,
        )
        for row in range(events)
    ]


def _answers(
    name: str, habit: Habit, truth: np.ndarray, random: np.random.Generator
) -> list[ArmAnswer]:
    events = len(truth)
    right = random.random(events) < np.where(truth, habit.sensitivity, habit.specificity)
    fate = random.random(events)
    latency = random.lognormal(np.log(habit.median_ms), 0.3, events)
    confidence = np.where(right, random.beta(8, 2, events), random.beta(4, 3, events))
    return [
        _answer(
            name,
            habit,
            row,
            bool(truth[row] == right[row]),
            fate[row],
            latency[row],
            confidence[row],
        )
        for row in range(events)
    ]


def _answer(
    name: str,
    habit: Habit,
    row: int,
    confirms: bool,
    fate: float,
    latency: float,
    confidence: float,
) -> ArmAnswer:
    outcome, reason = (Outcome.CONFIRMED if confirms else Outcome.REJECTED), ""
    if fate < habit.unparsable:
        outcome, reason = Outcome.FAILED, "unparsable_answer"
    elif fate < habit.unparsable + habit.failing:
        outcome, reason = Outcome.FAILED, "vlm_timeout"
    has_verdict = not reason
    return ArmAnswer(
        key=f"key-{row}",
        arm=name,
        model=f"nvidia/{name}",
        adapter=name,
        role=Role.REPLAY,
        outcome=outcome,
        decided_at=BEGIN + timedelta(seconds=row, milliseconds=float(latency)),
        latency_ms=round(latency),
        reason=reason,
        confidence=float(confidence) if habit.has_confidence and has_verdict else None,
        prompt_tokens=2300,
        completion_tokens=40,
        prompt_version=1,
        text="yes" if confirms else "no",
    )
