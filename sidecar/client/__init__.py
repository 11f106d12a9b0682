"""A small client of the gRPC door, for threads and for asyncio. Needs the extra `grpc`.

Whatever fails for a moment is tried again: an event that is sent twice is decided once. Messages
are those of `sidecar.pb.v1.verifier_pb2`.
"""

from sidecar.client.aio import AsyncVerifierClient
from sidecar.client.blocking import VerifierClient
from sidecar.client.errors import CallFailed, EventDropped
from sidecar.client.events import write_event, write_frames

__all__ = [
    "AsyncVerifierClient",
    "CallFailed",
    "EventDropped",
    "VerifierClient",
    "write_event",
    "write_frames",
]
