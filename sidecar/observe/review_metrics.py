"""Prometheus metrics of the Event Reviewer API, with the names of VSS 2.4's engine.

Source: vss-engine 2.4.1. Names about live streams, audio and retrieval are left out, because
nothing here does that.
"""

import time
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS: Final = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 35, 40, 45, 50)
_TOKENS: Final = (16, 64, 256, 1024, 2048, 4096, 8192, 16_384, 32_768)


class PrometheusReviewMeter:
    """Implements the ReviewMeter port on a registry that others share."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._processed = Counter(
            "video_file_queries_processed", "Requests about files that ended.", registry=registry
        )
        self._pending = Gauge(
            "video_file_queries_pending", "Requests about files under way.", registry=registry
        )
        uptime = Gauge("system_uptime_seconds", "Since the service began.", registry=registry)
        begun = time.monotonic()
        uptime.set_function(lambda: time.monotonic() - begun)
        self._decode = _Latency("decode_latency_seconds", "Showing one chunk.", registry)
        self._vlm = _Latency("vlm_latency_seconds", "Asking about one chunk.", registry)
        self._input = Histogram(
            "vlm_input_tokens_per_chunk",
            "Tokens of the prompt, as the server counts them.",
            buckets=_TOKENS,
            registry=registry,
        )
        self._output = Histogram(
            "vlm_output_tokens_per_chunk",
            "Tokens of the answer, as the server counts them.",
            buckets=_TOKENS,
            registry=registry,
        )

    def pending(self, count: int) -> None:
        """Set how many requests are under way."""
        self._pending.set(count)

    def processed(self) -> None:
        """Count a request."""
        self._processed.inc()

    def shown(self, seconds: float) -> None:
        """Time the decoding of a chunk."""
        self._decode.observe(seconds)

    def asked(self, seconds: float) -> None:
        """Time the model."""
        self._vlm.observe(seconds)

    def counted(self, input_tokens: int | None, output_tokens: int | None) -> None:
        """Count the tokens of an answer."""
        if input_tokens is not None:
            self._input.observe(input_tokens)
        if output_tokens is not None:
            self._output.observe(output_tokens)


class _Latency:
    """A histogram, and a gauge of the latest value beside it, as 2.4 has them."""

    def __init__(self, name: str, meaning: str, registry: CollectorRegistry) -> None:
        self._all = Histogram(name, meaning, buckets=_SECONDS, registry=registry)
        self._latest = Gauge(f"{name}_latest", f"{meaning} The latest.", registry=registry)

    def observe(self, seconds: float) -> None:
        self._all.observe(seconds)
        self._latest.set(seconds)
