"""Prometheus metrics of who is not let in."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter

from sidecar.errors import Forbidden, RateLimited, RequestError, Unauthenticated, row_of

DOORS: Final = ("http", "grpc")
_REFUSALS: Final = (Unauthenticated(), Forbidden(), RateLimited("", 0))


class PrometheusAccessMeter:
    """Implements the AccessMeter port on a registry that others share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._refused = Counter(
            "sidecar_access_refused",
            "Callers that were not let in.",
            ("door", "reason"),
            registry=registry,
        )
        for door in DOORS:
            for error in _REFUSALS:
                self._refused.labels(door, row_of(error).reason)

    def refused(self, door: str, error: RequestError) -> None:
        """Count a refusal."""
        self._refused.labels(door, row_of(error).reason).inc()
