"""Always-on rules: started for every camera that begins to stream, stopped when it ceases.

Answers are those of VSS's `always_on_service.py` (services/alert). Unlike there, what runs for a
camera survives a restart.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from sidecar.audit import Attribution
from sidecar.contract.realtime import AlwaysOnRule, CameraChange, fields_for_camera
from sidecar.contract.verdict import error_response, refusal_message
from sidecar.core.realtime import RealtimeRules
from sidecar.errors import InvalidRequest, NotFound, RequestError, row_of
from sidecar.ports import Clock


@dataclass(frozen=True, slots=True)
class CameraOutcome:
    """What became of a camera event.

    Attributes:
        code: HTTP status.
        reason: VSS's word.
        details: one entry per rule; None when it did not come to that.
    """

    code: int
    reason: str
    details: Sequence[Mapping[str, Any]] | None = None


@dataclass(frozen=True, slots=True)
class AlwaysOn:
    """Starts and stops the rules of cameras.

    Attributes:
        entries: for every camera; None when always-on rules are switched off.
    """

    rules: RealtimeRules
    entries: Sequence[AlwaysOnRule] | None
    clock: Clock
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def handle(self, camera: CameraChange, by: Attribution | None = None) -> CameraOutcome:
        """Do what a camera event asks for; events of one camera one after the other.

        Args:
            camera: what it does.
            by: who sent the event, for the audit trail.

        Raises:
            StoreUnavailable: the rules cannot be read.
        """
        async with self._locks.setdefault(camera.camera_id, asyncio.Lock()):
            if camera.change == "camera_remove":
                return await self._stop(camera.camera_id, by)
            return await self._start(camera, by)

    async def _start(self, camera: CameraChange, by: Attribution | None) -> CameraOutcome:
        known = {rule.label: rule for rule in await self.rules.of_camera(camera.camera_id)}
        entries = self.entries or ()
        if all(entry.rule_id in known for entry in entries):
            return CameraOutcome(200, "STREAM_ADD_ALREADY_ACTIVE")
        running = [
            {
                "rule_id": entry.rule_id,
                "alert_type": entry.alert_type,
                "status": 200,
                "result": "already_active",
                "alert_rule_id": known[entry.rule_id].id,
            }
            for entry in entries
            if entry.rule_id in known
        ]
        missing = [entry for entry in entries if entry.rule_id not in known]
        begun = await asyncio.gather(*(self._start_one(entry, camera, by) for entry in missing))
        details = [*running, *begun]
        failed = sum(detail["result"] == "error" for detail in details)
        if not failed:
            return CameraOutcome(200, "STREAM_ADD_SUCCESS", details)
        if failed < len(details):
            return CameraOutcome(200, "STREAM_ADD_PARTIAL_SUCCESS", details)
        return CameraOutcome(502, "STREAM_ADD_FAILED", details)

    async def _start_one(
        self, entry: AlwaysOnRule, camera: CameraChange, by: Attribution | None
    ) -> Mapping[str, Any]:
        named = {"rule_id": entry.rule_id, "alert_type": entry.alert_type}
        try:
            fields = fields_for_camera(entry, camera)
            rule = await self.rules.create(
                fields, by, camera_id=camera.camera_id, label=entry.rule_id
            )
        except RequestError as error:
            return {**named, **self._failure(error)}
        return {**named, "status": 201, "result": "success", "alert_rule_id": rule.id}

    async def _stop(self, camera_id: str, by: Attribution | None) -> CameraOutcome:
        details = []
        for rule in await self.rules.of_camera(camera_id):
            named = {"rule_id": rule.label, "alert_rule_id": rule.id}
            try:
                await self.rules.delete(rule.id, by)
                details.append({**named, "status": 200, "result": "success"})
            except NotFound:  # somebody else deleted it, which is what was asked for
                details.append({**named, "status": 404, "result": "success"})
            except RequestError as error:
                details.append({**named, **self._failure(error)})
        if not details:
            await self.rules.drop_stream(camera_id)
        if any(detail["result"] == "error" for detail in details):
            return CameraOutcome(502, "STREAM_REMOVE_FAILED", details)
        return CameraOutcome(200, "STREAM_REMOVE_SUCCESS", details)

    def _failure(self, error: RequestError) -> Mapping[str, Any]:
        row = row_of(error)
        issues = error.issues if isinstance(error, InvalidRequest) else ()
        message = refusal_message(error, issues)
        return {
            "status": row.wording.code,
            "result": "error",
            "error": error_response(row.reason, message, self.clock.now(), issues),
        }
