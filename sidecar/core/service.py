"""What every door can ask for. Doors translate; the rules are here and in `core.verify`."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sidecar.core.bell import Bell
from sidecar.core.feed import Feed
from sidecar.core.filters import Filters
from sidecar.core.intake import Intake
from sidecar.core.slots import Slots
from sidecar.core.tracing import UNTRACED
from sidecar.errors import NotFound, RequestError, UnknownCategory
from sidecar.model import (
    Accepted,
    Dropped,
    EventKind,
    Health,
    Offer,
    StoredEvent,
    VerdictFilter,
    VerdictRecord,
    VerifyEvent,
)
from sidecar.ports import Clock, Ledger, Meter, Part, PromptBook, Tracer
from sidecar.redaction import redact

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


def _keep_quiet(event: VerifyEvent) -> None:
    del event


@dataclass(frozen=True, slots=True)
class Service:
    """The verification service as its doors see it.

    Attributes:
        filters: drop what need not be verified again.
        parts: everything that must work for the service to be ready, by name.
        sinks: where verdicts go, by name; one that is down delays only itself.
        slots: places for events being verified.
        has_line: tells whether events wait for a place already.
        begin: starts the verification of a claimed event, whose place is taken.
        submitted: rung when an accepted event waits to be claimed.
        feed: the latest verdicts.
        announce: is told of each event that was accepted and is new.
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
    has_line: Callable[[], bool]
    begin: Callable[[VerifyEvent], None]
    submitted: Bell
    feed: Feed
    announce: Callable[[VerifyEvent], None] = _keep_quiet
    tracer: Tracer = UNTRACED

    async def submit(self, raw: Mapping[str, Any], kind: EventKind) -> Submission:
        """Accept a pipeline event. When this returns, the event survives a crash or was dropped.

        Raises:
            RequestError: refused; nothing was accepted.
        """
        [answer] = await self.submit_all([(raw, kind)])
        if isinstance(answer, RequestError):
            raise answer
        return answer

    async def submit_all(
        self, events: Iterable[tuple[Mapping[str, Any], EventKind]]
    ) -> Sequence[Submission | RequestError]:
        """Accept pipeline events, each as `submit` does, with one wait for the disk for all.

        Returns:
            What became of each; an error refuses the event that it stands for.

        Raises:
            StoreUnavailable: refused, all that could be read.
        """
        with self.tracer.span("accept"):
            looked_at = [self._look_at(raw, kind) for raw, kind in events]
            offers = [it for it in looked_at if isinstance(it, Offer)]
            answers = iter(await self._accept(offers))
        return [self._tell(it, next(answers)) if isinstance(it, Offer) else it for it in looked_at]

    async def submit_on_demand(self, raw: Mapping[str, Any]) -> VerifyEvent:
        """Accept an on-demand request about media that it names.

        Raises:
            RequestError: refused; nothing was accepted.
        """
        event = self.intake.read_on_demand(raw, self.clock.now())
        if await self.prompts.find(event.category) is None:
            raise UnknownCategory(f"No alert config found for category '{event.category}'")
        with self.tracer.span("accept"):
            [answer] = await self._accept([Offer(event)])
        if isinstance(answer, RequestError):
            raise answer
        return event

    async def accept_again(
        self, events: Sequence[VerifyEvent]
    ) -> Sequence[Accepted | RequestError]:
        """Accept events whose first verdict is there already; no filter drops them.

        Raises:
            StoreUnavailable: refused, all of them.
        """
        return await self._accept([Offer(event) for event in events])

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
    ) -> AsyncGenerator[VerdictRecord | None]:
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
            if not batch and not await news.wait(FOLLOW_IDLE_S):
                yield None

    async def health(self, *, within_s: float | None = None) -> Sequence[Health]:
        """Ask every part whether it can work; one that says nothing in time cannot."""
        named = {**self.parts, **self.sinks}
        problems = await asyncio.gather(*(_ping(part, within_s) for part in named.values()))
        return [
            Health(name, problem=redact(problem), required=name in self.parts)
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

    def _look_at(
        self, raw: Mapping[str, Any], kind: EventKind
    ) -> Offer | Submission | RequestError:
        """Read an event and see whether a filter drops it without the ledger."""
        try:
            event = self.intake.read(raw, kind)
        except RequestError as error:
            return error
        rules = self.filters.rules_for(event)
        dropped = self.filters.check(event, rules)
        return Offer(event, rules) if dropped is None else self._drop(event, dropped)

    def _tell(self, offer: Offer, answer: Accepted | RequestError) -> Submission | RequestError:
        if isinstance(answer, RequestError):
            return answer
        dropped = answer.dropped
        return Submission(offer.event) if dropped is None else self._drop(offer.event, dropped)

    def _drop(self, event: VerifyEvent, dropped: Dropped) -> Submission:
        self.meter.dropped(dropped.by)
        return Submission(event, self.filters.explain(dropped))

    async def _accept(self, offers: Sequence[Offer]) -> Sequence[Accepted | RequestError]:
        if not offers:
            return ()
        # A caller that goes away must not leave events claimed that nobody begins.
        return await asyncio.shield(asyncio.create_task(self._admit(offers)))

    async def _admit(self, offers: Sequence[Offer]) -> Sequence[Accepted | RequestError]:
        """Store events; those that find a place free while nobody waits for it begin at once."""
        places = 0 if self.has_line() else self.slots.take(len(offers))
        claiming = [replace(offer, claim=True) for offer in offers[:places]]
        begun = 0
        try:
            answers = await self.ledger.accept_all([*claiming, *offers[places:]])
            for number, (offer, answer) in enumerate(zip(offers, answers, strict=True)):
                is_new = self._learn(offer, answer)
                if is_new and number < places:
                    self.begin(offer.event)
                    begun += 1
                elif is_new:
                    self.submitted.ring()
        finally:
            self.slots.give_back(places - begun)
        return answers

    def _learn(self, offer: Offer, answer: Accepted | RequestError) -> bool:
        """Take note of the ledger's answer; returns whether the event is new."""
        if isinstance(answer, RequestError):
            return False
        self.filters.learn(offer.event, offer.rules, answer)
        if answer.dropped is None:
            self.meter.accepted(is_new=answer.is_new)
        if answer.is_new:
            self.tracer.keep(offer.event.key)
            self.announce(offer.event)
        return answer.is_new


async def _ping(part: Part, within_s: float | None) -> str:
    try:
        async with asyncio.timeout(within_s):
            return await part.ping()
    except TimeoutError:
        return f"It did not answer within {within_s:g} s."
