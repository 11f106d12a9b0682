"""Lets HTTP requests belong to their caller's trace."""

from starlette.types import ASGIApp, Receive, Scope, Send

from sidecar.ports import Tracer


class Traced:
    """ASGI middleware that reads the caller's `traceparent`.

    Args:
        app: what answers.
        tracer: is told the headers.
    """

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell the tracer, then answer as always; every request has a task of its own."""
        if scope["type"] == "http":
            headers = {name.decode(): text.decode("latin-1") for name, text in scope["headers"]}
            self._tracer.adopt("http", headers)
        await self._app(scope, receive, send)
