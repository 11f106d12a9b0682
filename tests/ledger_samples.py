"""Events, verdicts and waiting for tests of ledgers and outboxes."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sidecar.errors import MediaRoute
from sidecar.model import (
    EventKind,
    MediaRequest,
    Origin,
    Outcome,
    StoredEvent,
    VerdictRecord,
    VerifyEvent,
)
from sidecar.ports import Ledger

T0 = datetime(2026, 1, 31, 8, tzinfo=UTC)


def an_event(key: str = "key-1", **changes: Any) -> VerifyEvent:
    """Build an event whose id and fingerprint derive from its key."""
    event = VerifyEvent(
        key=key,
        id=f"id of {key}",
        fingerprint=f"fingerprint of {key}",
        kind=EventKind.INCIDENT,
        origin=Origin.PIPELINE,
        raw={"id": f"id of {key}", "unknown": {"kept": [1, 2.5, None, "ü"]}},
        sensor_id="camera-1",
        category="collision",
        timestamp=T0,
        end=T0,
        media=MediaRequest(MediaRoute.RECORDER),
    )
    return replace(event, **changes)


def a_record(key: str = "key-1", **changes: Any) -> VerdictRecord:
    """Build the verdict on `an_event(key)`."""
    record = VerdictRecord(
        key=key,
        id=f"id of {key}",
        fingerprint=f"fingerprint of {key}",
        kind=EventKind.INCIDENT,
        sensor_id="camera-1",
        category="collision",
        outcome=Outcome.CONFIRMED,
        reason="",
        arm="baseline",
        timestamp=T0,
        decided_at=T0,
        document={"Id": f"fingerprint of {key}", "info": {"verdict": "confirmed"}},
    )
    return replace(record, **changes)


async def take(ledger: Ledger, limit: int) -> Sequence[StoredEvent]:
    """Claim the oldest events that nobody works on."""
    waiting = await ledger.waiting(after=0, limit=limit)
    return await ledger.claim([event.key for event in waiting])


async def until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Wait until a condition holds."""
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, "the condition did not come true in time"
        await asyncio.sleep(0.005)
