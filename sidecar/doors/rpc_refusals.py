"""From our errors to gRPC statuses with google.rpc details: the border of the gRPC door."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from functools import wraps
from typing import Any, Final, NoReturn, TypeVar

import grpc
import structlog
from google.protobuf.any_pb2 import Any as Packed
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from sidecar.errors import InvalidRequest, RequestError, row_of

DOMAIN: Final = "vlm_sidecar.v1"

Context = grpc.aio.ServicerContext[Any, Any]
Self = TypeVar("Self")
Request = TypeVar("Request")
Response = TypeVar("Response")
Unary = Callable[[Self, Request, Context], Awaitable[Response]]
Streaming = Callable[[Self, Request, Context], AsyncGenerator[Response]]

_log = structlog.get_logger()


def refusing(call: Unary[Self, Request, Response]) -> Unary[Self, Request, Response]:
    """Let a method end its call with the status of what it raises."""

    @wraps(call)
    async def guarded(self: Self, request: Request, context: Context) -> Response:
        try:
            return await call(self, request, context)
        except Exception as error:  # noqa: BLE001 - a defect must not show its inside
            await _abort(context, error)

    return guarded


def refusing_stream(call: Streaming[Self, Request, Response]) -> Streaming[Self, Request, Response]:
    """Let a method that yields its answers end its call with the status of what it raises."""

    @wraps(call)
    async def guarded(self: Self, request: Request, context: Context) -> AsyncGenerator[Response]:
        try:
            async with aclosing(call(self, request, context)) as answers:
                async for answer in answers:
                    yield answer
        except Exception as error:  # noqa: BLE001 - a defect must not show its inside
            await _abort(context, error)

    return guarded


async def _abort(context: Context, error: Exception) -> NoReturn:
    """End the call: a RequestError with its status, anything else as a defect of ours."""
    if isinstance(error, RequestError):
        await abort_with(context, error)
    _log.error("call_failed", exc_info=error)
    await context.abort(grpc.StatusCode.INTERNAL, "Internal server error occurred.")


async def abort_with(context: Context, error: RequestError) -> NoReturn:
    """End a call with the status of a refusal."""
    status = rpc_status.to_status(write_status(error))
    await context.abort(status.code, status.details, status.trailing_metadata or ())


def write_status(error: RequestError) -> Status:
    """Write a refusal as google.rpc.Status, with everything that a program can act on."""
    row = row_of(error)
    info = ErrorInfo(
        reason=row.reason.upper(), domain=DOMAIN, metadata={"http_status": str(row.wording.code)}
    )
    details: list[Message] = [info]
    if isinstance(error, InvalidRequest):
        details.append(_violations(error))
    if row.retryable:
        retry = RetryInfo()
        retry.retry_delay.FromSeconds(error.retry_after_s)
        details.append(retry)
    status = Status(code=grpc.StatusCode[row.grpc].value[0], message=error.detail)
    for detail in details:
        packed = Packed()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def _violations(error: InvalidRequest) -> BadRequest:
    return BadRequest(
        field_violations=[
            BadRequest.FieldViolation(
                field=issue.field, description=issue.message, reason=issue.type.upper()
            )
            for issue in error.issues
        ]
    )
