"""Structured logs on standard error."""

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

import structlog

from sidecar.redaction import redact, redact_all
from sidecar.settings import LogSettings


class _LineLogger(structlog.PrintLogger):
    """Loses a line that cannot be written: a full disk must not stop what the line tells about."""

    def msg(self, message: str) -> None:
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


class _Redacting(logging.Formatter):
    """Formats the records of libraries without secrets, tracebacks included."""

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record))


def configure_logging(settings: LogSettings) -> None:
    """Set up structlog for this process. Library logs below warning are left out.

    Whatever is logged goes through `redact` last, whoever forgot to.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    libraries = logging.StreamHandler(sys.stderr)
    libraries.setFormatter(_Redacting("%(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[libraries])
    # Tracebacks show no local variables: those hold prompts, pictures and URLs.
    as_json = structlog.processors.ExceptionRenderer(
        structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
    )
    as_text = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    rendering: list[structlog.typing.Processor] = [as_text, _redact_line]
    if settings.format == "json":
        rendering = [as_json, _redact_values, structlog.processors.JSONRenderer()]
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *rendering,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: _LineLogger(sys.stderr),
        cache_logger_on_first_use=True,
    )


def _redact_values(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    return {name: redact_all(value) for name, value in event.items()}


def _redact_line(_logger: object, _method: str, line: Any) -> str:
    return redact(str(line))
