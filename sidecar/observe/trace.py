"""Traces by OpenTelemetry: one trace for each event, from its door to the sinks."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from opentelemetry import context as otel_context
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, get_current_span, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from sidecar import __version__
from sidecar.settings import TraceSettings

_KEPT: Final = 20_000
"""Events whose trace is remembered from their acceptance to their delivery. One that is forgotten,
or was accepted by another process, begins a new trace, which names its key."""
_PATH: Final = "/v1/traces"
_EXPORT_S: Final = 5
"""Time for one batch with all its repetitions; a collector that is away delays the end by that."""

_door: ContextVar[str] = ContextVar("door", default="")


@dataclass(frozen=True, slots=True)
class _Kept:
    """The trace of an accepted event, and since when it waits; 0 once it was taken up."""

    context: Context
    since_ns: int


class OtelTracer:
    """Implements the Tracer port.

    Args:
        settings: where to send spans, and how many.
        exporter: takes the spans instead.
    """

    def __init__(self, settings: TraceSettings, exporter: SpanExporter | None = None) -> None:
        resource = Resource.create(
            {"service.name": settings.service_name, "service.version": __version__}
        )
        sampler = ParentBased(TraceIdRatioBased(settings.sample_ratio))
        self._provider = TracerProvider(resource=resource, sampler=sampler)
        self._provider.add_span_processor(
            BatchSpanProcessor(exporter or _over_http(settings.endpoint))
        )
        self._tracer = self._provider.get_tracer("sidecar", __version__)
        self._propagator = TraceContextTextMapPropagator()
        self._kept: OrderedDict[str, _Kept] = OrderedDict()

    def adopt(self, door: str, carrier: Mapping[str, str]) -> None:
        """Go on with the caller's trace in this task; without one a new trace begins."""
        _door.set(door)
        otel_context.attach(self._propagator.extract(carrier, Context()))

    @contextmanager
    def span(self, name: str, **facts: str) -> Generator[None]:
        """Measure a step of this task; what it raises is recorded."""
        kind = SpanKind.CLIENT if name == "vlm" else SpanKind.INTERNAL
        if name == "accept":
            kind, facts = SpanKind.SERVER, {**facts, "door": _door.get()}
        with self._tracer.start_as_current_span(name, kind=kind, attributes=_named(facts)):
            yield

    def keep(self, key: str) -> None:
        """Remember the current span under an event's key."""
        self._remember(key, _Kept(otel_context.get_current(), time.time_ns()))

    @contextmanager
    def resume(self, name: str, key: str, **facts: str) -> Generator[None]:
        """Measure a step of an event; the first one also shows how long the event waited."""
        kept = self._kept.get(key)
        context = kept.context if kept else Context()
        if kept and kept.since_ns:
            self._tracer.start_span("queue", context, start_time=kept.since_ns).end()
            self._remember(key, _Kept(context, 0))
        kind = SpanKind.PRODUCER if name == "sink" else SpanKind.CONSUMER
        attributes = _named({**facts, "key": key})
        with self._tracer.start_as_current_span(name, context, kind=kind, attributes=attributes):
            if kept is None:
                self._remember(key, _Kept(set_span_in_context(get_current_span(), Context()), 0))
            yield

    def carrier(self) -> Mapping[str, str]:
        """Write the current span as a `traceparent`."""
        headers: dict[str, str] = {}
        self._propagator.inject(headers)
        return headers

    async def close(self) -> None:
        """Send what waits; gives up when the collector is away."""
        await asyncio.to_thread(self._provider.shutdown)

    def _remember(self, key: str, kept: _Kept) -> None:
        self._kept[key] = kept
        self._kept.move_to_end(key)
        if len(self._kept) > _KEPT:
            self._kept.popitem(last=False)


def _named(facts: Mapping[str, str]) -> Mapping[str, str]:
    return {f"sidecar.{name}": value for name, value in facts.items()}


def _over_http(endpoint: str) -> SpanExporter:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

    url = endpoint.rstrip("/")
    return OTLPSpanExporter(url if url.endswith(_PATH) else url + _PATH, timeout=_EXPORT_S)
