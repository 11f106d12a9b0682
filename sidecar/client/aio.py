"""The client for asyncio."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import grpc

from sidecar.client.channel import REPEATED, open_channel
from sidecar.client.errors import EventDropped, translated
from sidecar.client.events import AnyEvent, write_event
from sidecar.client.sending import Call, Events, Sending
from sidecar.pb.v1 import verifier_pb2 as pb
from sidecar.pb.v1.verifier_pb2_grpc import VerifierStub

if TYPE_CHECKING:
    from sidecar.pb.v1.verifier_pb2_grpc import VerifierAsyncStub

RECONNECT_S: Final = 0.5


class AsyncVerifierClient:
    """Calls the gRPC door; an asynchronous context manager.

    Args:
        target: such as `localhost:9082`.
        credentials: such as `grpc.ssl_channel_credentials(...)`; None speaks plain text.
        api_key: shown with each call; keep it to encrypted connections.
        timeout_s: deadline of each call that ends by itself, repetitions included.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        api_key: str = "",
        timeout_s: float = 120.0,
    ) -> None:
        self._target = target
        self._credentials = credentials
        self._metadata = (("authorization", f"Bearer {api_key}"),) if api_key else ()
        self._timeout_s = timeout_s

    async def __aenter__(self) -> Self:
        self._channel = open_channel(self._target, self._credentials)
        self._stub: VerifierAsyncStub = VerifierStub(self._channel)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._channel.close()

    async def verify(
        self, event: AnyEvent, *, dry_run: bool = False, timeout_s: float | None = None
    ) -> pb.Verdict:
        """Submit an event and wait for its verdict.

        Args:
            event: what to verify; `write_event` adds media to it.
            dry_run: do not keep the event or its verdict.
            timeout_s: deadline of this call. An event that was accepted by then gets its verdict
                all the same; `get_verdict` finds it.

        Raises:
            EventDropped: a filter dropped it.
            CallFailed: refused, or no verdict came in time.
        """
        request = pb.VerifyRequest(event=write_event(event), dry_run=dry_run)
        with translated():
            answer = await self._stub.Verify(request, **self._limits(timeout_s))
        if not answer.HasField("verdict"):
            raise EventDropped(answer.dropped)
        return answer.verdict

    async def submit(self, event: AnyEvent) -> pb.Receipt:
        """Submit an event; when this returns, it survives a crash of the server.

        Raises:
            CallFailed: refused.
        """
        request = pb.SubmitRequest(event=write_event(event))
        with translated():
            return (await self._stub.Submit(request, **self._limits(None))).receipt

    async def submit_stream(self, events: Events) -> AsyncGenerator[pb.Ack]:
        """Submit any number of events and yield their acknowledgements.

        When the connection breaks or the server is full, what is not acknowledged is sent again,
        until the caller gives up. The sequence numbers count the events from 1.

        Args:
            events: read as fast as the server takes them. One that has to be waited for must be
                asynchronous.

        Raises:
            CallFailed: the server refuses the stream.
        """
        sending = Sending()
        source = asyncio.create_task(sending.read(events))
        try:
            is_over = False
            while not is_over:
                try:
                    async with self._sent(sending) as call:
                        async for response in call:
                            for ack in filter(sending.settle, response.acks):
                                yield ack
                    is_over = True
                except grpc.aio.AioRpcError as error:
                    await _pause(error)
            await source
        finally:
            source.cancel()

    async def watch(
        self,
        *,
        sensor_id: str = "",
        category: str = "",
        outcome: pb.Outcome = pb.OUTCOME_UNSPECIFIED,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int | None = None,
    ) -> AsyncGenerator[pb.Verdict]:
        """Yield verdicts as they are committed, without end and across restarts of the server.

        Args:
            sensor_id: of which camera; "" means any, as of the others.
            category: of which alert type.
            outcome: ended how.
            since: of events with this timestamp or a later one; an aware time.
            until: of events with this timestamp or an earlier one; an aware time.
            after: `seq` of the last verdict that was seen; None starts with the next one.

        Raises:
            CallFailed: the server refuses.
        """
        request = pb.WatchVerdictsRequest(
            sensor_id=sensor_id,
            category=category,
            outcome=outcome,
            since=since,
            until=until,
            after=after,
        )
        while True:
            try:
                async for response in self._stub.WatchVerdicts(request, **self._shown()):
                    request.after = response.verdict.seq
                    yield response.verdict
            except grpc.aio.AioRpcError as error:
                await _pause(error)

    async def get_verdict(self, identity: str) -> pb.Verdict | None:
        """Read a verdict by submitted id, `Id` or verdict key; None when it is still to come.

        Raises:
            CallFailed: there is no such event (NOT_FOUND), or it cannot be read.
        """
        request = pb.GetVerdictRequest(id=identity)
        with translated():
            answer = await self._stub.GetVerdict(request, **self._limits(None))
        return answer.verdict if answer.HasField("verdict") else None

    async def list_arms(self) -> Sequence[pb.Arm]:
        """List the models behind the contract.

        Raises:
            CallFailed: the server cannot be asked.
        """
        with translated():
            return (await self._stub.ListArms(pb.ListArmsRequest(), **self._limits(None))).arms

    async def set_arms(
        self,
        primary: str = "",
        *,
        policy_json: str = "",
        restore: int = 0,
        reason: str = "",
        version: int | None = None,
        force: bool = False,
    ) -> pb.ArmChoice:
        """Put arms in force: one of `primary`, `policy_json` and `restore`.

        Args:
            primary: the arm that answers everything.
            policy_json: a policy as `PUT /api/v1/arms` takes it.
            restore: version whose policy to put in force again.
            reason: for the audit trail.
            version: that was seen in force; None does not care.
            force: take it although servers that would answer are away.

        Raises:
            CallFailed: it cannot be in force (INVALID_ARGUMENT, FAILED_PRECONDITION), another one
                is (ABORTED), or the server cannot be asked.
        """
        request = pb.SetArmsRequest(reason=reason, version=version, force=force)
        if primary:
            request.primary = primary
        if policy_json:
            request.policy_json = policy_json
        if restore:
            request.restore = restore
        with translated():
            return (await self._stub.SetArms(request, **self._limits(None))).choice

    @asynccontextmanager
    async def _sent(self, sending: Sending) -> AsyncGenerator[Call]:
        call = self._stub.SubmitStream(**self._shown())
        writer = asyncio.create_task(sending.write_to(call))
        try:
            yield call
        finally:
            writer.cancel()
            await asyncio.gather(writer, return_exceptions=True)  # the reader tells what is wrong
            call.cancel()

    def _limits(self, timeout_s: float | None) -> dict[str, Any]:
        return {"timeout": timeout_s or self._timeout_s, **self._shown()}

    def _shown(self) -> dict[str, Any]:
        return {"metadata": self._metadata, "wait_for_ready": True}


async def _pause(error: grpc.aio.AioRpcError) -> None:
    """Wait before the next attempt.

    Raises:
        CallFailed: another one would fail as well.
    """
    with translated():
        if error.code() not in REPEATED:
            raise error
    await asyncio.sleep(RECONNECT_S)
