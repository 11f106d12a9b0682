"""Prometheus metrics as a scraper sees them."""

import re
import urllib.request
from typing import Any

import pytest

from sidecar.model import Drop
from sidecar.observe.metrics import PrometheusMeter
from sidecar.settings import MetricsSettings


def _scrape(meter: PrometheusMeter) -> str:
    port = meter.serve(MetricsSettings(port=0))
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def _value(text: str, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    assert found, f"{sample} is not there"
    return float(found[1])


@pytest.mark.parametrize(
    "sample",
    [
        "alert_bridge_events_after_dedup_total",
        "alert_bridge_events_skipped_confirmed_total",
        *(
            f'alert_bridge_events_dropped_total{{reason="{reason}"}}'
            for reason in ("dedup", "end_time_delta", "rate_limit")
        ),
        *(
            f'alert_bridge_events_total{{verdict="{verdict}"}}'
            for verdict in ("confirmed", "rejected", "verification-failed", "unknown")
        ),
        *(
            f'alert_bridge_verification_failures_total{{reason="{reason}"}}'
            for reason in (
                "no_prompt",
                "unknown",
                "url_validation",
                "vlm_connection_error",
                "vlm_invalid_payload",
                "vlm_parse_failure",
                "vlm_server_error",
                "vlm_timeout",
                "vst_client_error",
                "vst_not_found",
                "vst_overloaded",
                "vst_server_error",
                "vst_timeout",
                "vst_unavailable",
                "vst_unknown",
            )
        ),
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library never closes its socket
def test_vss_metrics_exist_before_the_first_event(sample: str) -> None:
    """Rates and alerts work from the first scrape on."""
    assert 0.0 == _value(_scrape(PrometheusMeter()), sample)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the library never closes its socket
def test_every_event_is_counted_once() -> None:
    """VSS's identity: taken = confirmed + rejected + failed + unknown + skipped, at rest."""
    meter = PrometheusMeter()
    outcomes: list[tuple[str, str]] = [
        ("confirmed", ""),
        ("rejected", ""),
        ("", ""),
        ("verification-failed", "vlm_timeout"),
    ]
    for outcome, reason in outcomes:
        meter.accepted(is_new=True)
        meter.decided(outcome, reason, 0.2)
    meter.accepted(is_new=False)
    for drop in Drop:
        meter.dropped(drop)
    text = _scrape(meter)
    events: dict[str, Any] = {
        verdict: _value(text, f'alert_bridge_events_total{{verdict="{verdict}"}}')
        for verdict in ("confirmed", "rejected", "verification-failed", "unknown")
    }

    assert {"confirmed": 1, "rejected": 1, "verification-failed": 1, "unknown": 1} == events
    assert 5 == _value(text, "alert_bridge_events_after_dedup_total")
    assert 1 == _value(text, "alert_bridge_events_skipped_confirmed_total")
    # an event that is known, one that is not finished, and an update
    assert 3 == _value(text, 'alert_bridge_events_dropped_total{reason="dedup"}')
    assert 1 == _value(text, 'alert_bridge_events_dropped_total{reason="end_time_delta"}')
    assert 1 == _value(text, 'alert_bridge_events_dropped_total{reason="rate_limit"}')
    assert 1 == _value(text, 'alert_bridge_verification_failures_total{reason="vlm_timeout"}')
    assert 4 == _value(text, "alert_bridge_worker_processing_seconds_count")
