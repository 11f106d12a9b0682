"""Lets callers of gRPC in: one interceptor for all methods."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias
from urllib.parse import unquote

import grpc

from sidecar.access import ANONYMOUS, Principal, Scope
from sidecar.core.gate import Gate, Visitor
from sidecar.doors.access import read_bearer
from sidecar.doors.rpc_refusals import Context, abort_with
from sidecar.doors.scopes import scope_of_call
from sidecar.errors import RequestError

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
Continuation: TypeAlias = "Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]"

_caller: ContextVar[Principal] = ContextVar("caller", default=ANONYMOUS)


def caller() -> Principal:
    """Return who makes the call that is being answered."""
    return _caller.get()


class AccessInterceptor(grpc.aio.ServerInterceptor):
    """Asks a gate before a method runs.

    Args:
        gate: lets callers in.
        has_certificates: whether callers show certificates, which count as well.
    """

    def __init__(self, gate: Gate, *, has_certificates: bool) -> None:
        self._gate = gate
        self._has_certificates = has_certificates
        self._by_key_only = not (gate.asks_where_from or has_certificates)

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> "Handler | None":
        """Put the gate before the method."""
        handler = await continuation(handler_call_details)
        needed = scope_of_call(handler_call_details.method)
        if handler is None or needed is None:
            return handler
        key = read_key(handler_call_details.invocation_metadata)
        call = _Call(self._gate, needed, key, self._has_certificates)
        if self._by_key_only:
            # Refused before the message is read, which may be large.
            try:
                call.admit(Visitor(call.key))
            except RequestError as error:
                return _refusing(error)
        return _guarded(handler, call)


@dataclass(slots=True)
class _Call:
    """One call on its way in.

    Attributes:
        key: the API key that is shown.
        has_certificate: whether the caller showed one, which was verified.
        principal: who was let in; None before.
    """

    gate: Gate
    needed: Scope
    key: str
    has_certificate: bool
    principal: Principal | None = None

    def admit(self, visitor: Visitor) -> Principal:
        self.principal = self.gate.admit(visitor, self.needed)
        return self.principal

    async def enter(self, context: Context) -> None:
        """Let the caller in, or end the call."""
        certificate = read_certificate(context) if self.has_certificate else ""
        visitor = Visitor(self.key, read_address(context.peer()), certificate)
        try:
            principal = self.principal or self.admit(visitor)
        except RequestError as error:
            await abort_with(context, error)
        _caller.set(principal)

    async def paced(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        """Pass a stream of messages on, as fast as the key may send what is in them."""
        paid = 1  # by the call itself, when it was let in
        async for request in requests:
            yield request
            wait_s = self.gate.borrow(Visitor(self.key), _weight(request) - paid)
            paid = 0
            if wait_s:
                await asyncio.sleep(wait_s)


def read_key(metadata: Any) -> str:
    """Return the API key of a call: of `x-api-key`, or of `authorization: Bearer`."""
    shown = {key: value for key, value in metadata or () if isinstance(value, str)}
    return shown.get("x-api-key", "").strip() or read_bearer(shown.get("authorization", ""))


def read_certificate(context: Context) -> str:
    """Return the name in the client's certificate, whichever it has; "" without one."""
    facts = context.auth_context()
    kinds = ("x509_common_name", "x509_subject_alternative_name", "x509_subject")
    names = (name for kind in kinds for name in facts.get(kind, ()) if name)
    return next(names, b"").decode(errors="replace")


def read_address(peer: str) -> str:
    """Return the IP address in what gRPC calls a peer, such as `ipv6:%5B::1%5D:4711`."""
    kind, _, rest = unquote(peer).partition(":")
    return rest.rpartition(":")[0].strip("[]") if kind in {"ipv4", "ipv6"} else ""


def _weight(request: Any) -> int:
    """Return how many requests a message counts as: one for each event in it."""
    return len(request.events) if hasattr(request, "events") else 1


def _refusing(error: RequestError) -> Handler:
    """Refuse a call of any kind: as a stream, it can be answered before it says anything."""

    async def refuse(_: object, context: Context) -> NoReturn:
        await abort_with(context, error)

    return grpc.stream_stream_rpc_method_handler(refuse)


def _guarded(handler: Handler, call: _Call) -> Handler:
    """Put a call's admission before the method that answers it."""
    reads = call.paced if handler.request_streaming else _as_it_is
    kind = _KINDS[handler.request_streaming, handler.response_streaming]
    act = getattr(handler, kind)

    async def answer(request: Any, context: Context) -> Any:
        await call.enter(context)
        return await act(reads(request), context)

    async def answers(request: Any, context: Context) -> AsyncGenerator[Any]:
        await call.enter(context)
        async with aclosing(act(reads(request), context)) as responses:
            async for response in responses:
                yield response

    wrapped: Handler = getattr(grpc, f"{kind}_rpc_method_handler")(
        answers if handler.response_streaming else answer,
        handler.request_deserializer,
        handler.response_serializer,
    )
    return wrapped


def _as_it_is(request: Any) -> Any:
    return request


_KINDS: Final = {
    (False, False): "unary_unary",
    (False, True): "unary_stream",
    (True, False): "stream_unary",
    (True, True): "stream_stream",
}
"""What gRPC calls a method, by whether requests and responses are streams."""
