"""The canary: a real verification of a built-in clip, again and again, that `/ready` believes.

It goes the way of every event, from the frames to the model's answer, but not through the ledger,
and nothing is published. What the answer says does not matter, only that there is one about the
frames. VSS's warm-up (services/alert, vlm/warmup.py) polls a health path that plain vLLM lacks, and
stops the process when that stays silent; the canary waits instead.
"""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, aclosing
from dataclasses import replace
from typing import Final

import structlog

from sidecar.core.asking import Asker, begin_verdict, event_of_question
from sidecar.core.routing import Arm, Switchboard
from sidecar.errors import AnswerError, FramesNotSeen, MediaRoute, VerificationError, VlmBusy
from sidecar.model import (
    AnswerForm,
    Clip,
    EvidenceForm,
    MediaRequest,
    Prompt,
    Verdict,
)
from sidecar.ports import Clock
from sidecar.settings import CanarySettings

PROMPT: Final = Prompt("motion", "Does a bright square move across the picture? Answer yes or no.")
MAX_TOKENS: Final = 16
_LOOK_FOR_PAUSE_S: Final = 1.0

_log = structlog.get_logger()


class Canary:
    """A part that works when the model of the leading arm, or of a fallback, answered lately.

    Args:
        switchboard: tells the arm in force, whose adapter and server are asked.
        asker: shows the clip and asks.
        open_clip: gives the clip.
        is_busy: tells whether events are being verified, which the canary leaves alone for a while.
        settings: how often, and what counts.
        clock: stamps the event.
    """

    def __init__(
        self,
        switchboard: Switchboard,
        asker: Asker,
        open_clip: Callable[[], AbstractAsyncContextManager[Clip]],
        is_busy: Callable[[], bool],
        settings: CanarySettings,
        clock: Clock,
    ) -> None:
        self._switchboard = switchboard
        self._asker = replace(asker, ask_again=False)
        self._open_clip = open_clip
        self._is_busy = is_busy
        self._settings = settings
        self._clock = clock
        self._has_succeeded = False
        self._failures = 0
        self._problem = ""

    async def run(self) -> None:
        """Verify until cancelled: soon again after a failure, else when there is a pause.

        When other arms are put in force, they are asked at once.
        """
        while True:
            change = self._switchboard.listen()
            await self.look()
            if self._failures or not self._has_succeeded:
                await change.wait(self._settings.retry_s)
                continue
            await change.wait(self._settings.interval_s)
            await self._wait_for_pause()

    async def look(self) -> None:
        """Verify once."""
        try:
            problem = await self._verify()
        except VlmBusy:  # it works, on something else
            return
        except Exception as error:
            _log.exception("canary_broken")
            problem = f"{type(error).__name__}: {error}"
        if problem and problem != self._problem:
            _log.warning("canary_failed", detail=problem)
        elif self._problem and not problem:
            _log.info("canary_recovered")
        self._problem = problem
        self._failures = self._failures + 1 if problem else 0
        self._has_succeeded = self._has_succeeded or not problem

    async def ping(self) -> str:
        """Return "" when the model answers, else what is wrong."""
        if self._is_ready:
            return ""
        if self._has_succeeded:
            failed = f"The canary failed {self._failures} times in a row."
            return f"{failed} {self._problem}"
        return f"The canary has not succeeded yet. {self._problem}".strip()

    async def close(self) -> None:
        """Do nothing: the arm belongs to whoever made it."""

    @property
    def _is_ready(self) -> bool:
        return self._has_succeeded and self._failures < self._settings.failures

    async def _verify(self) -> str:
        """Return "" when the leading arm or a fallback answers, else what is wrong with the first.

        Raises:
            VlmBusy: one of them works, on something else.
        """
        routing = self._switchboard.current
        names = tuple(dict.fromkeys((routing.policy.lead, *routing.policy.fallback)))
        problems = []
        for name in names:
            problem = await self._ask(_frugal(routing.arms[name], is_last=name == names[-1]))
            if not problem:
                return ""
            problems.append(problem)
        return problems[0]

    async def _ask(self, arm: Arm) -> str:
        """Return "" when there is an answer about the frames, else what is wrong."""
        verdict = self._draft(arm)
        try:
            async with asyncio.timeout(self._settings.timeout_s), self._open_clip() as clip:
                model = await self._asker.model(arm, PROMPT)
                asked = self._asker.ask(replace(verdict, model=model), arm, clip)
                async with aclosing(asked) as steps:
                    async for reached in steps:
                        verdict = reached
        except TimeoutError:
            return f"The model gave no answer within {self._settings.timeout_s:g} s."
        except VlmBusy:
            raise
        except FramesNotSeen as error:
            return error.detail
        except AnswerError:
            pass  # it is one
        except VerificationError as error:
            return f"{type(error).__name__}: {error.detail}"
        said = any(answer.text.strip() or answer.reasoning.strip() for answer in verdict.answers)
        return "" if said else "The model's answer is empty."

    def _draft(self, arm: Arm) -> Verdict:
        event = event_of_question(
            self._clock.now(),
            PROMPT.alert_type,
            MediaRequest(MediaRoute.LOCAL),
            key="canary",
            sensor_id="canary",
        )
        return begin_verdict(event, arm, PROMPT)

    async def _wait_for_pause(self) -> None:
        """Wait until no event is being verified, but not for ever: those may all be stuck."""
        step_s = min(_LOOK_FOR_PAUSE_S, self._settings.interval_s)
        for _ in range(round(self._settings.interval_s / step_s)):
            if not self._is_busy():
                return
            await asyncio.sleep(step_s)


def _frugal(arm: Arm, *, is_last: bool) -> Arm:
    """Ask for a few words about a clip that is sent, as nobody else can fetch it."""
    sampling = replace(arm.sampling, max_tokens=MAX_TOKENS, answer=AnswerForm.FREE, reasoning=False)
    is_url = arm.plan.form is EvidenceForm.URL
    plan = replace(arm.plan, form=EvidenceForm.VIDEO) if is_url else arm.plan
    backend = arm.backend if is_last else arm.impatient
    return replace(arm, backend=backend, sampling=sampling, plan=plan)
