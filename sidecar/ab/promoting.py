"""Promote an arm by what is known of it: start, look, act, stop.

Where a promotion stands is kept with the choice of arms, so that it survives a restart, is the same
for every replica, and ends when somebody chooses arms himself.
"""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import structlog

from sidecar.ab.rules import GateRules
from sidecar.audit import Attribution
from sidecar.compared import ComparedEvent, ComparedFilter, Role
from sidecar.core.arms import SETTINGS, Arms
from sidecar.core.canaries import Shadowing, can_be_promoted, give, observe
from sidecar.errors import InvalidRequest, Issue, NotFound
from sidecar.policy import ArmChoice, Policy, Promotion, Stage
from sidecar.ports import Clock, Comparisons

if TYPE_CHECKING:
    from sidecar.ab.gate import GateDecision, GateEvidence

GATE: Final = "gate"
"""Actor of what the gate chooses."""
_PAGE: Final = 500
_PAST: Final = 200
"""Choices among which a promotion that was taken back is remembered."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Looked:
    """What a look at a promotion found.

    Attributes:
        choice: in force at the look.
        promotion: of that choice.
    """

    choice: ArmChoice
    promotion: Promotion
    decision: "GateDecision"
    evidence: "GateEvidence"
    at: datetime


@dataclass(slots=True)
class Promoting:
    """Takes an arm to the events of another, step by step. For one event loop.

    Attributes:
        arms: which are in force.
        store: what arms said, and people about it.
        rules: what a candidate has to show, and whether the gate acts.
        shadowing: how the two arms are compared.
        recent: the newest compared events, of which latency and unreadable answers are judged.
        fresh_s: how long a look may be told again before the next one.
    """

    arms: Arms
    store: Comparisons
    clock: Clock
    rules: GateRules
    shadowing: Shadowing
    recent: int = 5000
    fresh_s: float = 10.0
    _last: Looked | None = field(default=None, init=False)
    _looking: asyncio.Lock = field(default_factory=asyncio.Lock, init=False)

    async def start(
        self, candidate: str, by: Attribution, *, reference: str = "", version: int | None = None
    ) -> ArmChoice:
        """Begin to promote an arm: from now on it is compared with the one that answers.

        Args:
            candidate: an arm of the settings.
            by: who wants it, and why.
            reference: whose events it shall answer; "" takes the leading arm.
            version: of the choice that the caller has seen in force; None does not care.

        Raises:
            InvalidRequest: an arm is not there, or there is nothing to promote it to.
            VersionConflict: another choice was made since that version.
            ArmNotUsable: the candidate's server serves another family's model.
            StoreUnavailable: nothing was begun.
        """
        await self.arms.follow()
        current = self.arms.current
        going = current.promotion
        if going and going.candidate == candidate and going.stage is not Stage.ROLLED_BACK:
            return current
        base = going.base if going else current.policy
        reference = reference or base.lead
        known = self.arms.switchboard.current.arms
        problem = _why_not(candidate, reference, known, can_be_promoted(base, reference))
        if problem:
            raise InvalidRequest((problem,))
        promotion = Promotion(candidate, reference, base, since=await self._since(candidate))
        policy = observe(base, reference, candidate, self.shadowing)
        return await self.arms.choose(
            policy, by, version=current.version if version is None else version, promotion=promotion
        )

    async def start_by_settings(self, candidate: str) -> None:
        """Begin at the start of the service, unless somebody has chosen arms since the settings.

        Raises:
            InvalidRequest: as of `start`.
            StoreUnavailable: nothing was begun.
        """
        current = self.arms.current
        if current.promotion is None and current.actor != SETTINGS:
            _log.warning(
                "promotion_not_started",
                candidate=candidate,
                detail=f"{current.actor} has chosen arms since; sidecar ab promote starts it.",
            )
        elif current.promotion is None:
            await self.start(candidate, Attribution(SETTINGS, "ab.gate.candidate"))

    async def stop(self, by: Attribution) -> ArmChoice:
        """End a promotion, and put in force again what was before it.

        Raises:
            NotFound: there is none.
            StoreUnavailable: it goes on.
        """
        await self.arms.follow()
        going = self.arms.current.promotion
        if going is None:
            raise NotFound("No arm is being promoted.")
        by = replace(by, reason=by.reason or f"the promotion of {going.candidate} is stopped")
        return await self.arms.choose(going.base, by, force=True)

    async def look(self) -> Looked | None:
        """Look at the promotion that is going on; None when there is none. Changes nothing.

        A look that is young and still true is told again.

        Raises:
            StoreUnavailable: what is known cannot be read.
        """
        async with self._looking:
            choice, last = self.arms.current, self._last
            if choice.promotion is None:
                return None
            if last is not None and last.choice.version == choice.version:
                age = self.clock.now() - last.at
                if 0 <= age.total_seconds() < self.fresh_s:
                    return last
            self._last = await self._look(choice, choice.promotion)
            return self._last

    async def act(self) -> Looked | None:
        """Look, and do what the look leads to.

        Raises:
            ArmNotUsable: the candidate's server is away; it keeps what it has.
            VersionConflict: somebody chose in between.
            StoreUnavailable: nothing was changed.
        """
        from sidecar.ab.gate import Action

        found = await self.look()
        if found is None or found.decision.action in {Action.WAIT, Action.RECOMMEND}:
            return found
        now, decision, before = self.clock.now(), found.decision, found.promotion
        after = replace(
            before,
            stage=decision.stage,
            share=decision.share,
            since=before.since if before.share else now,
            share_since=now,
            words=decision.words,
        )
        goes_back = decision.action is Action.ROLL_BACK
        await self.arms.choose(
            before.base if goes_back else self._policy(after),
            Attribution(GATE, decision.words),
            version=found.choice.version,
            force=goes_back,
            promotion=after,
        )
        return found

    def _policy(self, promotion: Promotion) -> Policy:
        names = promotion.reference, promotion.candidate
        return observe(give(promotion.base, *names, promotion.share), *names, self.shadowing)

    async def _since(self, candidate: str) -> datetime | None:
        """Return from when on evidence counts: all of it, unless the arm was taken back before."""
        for choice in await self.arms.history(limit=_PAST):
            past = choice.promotion
            if past and past.candidate == candidate and past.stage is Stage.ROLLED_BACK:
                return self.clock.now()
        return None

    async def _look(self, choice: ArmChoice, promotion: Promotion) -> Looked:
        pair = (promotion.reference, promotion.candidate)
        labelled = await self._read(ComparedFilter(arms=pair, labelled=True), None)
        recent = await self._read(ComparedFilter(arms=pair), self.recent)
        evidence, decision = await asyncio.to_thread(
            _judge, promotion, labelled, recent, self.rules
        )
        return Looked(choice, promotion, decision, evidence, self.clock.now())

    async def _read(self, wanted: ComparedFilter, most: int | None) -> list[ComparedEvent]:
        found: list[ComparedEvent] = []
        before: int | None = None
        while most is None or len(found) < most:
            size = _PAGE if most is None else min(_PAGE, most - len(found))
            page = await self.store.events(wanted, limit=size, before=before)
            found += page
            if len(page) < size:
                break
            before = page[-1].position
        return found


def _why_not(
    candidate: str, reference: str, known: Collection[str], has_events: bool
) -> Issue | None:
    """Return why an arm cannot be promoted; None when it can."""
    names = ", ".join(sorted(known))
    for at, arm in (("candidate", candidate), ("reference", reference)):
        if arm not in known:
            return Issue(at, "unknown_arm", f"There is no arm {arm!r}; known: {names}.")
    if candidate == reference:
        text = f"{candidate} answers already; name another arm to promote."
        return Issue("candidate", "already_answers", text)
    if not has_events:
        text = f"No fixed or weighted rule gives {reference} events that {candidate} could answer."
        return Issue("reference", "nothing_to_promote", text)
    return None


def _judge(
    promotion: Promotion,
    labelled: Sequence[ComparedEvent],
    recent: Sequence[ComparedEvent],
    rules: GateRules,
) -> "tuple[GateEvidence, GateDecision]":
    """Gather the evidence and look at it; takes up to some seconds and loads the libraries."""
    from sidecar.ab.columns import tabulate
    from sidecar.ab.compare import evidence_of, judged_of
    from sidecar.ab.gate import GateEvidence, look

    pair = (promotion.reference, promotion.candidate)
    labelled = _since(labelled, pair, promotion.since)
    recent = _since(recent, pair, promotion.since)
    evidence = GateEvidence()
    if recent:
        evidence = evidence_of(tabulate(recent), *pair)
    if labelled:
        evidence = replace(evidence, right=judged_of(tabulate(labelled), *pair))
    at_share = _answered(recent, promotion.candidate, promotion.share_since)
    evidence = replace(evidence, at_share=at_share)
    return evidence, look(promotion.stage, promotion.share, evidence, rules)


def _since(
    events: Sequence[ComparedEvent], pair: tuple[str, str], since: datetime | None
) -> list[ComparedEvent]:
    """Return the events about which both arms were asked after a time."""
    if since is None:
        return list(events)
    return [
        event
        for event in events
        if all((answer := event.answer_of(arm)) and answer.decided_at >= since for arm in pair)
    ]


def _answered(events: Sequence[ComparedEvent], arm: str, since: datetime | None) -> int:
    """Count the events that an arm was given after a time."""
    if since is None:
        return 0
    answers = (event.answer_of(arm) for event in events)
    return sum(1 for it in answers if it and it.role is Role.PRIMARY and it.decided_at >= since)
