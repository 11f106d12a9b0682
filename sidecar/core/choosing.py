"""Which arms are asked about an event, by the policy in force. Pure functions."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from fnmatch import translate
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, assert_never

from sidecar.model import AnswerShape, Outcome, Prompt, VerifyEvent
from sidecar.policy import (
    Cascade,
    Fixed,
    Policy,
    QuestionKind,
    Rule,
    Seconds,
    Vote,
    Weighted,
    When,
)

_PATTERNS: Final = 1024
_HASH_BYTES: Final = 8
_KINDS: Final[Mapping[AnswerShape, QuestionKind]] = {
    AnswerShape.VERDICT: QuestionKind.DETECTION,
    AnswerShape.DESCRIPTION: QuestionKind.DESCRIPTION,
    AnswerShape.TIMELINE: QuestionKind.TIMELINE,
    AnswerShape.BOXES: QuestionKind.BOXES,
    AnswerShape.POINTS: QuestionKind.TRAJECTORY,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a policy may ask about an event.

    Attributes:
        dealt_by: what decides where a weighted rule puts it: the sensor, or for what has none, a
            name of its own.
        identity: verdict key, which decides whether it is shown to the shadow.
        clip_s: from its timestamp to its end; None when that is not known.
    """

    alert_type: str
    sensor_id: str
    dealt_by: str
    identity: str
    priority: str = ""
    clip_s: float | None = None
    questions: frozenset[QuestionKind] = frozenset()


class Mode(StrEnum):
    """ONE: an arm decides. CASCADE: one after the other. VOTE: all at the same time."""

    ONE = "one"
    CASCADE = "cascade"
    VOTE = "vote"


@dataclass(frozen=True, slots=True)
class Plan:
    """Who is asked about one event.

    Attributes:
        rule: name of the rule that fits; "" where one arm answers everything.
        why: a sentence that says how the rule came to these arms.
        arms: in the order of being asked.
        fallback: asked when these cannot answer; none of `arms`.
        unsure, second_opinion_on: of a cascade, as in `sidecar.policy.Cascade`.
        umpire: of a vote; "" when there is none.
        shadow: asked afterwards; "" when no arm is.
    """

    rule: str
    why: str
    mode: Mode
    arms: tuple[str, ...]
    fallback: tuple[str, ...] = ()
    unsure: tuple[float, float] | None = None
    second_opinion_on: frozenset[Outcome] = frozenset()
    umpire: str = ""
    shadow: str = ""


def facts_of(event: VerifyEvent, prompt: Prompt | None = None) -> Facts:
    """Gather what a policy may ask.

    Args:
        event: to be decided.
        prompt: of its alert type; None when there is none.
    """
    return Facts(
        alert_type=event.category,
        sensor_id=event.sensor_id,
        dealt_by=event.sensor_id or event.key,
        identity=event.key,
        priority=_priority(event.raw),
        clip_s=max((event.end - event.timestamp).total_seconds(), 0.0),
        questions=frozenset() if prompt is None else questions_of(prompt),
    )


def questions_of(prompt: Prompt) -> frozenset[QuestionKind]:
    """Tell what an alert type asks for, from how its answers are read."""
    asks_why = bool(prompt.vlm_params.get("enable_reasoning") or prompt.rules.perspectives)
    kind = _KINDS[prompt.rules.shape]
    return frozenset({kind, QuestionKind.CAUSAL}) if asks_why else frozenset({kind})


def choose(policy: Policy, facts: Facts) -> Plan:
    """Find the rule that fits an event, and the arms that it names."""
    index, rule = _first_fitting(policy, facts)
    name, use = "" if policy.sole else policy.name_of(index), rule.use
    match use:
        case Fixed():
            plan = Plan(name, f"{use.arm} answers all of these.", Mode.ONE, (use.arm,))
        case Weighted():
            dealt_by = facts.identity if use.by == "event" else facts.dealt_by
            arm = deal(use.weights, dealt_by, policy.salt)
            why = (
                f"{dealt_by!r} falls to {arm}, which has {use.weights[arm]:g} of "
                f"{sum(use.weights.values()):g}."
            )
            plan = Plan(name, why, Mode.ONE, (arm,))
        case Cascade():
            plan = Plan(
                name,
                f"{' then '.join(use.arms)}, until one is sure.",
                Mode.CASCADE,
                use.arms,
                unsure=use.unsure,
                second_opinion_on=frozenset(use.second_opinion_on),
            )
        case Vote():
            why = f"{' and '.join(use.arms)} must agree."
            plan = Plan(name, why, Mode.VOTE, use.arms, umpire=use.umpire or "")
        case _:
            assert_never(use)
    asked = (*plan.arms, plan.umpire)
    return replace(
        plan,
        fallback=tuple(arm for arm in policy.fallback if arm not in asked),
        shadow=next((arm for arm in _shadows(policy, facts) if arm not in asked), ""),
    )


def describe_plan(plan: Plan, facts: Facts, version: int) -> dict[str, Any]:
    """Describe a plan and what it goes by, as `contract.arms.PlanResponse` does.

    Args:
        plan: who is asked.
        facts: about the event.
        version: of the choice in force; 0 when it is not in force.
    """
    return {
        "status": "success",
        "version": version,
        "rule": plan.rule,
        "why": plan.why,
        "mode": plan.mode.value,
        "arms": list(plan.arms),
        "fallback": list(plan.fallback),
        "unsure": None if plan.unsure is None else list(plan.unsure),
        "secondOpinionOn": sorted(plan.second_opinion_on),
        "umpire": plan.umpire,
        "shadow": plan.shadow,
        "facts": {
            "alertType": facts.alert_type,
            "sensorId": facts.sensor_id,
            "priority": facts.priority,
            "clipSeconds": facts.clip_s,
            "questions": sorted(facts.questions),
        },
    }


def deal(weights: Mapping[str, float], name: str, salt: str) -> str:
    """Deal a name out to one of the arms, always the same, by weighted rendezvous hashing.

    Each arm draws a number from the name and itself; the weight lifts it. When one arm's weight
    grows in proportion to the others, names move to that arm and nowhere else. See Schindelhauer
    and Schomaker, "Weighted distributed hash tables", SPAA 2005.

    Args:
        weights: of the arms, at least one of them above 0.
        name: such as a sensor's id.
        salt: another one deals anew.
    """
    return max(
        (arm for arm, weight in weights.items() if weight > 0),
        key=lambda arm: (weights[arm] / -math.log(draw(salt, name, arm)), arm),
    )


def draw(*words: str) -> float:
    """Return a number between 0 and 1, both excluded, that depends on the words alone."""
    digest = blake2b("\0".join(words).encode(), digest_size=_HASH_BYTES).digest()
    return (int.from_bytes(digest) + 0.5) / 2.0 ** (8 * _HASH_BYTES)


def fits(when: When | None, facts: Facts) -> bool:
    """Tell whether an event is one of these."""
    return when is None or (
        _is_one_of(when.alert_types, facts.alert_type.strip().lower(), lower=True)
        and _is_one_of(when.sensors, facts.sensor_id, lower=False)
        and _is_one_of(when.priorities, facts.priority, lower=True)
        and (not when.questions or not facts.questions.isdisjoint(when.questions))
        and _is_within(when.clip_s, facts.clip_s)
    )


def _first_fitting(policy: Policy, facts: Facts) -> tuple[int, Rule]:
    for index, rule in enumerate(policy.rules):
        if fits(rule.when, facts):
            return index, rule
    raise AssertionError  # the last rule fits everything


def _shadows(policy: Policy, facts: Facts) -> tuple[str, ...]:
    """Return the arms of which the first is asked that was not asked already."""
    shadow = policy.shadow
    if shadow is None or not fits(shadow.when, facts):
        return ()
    is_drawn = draw(policy.salt, facts.identity, "shadow") < shadow.share
    return shadow.arms if is_drawn else ()


def _priority(raw: Mapping[str, Any]) -> str:
    info = raw.get("info")
    of_info = info if isinstance(info, Mapping) else {}
    named = raw.get("priority") or of_info.get("priority") or of_info.get("severity") or ""
    return str(named).strip().lower()


def _is_one_of(patterns: tuple[str, ...], name: str, *, lower: bool) -> bool:
    return not patterns or _compiled(patterns, lower).match(name) is not None


@lru_cache(maxsize=_PATTERNS)
def _compiled(patterns: tuple[str, ...], lower: bool) -> re.Pattern[str]:
    words = (pattern.strip().lower() if lower else pattern for pattern in patterns)
    return re.compile("|".join(translate(word) for word in words))


def _is_within(wanted: Seconds | None, clip_s: float | None) -> bool:
    if wanted is None:
        return True
    if clip_s is None:
        return False
    return clip_s >= wanted.min and (wanted.max is None or clip_s <= wanted.max)
