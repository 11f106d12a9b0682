"""The events of a stream on their way, until each is acknowledged."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import suppress
from typing import Final

import grpc

from sidecar.client.events import AnyEvent, write_event
from sidecar.pb.v1 import verifier_pb2 as pb

WINDOW: Final = 2048
"""Events that may be on their way at the same time."""
AT_ONCE: Final = 256
"""Events in one message."""
MESSAGE_BYTES: Final = 1_048_576
"""A message is sent when it is larger than this."""
REFUSED_RETRY_S: Final = 0.5
SILENCE_S: Final = 2.0
"""How long a server may take to let a stream in before events are sent all the same. What gRPC for
asyncio is sending when a refusal comes hides the refusal behind «Internal error from Core»."""

Call = grpc.aio.StreamStreamCall[pb.SubmitStreamRequest, pb.SubmitStreamResponse]
Events = AsyncIterable[AnyEvent] | Iterable[AnyEvent]


class Sending:
    """Numbers events from 1 and keeps each until it is settled, so that it can be sent again."""

    def __init__(self) -> None:
        self._unsettled: dict[int, pb.StreamedEvent] = {}
        self._to_send: asyncio.Queue[pb.StreamedEvent | None] = asyncio.Queue()
        self._room = asyncio.Semaphore(WINDOW)
        self._is_read = False

    async def read(self, events: Events) -> None:
        """Take events from their source as there is room for them."""
        sequence = 0
        try:
            async for event in _each(events):
                sequence += 1
                await self._room.acquire()
                written = event if isinstance(event, pb.Event) else write_event(event)
                streamed = pb.StreamedEvent(sequence=sequence, event=written)
                self._unsettled[sequence] = streamed
                self._to_send.put_nowait(streamed)
        finally:
            self._is_read = True
            self._end_if_settled()

    async def write_to(self, call: Call) -> None:
        """Send over a new call what is not settled, and what comes; then say that this is all."""
        self._start_anew()
        with suppress(TimeoutError):
            await asyncio.wait_for(call.initial_metadata(), SILENCE_S)
        if call.done():  # refused
            return
        while batch := await self._batch():
            await call.write(pb.SubmitStreamRequest(events=batch))
        await call.done_writing()

    def settle(self, ack: pb.Ack) -> bool:
        """Take an acknowledgement; False when it says nothing new or the event is sent again."""
        streamed = self._unsettled.get(ack.sequence)
        if streamed is None:
            return False
        if ack.refusal.retryable:
            loop = asyncio.get_running_loop()
            loop.call_later(REFUSED_RETRY_S, self._send_again, streamed)
            return False
        del self._unsettled[ack.sequence]
        self._room.release()
        self._end_if_settled()
        return True

    def _send_again(self, streamed: pb.StreamedEvent) -> None:
        self._to_send.put_nowait(streamed)

    def _start_anew(self) -> None:
        self._to_send = asyncio.Queue()
        for streamed in self._unsettled.values():
            self._to_send.put_nowait(streamed)
        self._end_if_settled()

    def _end_if_settled(self) -> None:
        if self._is_read and not self._unsettled:
            self._to_send.put_nowait(None)

    async def _batch(self) -> list[pb.StreamedEvent]:
        """Wait for an event and take what waits with it; nothing when all are settled."""
        batch: list[pb.StreamedEvent] = []
        size = 0
        streamed = await self._to_send.get()
        with suppress(asyncio.QueueEmpty):
            while streamed is not None:
                batch.append(streamed)
                size += streamed.ByteSize()
                if len(batch) == AT_ONCE or size > MESSAGE_BYTES:
                    break
                streamed = self._to_send.get_nowait()
        return batch


async def _each(events: Events) -> AsyncIterator[AnyEvent]:
    if isinstance(events, AsyncIterable):
        async for event in events:
            yield event
    else:
        for event in events:
            yield event
