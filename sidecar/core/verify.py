"""The use case: look at one event and say how it ends."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, replace

from sidecar.core.families import check_family
from sidecar.core.prompting import fill_prompt
from sidecar.core.routing import Arm, Routing
from sidecar.errors import (
    DeadlineExpired,
    FramesNotSeen,
    MediaRoute,
    NoPrompt,
    VerificationError,
)
from sidecar.model import (
    AnswerForm,
    EvidenceForm,
    Finding,
    Prompt,
    Question,
    Sampling,
    Verdict,
    VerifyEvent,
)
from sidecar.ports import ClipSource, Clock, FrameSampler, PromptBook
from sidecar.settings import variable_of


@dataclass(frozen=True, slots=True)
class Verifier:
    """Verifies one event at a time; hold one and call it from as many tasks as there are slots.

    Attributes:
        deadline_s: for one event, from being taken up.
        min_frames_seen: share of the frames sent, 0..1, that the model must have seen.
        use_verdict: False gives VSS's free-text answers about directly named media.
        default_system: system prompt of alert types without their own.
    """

    routing: Routing
    prompts: PromptBook
    clips: ClipSource
    sampler: FrameSampler
    clock: Clock
    deadline_s: float
    min_frames_seen: float
    use_verdict: bool = True
    default_system: str = ""

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
            verdict = replace(verdict, finding=None, error=error)
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
        model = await arm.backend.model()
        yield (verdict := replace(verdict, model=model))
        check_family(model, arm.name, arm.adapter.profile, self.routing.families)
        download = arm.plan.form is not EvidenceForm.URL
        async with self.clips.open(event, download=download) as clip:
            yield (verdict := replace(verdict, clip=clip))
            evidence = await self.sampler.sample(clip, arm.plan)
        yield (verdict := replace(verdict, frames_asked=evidence.frames_sent))
        dialect = await arm.backend.dialect() if needs_dialect(arm.sampling) else None
        question = Question(event, prompt, evidence, arm.sampling, model, dialect)
        request = arm.adapter.build_request(question)
        reply = await arm.backend.complete(request, arm.timeout_s)
        seen = arm.adapter.frames_seen(request, reply)
        yield (verdict := replace(verdict, model=reply.model or model, frames_seen=seen))
        self._check_frames(verdict)
        if verdict.freestyle:
            finding = Finding(None, description=reply.content or reply.reasoning or "")
        else:
            finding = arm.adapter.parse_reply(reply)
        yield replace(verdict, finding=finding)

    def _check_frames(self, verdict: Verdict) -> None:
        asked, seen = verdict.frames_asked, verdict.frames_seen
        if asked is None or seen is None or seen >= self.min_frames_seen * asked:
            return
        variable = variable_of(f"arms.{verdict.arm}.fps")
        raise FramesNotSeen(
            f"The model was sent {asked} frames and saw {seen}, by its server's count of prompt "
            f"tokens: the server thins the clip. Set {variable} to at most 2, or change the "
            "server's media options."
        )

    async def _prompt(self, event: VerifyEvent) -> Prompt:
        config = await self.prompts.find(event.category)
        if config is None:
            raise NoPrompt(
                f"No prompt is configured for category {event.category!r}; "
                "add one with POST /api/v1/verification/config."
            )
        return fill_prompt(config, event, self.default_system)


def needs_dialect(sampling: Sampling) -> bool:
    """Tell whether a request depends on its server: how an answer is constrained differs."""
    return sampling.answer is AnswerForm.CHOICE
