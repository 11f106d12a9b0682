"""Refuses request bodies that are too large before they fill the memory."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sidecar.errors import BodyTooLarge

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """ASGI middleware: `receive` raises BodyTooLarge inside the route that reads too much."""

    app: AsgiApp
    max_bytes: int

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting `receive`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if max(seen, _announced(scope)) > self.max_bytes:
                limit = f"larger than {self.max_bytes} bytes (SIDECAR_HTTP__MAX_BODY_BYTES)"
                raise BodyTooLarge(f"The request body is {limit}.")
            return message

        await self.app(scope, counted, send)


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
