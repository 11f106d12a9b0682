"""`vlm_sidecar.v1.Verifier`: each method translates, asks the service, and translates back."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog

from sidecar.audit import Attribution
from sidecar.contract.enrich import record_of
from sidecar.core.arms import Arms
from sidecar.core.service import Service, Submission
from sidecar.doors.arms import put_in_force
from sidecar.doors.rpc_access import caller
from sidecar.doors.rpc_messages import (
    read_after,
    read_arm_choice,
    read_event,
    read_filter,
    read_frames,
    with_media,
    write_arm,
    write_arm_choice,
    write_pending,
    write_refusal,
    write_verdict,
)
from sidecar.doors.rpc_refusals import Context, refusing, refusing_stream
from sidecar.doors.rpc_waiting import Waiting
from sidecar.errors import InvalidRequest, Issue, Overloaded, RequestError
from sidecar.model import EventKind, Verdict, VerdictRecord, VerifyEvent
from sidecar.pb.v1 import verifier_pb2 as pb
from sidecar.pb.v1.verifier_pb2_grpc import VerifierServicer
from sidecar.ports import InlineMedia

AT_ONCE: Final = 256
"""Events of one stream that are acknowledged together."""
AHEAD: Final = 8
"""Groups of them that a stream may be ahead of its acknowledgements."""
DRY_RUN: Final = "dry-run:"
_INLINE: Final = frozenset({"frames", "clip"})

_log = structlog.get_logger()

Raw = Mapping[str, Any]
Answer = Submission | RequestError | None
"""What became of an event of a stream; None is a defect of ours."""
Groups = asyncio.Queue[asyncio.Task[pb.SubmitStreamResponse] | None]
_UNEXPECTED: Final = pb.Refusal(
    code="INTERNAL", reason="unexpected", message="Internal server error occurred."
)


@dataclass(frozen=True, slots=True)
class VerifierService(VerifierServicer):
    """The methods of the service.

    Attributes:
        waiting: tells of verdicts.
        arms: what is in force.
        verify: decides an event that is not kept.
        media: keeps inline media; None when they cannot be kept.
    """

    service: Service
    waiting: Waiting
    arms: Arms
    verify: Callable[[VerifyEvent], Awaitable[Verdict]]
    media: InlineMedia | None

    @refusing
    async def Verify(  # noqa: N802 - names of the protocol, as below
        self, request: pb.VerifyRequest, context: Context
    ) -> pb.VerifyResponse:
        """Accept an event and wait for its verdict, or decide it without keeping it."""
        del context
        if request.dry_run:
            return pb.VerifyResponse(verdict=write_verdict(await self._try(request.event)))
        taken = await self._submit(request.event)
        if taken.dropped:
            return pb.VerifyResponse(dropped=taken.dropped)
        return pb.VerifyResponse(
            verdict=write_verdict(await self.waiting.verdict_on(taken.event.key))
        )

    @refusing
    async def Submit(  # noqa: N802
        self, request: pb.SubmitRequest, context: Context
    ) -> pb.SubmitResponse:
        """Accept an event durably."""
        del context
        return pb.SubmitResponse(receipt=_receipt(await self._submit(request.event)))

    @refusing_stream
    async def SubmitStream(  # noqa: N802
        self, request_iterator: AsyncIterator[pb.SubmitStreamRequest], context: Context
    ) -> AsyncGenerator[pb.SubmitStreamResponse]:
        """Accept events durably, many at the same time, and acknowledge each."""
        # Tells a client that it is let in, before it sends; see `sidecar.client.sending`.
        await context.send_initial_metadata(())
        groups, room = Groups(), asyncio.Semaphore(AHEAD)
        reader = asyncio.create_task(self._read(request_iterator, groups, room))
        try:
            while (group := await groups.get()) is not None:
                yield await group
                room.release()
            await reader
        finally:
            reader.cancel()

    @refusing_stream
    async def WatchVerdicts(  # noqa: N802
        self, request: pb.WatchVerdictsRequest, context: Context
    ) -> AsyncGenerator[pb.WatchVerdictsResponse]:
        """Follow verdicts."""
        del context
        async for record in self.service.follow(read_filter(request), read_after(request)):
            if record is not None:
                yield pb.WatchVerdictsResponse(verdict=write_verdict(record))

    @refusing
    async def GetVerdict(  # noqa: N802
        self, request: pb.GetVerdictRequest, context: Context
    ) -> pb.GetVerdictResponse:
        """Read a verdict."""
        del context
        found = await self.service.find(request.id)
        if isinstance(found, VerdictRecord):
            return pb.GetVerdictResponse(verdict=write_verdict(found))
        return pb.GetVerdictResponse(pending=write_pending(found))

    @refusing
    async def ListArms(  # noqa: N802
        self, request: pb.ListArmsRequest, context: Context
    ) -> pb.ListArmsResponse:
        """List the arms and ask each whether it can work."""
        del request, context
        states = await self.arms.states()
        return pb.ListArmsResponse(
            arms=map(write_arm, states), choice=write_arm_choice(self.arms.current)
        )

    @refusing
    async def SetArms(  # noqa: N802
        self, request: pb.SetArmsRequest, context: Context
    ) -> pb.SetArmsResponse:
        """Put arms in force."""
        del context
        by = Attribution(caller().name, request.reason)
        choice = await put_in_force(self.arms, read_arm_choice(request), by)
        return pb.SetArmsResponse(choice=write_arm_choice(choice))

    async def _read(
        self,
        requests: AsyncIterator[pb.SubmitStreamRequest],
        groups: Groups,
        room: asyncio.Semaphore,
    ) -> None:
        """Start on events as they come; a stream that is too far ahead is not read further."""
        try:
            async for request in requests:
                for start in range(0, len(request.events), AT_ONCE):
                    await room.acquire()
                    group = request.events[start : start + AT_ONCE]
                    groups.put_nowait(asyncio.create_task(self._acknowledge(group)))
        finally:
            groups.put_nowait(None)

    async def _acknowledge(self, group: Sequence[pb.StreamedEvent]) -> pb.SubmitStreamResponse:
        """Accept events together, so that they share the waits for the disk."""
        answers: Sequence[Answer]
        try:
            answers = await self._submit_all([streamed.event for streamed in group])
        except RequestError as error:
            answers = [error] * len(group)
        except Exception:  # noqa: BLE001 - one event that meets a defect must not stop the others
            _log.exception("events_failed")
            answers = await asyncio.gather(*(self._submit_guarded(it.event) for it in group))
        pairs = zip(group, answers, strict=True)
        return pb.SubmitStreamResponse(acks=[_ack(it.sequence, answer) for it, answer in pairs])

    async def _submit_guarded(self, event: pb.Event) -> Answer:
        try:
            return await self._submit(event)
        except RequestError as error:
            return error
        except Exception:  # noqa: BLE001 - as above
            _log.exception("event_failed")
            return None

    async def _submit(self, event: pb.Event) -> Submission:
        [answer] = await self._submit_all([event])
        if isinstance(answer, RequestError):
            raise answer
        return answer

    async def _submit_all(self, events: Sequence[pb.Event]) -> Sequence[Submission | RequestError]:
        """Accept events, with one wait for the disk for all."""
        if any(map(_has_inline, events)):
            read = await asyncio.gather(*map(self._read_with_media, events))
        else:
            read = [_read(event) for event in events]
        offered = [it for it in read if isinstance(it, _Read)]
        taken = await self.service.submit_all([(it.raw, it.kind) for it in offered])
        for it, answer in zip(offered, taken, strict=True):
            if it.media and isinstance(answer, Submission) and answer.dropped:
                await self._media().forget(it.media, answer.event.key)
        answers = iter(taken)
        return [next(answers) if isinstance(it, _Read) else it for it in read]

    async def _read_with_media(self, event: pb.Event) -> "_Read | RequestError":
        """Read an event, and keep the media that came with it before it is accepted."""
        read = _read(event)
        if isinstance(read, RequestError) or not _has_inline(event):
            return read
        try:
            key = self.service.intake.read(read.raw, read.kind).key
            name = await self._keep(key, event)
            return _Read(with_media(read.raw, "video_path", name), read.kind, name)
        except RequestError as error:
            return error

    async def _try(self, event: pb.Event) -> VerdictRecord:
        """Decide an event that is not kept; the work ends with the call.

        Raises:
            Overloaded: every place is taken; dry runs do not wait in line.
        """
        raw, kind = read_event(event)
        if not self.service.slots.take(1):
            raise Overloaded(
                "All places for verifications are taken, and a dry run does not wait for one. Send "
                "again in a moment, or send it without dry_run."
            )
        try:
            async with self._kept_for_now(raw, event) as shown:
                return record_of(await self.verify(self.service.intake.read(shown, kind)))
        finally:
            self.service.slots.give_back()
            self.service.submitted.ring()

    @asynccontextmanager
    async def _kept_for_now(self, raw: Raw, event: pb.Event) -> AsyncGenerator[Raw]:
        if not _has_inline(event):
            yield raw
            return
        key = f"{DRY_RUN}{uuid.uuid4()}"
        name = await self._keep(key, event)
        try:
            yield with_media(raw, "video_path", name)
        finally:
            await self._media().forget(name, key)

    async def _keep(self, key: str, event: pb.Event) -> str:
        """Keep inline media and return their name."""
        media = self._media()
        if event.WhichOneof("media") == "clip":
            return await media.keep_clip(key, event.clip)
        return await media.keep_frames(key, read_frames(event.frames))

    def _media(self) -> InlineMedia:
        """Return what keeps inline media.

        Raises:
            InvalidRequest: they cannot be kept, or would not be looked at.
        """
        if self.media is None:
            raise _no_inline(
                "With a Redis ledger, inline media need a folder that all replicas share: set "
                "SIDECAR_MEDIA__INLINE_DIR, or send a URL."
            )
        if self.service.intake.ignore_event_media:
            raise _no_inline(
                "The media of events are not looked at, because SIDECAR_VST__IGNORE_EVENT_MEDIA is "
                "set: every clip comes from VST."
            )
        return self.media


@dataclass(frozen=True, slots=True)
class _Read:
    """An event as the service takes it, and the name of the media that were kept for it."""

    raw: Raw
    kind: EventKind
    media: str = ""


def _has_inline(event: pb.Event) -> bool:
    return event.WhichOneof("media") in _INLINE


def _read(event: pb.Event) -> _Read | RequestError:
    try:
        return _Read(*read_event(event))
    except RequestError as error:
        return error


def _ack(sequence: int, answer: Answer) -> pb.Ack:
    if isinstance(answer, Submission):
        return pb.Ack(sequence=sequence, receipt=_receipt(answer))
    refusal = _UNEXPECTED if answer is None else write_refusal(answer)
    return pb.Ack(sequence=sequence, refusal=refusal)


def _receipt(taken: Submission) -> pb.Receipt:
    return pb.Receipt(id=taken.event.id, verdict_key=taken.event.key, dropped=taken.dropped)


def _no_inline(message: str) -> InvalidRequest:
    return InvalidRequest((Issue("event.media", "inline_media_refused", message),))
