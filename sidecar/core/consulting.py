"""Ask the arms of a plan about one event, until there is a verdict or none is to be had."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from sidecar.core.choosing import Mode, Plan
from sidecar.core.routing import Arm
from sidecar.core.vitals import Vitals
from sidecar.errors import (
    AnswerError,
    ArmsDisagree,
    DeadlineExpired,
    ModelMismatch,
    UnsupportedQuestion,
    UnsureAnswer,
    VerificationError,
    VlmError,
    row_of,
)
from sidecar.model import ArmAnswer, LeftOut, Note, Outcome, Role, Verdict
from sidecar.ports import Clock

T = TypeVar("T")

Ask = Callable[[Arm, float], Awaitable[Verdict]]
"""Asks an arm about the event, for so many seconds at most; failures end in the verdict."""

_ARMS_OWN: Final = (VlmError, AnswerError, ModelMismatch, UnsupportedQuestion, DeadlineExpired)
_LEAST_RESERVE_S: Final = 1.0
_RESERVE: Final = 2.0
_TEXT_CHARS: Final = 2_000
_NOTES: Final = {Role.CASCADE: Note.ESCALATED, Role.FALLBACK: Note.FELL_BACK}
_WORDS: Final = {
    Outcome.CONFIRMED: "confirmed",
    Outcome.REJECTED: "rejected",
    Outcome.NONE: "a description",
}


@dataclass(slots=True)
class Consultation:
    """Follows one plan about one event.

    An arm that others stand behind leaves them time, does not wait for a server that is away, and
    is left out when its servers are down or it is known to take longer than it may. The last one
    gets all the time that is left.

    Attributes:
        arms: by name.
        plan: whom to ask.
        ask: asks one of them.
        clock: measures.
        deadline: by that clock's `monotonic`.
    """

    arms: Mapping[str, Arm]
    plan: Plan
    ask: Ask
    clock: Clock
    deadline: float
    _heard: dict[str, ArmAnswer | None] = field(default_factory=dict)
    _left_out: dict[str, LeftOut] = field(default_factory=dict)

    async def verdict(self) -> Verdict:
        """Ask, and return the verdict to publish, with what each arm said."""
        found = await (self._vote() if self.plan.mode is Mode.VOTE else self._in_turn())
        if found is None or can_another_help(found.error):
            found = await self._fall_back(found)
        is_nobodys = isinstance(found.error, ArmsDisagree)
        heard = tuple(
            replace(answer, is_published=answer.arm == found.arm and not is_nobodys)
            for answer in self._heard.values()
            if answer is not None
        )
        left_out = tuple(self._left_out.items())
        return replace(found, rule=self.plan.rule, heard=heard, left_out=left_out)

    async def _in_turn(self) -> Verdict | None:
        """Ask until one is sure; None when all were left out for the fallback."""
        found, arms = None, self.plan.arms
        for index, name in enumerate(arms):
            behind = (*arms[index + 1 :], *self.plan.fallback)
            answer = await self._hear(name, self._role(found), behind)
            if answer is None:
                continue
            is_last = index == len(arms) - 1
            is_final = is_last or self._is_final(answer, found.outcome if found else None)
            found = answer
            if is_final:
                break
        return found

    def _role(self, found: Verdict | None) -> Role:
        """Tell why the next arm of a cascade is asked."""
        if found is None:
            return Role.FALLBACK if self._left_out else Role.PRIMARY
        return Role.FALLBACK if can_another_help(found.error) else Role.CASCADE

    def _is_final(self, found: Verdict, said: Outcome | None) -> bool:
        """Tell whether no further arm need be asked.

        Args:
            found: the latest verdict.
            said: the verdict before it; None when it is the first.
        """
        if found.error is not None:
            return not isinstance(found.error, UnsureAnswer) and not can_another_help(found.error)
        if _lies_in(self.plan.unsure, found):
            return False
        return found.outcome not in self.plan.second_opinion_on or found.outcome is said

    async def _vote(self) -> Verdict | None:
        plan = self.plan
        umpire = (plan.umpire,) if plan.umpire else ()
        behind = (*umpire, *plan.fallback)
        async with asyncio.TaskGroup() as group:
            asked = [group.create_task(self._hear(name, Role.VOTE, behind)) for name in plan.arms]
        votes = [vote for task in asked if (vote := task.result()) is not None]
        agreed = _agreed(votes)
        if agreed is not None:
            return agreed
        if umpire:
            return await self._hear(plan.umpire, Role.CASCADE, plan.fallback)
        said = {vote.outcome for vote in votes if vote.finding is not None}
        missing = [vote for vote in votes if can_another_help(vote.error)]
        if len(said) > 1 or (said and len(votes) == len(plan.arms) and not missing):
            return replace(votes[0], finding=None, error=ArmsDisagree(_disagreement(votes)))
        return next(iter((*missing, *votes)), None)

    async def _fall_back(self, failed: Verdict | None) -> Verdict:
        """Ask the arms that stand behind the plan's; the first failure is told when none can."""
        names = self.plan.fallback
        for index, name in enumerate(names):
            answer = await self._hear(name, Role.FALLBACK, names[index + 1 :])
            if answer is None:
                continue
            if not can_another_help(answer.error):
                return answer
            failed = failed or answer
        assert failed is not None  # an arm with none behind it is not left out
        return failed

    async def _hear(self, name: str, role: Role, behind: Sequence[str]) -> Verdict | None:
        """Ask an arm; None when it is left out."""
        arm, others = self.arms[name], [self.arms[it].vitals for it in behind]
        limit_s = fair_share(self.deadline - self.clock.monotonic(), others)
        if behind:
            reason = _why_left_out(arm.vitals, limit_s)
            if reason is not None:
                self._left_out[name] = reason
                return None
            arm = replace(arm, backend=arm.impatient)
        self._heard[name] = None  # keeps its place in the order of being asked
        begun = self.clock.monotonic()
        verdict = await self.ask(arm, limit_s)
        latency_ms = round((self.clock.monotonic() - begun) * 1000)
        self._heard[name] = answer_of(verdict, role, latency_ms)
        note = _NOTES.get(role)
        return verdict if note is None else replace(verdict, notes=(*verdict.notes, note))


async def first_answer(
    arms: Sequence[Arm], ask: Callable[[Arm, bool], Awaitable[T]], clock: Clock, deadline: float
) -> T:
    """Ask arms one after the other until one answers, as a fallback does.

    For doors that answer a question at once and keep nothing of it.

    Args:
        arms: the first one to ask first; at least one.
        ask: asks an arm; is told whether it is the last one.
        clock: measures.
        deadline: by that clock's `monotonic`.

    Raises:
        VerificationError: the first one, when no arm answers.
    """
    failure: VerificationError | None = None
    for index, arm in enumerate(arms):
        behind = [it.vitals for it in arms[index + 1 :]]
        limit_s = fair_share(deadline - clock.monotonic(), behind)
        if behind and _why_left_out(arm.vitals, limit_s):
            continue
        asked = replace(arm, backend=arm.impatient) if behind else arm
        try:
            async with asyncio.timeout(limit_s):
                return await ask(asked, not behind)
        except TimeoutError:
            failure = failure or DeadlineExpired(f"No answer within {limit_s:.3g} s.")
        except VerificationError as error:
            if not can_another_help(error):
                raise
            failure = failure or error
    assert failure is not None  # the last one is always asked
    raise failure


def can_another_help(error: VerificationError | None) -> bool:
    """Tell whether another arm may have a verdict where this one has none.

    It is no use where the media or the prompt are what is missing. An arm that is unsure within its
    alert type's abstain band has answered.
    """
    return isinstance(error, _ARMS_OWN) and not isinstance(error, UnsureAnswer)


def fair_share(left_s: float, behind: Sequence[Vitals]) -> float:
    """Return for how long an arm may be asked, so that those behind it have time too.

    Each of them is left twice what is typical of it, at most as much as an even division gives.

    Args:
        left_s: until the deadline.
        behind: of the arms that may still be asked.
    """
    even = left_s / (len(behind) + 1)
    return left_s - sum(_reserve(vitals, even) for vitals in behind)


def answer_of(verdict: Verdict, role: Role, latency_ms: int) -> ArmAnswer:
    """Return what an arm said, for comparison.

    Args:
        verdict: that it came to.
        role: why it was asked.
        latency_ms: from being asked to the finding.
    """
    answers = verdict.answers
    return ArmAnswer(
        key=verdict.event.key,
        arm=verdict.arm,
        model=verdict.model,
        adapter=verdict.adapter,
        role=role,
        outcome=verdict.outcome,
        decided_at=verdict.decided_at,
        latency_ms=latency_ms,
        reason=row_of(verdict.error).reason if verdict.error else "",
        confidence=verdict.finding.confidence if verdict.finding else None,
        prompt_tokens=_total([answer.prompt_tokens for answer in answers]),
        completion_tokens=_total([answer.completion_tokens for answer in answers]),
        frames_asked=verdict.frames_asked,
        frames_seen=verdict.frames_seen,
        prompt_version=verdict.prompt.version if verdict.prompt else 0,
        text=answers[-1].text[:_TEXT_CHARS] if answers else "",
    )


def _why_left_out(vitals: Vitals, limit_s: float) -> LeftOut | None:
    if vitals.is_down:
        return LeftOut.DOWN
    is_slow = vitals.typical_s is not None and vitals.typical_s > limit_s
    return LeftOut.TOO_SLOW if is_slow else None


def _reserve(vitals: Vitals, even_s: float) -> float:
    if vitals.typical_s is None:
        return even_s
    return min(even_s, max(_LEAST_RESERVE_S, _RESERVE * vitals.typical_s))


def _lies_in(band: tuple[float, float] | None, verdict: Verdict) -> bool:
    finding = verdict.finding
    if band is None or finding is None or finding.confidence is None or finding.confirmed is None:
        return False
    probability = finding.confidence if finding.confirmed else 1.0 - finding.confidence
    return band[0] <= probability <= band[1]


def _agreed(votes: Sequence[Verdict]) -> Verdict | None:
    """Return the verdict that at least two give and nobody contradicts, or what is no vote."""
    for vote in votes:
        is_description = vote.finding is not None and vote.outcome is Outcome.NONE
        is_lost = vote.error is not None and not isinstance(vote.error, _ARMS_OWN)
        if is_description or is_lost:
            return vote
    sure = [vote for vote in votes if vote.finding is not None]
    is_one = len({vote.outcome for vote in sure}) == 1
    return sure[0] if len(sure) > 1 and is_one else None


def _disagreement(votes: Sequence[Verdict]) -> str:
    said = (f"{it.arm} says {_WORDS.get(it.outcome, 'it is not sure')}" for it in votes)
    return f"The arms do not agree: {', '.join(said)}."


def _total(counts: Sequence[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
