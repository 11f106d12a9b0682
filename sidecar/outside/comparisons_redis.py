"""What arms said about the same events, and people about them, in the Redis of the replicas."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from pydantic import TypeAdapter

from sidecar.compared import ComparedEvent, ComparedFilter, Label
from sidecar.errors import StoreUnavailable
from sidecar.outside.comparisons import ANSWER, TRIM_BATCH
from sidecar.outside.redis_store import Argument, RedisStore
from sidecar.outside.sqlite import to_microseconds
from sidecar.ports import Clock

EVENT: Final = TypeAdapter(ComparedEvent)
LABEL: Final = TypeAdapter(Label)

_SCAN: Final = 500
_NO_BOUND: Final = 2**53


class RedisComparisons:
    """Fulfils `ports.Comparisons` for every replica that works on the same keys."""

    def __init__(self, store: RedisStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    async def ping(self) -> str:
        """Return "" when Redis can be read now, else what is wrong."""
        try:
            await self._store.read("compared_labels", "")
        except StoreUnavailable as error:
            return error.detail
        return ""

    async def close(self) -> None:
        """Do nothing: the store belongs to whoever opened it."""

    async def record(self, events: Sequence[ComparedEvent]) -> None:
        """Store answers; a newer one of the same arm replaces the old."""
        written = (self._store.write("compare", *self._written(event)) for event in events)
        await asyncio.gather(*written)

    async def label(self, labels: Sequence[tuple[ComparedEvent, Label]]) -> None:
        """Store labels, and events that are not there yet."""
        for event, label in labels:
            blob = LABEL.dump_json(label)
            await self._store.write("label", blob, *self._written(event))

    async def withdraw(self, label: Label, by: str, at: datetime) -> bool:
        """Take a label back, if it still counts."""
        stored = await self._store.read("compared_labels", label.key)
        known = next((it for it in reversed(stored) if LABEL.validate_json(it) == label), None)
        if known is None:
            return False
        taken_back = LABEL.dump_json(replace(label, withdrawn_by=by, withdrawn_at=at))
        return bool(await self._store.write("withdraw_label", label.key, known, taken_back))

    async def find(self, key: str) -> ComparedEvent | None:
        """Return an event with all answers, or None."""
        found = await self._store.read("compared", key)
        return _to_event(found) if found else None

    async def labels_of(self, key: str) -> Sequence[Label]:
        """Return every label of an event, oldest first, those that were taken back included."""
        found = [LABEL.validate_json(it) for it in await self._store.read("compared_labels", key)]
        return sorted(found, key=lambda label: label.labelled_at)

    async def disputes(self) -> int:
        """Return how many events are disputed."""
        return int(await self._store.read("disputes"))

    async def events(
        self, wanted: ComparedFilter, *, limit: int, before: int | None = None
    ) -> Sequence[ComparedEvent]:
        """List events, the latest stored first, with a position below `before`.

        The index of the sensor or category is walked, else that of all events; the rest is
        compared with what is found.
        """
        bound = _NO_BOUND if before is None else before - 1
        found: list[ComparedEvent] = []
        while bound and len(found) < limit:
            facts = (_index(wanted), bound, limit - len(found), _SCAN)
            last, *events = await self._store.read("list_compared", *facts, *_terms(wanted))
            found += [_to_event(event) for event in events]
            bound = last - 1 if last else 0
        return found

    async def trim(self, *, keep: int, stored_before: datetime) -> int:
        """Forget some of the oldest events beyond `keep` or stored before a time."""
        before = to_microseconds(stored_before)
        return int(await self._store.write("trim_compared", keep, before, TRIM_BATCH))

    def _written(self, event: ComparedEvent) -> tuple[Argument, ...]:
        bare = replace(event, answers=(), label=None, position=0)
        return (
            event.key,
            EVENT.dump_json(bare),
            event.sensor_id,
            event.category,
            to_microseconds(event.timestamp),
            to_microseconds(self._clock.now()),
            *(part for it in event.answers for part in (it.arm, ANSWER.dump_json(it))),
        )


def _index(wanted: ComparedFilter) -> str:
    if wanted.disputed:
        return "compared_disputed"
    if wanted.sensor_id:
        return f"compared_sensor:{wanted.sensor_id}"
    return f"compared_category:{wanted.category}" if wanted.category else "compared_all"


def _terms(wanted: ComparedFilter) -> tuple[Argument, ...]:
    return (
        wanted.sensor_id,
        wanted.category,
        "" if wanted.since is None else to_microseconds(wanted.since),
        "" if wanted.until is None else to_microseconds(wanted.until),
        "" if wanted.labelled is None else int(wanted.labelled),
        *wanted.arms,
    )


def _to_event(found: Sequence[bytes]) -> ComparedEvent:
    position, blob, label, *answers = found
    event = EVENT.validate_json(blob)
    return replace(
        event,
        answers=tuple(ANSWER.validate_json(answer) for answer in answers),
        label=LABEL.validate_json(label) if label else None,
        position=int(position),
    )
