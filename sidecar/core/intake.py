"""From a submitted JSON object to the event that the rest of the service works on. Pure."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any, Final

import orjson
from pydantic_core import PydanticCustomError

from sidecar.contract.body import validate
from sidecar.contract.bridge import is_bridge_alert, read_alert
from sidecar.contract.event import BehaviorRecord, IncidentBody, OnDemandBody, parse_timestamp
from sidecar.contract.published import original
from sidecar.core.identity import (
    again_key,
    cohort_key,
    fingerprint,
    origin_of,
    request_key,
    superseded_key,
    text,
    value_at,
    verdict_key,
)
from sidecar.errors import InvalidRequest, Issue, MediaRoute
from sidecar.model import (
    EventKind,
    MediaRequest,
    MediaType,
    Origin,
    StoredEvent,
    VerdictRecord,
    VerifyEvent,
)

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_IMAGE_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".gif", ".webp", ".bmp"})
"""services/alert, direct media: the formats that VSS takes for pictures."""


@dataclass(frozen=True, slots=True)
class Intake:
    """Checks events and gives them their identity.

    Attributes:
        ignore_event_media: pipeline events get their clip from the recorder even when they name
            media themselves.
    """

    ignore_event_media: bool = False

    def read(self, raw: Mapping[str, Any], kind: EventKind) -> VerifyEvent:
        """Read a pipeline event, or an alert as VSS 2.4 has it.

        Raises:
            InvalidRequest: names every wrong field.
        """
        if kind is EventKind.INCIDENT:
            return self._read_incident(raw)
        return _read_review(raw) if is_bridge_alert(raw) else self._read_alert(raw)

    def read_on_demand(self, raw: Mapping[str, Any], now: datetime) -> VerifyEvent:
        """Read an on-demand request, with VSS's defaults for what it leaves out.

        Raises:
            InvalidRequest: names every wrong field.
        """
        body = validate(OnDemandBody, raw)
        identity = body.id or f"ondemand-{uuid.uuid4()}"
        start = body.timestamp or now
        defaults = {
            "id": identity,
            "sensorId": body.sensorId or text(value_at(raw, ("sensor", "id"))) or "ondemand",
            "timestamp": start.isoformat(),
            "end": (body.end or start).isoformat(),
        }
        missing = {name: value for name, value in defaults.items() if raw.get(name) in (None, "")}
        return self._read_filled({**raw, **missing}, raw, identity)

    def restore(self, stored: StoredEvent) -> VerifyEvent:
        """Read an event again that was accepted before."""
        if stored.origin is Origin.ON_DEMAND:
            event = self._read_filled(stored.raw, stored.raw, text(stored.raw.get("id")))
        else:
            event = self.read(stored.raw, stored.kind)
        supersedes = superseded_key(stored.key)
        return replace(event, key=stored.key, attempt=stored.attempt, supersedes=supersedes)

    def again(self, record: VerdictRecord) -> VerifyEvent:
        """Read the event of a verdict again, to be decided once more under a key of its own.

        Raises:
            InvalidRequest: the published document does not hold the event as it came, as those of
                VSS 2.4 do not.
        """
        key, origin = again_key(record.key), origin_of(record.key)
        if origin is Origin.REVIEW:
            raise InvalidRequest(
                (Issue("", "layout", "A reviewed alert of VSS 2.4 does not hold its request."),)
            )
        raw = original(record.document)
        return self.restore(StoredEvent(key, record.kind, origin, raw))

    def salvage(self, stored: StoredEvent) -> VerifyEvent:
        """Return what is left of a stored event that is none any more, as after an upgrade."""
        raw = stored.raw
        sensor = text(raw.get("sensorId") or value_at(raw, ("sensor", "id")))
        module = value_at(raw, ("analyticsModule", "id"))
        try:
            timestamp = parse_timestamp(raw.get("timestamp"))
        except PydanticCustomError:
            timestamp = _EPOCH
        document_id = fingerprint(stored.kind, raw, timestamp)
        return VerifyEvent(
            key=stored.key,
            id=text(raw.get("id")) or document_id,
            fingerprint=document_id,
            kind=stored.kind,
            origin=stored.origin,
            raw=raw,
            sensor_id=sensor,
            category=text(raw.get("category") or module),
            timestamp=timestamp,
            end=timestamp,
            media=MediaRequest(MediaRoute.RECORDER),
            attempt=stored.attempt,
        )

    def _read_incident(self, raw: Mapping[str, Any]) -> VerifyEvent:
        body = validate(IncidentBody, raw)
        kind = EventKind.INCIDENT
        document_id = fingerprint(kind, raw, body.timestamp)
        cohort = cohort_key(kind, raw, body.timestamp)
        return VerifyEvent(
            key=verdict_key(cohort, body.end),
            id=body.id or body.incidentId or document_id,
            fingerprint=document_id,
            kind=kind,
            origin=Origin.PIPELINE,
            raw=raw,
            sensor_id=body.sensorId,
            category=body.category,
            timestamp=body.timestamp,
            end=body.end,
            media=self._media(raw),
            object_ids=tuple(body.objectIds),
            cohort=cohort,
        )

    def _read_alert(self, raw: Mapping[str, Any]) -> VerifyEvent:
        body = validate(BehaviorRecord, raw)
        kind = EventKind.ALERT
        document_id = fingerprint(kind, raw, body.timestamp)
        objects = body.objectIds or ([body.object.id] if body.object.id else [])
        cohort, end = cohort_key(kind, raw, body.timestamp), body.end or body.timestamp
        return VerifyEvent(
            key=verdict_key(cohort, end),
            id=body.id or document_id,
            fingerprint=document_id,
            kind=kind,
            origin=Origin.PIPELINE,
            raw=raw,
            sensor_id=body.sensor.id,
            category=body.analyticsModule.id or (body.event.type if body.event else ""),
            timestamp=body.timestamp,
            end=end,
            media=self._media(raw),
            object_ids=tuple(objects),
            cohort=cohort,
        )

    def _read_filled(
        self, filled: Mapping[str, Any], body: Mapping[str, Any], identity: str
    ) -> VerifyEvent:
        """Read an on-demand event: an incident unless it says that it is an alert."""
        kind = EventKind.ALERT if filled.get("notification_type") == "alert" else EventKind.INCIDENT
        event = self._read_incident(filled)
        return replace(
            event,
            key=request_key(Origin.ON_DEMAND, identity, _in_order(body)),
            id=identity,
            kind=kind,
            origin=Origin.ON_DEMAND,
            cohort="",
            media=MediaRequest(MediaRoute.DIRECT, *_listed_media(_info(filled))),
        )

    def _media(self, raw: Mapping[str, Any]) -> MediaRequest:
        if self.ignore_event_media:
            return MediaRequest(MediaRoute.RECORDER)
        info = _info(raw)
        if info.get("media_urls"):
            return MediaRequest(MediaRoute.DIRECT, *_listed_media(info))
        path = text(info.get("video_path") or raw.get("videoPath"))
        if path.startswith(("http://", "https://")):
            return MediaRequest(MediaRoute.DIRECT, _type_of(info, path), (path,))
        if path:
            return MediaRequest(MediaRoute.LOCAL, _type_of(info, path), (path,))
        return MediaRequest(MediaRoute.RECORDER)


def _read_review(raw: Mapping[str, Any]) -> VerifyEvent:
    alert = read_alert(raw)
    return VerifyEvent(
        key=request_key(Origin.REVIEW, alert.id, _in_order(raw)),
        id=alert.id,
        fingerprint="",
        kind=EventKind.ALERT,
        origin=Origin.REVIEW,
        raw=raw,
        sensor_id=alert.sensor_id,
        category=alert.alert.type,
        timestamp=alert.moment,
        end=alert.moment,
        media=MediaRequest(MediaRoute.LOCAL, MediaType.VIDEO, (alert.video_path,)),
    )


def _in_order(body: Mapping[str, Any]) -> bytes:
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def kind_of(raw: Mapping[str, Any]) -> EventKind:
    """Tell incident and alert apart by their fields, for callers that do not say."""
    looks_like_one = "sensorId" not in raw and ("sensor" in raw or is_bridge_alert(raw))
    is_alert = looks_like_one or raw.get("notification_type") == "alert"
    return EventKind.ALERT if is_alert else EventKind.INCIDENT


def _listed_media(info: Mapping[str, Any]) -> tuple[MediaType, tuple[str, ...]]:
    """Read `media_urls`: a list, or a JSON list in a string as protobuf carries it."""
    urls = info.get("media_urls")
    if isinstance(urls, str):
        try:
            urls = orjson.loads(urls)
        except orjson.JSONDecodeError:
            urls = [urls]
    refs = tuple(u for u in urls if isinstance(u, str) and u) if isinstance(urls, list) else ()
    return _type_of(info, refs[0] if refs else ""), refs


def _type_of(info: Mapping[str, Any], ref: str) -> MediaType:
    """Take the stated type; VSS reads anything but `video` as pictures. Else go by the name."""
    stated = info.get("media_type")
    if stated:
        return MediaType.VIDEO if stated == "video" else MediaType.IMAGE
    suffix = PurePosixPath(ref.partition("?")[0]).suffix.lower()
    return MediaType.IMAGE if suffix in _IMAGE_SUFFIXES else MediaType.VIDEO


def _info(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    info = raw.get("info")
    return info if isinstance(info, Mapping) else {}
