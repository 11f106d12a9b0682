"""How calls fail for users of the client."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

_DETAILS = "grpc-status-details-bin"


class CallFailed(Exception):
    """The server refused, or could not be reached in time.

    Attributes:
        code: the gRPC status.
        reason: why, in upper case: a reason of the sidecar's error table; "" when it tells none.
        fields: what is wrong with which field.
    """

    def __init__(
        self, code: grpc.StatusCode, detail: str, reason: str, fields: dict[str, str]
    ) -> None:
        wrong = "".join(f"; {name}: {text}" for name, text in fields.items())
        super().__init__(f"{code.name}: {detail}{wrong}")
        self.code = code
        self.reason = reason
        self.fields = fields


class EventDropped(Exception):
    """A filter dropped the event, so it gets no verdict. Says which filter, and why."""


@contextmanager
def translated() -> Iterator[None]:
    """Translate what gRPC raises."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        raise _call_failed(error) from error


def _call_failed(error: grpc.aio.AioRpcError) -> CallFailed:
    reason, fields = "", {}
    for detail in _status_of(error).details:
        info, wrong = ErrorInfo(), BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(wrong):
            fields = {it.field: it.description for it in wrong.field_violations}
    return CallFailed(error.code(), error.details() or "", reason, fields)


def _status_of(error: grpc.aio.AioRpcError) -> Status:
    for key, value in error.trailing_metadata():
        if key == _DETAILS and isinstance(value, bytes):
            return Status.FromString(value)
    return Status()
