"""Realtime rules: given to RT-VLM, kept in the store, and given to it again when it lost them.

Unlike in VSS (services/alert, realtime_service.py), a rule that could not be started leaves nothing
behind, replicas may share the rules, and what RT-VLM lost is given to it again without being asked.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, Final, Literal
from uuid import uuid4

import structlog

from sidecar.audit import Attribution, AuditEntry
from sidecar.contract.realtime import write_rule
from sidecar.core.live_streams import LiveStreams
from sidecar.errors import (
    InvalidRequest,
    Issue,
    NotFound,
    RealtimeOff,
    ReplayInFlight,
    ReplayInProgress,
    RequestError,
    RtviUnavailable,
    StoreUnavailable,
)
from sidecar.model import RealtimeRule, RuleStatus
from sidecar.ports import Clock, LiveVlm, RealtimeMeter, RuleBook
from sidecar.redaction import redact_all
from sidecar.settings import RealtimeSettings, variable_of

_OFF: Final = f"Set {variable_of('realtime.base_url')} to RT-VLM's URL."
_STARTS_AT_ONCE: Final = 8

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Replay:
    """How rules fared that were given to RT-VLM again: the error of each, "" for success."""

    outcomes: Sequence[tuple[RealtimeRule, str]]

    @property
    def failed(self) -> int:
        """How many could not be started."""
        return sum(1 for _, error in self.outcomes if error)

    @property
    def succeeded(self) -> int:
        """How many RT-VLM works on again."""
        return len(self.outcomes) - self.failed


class RealtimeRules:
    """Creates, shows, deletes and restores realtime rules.

    Args:
        book: where they are kept.
        rtvi: None when RT-VLM is not configured; then rules can be seen and deleted only.
        settings: how long to wait for what.
        clock: stamps the rules.
        meter: is told what happens.
    """

    def __init__(
        self,
        book: RuleBook,
        rtvi: LiveVlm | None,
        settings: RealtimeSettings,
        clock: Clock,
        meter: RealtimeMeter,
    ) -> None:
        self._book = book
        self._live = LiveStreams(rtvi, book, settings, clock, meter) if rtvi else None
        self._settings = settings
        self._clock = clock
        self._meter = meter
        self._losses: set[asyncio.Task[None]] = set()
        self._is_replaying = False
        self._trouble = ""

    async def create(
        self,
        fields: Mapping[str, Any],
        by: Attribution | None = None,
        *,
        camera_id: str = "",
        label: str = "",
    ) -> RealtimeRule:
        """Store a rule and give it to RT-VLM; returns when that works on it.

        Args:
            fields: of the rule, see `RealtimeRule`.
            by: recorded in the audit trail when RT-VLM works on it; None records nothing.
            camera_id: of the camera event that asks for it.
            label: of the always-on rule.

        Raises:
            InvalidRequest: no model is named.
            ReplayInProgress: all rules are being given to RT-VLM again.
            RtviUnavailable, RtviStreamConflict, RtviStreamNotReadable, RtviInvalidResponse:
                RT-VLM does not work on it.
            StoreUnavailable: it cannot be stored.
        """
        self._require_no_replay()
        live, now = self._require_rtvi(), self._clock.now()
        rule = RealtimeRule(
            id=str(uuid4()),
            fields={**fields, "model": self._model(fields)},
            created_at=now,
            updated_at=now,
            camera_id=camera_id,
            label=label,
        )
        await self._store(rule)
        try:
            active = await self._start(live, rule, by)
        except RequestError:
            await self._book.delete(rule.id)
            raise
        self._meter.rule_created()
        await self._report_levels()
        return active

    async def list(self, *, offset: int, limit: int) -> tuple[Sequence[RealtimeRule], int]:
        """Return a page of the active rules, oldest first, and how many there are."""
        active = [rule for rule in await self._book.list() if rule.status is RuleStatus.ACTIVE]
        return active[offset : offset + limit], len(active)

    async def of_camera(self, camera_id: str) -> Sequence[RealtimeRule]:
        """Return the rules that camera events started for a camera, in whatever state."""
        return [rule for rule in await self._book.list() if rule.camera_id == camera_id]

    async def find(self, rule_id: str) -> RealtimeRule:
        """Return a rule.

        Raises:
            NotFound: there is none.
        """
        rule = await self._book.find(rule_id)
        if rule is None:
            raise NotFound(f"No alert rule with id '{rule_id}'")
        return rule

    async def delete(self, rule_id: str, by: Attribution | None = None) -> None:
        """Forget a rule, then stop RT-VLM as far as no other rule needs the stream.

        Args:
            rule_id: of the rule.
            by: recorded in the audit trail together with the change; None records nothing.

        Raises:
            NotFound: there is none.
            ReplayInProgress: all rules are being given to RT-VLM again.
        """
        self._require_no_replay()
        rule = await self.find(rule_id)
        entry = _entry(by, "delete", rule, self._clock.now())
        if not await self._book.delete(rule_id, entry):
            raise NotFound(f"No active alert rule with id '{rule_id}'")
        if self._live:
            await self._live.stop(rule)
        self._meter.rule_deleted()
        await self._report_levels()

    async def drop_stream(self, stream_id: str) -> None:
        """Close a stream of RT-VLM that no rule stands for any more, if it has one."""
        if self._live:
            await self._live.drop(stream_id)

    async def replay(self) -> Replay:
        """Give all rules to RT-VLM again; none can be created or deleted meanwhile.

        Raises:
            RealtimeOff: RT-VLM is not configured.
            ReplayInFlight: that is being done already.
            StoreUnavailable: the rules cannot be read.
        """
        if self._live is None:
            raise RealtimeOff(f"Realtime rules are off. {_OFF}")
        if self._is_replaying:
            raise ReplayInFlight("A replay is already in progress on this instance")
        self._is_replaying = True
        try:
            rules = [rule for rule in await self._book.list() if not self._is_starting(rule)]
            return await self._restart(self._live, rules)
        finally:
            self._is_replaying = False

    async def heal(self) -> Replay:
        """Look once whether RT-VLM works on every rule, and give it again what it lost.

        Raises:
            RtviUnavailable: it does not answer.
            StoreUnavailable: the rules cannot be read.
        """
        live = self._require_rtvi()
        try:
            known = await live.known()
        except RtviUnavailable as error:
            self._trouble = error.detail
            raise
        self._trouble = ""
        lost = [rule for rule in await self._book.list() if self._is_lost(rule, known)]
        if not lost or self._is_replaying:
            await self._report_levels()
            return Replay(())
        return await self._restart(live, lost)

    async def ping(self) -> str:
        """Return "" when RT-VLM was ready the last time, else what is wrong."""
        return self._trouble

    async def close(self) -> None:
        """Let go of the captions; RT-VLM goes on with them. Safe to call twice."""
        if self._live:
            await self._live.close()
        for loss in self._losses:
            loss.cancel()
        if self._losses:
            await asyncio.wait(self._losses)

    async def _restart(self, live: LiveStreams, rules: Sequence[RealtimeRule]) -> Replay:
        room = asyncio.Semaphore(_STARTS_AT_ONCE)
        errors = await asyncio.gather(*(self._start_again(live, rule, room) for rule in rules))
        tried = zip(rules, errors, strict=True)
        replay = Replay([(rule, error) for rule, error in tried if error is not None])
        if replay.outcomes or not rules:
            self._meter.replayed(succeeded=replay.succeeded, failed=replay.failed)
            _log.info("rules_replayed", replayed=replay.succeeded, failed=replay.failed)
        await self._report_levels()
        return replay

    async def _start_again(
        self, live: LiveStreams, rule: RealtimeRule, room: asyncio.Semaphore
    ) -> str | None:
        """Return why a rule could not be started, "" if it was; None if another replica does it."""
        async with room:
            taken = await self._take(rule)
            if taken is None:
                return None
            try:
                await live.stop(rule)
                await self._start(live, taken)
            except RequestError as error:
                _log.warning("rule_not_replayed", rule=rule.id, detail=error.detail)
                with suppress(StoreUnavailable):
                    await self._book.put(self._changed(taken, status=RuleStatus.FAILED))
                return error.detail
            return ""

    async def _take(self, rule: RealtimeRule) -> RealtimeRule | None:
        """Mark a rule as being started; None when it is gone or another replica was faster."""
        taken = self._changed(rule, status=RuleStatus.PENDING)
        if await self._book.put(taken):
            return taken
        known = await self._book.find(rule.id)
        if known is None or known.status is not RuleStatus.FAILED:
            return None
        taken = self._changed(known, status=RuleStatus.PENDING)
        return taken if await self._book.put(taken) else None

    async def _start(
        self, live: LiveStreams, rule: RealtimeRule, by: Attribution | None = None
    ) -> RealtimeRule:
        """Give a pending rule to RT-VLM and store it as active; `by` tells who created it."""
        async with live.start(rule) as started:
            active = self._changed(
                rule,
                status=RuleStatus.ACTIVE,
                stream_id=started.stream_id,
                request_id=started.request_id,
            )
            entry = _entry(by, "create", active, active.updated_at)
            await self._store(active, entry)
        live.follow(rule.id, partial(self._lost, active))
        return active

    async def _store(self, rule: RealtimeRule, entry: AuditEntry | None = None) -> None:
        try:
            is_stored = await self._book.put(rule, entry)
        except StoreUnavailable:
            self._meter.rule_failed("es_persist" if rule.revision == 1 else "es_update")
            raise
        if not is_stored:
            raise NotFound(f"The rule '{rule.id}' was deleted before it was active")

    def _lost(self, rule: RealtimeRule, why: str) -> None:
        """Note that RT-VLM broke off the captions of an active rule."""
        _log.warning("rule_lost", rule=rule.id, detail=why)
        self._meter.rule_failed("stream_readiness_post_commit")
        loss = asyncio.create_task(self._mark_failed(rule))
        self._losses.add(loss)
        loss.add_done_callback(self._losses.discard)

    async def _mark_failed(self, rule: RealtimeRule) -> None:
        with suppress(StoreUnavailable):  # then the next look finds the stream missing
            await self._book.put(self._changed(rule, status=RuleStatus.FAILED))
            await self._report_levels()

    def _is_lost(self, rule: RealtimeRule, known: Mapping[str, str]) -> bool:
        if rule.status is RuleStatus.ACTIVE:
            return rule.stream_id not in known
        return not self._is_starting(rule)

    def _is_starting(self, rule: RealtimeRule) -> bool:
        """Tell whether somebody is giving a rule to RT-VLM at the moment."""
        age = self._clock.now() - rule.updated_at
        patience = timedelta(seconds=self._settings.pending_ttl_s)
        return rule.status is RuleStatus.PENDING and age <= patience

    def _changed(self, rule: RealtimeRule, **changes: Any) -> RealtimeRule:
        revision = rule.revision + 1
        return replace(rule, updated_at=self._clock.now(), revision=revision, **changes)

    async def _report_levels(self) -> None:
        rules = await self._book.list()
        active = sum(rule.status is RuleStatus.ACTIVE for rule in rules)
        self._meter.rules(followed=self._live.followed if self._live else 0, stored=active)

    def _model(self, fields: Mapping[str, Any]) -> str:
        model = fields.get("model") or self._settings.default_model
        if model:
            return str(model)
        self._meter.rule_failed("validation")
        where = variable_of("realtime.default_model")
        raise InvalidRequest((Issue("body.model", "missing", f"Name a model, or set {where}."),))

    def _require_rtvi(self) -> LiveStreams:
        if self._live is None:
            raise RtviUnavailable(f"Failed to start realtime alert: no RT-VLM is known. {_OFF}")
        return self._live

    def _require_no_replay(self) -> None:
        if self._is_replaying:
            raise ReplayInProgress("Rules cannot be changed while a replay is in progress")


def _entry(
    by: Attribution | None, edit: Literal["create", "delete"], rule: RealtimeRule, now: datetime
) -> AuditEntry | None:
    """Write down an edit of a rule, without credentials, those in URLs too; None for nobody."""
    if by is None:
        return None
    shown = redact_all(write_rule(rule).model_dump())
    before, after = (None, shown) if edit == "create" else (shown, None)
    return by.entry(now, f"realtime_rule.{edit}", rule.id, before=before, after=after)
