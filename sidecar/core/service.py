"""What every door can ask for. Doors translate; the rules are here and in `core.verify`."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sidecar.core.bell import Bell
from sidecar.core.feed import Feed
from sidecar.core.filters import Filters
from sidecar.core.intake import Intake
from sidecar.core.slots import Slots
from sidecar.core.tracing import UNTRACED
from sidecar.errors import NotFound, UnknownCategory
from sidecar.model import (
    NO_RULES,
    Accepted,
    Dropped,
    EventKind,
    FilterRules,
    Health,
    StoredEvent,
    VerdictFilter,
    VerdictRecord,
    VerifyEvent,
)
from sidecar.ports import Clock, Ledger, Meter, Part, PromptBook, Tracer

FOLLOW_BATCH: Final = 100
FOLLOW_IDLE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Submission:
    """What became of a submitted event.

    Attributes:
        dropped: why it is not verified: the filter, and what it found; "" when it is.
    """

    event: VerifyEvent
    dropped: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """The verification service as its doors see it.

    Attributes:
        filters: drop what need not be verified again.
        parts: everything that must work for the service to be ready, by name.
        sinks: where verdicts go, by name; one that is down delays only itself.
        slots: places for events being verified.
        begin: starts the verification of a claimed event, whose place is taken.
        submitted: rung when an accepted event waits to be claimed.
        feed: the latest verdicts.
        tracer: measures the acceptance.
    """

    intake: Intake
    filters: Filters
    ledger: Ledger
    prompts: PromptBook
    parts: Mapping[str, Part]
    sinks: Mapping[str, Part]
    clock: Clock
    meter: Meter
    slots: Slots
    begin: Callable[[VerifyEvent], None]
    submitted: Bell
    feed: Feed
    tracer: Tracer = UNTRACED

    async def submit(self, raw: Mapping[str, Any], kind: EventKind) -> Submission:
        """Accept a pipeline event. When this returns, the event survives a crash or was dropped.

        Raises:
            RequestError: refused; nothing was accepted.
        """
        with self.tracer.span("accept", kind=kind.value):
            event = self.intake.read(raw, kind)
            rules = self.filters.rules_for(event)
            dropped = self.filters.check(event, rules) or await self._accept(event, rules)
        if dropped is None:
            return Submission(event)
        self.meter.dropped(dropped.by)
        return Submission(event, self.filters.explain(dropped))

    async def submit_on_demand(self, raw: Mapping[str, Any]) -> VerifyEvent:
        """Accept an on-demand request about media that it names.

        Raises:
            RequestError: refused; nothing was accepted.
        """
        event = self.intake.read_on_demand(raw, self.clock.now())
        if await self.prompts.find(event.category) is None:
            raise UnknownCategory(f"No alert config found for category '{event.category}'")
        with self.tracer.span("accept", kind=event.kind.value):
            await self._accept(event, NO_RULES)
        return event

    async def find(self, identity: str) -> VerdictRecord | StoredEvent:
        """Find by submitted id, `Id` or verdict key; a StoredEvent is not decided yet.

        Raises:
            NotFound: nothing was accepted under this identity.
        """
        found = await self.ledger.lookup(identity)
        if found is None:
            raise NotFound(f"No event was accepted under the id '{identity}'.")
        return found

    async def follow(
        self, wanted: VerdictFilter, after: int | None
    ) -> AsyncIterator[VerdictRecord | None]:
        """Yield verdicts as they are committed, without end and without a gap.

        Args:
            wanted: which ones.
            after: `seq` to resume behind; None starts with the next verdict.

        Yields:
            Records in order of `seq`; None when nothing happened for a while.
        """
        seq = await self.ledger.last_seq() if after is None else after
        while True:
            news = self.feed.listen()
            batch, seq = await self._behind(wanted, seq)
            for record in batch:
                yield record
            if not batch:
                yield None
                await news.wait(FOLLOW_IDLE_S)

    async def health(self) -> Sequence[Health]:
        """Ask every part whether it can work."""
        named = {**self.parts, **self.sinks}
        problems = await asyncio.gather(*(part.ping() for part in named.values()))
        return [
            Health(name, problem=problem, required=name in self.parts)
            for name, problem in zip(named, problems, strict=True)
        ]

    async def _behind(self, wanted: VerdictFilter, seq: int) -> tuple[Sequence[VerdictRecord], int]:
        """Return verdicts behind `seq`, and the `seq` up to which there are no others."""
        fresh = self.feed.since(wanted, seq)
        if fresh is not None:
            return fresh, max(seq, self.feed.last_seq)
        last = await self.ledger.last_seq()
        stored = await self.ledger.since(wanted, after=seq, limit=FOLLOW_BATCH)
        if len(stored) == FOLLOW_BATCH:
            return stored, stored[-1].seq
        return stored, max(seq, last, *(record.seq for record in stored))

    async def _accept(self, event: VerifyEvent, rules: FilterRules) -> Dropped | None:
        # A caller that goes away must not leave an event claimed that nobody begins.
        accepted = await asyncio.shield(asyncio.create_task(self._admit(event, rules)))
        return accepted.dropped

    async def _admit(self, event: VerifyEvent, rules: FilterRules) -> Accepted:
        """Store an event; when a place is free, begin it without another trip to the ledger."""
        slot = self.slots.take(1)
        try:
            accepted = await self.ledger.accept(event, claim=bool(slot), rules=rules)
        except BaseException:
            self.slots.give_back(slot)
            raise
        self.filters.learn(event, rules, accepted)
        if accepted.dropped is None:
            self.meter.accepted(is_new=accepted.is_new)
        if accepted.is_new:
            self.tracer.keep(event.key)
        if slot and accepted.is_new:
            self.begin(event)
            return accepted
        self.slots.give_back(slot)
        if accepted.is_new:
            self.submitted.ring()
        return accepted
