"""From a verdict to what a comparison keeps of it. Pure."""

from collections.abc import Iterable
from typing import Final

from sidecar.compared import ArmAnswer, Role
from sidecar.errors import row_of
from sidecar.model import Verdict

TEXT_LIMIT: Final = 2_000
"""Characters of an answer that are kept."""


def answer_of(verdict: Verdict, role: Role, *, is_published: bool = False) -> ArmAnswer:
    """Return what an arm made of an event.

    Tokens are those of all answers that the arm needed.
    """
    finding, answers = verdict.finding, verdict.answers
    return ArmAnswer(
        key=verdict.event.key,
        arm=verdict.arm,
        model=verdict.model,
        adapter=verdict.adapter,
        role=role,
        outcome=verdict.outcome,
        decided_at=verdict.decided_at,
        latency_ms=verdict.latency_ms,
        reason=row_of(verdict.error).reason if verdict.error else "",
        is_published=is_published,
        confidence=finding.confidence if finding else None,
        prompt_tokens=_sum(it.prompt_tokens for it in answers),
        completion_tokens=_sum(it.completion_tokens for it in answers),
        frames_asked=verdict.frames_asked,
        frames_seen=verdict.frames_seen,
        prompt_version=verdict.prompt.version if verdict.prompt else 0,
        text=answers[-1].text[:TEXT_LIMIT] if answers else "",
    )


def _sum(counts: Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
