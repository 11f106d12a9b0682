"""Prometheus metrics of realtime rules and incidents, with VSS's names, labels and buckets.

Source: services/alert, metrics/prometheus_metrics.py (3.3 line).
"""

from collections.abc import Mapping, Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_CALLS: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_QUERIES: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_FOLDS: Final = (0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1)
_METHODS: Final = (
    "start_stream",
    "get_stream_info",
    "generate_captions",
    "stop_captions",
    "stop_stream",
)
_STAGES: Final = (
    "validation",
    "es_persist",
    "start_stream",
    "stream_identity_conflict",
    "missing_stream_id",
    "generate_captions",
    "stream_readiness",
    "es_update",
    "stream_readiness_post_commit",
)


class PrometheusRealtimeMeter:
    """Implements the RealtimeMeter port on a registry that others share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._created = self._counter("realtime_rules_created", "Rules created.")
        self._persisted = self._counter(
            "realtime_rules_persisted", "Rules stored that RT-VLM works on."
        )
        self._deleted = self._counter("realtime_rules_deleted", "Rules deleted.")
        self._failed = self._counter("realtime_rules_failed", "What stopped a rule.", "stage")
        self._followed = self._gauge("realtime_rules_active", "Rules whose captions are followed.")
        self._stored = self._gauge("realtime_rules_count", "Active rules in the store.")
        self._replays = self._counter("replay_invocations", "Replays by outcome.", "outcome")
        self._replay_failures = self._counter(
            "replay_rule_failures", "Rules that a replay could not start."
        )
        self._calls = self._histogram(
            "rtvi_call_duration_seconds", "One call of RT-VLM.", _CALLS, "method"
        )
        self._call_failures = self._counter("rtvi_call_failures", "Failed calls.", "method")
        self._queries = self._histogram(
            "incident_query_duration_seconds", "One query for incidents.", _QUERIES
        )
        self._query_failures = self._counter("incident_query_failures", "Failed queries.")
        self._chunks = self._counter("dedup_chunks_in", "Chunks given to the consolidation.")
        self._events = self._counter("dedup_events_out", "Events that they were folded into.")
        self._splits = self._counter("dedup_split_reason", "Why an event ended.", "reason")
        self._folds = self._histogram("dedup_duration_seconds", "One consolidation.", _FOLDS)
        self._fill_labels()

    def rule_created(self) -> None:
        """Count a rule, which is stored by then."""
        self._created.inc()
        self._persisted.inc()

    def rule_failed(self, stage: str) -> None:
        """Count what stopped a rule."""
        self._failed.labels(stage).inc()

    def rule_deleted(self) -> None:
        """Count a deletion."""
        self._deleted.inc()

    def rules(self, *, followed: int, stored: int) -> None:
        """Set the levels."""
        self._followed.set(followed)
        self._stored.set(stored)

    def replayed(self, *, succeeded: int, failed: int) -> None:
        """Count a replay."""
        outcome = "success" if not failed else "partial" if succeeded else "failed"
        self._replays.labels(outcome).inc()
        self._replay_failures.inc(failed)

    def called_rtvi(self, method: str, seconds: float, *, ok: bool) -> None:
        """Time a call."""
        self._calls.labels(method).observe(seconds)
        if not ok:
            self._call_failures.labels(method).inc()

    def queried_incidents(self, seconds: float, *, ok: bool) -> None:
        """Time a query."""
        self._queries.observe(seconds)
        if not ok:
            self._query_failures.inc()

    def consolidated(
        self, *, chunks: int, events: int, splits: Mapping[str, int], seconds: float
    ) -> None:
        """Count and time a consolidation."""
        self._chunks.inc(chunks)
        self._events.inc(events)
        self._folds.observe(seconds)
        for reason, times in splits.items():
            self._splits.labels(reason).inc(times)

    def _fill_labels(self) -> None:
        """Let every series exist at 0 before the first scrape."""
        for method in _METHODS:
            self._calls.labels(method)
            self._call_failures.labels(method)
        for stage in _STAGES:
            self._failed.labels(stage)
        for outcome in ("success", "partial", "failed"):
            self._replays.labels(outcome)
        for reason in ("gap", "outer"):
            self._splits.labels(reason)

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"alert_bridge_{name}", meaning, labels, registry=self._registry)

    def _gauge(self, name: str, meaning: str) -> Gauge:
        return Gauge(f"alert_bridge_{name}", meaning, registry=self._registry)

    def _histogram(
        self, name: str, meaning: str, buckets: Sequence[float], *labels: str
    ) -> Histogram:
        full = f"alert_bridge_{name}"
        return Histogram(full, meaning, labels, buckets=buckets, registry=self._registry)
