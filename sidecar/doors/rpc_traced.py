"""Lets calls belong to their caller's trace."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

import grpc

from sidecar.ports import Tracer

_Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any] | None"  # generic in its stubs only


class Traced(grpc.aio.ServerInterceptor):
    """Reads the caller's `traceparent` from the metadata of each call.

    Args:
        tracer: is told.
    """

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[_Handler]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> _Handler:
        """Tell the tracer; grpc.aio answers a call in the task that asks its interceptors."""
        texts = {
            name: text
            for name, text in handler_call_details.invocation_metadata or ()
            if isinstance(text, str)
        }
        self._tracer.adopt("grpc", texts)
        return await continuation(handler_call_details)
