"""Structured logs on standard error."""

import logging
import sys
from contextlib import suppress

import structlog

from sidecar.settings import LogSettings


class _LineLogger(structlog.PrintLogger):
    """Loses a line that cannot be written: a full disk must not stop what the line tells about."""

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


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
        logger_factory=lambda *_: _LineLogger(sys.stderr),
        cache_logger_on_first_use=True,
    )
