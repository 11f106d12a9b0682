"""What arms said about an event, and what people say about it: for whoever compares them."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sidecar.compared import ArmAnswer, ComparedEvent, ComparedFilter, Label, Role
from sidecar.contract.info import info_of, read_list, read_number, read_whole
from sidecar.core.past import find_verdict
from sidecar.errors import NotFound, VersionConflict
from sidecar.model import VerdictRecord, VerifyEvent
from sidecar.ports import ArmsMeter, Clock, Comparisons, Ledger

PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Comparing:
    """Reads and labels what was said.

    Attributes:
        ledger: knows the verdicts.
        store: keeps answers and labels.
        clock: stamps the labels.
        meter: counts them.
    """

    ledger: Ledger
    store: Comparisons
    clock: Clock
    meter: ArmsMeter

    async def answers(self, identity: str) -> tuple[ComparedEvent, Sequence[Label]]:
        """Return what every arm said about an event, and every label of it, oldest first.

        Raises:
            NotFound: there is no verdict under this identity.
        """
        event = await self._find(identity)
        return event, await self.store.labels_of(event.key)

    async def label(
        self, identity: str, truth: bool | None, labeller: str, note: str = ""
    ) -> ComparedEvent:
        """Store what somebody says about an event; returns the event with it.

        Raises:
            NotFound: there is no verdict under this identity.
        """
        event = await self._find(identity)
        label = Label(event.key, truth, labeller, self.clock.now(), note)
        await self.store.label([(event, label)])
        self.meter.labelled(1)
        return replace(event, label=label)

    async def take_back(self, identity: str, labeller: str) -> None:
        """Take back what somebody said last about an event; the label before it counts again.

        Raises:
            NotFound: there is no verdict under this identity, or it has no label.
            VersionConflict: somebody else has labelled it since.
        """
        event = await self._find(identity)
        if event.label is None:
            raise NotFound(f"The event '{identity}' has no label to take back.")
        is_own = event.label.labeller == labeller
        now = self.clock.now()
        if not is_own or not await self.store.withdraw(event.label, labeller, now):
            by = "Somebody else" if is_own else f"'{event.label.labeller}'"
            raise VersionConflict(f"{by} has labelled this event since. Label it anew instead.")

    async def disputes(self) -> int:
        """Return how many events arms gave different verdicts on that nobody labelled."""
        return await self.store.disputes()

    async def label_all(self, labels: Sequence[tuple[str, Label]]) -> Sequence[str]:
        """Store what people say about many events; returns identities without a verdict.

        Args:
            labels: each with a submitted id, an `Id` or a verdict key; those in the labels do not
                count.
        """
        unknown: list[str] = []
        found: list[tuple[ComparedEvent, Label]] = []
        for identity, label in labels:
            try:
                event = await self._find(identity)
            except NotFound:
                unknown.append(identity)
            else:
                found.append((event, replace(label, key=event.key)))
        if found:
            await self.store.label(found)
            self.meter.labelled(len(found))
        return unknown

    async def events(
        self, wanted: ComparedFilter, *, limit: int, before: int | None = None
    ) -> Sequence[ComparedEvent]:
        """List events that were compared or labelled, the latest stored first."""
        return await self.store.events(wanted, limit=limit, before=before)

    async def every(self, wanted: ComparedFilter) -> AsyncIterator[ComparedEvent]:
        """Yield all of them, page by page, the latest stored first."""
        before: int | None = None
        while page := await self.store.events(wanted, limit=PAGE, before=before):
            for event in page:
                yield event
            before = page[-1].position

    async def _find(self, identity: str) -> ComparedEvent:
        record = await find_verdict(self.ledger, identity)
        return await self.store.find(record.key) or event_of_record(record)


def compared_event(event: VerifyEvent, answers: Sequence[ArmAnswer]) -> ComparedEvent:
    """Return an event with what arms said about it."""
    return ComparedEvent(
        event.key, event.id, event.sensor_id, event.category, event.timestamp, tuple(answers)
    )


def event_of_record(record: VerdictRecord) -> ComparedEvent:
    """Return an event as its verdict alone tells it, with the answer of one arm."""
    told = info_of(record.document)
    said = read_list(told.get("sidecarAnswers"))
    answer = ArmAnswer(
        key=record.key,
        arm=record.arm,
        model=str(told.get("sidecarModel", "")),
        adapter=str(told.get("sidecarAdapter", "")),
        role=Role.PRIMARY,
        outcome=record.outcome,
        decided_at=record.decided_at,
        latency_ms=read_whole(told.get("sidecarLatencyMs")) or 0,
        reason=record.reason,
        is_published=True,
        confidence=read_number(told.get("sidecarConfidence")),
        prompt_tokens=_sum(said, "promptTokens"),
        completion_tokens=_sum(said, "completionTokens"),
        frames_asked=read_whole(told.get("sidecarFramesAsked")),
        frames_seen=read_whole(told.get("sidecarFramesSeen")),
        prompt_version=read_whole(str(told.get("sidecarPromptVersion", "")).rpartition("@")[2])
        or 0,
        text=str(said[-1].get("text", "")) if said else "",
    )
    return ComparedEvent(
        record.key, record.id, record.sensor_id, record.category, record.timestamp, (answer,)
    )


def _sum(answers: Sequence[Mapping[str, Any]], name: str) -> int | None:
    counts = [it[name] for it in answers if isinstance(it.get(name), int)]
    return sum(counts) if counts else None
