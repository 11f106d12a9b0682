"""Prometheus metrics of the WebSocket."""

from prometheus_client import CollectorRegistry, Counter, Gauge


class PrometheusAudienceMeter:
    """Implements the AudienceMeter port on a registry that others share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._clients = Gauge(
            "sidecar_websocket_clients", "WebSocket connections.", registry=registry
        )
        self._refused = Counter(
            "sidecar_websocket_refused",
            "WebSocket connections that were closed: too many of them, or too slow.",
            ("reason",),
            registry=registry,
        )
        for reason in ("full", "slow"):
            self._refused.labels(reason)

    def listening(self, count: int) -> None:
        """Set the level."""
        self._clients.set(count)

    def turned_away(self) -> None:
        """Count a connection that found no place."""
        self._refused.labels("full").inc()

    def dropped(self) -> None:
        """Count a connection that could not keep up."""
        self._refused.labels("slow").inc()
