"""Refuses request bodies that are too large before they fill the memory."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.errors import BodyTooLarge

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApp = Callable[[Scope, Receive, Send], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Limit:
    """A number of bytes, and the environment variable that sets it."""

    max_bytes: int
    variable: str


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """ASGI middleware: `receive` raises BodyTooLarge inside the route that reads too much.

    Attributes:
        max_bytes: of a body.
        by_path: limits of the paths that have their own.
    """

    app: AsgiApp
    max_bytes: int
    by_path: Mapping[str, Limit] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on with a counting `receive`."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        seen = 0
        usual = Limit(self.max_bytes, "SIDECAR_HTTP__MAX_BODY_BYTES")
        limit = self.by_path.get(scope["path"], usual)

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if max(seen, _announced(scope)) > limit.max_bytes:
                text = f"larger than {limit.max_bytes} bytes ({limit.variable})"
                raise BodyTooLarge(f"The request body is {text}.")
            return message

        await self.app(scope, counted, send)


def _announced(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
