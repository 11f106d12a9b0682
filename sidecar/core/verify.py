"""The use case: look at one event and say how it ends."""

import asyncio
import math
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Protocol

from sidecar.core.asking import Asker, with_reason
from sidecar.core.choosing import Facts, Plan, facts_of
from sidecar.core.consulting import Consultation
from sidecar.core.exhibits import Exhibits
from sidecar.core.prompting import fill_prompt
from sidecar.core.routing import Arm, Routing, Switchboard
from sidecar.core.same_question import Question, SameQuestions, adopt
from sidecar.errors import DeadlineExpired, MediaRoute, NoPrompt, VerificationError
from sidecar.model import (
    PLAIN_RULES,
    AlertConfig,
    AnswerRules,
    EvidenceForm,
    Origin,
    Prompt,
    Stage,
    Verdict,
    VerifyEvent,
)
from sidecar.ports import ClipSource, Clock, PromptBook


@dataclass(frozen=True, slots=True)
class Look:
    """A verdict, and what another arm needs to look at the same.

    Attributes:
        shadow: the arm that is to be asked beside it; "" when none is.
        exhibits: what was shown; None when nothing could be.
    """

    verdict: Verdict
    shadow: str = ""
    exhibits: Exhibits | None = None


class Verifies(Protocol):
    """Decides events."""

    async def verify(self, event: VerifyEvent, *, within_s: float = math.inf) -> Verdict:
        """Decide an event. Every failure of the outside world ends as a verdict with an error."""
        ...

    async def look(self, event: VerifyEvent, *, within_s: float = math.inf) -> Look:
        """Decide an event as `verify` does, and tell what a shadow needs to look at it too."""
        ...

    def failed(self, event: VerifyEvent, error: VerificationError) -> Verdict:
        """Decide an event that cannot be looked at."""
        ...


@dataclass(frozen=True, slots=True)
class VerifierByOrigin:
    """Leaves each event to who knows what it was submitted for.

    Attributes:
        usual: decides what the alert types ask about.
        reviews: decides what brings its own question.
    """

    usual: Verifies
    reviews: Verifies

    async def verify(self, event: VerifyEvent, *, within_s: float = math.inf) -> Verdict:
        """Decide an event."""
        return await self._of(event).verify(event, within_s=within_s)

    async def look(self, event: VerifyEvent, *, within_s: float = math.inf) -> Look:
        """Decide an event, and tell what a shadow needs."""
        return await self._of(event).look(event, within_s=within_s)

    def failed(self, event: VerifyEvent, error: VerificationError) -> Verdict:
        """Decide an event that cannot be looked at."""
        return self._of(event).failed(event, error)

    def _of(self, event: VerifyEvent) -> Verifies:
        return self.reviews if event.origin is Origin.REVIEW else self.usual


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies one event at a time; hold one and call it from as many tasks as there are slots.

    Attributes:
        switchboard: tells which arms are asked; an event keeps those that it began with.
        deadline_s: for one event, from being taken up.
        use_verdict: False gives VSS's free-text answers about directly named media.
        same: lets events that ask the same share an answer; None looks at each.
        default_system: system prompt of alert types without their own.
        default_rules: how answers about alert types without rules of their own are read.
        descriptions: of events by verdict, by alert type in lower case.
    """

    switchboard: Switchboard
    prompts: PromptBook
    clips: ClipSource
    asker: Asker
    clock: Clock
    deadline_s: float
    use_verdict: bool = True
    same: SameQuestions | None = None
    default_system: str = ""
    default_rules: AnswerRules = PLAIN_RULES
    descriptions: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    async def verify(self, event: VerifyEvent, *, within_s: float = math.inf) -> Verdict:
        """Decide an event. Every failure of the outside world ends as a verdict with an error.

        Args:
            event: to decide.
            within_s: how much time it has left, where that is less than `deadline_s`.
        """
        return (await self.look(event, within_s=within_s)).verdict

    async def look(self, event: VerifyEvent, *, within_s: float = math.inf) -> Look:
        """Decide an event as `verify` does, and tell what a shadow needs to look at it too."""
        begun, routing = self.clock.monotonic(), self.switchboard.current
        allowed_s = min(self.deadline_s, within_s)
        try:
            async with asyncio.timeout(allowed_s):
                prompt = await self._prompt(event)
        except (TimeoutError, VerificationError) as error:
            return Look(self._timed(self.failed(event, _cause(error, allowed_s)), begun))
        plan = routing.plan(facts_of(event, prompt))
        question = Question.of(event, prompt, plan, routing) if self.same else None
        if question is None or self.same is None:
            return await self._look(event, prompt, plan, routing, begun, begun + allowed_s)
        try:
            async with asyncio.timeout(allowed_s):
                found = await self.same.ask(question)
        except TimeoutError as error:
            return Look(self._timed(self.failed(event, _cause(error, allowed_s)), begun))
        if found is not None:
            return Look(self._timed(adopt(found, event, prompt), begun))
        with self.same.looking(question) as looking:
            look = await self._look(event, prompt, plan, routing, begun, begun + allowed_s)
            looking.found = None if look.verdict.error else look.verdict
        return look

    async def _look(
        self,
        event: VerifyEvent,
        prompt: Prompt,
        plan: Plan,
        routing: Routing,
        begun: float,
        deadline: float,
    ) -> Look:
        """Show an event to the arms of a plan."""
        exhibits = Exhibits(event, prompt.segment_anchor, self.clips, self.asker.sampler)

        async def ask(arm: Arm, limit_s: float) -> Verdict:
            return await self._ask(event, prompt, exhibits, arm, limit_s, begun)

        try:
            asked = Consultation(routing.arms, plan, ask, self.clock, deadline)
            verdict = await asked.verdict()
        finally:
            await exhibits.close()
        return Look(self._timed(verdict, begun), plan.shadow, exhibits)

    async def look_aside(self, look: Look) -> Verdict:
        """Let the shadow of a look at the same, without any effect on its verdict."""
        event, prompt = look.verdict.event, look.verdict.prompt
        assert look.exhibits is not None
        assert prompt is not None
        begun, exhibits = self.clock.monotonic(), look.exhibits.again()
        arm = self.switchboard.current.arms[look.shadow]
        arm = replace(arm, backend=arm.impatient)
        try:
            verdict = await self._ask(event, prompt, exhibits, arm, self.deadline_s, begun)
        finally:
            await exhibits.close()
        return self._timed(verdict, begun)

    async def rehearse(
        self,
        event: VerifyEvent,
        *,
        arm: str = "",
        config: AlertConfig | None = None,
        within_s: float = math.inf,
    ) -> Verdict:
        """Let one arm look at an event, as if it were new, without any effect.

        Args:
            event: to look at.
            arm: its name; "" is the one that the policy asks first.
            config: the alert type to ask by; None has no prompt.
            within_s: how much time there is, where that is less than `deadline_s`.
        """
        begun, routing = self.clock.monotonic(), self.switchboard.current
        allowed_s = min(self.deadline_s, within_s)
        if config is None:
            return self._timed(self.failed(event, _no_prompt(event)), begun)
        prompt = self._filled(config, event)
        asked = routing.arms[arm] if arm else routing.first(facts_of(event, prompt))
        asked = replace(asked, backend=asked.impatient)
        exhibits = Exhibits(event, prompt.segment_anchor, self.clips, self.asker.sampler)
        try:
            verdict = await self._ask(event, prompt, exhibits, asked, allowed_s, begun)
        finally:
            await exhibits.close()
        return self._timed(verdict, begun)

    async def facts(self, event: VerifyEvent) -> Facts:
        """Return what the policy goes by."""
        try:
            return facts_of(event, await self._prompt(event))
        except NoPrompt:
            return facts_of(event)

    def failed(self, event: VerifyEvent, error: VerificationError) -> Verdict:
        """Decide an event that cannot be looked at."""
        arm = self.switchboard.current.first(facts_of(event))
        return replace(self._draft(event, arm), error=error)

    async def _ask(
        self,
        event: VerifyEvent,
        prompt: Prompt,
        exhibits: Exhibits,
        arm: Arm,
        limit_s: float,
        begun: float,
    ) -> Verdict:
        """Ask one arm, for so long; stages are timed from `begun`."""
        verdict = replace(self._draft(event, arm), prompt=prompt)
        passed: list[tuple[Stage, int]] = []
        try:
            async with asyncio.timeout(limit_s):
                async with aclosing(self._stages(verdict, arm, exhibits)) as stages:
                    async for reached in stages:
                        after_ms = round((self.clock.monotonic() - begun) * 1000)
                        passed += [(stage, after_ms) for stage in _reached(verdict, reached)]
                        verdict = reached
        except (TimeoutError, VerificationError) as failure:
            error = _cause(failure, limit_s)
            verdict = replace(with_reason(verdict, error), finding=None, error=error)
        return replace(verdict, decided_at=self.clock.now(), stages=tuple(passed))

    async def _stages(
        self, verdict: Verdict, arm: Arm, exhibits: Exhibits
    ) -> AsyncGenerator[Verdict]:
        """Yield the verdict as it fills up, so that a failure keeps what was known by then."""
        assert verdict.prompt is not None
        model = await self.asker.model(arm, verdict.prompt)
        yield (verdict := replace(verdict, model=model))
        clip = await exhibits.clip(download=arm.plan.form is not EvidenceForm.URL)
        yield (verdict := replace(verdict, clip=clip))
        asker = replace(self.asker, sampler=exhibits)
        async with aclosing(asker.ask(verdict, arm, clip)) as steps:
            async for reached in steps:
                yield reached

    def _draft(self, event: VerifyEvent, arm: Arm) -> Verdict:
        return Verdict(
            event=event,
            arm=arm.name,
            adapter=arm.adapter.profile.name,
            decided_at=self.clock.now(),
            latency_ms=0,
            freestyle=event.media.route is MediaRoute.DIRECT and not self.use_verdict,
        )

    def _timed(self, verdict: Verdict, begun: float) -> Verdict:
        latency_ms = round((self.clock.monotonic() - begun) * 1000)
        return replace(verdict, decided_at=self.clock.now(), latency_ms=latency_ms)

    async def _prompt(self, event: VerifyEvent) -> Prompt:
        config = await self.prompts.find(event.category)
        if config is None:
            raise _no_prompt(event)
        return self._filled(config, event)

    def _filled(self, config: AlertConfig, event: VerifyEvent) -> Prompt:
        prompt = fill_prompt(config, event, self.default_system, self.default_rules)
        told = self.descriptions.get(event.category.strip().lower())
        return prompt if told is None else replace(prompt, descriptions=told)


def _no_prompt(event: VerifyEvent) -> NoPrompt:
    return NoPrompt(
        f"No prompt is configured for category {event.category!r}; "
        "add one with POST /api/v1/verification/config."
    )


def _reached(before: Verdict, after: Verdict) -> Iterator[Stage]:
    """Yield what a verdict has that it had not before."""
    if after.clip is not before.clip:
        yield Stage.CLIP
    if after.evidence is not before.evidence:
        yield Stage.SHOWN
    if len(after.answers) > len(before.answers):
        yield Stage.ANSWERED


def _cause(error: TimeoutError | VerificationError, limit_s: float) -> VerificationError:
    if isinstance(error, VerificationError):
        return error
    return DeadlineExpired(f"No verdict within {limit_s:.3g} s.")
