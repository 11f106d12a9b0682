"""Metrics on the API's own port, where VSS 2.4 has them and 3.x only points to another one."""

from typing import Final

from fastapi import Request, Response
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

_FORMATS: Final = ("application/openmetrics-text", "version=0.0.4")


def is_scrape(request: Request) -> bool:
    """Tell whether Prometheus asks, and not a person who is to be pointed to the right port."""
    accepted = request.headers.get("accept", "")
    return any(name in accepted for name in _FORMATS)


def scrape(request: Request, registry: CollectorRegistry) -> Response:
    """Write the metrics in the format that the scraper prefers."""
    encode, content_type = choose_encoder(request.headers.get("accept", ""))
    return Response(encode(registry), headers={"Content-Type": content_type})
