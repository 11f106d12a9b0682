"""What web pages may do through the browsers of their readers.

A caller who needs no key because of where it calls from may be a browser, and then whoever wrote
the page that it shows: browsers post forms to any address, open WebSockets to any, and take a page
for a neighbour of this service when its name is made to lead here (DNS rebinding).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sidecar.core.gate import parse_address
from sidecar.errors import Forbidden

_HEADERS: Final = ("Authorization", "Content-Type", "Last-Event-ID", "X-API-Key")
_SHOWN: Final = ("Retry-After", "WWW-Authenticate")
_SAFE: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
_STARTS: Final = ("http.response.start", "websocket.http.response.start")
_ADVICE: Final = "Show an API key, or list the page in SIDECAR_SECURITY__CORS_ORIGINS."


def check_page(
    headers: Iterable[tuple[bytes, bytes]], origins: Sequence[str], *, is_local: bool
) -> None:
    """Check a request that shows no key.

    Args:
        headers: of the request.
        origins: of pages that may call.
        is_local: whether this machine only is meant to call, so that the service has no name in
            the DNS.

    Raises:
        Forbidden: a page of another origin may have sent it.
    """
    known = {name: value.decode("latin-1").lower() for name, value in headers}
    host, origin = known.get(b"host", ""), known.get(b"origin")
    if origin is not None and origin not in origins and urlsplit(origin).netloc != host:
        raise Forbidden(f"A web page of {origin[:200]} may not call without a key. {_ADVICE}")
    if is_local and not _is_local(host) and host not in {urlsplit(it).netloc for it in origins}:
        raise Forbidden(f"This service is not called {host[:200]}. {_ADVICE}")


def allow_pages(app: FastAPI, origins: Sequence[str]) -> None:
    """Let pages of these origins call from browsers."""
    app.add_middleware(
        CORSMiddleware,
        allow_origins=origins,
        allow_methods=("GET", "POST", "PUT", "DELETE"),
        allow_headers=_HEADERS,
        expose_headers=_SHOWN,
    )


@dataclass(frozen=True, slots=True)
class SafeHeaders:
    """ASGI middleware: browsers are to take every answer for what it says it is, and no more."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to what is answered."""

        async def marked(message: Message) -> None:
            if message["type"] in _STARTS:
                message = {**message, "headers": [*message.get("headers", ()), *_SAFE]}
            await send(message)

        await self.app(scope, receive, marked)


@lru_cache(maxsize=1024)
def _is_local(host: str) -> bool:
    """Tell whether a name cannot be one that somebody registered: an address, or without dots."""
    name = urlsplit(f"//{host}").hostname or ""
    is_bare = "." not in name or name.endswith(".localhost")
    return is_bare or parse_address(name) is not None
