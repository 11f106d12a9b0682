"""Traces through wrappers: each is the part that it wraps, and tells a tracer how long it took.

Nothing here knows OpenTelemetry. Without an endpoint hardly anything is wrapped, and `UNTRACED`
does nothing.
"""

from collections.abc import AsyncGenerator, Mapping
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import Final

from sidecar.core.layers import Layer
from sidecar.model import Anchor, ChatReply, ChatRequest, Clip, OutboxEntry, VerifyEvent
from sidecar.ports import ClipSource, Sink, Tracer, VlmBackend

_NOTHING: Final[AbstractContextManager[None]] = nullcontext()
_NO_HEADERS: Final[Mapping[str, str]] = {}


class Untraced:
    """A tracer that is switched off."""

    def adopt(self, door: str, carrier: Mapping[str, str]) -> None:
        """Do nothing."""

    def span(self, name: str, **facts: str) -> AbstractContextManager[None]:
        """Measure nothing."""
        del name, facts
        return _NOTHING

    def keep(self, key: str) -> None:
        """Do nothing."""

    def resume(self, name: str, key: str, **facts: str) -> AbstractContextManager[None]:
        """Measure nothing."""
        del name, key, facts
        return _NOTHING

    def carrier(self) -> Mapping[str, str]:
        """Return no headers."""
        return _NO_HEADERS

    async def close(self) -> None:
        """Do nothing."""


UNTRACED: Final = Untraced()


class TracedVlm(Layer):
    """Measures each request to a model's server.

    Args:
        backend: what to call.
        tracer: is told.
        arm: its name.
    """

    def __init__(self, backend: VlmBackend, tracer: Tracer, arm: str) -> None:
        super().__init__(backend)
        self._tracer = tracer
        self._arm = arm

    async def complete(self, request: ChatRequest, timeout_s: float) -> ChatReply:
        """Complete one chat and tell how long it took."""
        with self._tracer.span("vlm", arm=self._arm):
            return await self._backend.complete(request, timeout_s)


class TracedClips:
    """Measures how long an event's clip took to get.

    Args:
        clips: what to ask.
        tracer: is told.
    """

    def __init__(self, clips: ClipSource, tracer: Tracer) -> None:
        self._clips = clips
        self._tracer = tracer

    @asynccontextmanager
    async def open(
        self, event: VerifyEvent, *, download: bool, anchor: Anchor | None = None
    ) -> AsyncGenerator[Clip]:
        """Give the clip; what is done with it is not measured."""
        async with AsyncExitStack() as stack:
            with self._tracer.span("clip", route=event.media.route.name):
                opened = self._clips.open(event, download=download, anchor=anchor)
                clip = await stack.enter_async_context(opened)
            yield clip

    async def ping(self) -> str:
        """Ask the clips."""
        return await self._clips.ping()

    async def close(self) -> None:
        """Close the clips."""
        await self._clips.close()


class TracedSink:
    """Measures each delivery.

    Args:
        sink: what to call.
        tracer: is told.
    """

    def __init__(self, sink: Sink, tracer: Tracer) -> None:
        self._sink = sink
        self._tracer = tracer

    @property
    def name(self) -> str:
        """The sink's name."""
        return self._sink.name

    @property
    def most_at_once(self) -> int:
        """The sink's limit."""
        return self._sink.most_at_once

    async def publish(self, entry: OutboxEntry) -> None:
        """Deliver one verdict and tell how long it took."""
        with self._tracer.resume("sink", entry.record.key, sink=self._sink.name):
            await self._sink.publish(entry)

    async def ping(self) -> str:
        """Ask the sink."""
        return await self._sink.ping()

    async def close(self) -> None:
        """Close the sink."""
        await self._sink.close()
