"""Structured logs on standard error."""

import logging
import sys

import structlog

from sidecar.settings import LogSettings


def configure_logging(settings: LogSettings) -> None:
    """Set up structlog for this process. Library logs below warning are left out."""
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(name)s: %(message)s")
    # Tracebacks show no local variables: those hold prompts, pictures and URLs.
    as_json = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    as_text = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    rendering = [as_json, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *(rendering if settings.format == "json" else [as_text]),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
