"""The use case: look at one event and say how it ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from sidecar.core.asking import Asker, with_reason
from sidecar.core.prompting import fill_prompt
from sidecar.core.routing import Arm, Routing
from sidecar.errors import DeadlineExpired, MediaRoute, NoPrompt, VerificationError
from sidecar.model import (
    PLAIN_RULES,
    AnswerRules,
    EvidenceForm,
    Origin,
    Prompt,
    Verdict,
    VerifyEvent,
)
from sidecar.ports import ClipSource, Clock, PromptBook


class Verifies(Protocol):
    """Decides events."""

    async def verify(self, event: VerifyEvent) -> Verdict:
        """Decide an event. Every failure of the outside world ends as a verdict with an error."""
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

    async def verify(self, event: VerifyEvent) -> Verdict:
        """Decide an event."""
        return await self._of(event).verify(event)

    def failed(self, event: VerifyEvent, error: VerificationError) -> Verdict:
        """Decide an event that cannot be looked at."""
        return self._of(event).failed(event, error)

    def _of(self, event: VerifyEvent) -> Verifies:
        return self.reviews if event.origin is Origin.REVIEW else self.usual


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies one event at a time; hold one and call it from as many tasks as there are slots.

    Attributes:
        deadline_s: for one event, from being taken up.
        use_verdict: False gives VSS's free-text answers about directly named media.
        default_system: system prompt of alert types without their own.
        default_rules: how answers about alert types without rules of their own are read.
    """

    routing: Routing
    prompts: PromptBook
    clips: ClipSource
    asker: Asker
    clock: Clock
    deadline_s: float
    use_verdict: bool = True
    default_system: str = ""
    default_rules: AnswerRules = PLAIN_RULES

    async def verify(self, event: VerifyEvent) -> Verdict:
        """Decide an event. Every failure of the outside world ends as a verdict with an error."""
        begun = self.clock.monotonic()
        verdict = self._draft(event, self.routing.choose(event))
        try:
            async with asyncio.timeout(self.deadline_s), aclosing(self._stages(verdict)) as stages:
                async for reached in stages:
                    verdict = reached
        except TimeoutError:
            late = DeadlineExpired(f"No verdict within {self.deadline_s:g} s.")
            verdict = replace(verdict, finding=None, error=late)
        except VerificationError as error:
            verdict = replace(with_reason(verdict, error), finding=None, error=error)
        latency_ms = round((self.clock.monotonic() - begun) * 1000)
        return replace(verdict, decided_at=self.clock.now(), latency_ms=latency_ms)

    def failed(self, event: VerifyEvent, error: VerificationError) -> Verdict:
        """Decide an event that cannot be looked at."""
        return replace(self._draft(event, self.routing.choose(event)), error=error)

    def _draft(self, event: VerifyEvent, arm: Arm) -> Verdict:
        return Verdict(
            event=event,
            arm=arm.name,
            adapter=arm.adapter.profile.name,
            decided_at=self.clock.now(),
            latency_ms=0,
            freestyle=event.media.route is MediaRoute.DIRECT and not self.use_verdict,
        )

    async def _stages(self, verdict: Verdict) -> AsyncGenerator[Verdict]:
        """Yield the verdict as it fills up, so that a failure keeps what was known by then."""
        event, arm = verdict.event, self.routing.arms[verdict.arm]
        prompt = await self._prompt(event)
        yield (verdict := replace(verdict, prompt=prompt))
        model = await self.asker.model(arm, prompt)
        yield (verdict := replace(verdict, model=model))
        download = arm.plan.form is not EvidenceForm.URL
        anchor = prompt.segment_anchor
        async with self.clips.open(event, download=download, anchor=anchor) as clip:
            yield (verdict := replace(verdict, clip=clip))
            async with aclosing(self.asker.ask(verdict, arm, clip)) as steps:
                async for reached in steps:
                    yield reached

    async def _prompt(self, event: VerifyEvent) -> Prompt:
        config = await self.prompts.find(event.category)
        if config is None:
            raise NoPrompt(
                f"No prompt is configured for category {event.category!r}; "
                "add one with POST /api/v1/verification/config."
            )
        return fill_prompt(config, event, self.default_system, self.default_rules)
