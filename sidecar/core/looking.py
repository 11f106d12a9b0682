"""Look at the chunks of a clip with an arm's model, within the limits of the Event Reviewer API."""

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from uuid import uuid4

from sidecar.core.asking import Asker, begin_verdict, event_of_question
from sidecar.core.choosing import facts_of
from sidecar.core.chunking import Chunk
from sidecar.core.consulting import can_another_help, first_answer
from sidecar.core.routing import Arm, Switchboard
from sidecar.errors import DeadlineExpired, MediaRoute, ReviewRefused, VerificationError, VlmError
from sidecar.model import (
    Clip,
    EventKind,
    EvidenceForm,
    MediaRequest,
    MediaType,
    Prompt,
    SamplePlan,
    Verdict,
    VerifyEvent,
)
from sidecar.ports import Clock, ReviewMeter
from sidecar.settings import ReviewSettings


@dataclass(frozen=True, slots=True)
class View:
    """What to show of a clip and what to ask about it.

    Attributes:
        category: the type of the alert.
        frames: of each chunk; 0 leaves it to the arm.
        size: width and height that a frame may have; (0, 0) leaves it to the arm.
    """

    clip: Clip
    chunks: Sequence[Chunk]
    prompt: Prompt
    category: str
    sensor_id: str
    frames: int = 0
    size: tuple[int, int] = (0, 0)


class Looker:
    """Looks at chunks, a bounded number at a time, whatever requests they belong to.

    Args:
        switchboard: tells which arm is asked.
        asker: shows chunks and asks.
        clock: stamps what is asked.
        settings: the limits.
        meter: is told about requests and chunks.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        asker: Asker,
        clock: Clock,
        settings: ReviewSettings,
        meter: ReviewMeter,
    ) -> None:
        self._switchboard = switchboard
        self._asker = asker
        self._clock = clock
        self._settings = settings
        self._meter = meter
        self._places = asyncio.Semaphore(settings.max_in_flight)
        self._admitted = 0

    @asynccontextmanager
    async def admitted(self) -> AsyncGenerator[None]:
        """Count a request while the context lasts.

        Raises:
            ReviewRefused: on entering, when there are too many.
        """
        most = self._settings.max_in_flight + self._settings.max_waiting
        if self._admitted >= most:
            raise ReviewRefused(503, "ServerBusy", f"{most} requests wait already. Try again.")
        self._admitted += 1
        self._meter.pending(self._admitted)
        try:
            yield
        finally:
            self._admitted -= 1
            self._meter.pending(self._admitted)
            self._meter.processed()

    async def look(self, view: View) -> list[Verdict]:
        """Look at every chunk; each failure ends in the verdict about its chunk."""
        event = self._event(view)
        arms = self._switchboard.current.in_turn(facts_of(event, view.prompt))
        deadline = self._clock.monotonic() + self._settings.deadline_s
        try:
            return await first_answer(
                arms, partial(self._look_with, event, view), self._clock, deadline
            )
        except DeadlineExpired:
            error: VerificationError = DeadlineExpired(
                f"No answer within {self._settings.deadline_s:g} s (SIDECAR_REVIEW__DEADLINE_S)."
            )
        except VerificationError as failure:
            error = failure
        return [replace(begin_verdict(event, arms[0], view.prompt), error=error)] * len(view.chunks)

    async def model(self) -> str:
        """Return the id of the leading arm's model.

        Raises:
            ReviewRefused: its server does not tell.
        """
        try:
            return await self._switchboard.current.lead.backend.model()
        except VlmError as error:
            raise ReviewRefused(503, "ServiceUnavailable", error.detail) from error

    async def _look_with(
        self, event: VerifyEvent, view: View, arm: Arm, is_last: bool
    ) -> list[Verdict]:
        """Look with one arm; raises when it could answer nothing and another one may."""
        model = await self._asker.model(arm, view.prompt)
        draft = replace(begin_verdict(event, arm, view.prompt), model=model)
        verdicts = await self._look_at_all(draft, arm, view)
        if not is_last and all(can_another_help(verdict.error) for verdict in verdicts):
            assert verdicts[0].error is not None
            raise verdicts[0].error
        return verdicts

    async def _look_at_all(self, draft: Verdict, arm: Arm, view: View) -> list[Verdict]:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._look_at(draft, arm, view, it)) for it in view.chunks]
        return [task.result() for task in tasks]

    async def _look_at(self, draft: Verdict, arm: Arm, view: View, chunk: Chunk) -> Verdict:
        verdict, clip = draft, view.clip
        if clip.type is MediaType.VIDEO:
            clip = replace(clip, span=(chunk.start_s, chunk.end_s))
        arm = replace(arm, plan=fit_view(arm, view, chunk))
        async with self._places:
            try:
                async with aclosing(self._timed(self._asker.ask(draft, arm, clip))) as steps:
                    async for reached in steps:
                        verdict = reached
            except VerificationError as error:
                verdict = replace(verdict, finding=None, error=error)
        for answer in verdict.answers:
            self._meter.counted(answer.prompt_tokens, answer.completion_tokens)
        if verdict.evidence is None:
            return verdict
        # many chunks together would hold all their pictures
        return replace(verdict, evidence=replace(verdict.evidence, frames=(), video=b""))

    async def _timed(self, steps: AsyncGenerator[Verdict]) -> AsyncGenerator[Verdict]:
        """Pass the steps on; the first comes when the chunk is decoded, the rest is the model's."""
        begun, shown = self._clock.monotonic(), 0.0
        async with aclosing(steps):
            try:
                async for verdict in steps:
                    if not shown:
                        shown = self._clock.monotonic()
                        self._meter.shown(shown - begun)
                    yield verdict
            finally:
                if shown:
                    self._meter.asked(self._clock.monotonic() - shown)

    def _event(self, view: View) -> VerifyEvent:
        return event_of_question(
            self._clock.now(),
            view.category,
            MediaRequest(MediaRoute.LOCAL, view.clip.type),
            key=f"review:{uuid4()}",
            kind=EventKind.ALERT,
            sensor_id=view.sensor_id,
        )


def fit_view(arm: Arm, view: View, chunk: Chunk) -> SamplePlan:
    """Lay what a request wants to be shown over an arm's plan.

    A clip that lies here has no URL for the model's server. The size is a budget: frames keep the
    aspect of the clip and get no larger than it, and all together no larger than the model takes.
    """
    plan = arm.plan
    if plan.form is EvidenceForm.URL:
        plan = replace(plan, form=EvidenceForm.VIDEO)
    seconds = chunk.end_s - chunk.start_s
    if view.frames and seconds > 0:
        plan = replace(plan, fps=view.frames / seconds, max_frames=view.frames)
    width, height = view.size
    if not width or not height:
        return plan
    count = min(plan.max_frames, max(math.ceil(plan.fps * seconds), 1))
    vision = arm.adapter.profile.vision
    most = vision.video_longest_edge if vision else plan.max_pixels
    return replace(plan, max_pixels=min(count * width * height, most))
