"""What goes wrong between us and a model's server, in our own errors."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Final

import aiohttp

from sidecar.contract.openai import failure_from_body
from sidecar.errors import (
    VlmBusy,
    VlmError,
    VlmInvalidPayload,
    VlmRefused,
    VlmServerError,
    VlmTimeout,
    VlmUnreachable,
)
from sidecar.redaction import redact

READ_CHARS: Final = 20_000
"""Of a server's message, before secrets are taken out of it."""
_CAUSE_CHARS: Final = 150  # as VSS cuts the root cause in its status texts


@asynccontextmanager
async def translated(limit_s: float) -> AsyncIterator[None]:
    """Turn what aiohttp raises into our tree.

    Raises:
        VlmTimeout: the time is over.
        VlmUnreachable: no connection, or it broke.
    """
    try:
        yield
    except TimeoutError as error:
        raise VlmTimeout(f"{type(error).__name__}: no answer within {limit_s:.1f} s") from error
    except (aiohttp.ClientError, OSError) as error:
        raise VlmUnreachable(_root_cause(type(error).__name__, str(error))) from error


def failure(status: int, answer: object) -> VlmError:
    """Make the error for an answer that is no completion, given as JSON value or text."""
    kind, message = failure_from_body(answer)
    cause = _root_cause(kind or "HTTPError", f"HTTP {status}, {message.strip() or 'no message'}")
    if status == HTTPStatus.OK or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return VlmServerError(cause, is_full=status == HTTPStatus.SERVICE_UNAVAILABLE)
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        return VlmInvalidPayload(cause)
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return VlmBusy(cause)
    return VlmRefused(cause)


def _root_cause(kind: str, text: str) -> str:
    """Write a cause as VSS does: `<Type>: <text>`, the text cut; secrets and media taken out."""
    kind, text = (redact(it[:READ_CHARS]) for it in (kind, text))
    return f"{kind[:60]}: {text[:_CAUSE_CHARS]}"
