"""What Prometheus learns about the Event Reviewer API."""

from pathlib import Path

from fastapi import Request
from prometheus_client import CollectorRegistry
from review_samples import reviewing, short

from sidecar.doors.scrape import is_scrape, scrape
from sidecar.testing.mock_vlm import ScriptedAnswer


async def test_requests_chunks_and_tokens_are_counted(folder: Path) -> None:
    """By the names of 2.4, also when the model fails."""
    answers = (ScriptedAnswer("yes", prompt_tokens=900), ScriptedAnswer("no", status=500))
    options = {"arm": {"retries": 0}, "verify": {"min_frames_seen": 0}}
    async with reviewing(folder, *answers, **options) as (service, _):
        for _ in answers:
            await service.post("/reviewAlert", short())
        value = service.app.meter.registry.get_sample_value
        counts = {
            name: value(name)
            for name in (
                "video_file_queries_processed_total",
                "video_file_queries_pending",
                "decode_latency_seconds_count",
                "vlm_latency_seconds_count",
                "vlm_input_tokens_per_chunk_sum",
                "vlm_output_tokens_per_chunk_sum",
            )
        }
        latest = value("vlm_latency_seconds_latest") or 0.0
        uptime = value("system_uptime_seconds") or 0.0

    assert [2, 0, 2, 2, 900, 1] == list(counts.values())
    assert uptime > latest > 0


def test_a_scraper_gets_metrics_and_a_person_does_not() -> None:
    """Prometheus says in `Accept` which formats it reads; browsers and curl name others."""
    asked = {
        "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5": True,
        "text/plain;version=0.0.4": True,
        "*/*": False,
        "text/html,application/xhtml+xml": False,
        "": False,
    }
    registry = CollectorRegistry()
    requests = {accept: _request(accept) for accept in asked}

    assert asked == {accept: is_scrape(request) for accept, request in requests.items()}
    assert b"# EOF\n" == scrape(next(iter(requests.values())), registry).body


def _request(accept: str) -> Request:
    return Request({"type": "http", "headers": [(b"accept", accept.encode())]})
