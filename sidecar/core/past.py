"""Events that were decided, made again from what was published about them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

from sidecar.contract.bridge import is_bridge_alert
from sidecar.core.intake import Intake
from sidecar.errors import InvalidRequest, NotFound, NotRepeatable
from sidecar.model import EventKind, Origin, StoredEvent, VerdictRecord, VerifyEvent
from sidecar.ports import Ledger

_WRITTEN: Final = (
    *("reasoning", "verdict", "description", "videoSource", "errorSource"),
    *("verificationResponseCode", "verificationResponseStatus"),
)
"""Keys of `info` that a verdict adds, besides those that begin with `sidecar`."""


async def find_verdict(ledger: Ledger, identity: str) -> VerdictRecord:
    """Find a verdict by submitted id, `Id` or verdict key.

    Raises:
        NotFound: there is none under this identity, or none yet.
    """
    record = await ledger.lookup(identity)
    if record is None:
        raise NotFound(f"No event was accepted under the id '{identity}'.")
    if isinstance(record, StoredEvent):
        raise NotFound(f"The event '{identity}' has no verdict yet; ask again in a moment.")
    return record


def original(document: Mapping[str, Any]) -> dict[str, Any]:
    """Undo what a verdict added to an event; an event without a verdict stays as it is."""
    info = document.get("info")
    if not isinstance(info, Mapping) or "sidecarVerdictKey" not in info:
        return dict(document)
    kept = {
        key: value
        for key, value in info.items()
        if key not in _WRITTEN and not key.startswith("sidecar")
    }
    added = {"Id", *document.get("_normalized_added_fields", ()), "_normalized_added_fields"}
    raw = {key: value for key, value in document.items() if key not in added}
    alert_type = str(info.get("sidecarPromptVersion", "")).rpartition("@")[0]
    if alert_type and "category" in raw:
        raw["category"] = alert_type  # the published one may be the alert type's output category
    return {**raw, "info": kept}


def event_of(record: VerdictRecord, intake: Intake) -> VerifyEvent:
    """Make the event of a verdict again. What was no string in its `info` is one now.

    Args:
        record: of the ledger.
        intake: that took the event.

    Raises:
        NotRepeatable: its document does not tell enough, as that of a review of VSS 2.4.
    """
    raw = original(record.document)
    if record.kind is EventKind.ALERT and is_bridge_alert(raw):
        raise _not_repeatable(record)
    try:
        event = intake.read(raw, record.kind)
    except InvalidRequest:
        return _on_demand(record, raw, intake)
    return replace(event, key=record.key, id=record.id)


def _on_demand(record: VerdictRecord, raw: Mapping[str, Any], intake: Intake) -> VerifyEvent:
    """Read an on-demand request about an alert, which is written as an incident is."""
    try:
        event = intake.read(raw, EventKind.INCIDENT)
    except InvalidRequest:
        raise _not_repeatable(record) from None
    return replace(event, key=record.key, id=record.id, kind=record.kind, origin=Origin.ON_DEMAND)


def _not_repeatable(record: VerdictRecord) -> NotRepeatable:
    return NotRepeatable(
        f"What was published about '{record.id}' does not tell what was asked about it, so that it "
        "cannot be asked again; alerts of VSS 2.4 never can."
    )
