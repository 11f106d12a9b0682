"""From a clip to a finding: show it, ask, read, and ask once more where that can help."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from sidecar.core.choices import as_choice, asks_yes_or_no, takes_choice
from sidecar.core.evidence import fit_plan
from sidecar.core.families import check_family
from sidecar.core.routing import Arm
from sidecar.dialect import ServerDialect, StructuredForm
from sidecar.errors import (
    AnswerError,
    EmptyAnswer,
    FramesNotSeen,
    TruncatedAnswer,
    UnparsableAnswer,
    UnsureAnswer,
    VerificationError,
    VlmInvalidPayload,
    VlmRefused,
    row_of,
)
from sidecar.model import (
    Answer,
    AnswerForm,
    AnswerRules,
    AnswerShape,
    ChatReply,
    Clip,
    EventKind,
    Evidence,
    Finding,
    MediaRequest,
    ModelProfile,
    Note,
    Origin,
    Prompt,
    Question,
    Sampling,
    Verdict,
    VerifyEvent,
)
from sidecar.ports import FrameSampler
from sidecar.settings import variable_of

_SERVER_CHANGED: Final = (VlmRefused, VlmInvalidPayload, FramesNotSeen)
"""Failures of a server that was restarted with other options since it was probed."""
_HELPED_BY_CHOICE: Final = (EmptyAnswer, TruncatedAnswer, UnparsableAnswer)
"""Answers that lack a verdict. One that contradicts itself, repeats itself or refuses has told that
the model does not know, and is not pressed for a word."""


def event_of_question(
    now: datetime,
    category: str,
    media: MediaRequest,
    *,
    key: str = "",
    kind: EventKind = EventKind.INCIDENT,
    sensor_id: str = "",
) -> VerifyEvent:
    """Make the event of a question that comes from no pipeline: a chat, a review, the canary's."""
    return VerifyEvent(
        key=key,
        id=key,
        fingerprint="",
        kind=kind,
        origin=Origin.ON_DEMAND,
        raw={},
        sensor_id=sensor_id,
        category=category,
        timestamp=now,
        end=now,
        media=media,
    )


def begin_verdict(event: VerifyEvent, arm: Arm, prompt: Prompt) -> Verdict:
    """Make the verdict that `Asker.ask` goes on with."""
    return Verdict(
        event=event,
        arm=arm.name,
        adapter=arm.adapter.profile.name,
        decided_at=event.timestamp,
        latency_ms=0,
        prompt=prompt,
    )


@dataclass(frozen=True, slots=True)
class _Attempt:
    """How to ask this time."""

    sampling: Sampling
    prompt: Prompt
    model: str
    dialect: ServerDialect | None


@dataclass(frozen=True, slots=True)
class Asker:
    """Asks an arm's model about a clip.

    Attributes:
        families: the profiles of all adapters that an arm could have, by the adapters' names.
        min_frames_seen: share of the frames asked for, 0..1, that the model must have seen.
        ask_again: whether an answer without a verdict may be followed by a constrained choice.
    """

    sampler: FrameSampler
    families: Mapping[str, ModelProfile]
    min_frames_seen: float
    ask_again: bool

    async def model(self, arm: Arm, prompt: Prompt) -> str:
        """Return the id to ask for: the alert type's, the settings', or what the server serves.

        Raises:
            VlmError: the server does not tell.
            ModelMismatch: it is a model of another family than the arm's.
        """
        model = prompt.vlm_params.get("model") or await arm.backend.model()
        check_family(model, arm.name, arm.adapter.profile, self.families)
        return str(model)

    async def ask(self, verdict: Verdict, arm: Arm, clip: Clip) -> AsyncGenerator[Verdict]:
        """Yield the verdict as it fills up, the last one with its finding.

        Asks a second time, and not a third, when the server turns out to have changed, or when a
        constrained choice can bring the verdict that the first answer lacks.

        Raises:
            VerificationError: there is no verdict.
        """
        attempt = _first(verdict, arm.sampling, await arm.backend.dialect())
        plan = fit_plan(arm.plan, attempt.dialect, clip.type)
        yield (verdict := _shown(verdict, await self.sampler.sample(clip, plan)))
        try:
            async with aclosing(self._look(verdict, arm, attempt)) as steps:
                async for reached in steps:
                    yield (verdict := reached)
        except (*_SERVER_CHANGED, *_HELPED_BY_CHOICE) as error:
            again = await self._second(arm, attempt, error)
            if again is None:
                raise
            verdict = with_reason(verdict, error)
            if verdict.answers:
                verdict = replace(verdict, notes=_noted(verdict, Note.ASKED_AGAIN))
        else:
            return
        new_plan = fit_plan(arm.plan, again.dialect, clip.type)
        if new_plan != plan:
            yield (verdict := _shown(verdict, await self.sampler.sample(clip, new_plan)))
        async with aclosing(self._look(verdict, arm, again)) as steps:
            async for reached in steps:
                yield reached

    async def _look(self, verdict: Verdict, arm: Arm, attempt: _Attempt) -> AsyncGenerator[Verdict]:
        evidence = verdict.evidence
        assert evidence is not None
        question = Question(
            event=verdict.event,
            prompt=attempt.prompt,
            evidence=evidence,
            sampling=attempt.sampling,
            model=attempt.model,
            dialect=attempt.dialect,
            plan=arm.plan,
        )
        request = replace(arm.adapter.build_request(question), dialect=attempt.dialect)
        reply = await arm.backend.complete(request, arm.timeout_s)
        seen = arm.adapter.frames_seen(request, reply)
        notes = request.notes
        if seen is None and arm.adapter.profile.is_vlm:
            notes = (*notes, Note.FRAMES_UNKNOWN)
        verdict = replace(
            verdict,
            model=reply.model or attempt.model,
            frames_seen=seen,
            answers=(*verdict.answers, _recorded(reply)),
            notes=_noted(verdict, *notes),
        )
        yield verdict
        self._require_frames(verdict, evidence)
        if verdict.freestyle:
            yield replace(verdict, finding=Finding(None, description=reply.text))
            return
        rules = replace(attempt.prompt.rules, reasoned=request.reasoned)
        finding = _unstretched(arm.adapter.parse_reply(reply, rules), evidence.stretch)
        band = rules.abstain
        if band is not None and finding.confirmed is not None and finding.confidence is None:
            verdict = replace(verdict, notes=_noted(verdict, Note.NO_CONFIDENCE))
        require_sure(finding, band)
        yield replace(verdict, finding=finding)

    async def _second(
        self, arm: Arm, attempt: _Attempt, error: VerificationError
    ) -> _Attempt | None:
        """Return how to ask once more; None when that cannot help."""
        if attempt.dialect is None:
            return None
        was_bound = attempt.sampling.answer is AnswerForm.CHOICE
        if was_bound or isinstance(error, _SERVER_CHANGED):
            return await self._with_news(arm, attempt)
        can_bind = attempt.dialect.structured is not StructuredForm.NONE
        can_help = takes_choice(attempt.prompt.rules) and asks_yes_or_no(attempt.prompt)
        return _as_choice(attempt) if self.ask_again and can_bind and can_help else None

    async def _with_news(self, arm: Arm, attempt: _Attempt) -> _Attempt | None:
        """Ask the server anew what it accepts and serves; None when nothing has changed."""
        dialect = await arm.backend.dialect(stale=attempt.dialect)
        model = await self.model(arm, attempt.prompt)
        if (dialect, model) == (attempt.dialect, attempt.model):
            return None
        return replace(attempt, dialect=dialect, model=model)

    def _require_frames(self, verdict: Verdict, evidence: Evidence) -> None:
        asked, seen = evidence.frames_asked, verdict.frames_seen
        if asked is None or seen is None or seen >= self.min_frames_seen * asked:
            return
        sent = evidence.frames_sent or 0
        if sent < self.min_frames_seen * asked:
            raise FramesNotSeen(
                f"The clip needs {asked} frames, and the model's server takes {sent} pictures in "
                "one request and no video. Start it with `--limit-mm-per-prompt` that allows a "
                f"video, or lower {variable_of(f'arms.{verdict.arm}.max_frames')}."
            )
        raise FramesNotSeen(
            f"The model was sent {sent} frames and saw {seen}, by its server's count of prompt "
            "tokens: the server thins the clip or prunes its tokens. Change its media options, or "
            f"lower {variable_of(f'arms.{verdict.arm}.fps')}."
        )


def _first(verdict: Verdict, sampling: Sampling, dialect: ServerDialect | None) -> _Attempt:
    """Ask as the arm and the alert type say; words that they cannot both have are the arm's."""
    assert verdict.prompt is not None
    free = replace(sampling, answer=AnswerForm.FREE)
    if verdict.freestyle:
        text = replace(verdict.prompt, rules=AnswerRules(shape=AnswerShape.DESCRIPTION))
        return _Attempt(free, text, verdict.model, dialect)
    if not takes_choice(verdict.prompt.rules):
        return _Attempt(free, verdict.prompt, verdict.model, dialect)
    attempt = _Attempt(sampling, verdict.prompt, verdict.model, dialect)
    return _as_choice(attempt) if sampling.answer is AnswerForm.CHOICE else attempt


def _as_choice(attempt: _Attempt) -> _Attempt:
    sampling = replace(attempt.sampling, answer=AnswerForm.CHOICE, reasoning=False)
    return replace(attempt, sampling=sampling, prompt=as_choice(attempt.prompt))


def _shown(verdict: Verdict, evidence: Evidence) -> Verdict:
    return replace(verdict, evidence=evidence, frames_asked=evidence.frames_asked)


def with_reason(verdict: Verdict, error: VerificationError) -> Verdict:
    """Write down why the last answer is no verdict, if it is the answer's fault."""
    if not verdict.answers or not isinstance(error, AnswerError):
        return verdict
    refused = replace(verdict.answers[-1], reason=row_of(error).reason)
    return replace(verdict, answers=(*verdict.answers[:-1], refused))


def require_sure(finding: Finding, band: tuple[float, float] | None) -> None:
    """Refuse a verdict whose probability lies in the alert type's abstain band.

    Raises:
        UnsureAnswer: it does.
    """
    if band is None or finding.confirmed is None or finding.confidence is None:
        return
    probability = finding.confidence if finding.confirmed else 1.0 - finding.confidence
    low, high = band
    if low <= probability <= high:
        raise UnsureAnswer(
            f"Unverified: the model holds the event for true with probability {probability:.2f}, "
            f"and this alert type gives no verdict from {low:g} to {high:g}."
        )


def _unstretched(finding: Finding, stretch: float) -> Finding:
    """Bring times that the model read off a slowed-down clip back to the clip's own."""
    if finding.timeline is None or stretch == 1.0:
        return finding
    intervals = (
        replace(item, start_s=item.start_s / stretch, end_s=item.end_s / stretch)
        for item in finding.timeline
    )
    return replace(finding, timeline=tuple(intervals))


def _noted(verdict: Verdict, *notes: Note) -> tuple[Note, ...]:
    return tuple(dict.fromkeys((*verdict.notes, *notes)))


def _recorded(reply: ChatReply) -> Answer:
    return Answer(
        text=reply.content or "",
        reasoning=reply.reasoning or "",
        finish_reason=reply.finish_reason,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
    )
