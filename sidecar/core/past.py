"""Events that were decided, made again from what was published about them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sidecar.contract.bridge import is_bridge_alert
from sidecar.contract.published import original
from sidecar.core.intake import Intake
from sidecar.errors import InvalidRequest, NotFound, NotRepeatable
from sidecar.model import EventKind, Origin, StoredEvent, VerdictRecord, VerifyEvent
from sidecar.ports import Ledger


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
