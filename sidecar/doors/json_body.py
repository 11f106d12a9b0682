"""JSON bodies of the routes that FastAPI reads: as strict as those that are read by hand."""

from collections.abc import Callable, Coroutine
from typing import Any, Final

from fastapi import Request, Response
from fastapi.routing import APIRoute

from sidecar.contract.body import parse_json_object

MAX_DEPTH: Final = 32


class StrictJsonRoute(APIRoute):
    """A route that refuses what is no JSON, though Python reads it: NaN, and halves of characters.

    Numbers beyond 64 bits, which nobody could pass on, are no whole numbers to it.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap the handler."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            return await handle(_StrictRequest(request.scope, request.receive))

        return strict


class _StrictRequest(Request):
    async def json(self) -> Any:
        return parse_json_object(await self.body(), MAX_DEPTH)
