"""Prometheus metrics: VSS's names where VSS has them, ours with the prefix `sidecar_`.

Every labelled metric with a closed vocabulary exists at 0 before the first scrape, so that rates
and alerts work from the start. Meanings: services/alert, metrics/prometheus_metrics.py; its
buckets end at 120 s, where overload begins to matter, so ours go on to 600 s.
"""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector

from sidecar.errors import ROWS
from sidecar.model import Drop, Outcome
from sidecar.settings import MetricsSettings

BROKERS: Final = ("kafka", "streams", "bridge")
DROP_LABELS: Final = {
    Drop.UNFINISHED: "dedup",  # VSS drops them in the same step
    Drop.END_TIME_DELTA: "end_time_delta",
    Drop.DEDUP: "dedup",
    Drop.RATE_LIMIT: "rate_limit",
}
SECONDS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60, 120, 300, 600)


class PrometheusMeter:
    """Implements the Meter port on a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._dropped = self._counter(
            "alert_bridge_events_dropped", "Events not verified again.", "reason"
        )
        for label in sorted(set(DROP_LABELS.values())):
            self._dropped.labels(label)
        self._skipped = self._counter(
            "alert_bridge_events_skipped_confirmed", "Events whose document was confirmed before."
        )
        self._admitted = self._counter(
            "alert_bridge_events_after_dedup", "Events taken for verification."
        )
        self._events = self._counter("alert_bridge_events", "Events by verdict.", "verdict")
        for outcome in Outcome:
            self._events.labels(_verdict_label(outcome.value))
        self._failures = self._counter(
            "alert_bridge_verification_failures", "Failed verifications by reason.", "reason"
        )
        for reason in sorted({row.metric for row in ROWS.values() if row.source}):
            self._failures.labels(reason)
        self._lag = self._histogram(
            "alert_bridge_kafka_lag_duration_seconds",
            "From a record's publication to its being read, of any broker.",
            "source",
        )
        self._put_aside = self._counter(
            "sidecar_dead_records", "Broker records that are no events.", "source", "reason"
        )
        self._lost = self._counter(
            "sidecar_lost_records", "Records that a broker dropped before they were read.", "source"
        )
        for source in BROKERS:
            self._lag.labels(source)
            self._lost.labels(source)
        self._processing = self._histogram(
            "alert_bridge_worker_processing_seconds", "From taking an event up to its verdict."
        )
        self._vlm = self._histogram(
            "alert_bridge_vlm_duration_seconds", "One request to a model's server.", "arm"
        )
        self._vlm_errors = self._counter("sidecar_vlm_errors", "Failed requests.", "arm")
        self._deliveries = self._counter(
            "sidecar_deliveries", "Deliveries to sinks by result.", "sink", "result"
        )
        self._backlog = self._gauge("sidecar_backlog_events", "Accepted and undecided events.")
        self._queued = self._gauge("sidecar_queued_events", "Events in line for a place.")
        self._waited = self._histogram(
            "alert_bridge_worker_queue_wait_duration_seconds", "From standing in line to the work."
        )
        self._in_flight = self._gauge("sidecar_in_flight_events", "Events being verified.")
        self._frames_left_out = self._counter(
            "sidecar_frames_left_out", "Events whose pictures were not kept.", "reason"
        )
        self._places = self._gauge(
            "sidecar_places", "Events that may be verified at the same time now."
        )

    def serve(self, settings: MetricsSettings) -> int:
        """Answer scrapes on a thread of its own; returns the port."""
        server, _ = start_http_server(settings.port, settings.host, registry=self.registry)
        return server.server_port

    def accepted(self, *, is_new: bool) -> None:
        """Count a submission."""
        (self._admitted if is_new else self._dropped.labels("dedup")).inc()

    def dropped(self, by: Drop) -> None:
        """Count an event that a filter dropped; VSS takes confirmed ones out after dedup."""
        if by is Drop.CONFIRMED:
            self._admitted.inc()
            self._skipped.inc()
        else:
            self._dropped.labels(DROP_LABELS[by]).inc()

    def received(self, source: str, lag_s: float | None) -> None:
        """Time a record's way."""
        if lag_s is not None:
            self._lag.labels(source).observe(lag_s)

    def put_aside(self, source: str, reason: str) -> None:
        """Count a dead letter."""
        self._put_aside.labels(source, reason).inc()

    def lost(self, source: str, records: int) -> None:
        """Count what nobody can get back."""
        self._lost.labels(source).inc(records)

    def decided(self, outcome: str, metric: str, latency_s: float) -> None:
        """Count a verdict."""
        self._events.labels(_verdict_label(outcome)).inc()
        self._processing.observe(latency_s)
        if metric:
            self._failures.labels(metric).inc()

    def called_vlm(self, arm: str, seconds: float, *, ok: bool) -> None:
        """Time a completion."""
        self._vlm.labels(arm).observe(seconds)
        if not ok:
            self._vlm_errors.labels(arm).inc()

    def delivered(self, sink: str, *, ok: bool) -> None:
        """Count a delivery."""
        self._deliveries.labels(sink, "ok" if ok else "failed").inc()

    def frames_left_out(self, reason: str) -> None:
        """The pictures that a model was shown were not kept."""
        self._frames_left_out.labels(reason).inc()

    def begun(self, waited_s: float) -> None:
        """Time the wait for a place."""
        self._waited.observe(waited_s)

    def observe(self, *, backlog: int, queued: int, in_flight: int, places: int) -> None:
        """Set the levels."""
        self._queued.set(queued)
        self._backlog.set(backlog)
        self._in_flight.set(in_flight)
        self._places.set(places)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, registry=self.registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(name, meaning, registry=self.registry)

    def _histogram(self, name: str, meaning: str, *labels: str) -> Histogram:
        return Histogram(name, meaning, labels, buckets=SECONDS, registry=self.registry)


def _verdict_label(outcome: str) -> str:
    """VSS counts an answer without a verdict as `unknown`."""
    return outcome or "unknown"
