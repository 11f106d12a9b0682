"""Decides the alerts of VSS 2.4's bridge: a review as of its engine, written as the bridge does."""

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sidecar.contract.bridge import BridgeAlert, read_alert, write_enhanced, write_failure
from sidecar.core.prompting import fill_prompt
from sidecar.core.review import Examination, Reviewer
from sidecar.core.reviewed import code_of, failure_of
from sidecar.core.routing import Switchboard
from sidecar.core.verify import Look
from sidecar.errors import (
    DeadlineExpired,
    NoPrompt,
    ReviewRefused,
    UnexpectedFailure,
    VerificationError,
    row_of,
)
from sidecar.model import PLAIN_RULES, Finding, Verdict, VerifyEvent
from sidecar.ports import Clock, FileLookup, PromptBook


@dataclass(frozen=True, slots=True)
class BridgeVerifier:
    """Verifies alerts of origin REVIEW; `core.verify.Verifies`.

    Attributes:
        recorder: finds the clip of an alert that names it by `vst_id`; None when there is none.
        defaults: for what alerts leave out.
    """

    reviewer: Reviewer
    switchboard: Switchboard
    prompts: PromptBook
    recorder: FileLookup | None
    clock: Clock
    defaults: Mapping[str, Any]

    async def verify(self, event: VerifyEvent, *, within_s: float = math.inf) -> Verdict:
        """Decide an alert. Every failure of the outside world ends as a document that says so."""
        begun = self.clock.monotonic()
        try:
            async with asyncio.timeout(None if math.isinf(within_s) else within_s):
                verdict = await self._review(event)
        except TimeoutError:
            verdict = self.failed(event, DeadlineExpired(f"No verdict within {within_s:.3g} s."))
        except VerificationError as error:
            verdict = self.failed(event, error)
        latency_ms = round((self.clock.monotonic() - begun) * 1000)
        return replace(verdict, decided_at=self.clock.now(), latency_ms=latency_ms)

    async def look(self, event: VerifyEvent, *, within_s: float = math.inf) -> Look:
        """Decide an alert; no other arm looks at it too."""
        return Look(await self.verify(event, within_s=within_s))

    def failed(self, event: VerifyEvent, error: VerificationError) -> Verdict:
        """Decide an alert that cannot be looked at."""
        arm, now = self.switchboard.current.lead, self.clock.now()
        status = row_of(error).worded(error, event.media.route).status.strip()
        document = write_failure(self._read(event), code_of(error), status, now)
        return Verdict(
            event=event,
            arm=arm.name,
            adapter=arm.adapter.profile.name,
            decided_at=now,
            latency_ms=0,
            error=error,
            document=document,
        )

    async def _review(self, event: VerifyEvent) -> Verdict:
        alert = await self._located(await self._asking(self._read(event), event))
        try:
            found = await self.reviewer.examine(alert)
        except ReviewRefused as refused:
            cause = refused.__cause__
            if isinstance(cause, VerificationError):
                raise cause from refused
            raise UnexpectedFailure(refused.detail) from refused
        return self._decided(event, alert, found)

    def _read(self, event: VerifyEvent) -> BridgeAlert:
        return read_alert(event.raw, self.defaults)

    async def _asking(self, alert: BridgeAlert, event: VerifyEvent) -> BridgeAlert:
        """Give an alert that brings no prompt the one of its alert type.

        Raises:
            NoPrompt: it has none either.
        """
        params = alert.vss_params.vlm_params
        if params.prompt:
            return alert
        config = await self.prompts.find(event.category)
        if config is None:
            raise NoPrompt(
                "The alert has no vss_params.vlm_params.prompt, and no prompt is configured for "
                f"its type {event.category!r}; send one, or add it with POST "
                "/api/v1/verification/config."
            )
        prompt = fill_prompt(config, event, "", PLAIN_RULES)
        texts = {"prompt": prompt.user, "system_prompt": params.system_prompt or prompt.system}
        vlm_params = params.model_copy(update=texts)
        vss_params = alert.vss_params.model_copy(update={"vlm_params": vlm_params})
        return alert.model_copy(update={"vss_params": vss_params})

    async def _located(self, alert: BridgeAlert) -> BridgeAlert:
        """Let the recorder say where the clip lies, where the alert asks for that."""
        if self.recorder is None or not alert.vst_id:
            return alert
        path = await self.recorder.path_of(alert.vst_id)
        return alert.model_copy(update={"video_path": path})

    def _decided(self, event: VerifyEvent, alert: BridgeAlert, found: Examination) -> Verdict:
        """Put the verdicts on the chunks together to one on the alert."""
        result, verdict = found.result, replace(found.verdicts[0], event=event)
        failed = failure_of(found.looks)
        if failed is not None and failed.error is not None:
            code, now = code_of(failed.error), self.clock.now()
            document = write_failure(alert, code, result.error_string, now, result)
            return replace(verdict, finding=None, error=failed.error, document=document)
        is_asked = alert.vss_params.do_verification
        finding = Finding(
            confirmed=result.verification_result if is_asked else None,
            reasoning=result.reasoning,
            description=result.description,
        )
        path = self.reviewer.media.absolute(alert.cv_metadata_path)
        document = write_enhanced(alert, path, result)
        return replace(verdict, finding=finding, error=None, document=document)
