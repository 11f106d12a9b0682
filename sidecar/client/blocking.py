"""The client for programs without asyncio."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from sidecar.client.aio import AsyncVerifierClient
from sidecar.client.events import AnyEvent
from sidecar.pb.v1 import verifier_pb2 as pb

T = TypeVar("T")


class VerifierClient:
    """Calls the gRPC door; a context manager, for one thread.

    Its methods are those of `AsyncVerifierClient`, which does the work.

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
        self._client = AsyncVerifierClient(
            target, credentials=credentials, api_key=api_key, timeout_s=timeout_s
        )
        self._runner = asyncio.Runner()
        self._streams: set[AsyncGenerator[object]] = set()

    def __enter__(self) -> Self:
        self._runner.run(self._client.__aenter__())
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for stream in tuple(self._streams):
            self._end(stream)
        self._runner.run(self._client.__aexit__(kind, error, trace))
        self._runner.close()

    def verify(
        self, event: AnyEvent, *, dry_run: bool = False, timeout_s: float | None = None
    ) -> pb.Verdict:
        """Submit an event and wait for its verdict."""
        return self._runner.run(self._client.verify(event, dry_run=dry_run, timeout_s=timeout_s))

    def submit(self, event: AnyEvent) -> pb.Receipt:
        """Submit an event; when this returns, it survives a crash of the server."""
        return self._runner.run(self._client.submit(event))

    def submit_stream(self, events: Iterable[AnyEvent]) -> Iterator[pb.Ack]:
        """Submit any number of events and yield their acknowledgements."""
        return self._iterate(self._client.submit_stream(events))

    def watch(
        self,
        *,
        sensor_id: str = "",
        category: str = "",
        outcome: pb.Outcome = pb.OUTCOME_UNSPECIFIED,
        since: datetime | None = None,
        until: datetime | None = None,
        after: int | None = None,
    ) -> Iterator[pb.Verdict]:
        """Yield verdicts as they are committed, without end."""
        return self._iterate(
            self._client.watch(
                sensor_id=sensor_id,
                category=category,
                outcome=outcome,
                since=since,
                until=until,
                after=after,
            )
        )

    def get_verdict(self, identity: str) -> pb.Verdict | None:
        """Read a verdict by submitted id, `Id` or verdict key; None when it is still to come."""
        return self._runner.run(self._client.get_verdict(identity))

    def list_arms(self) -> Sequence[pb.Arm]:
        """List the models behind the contract."""
        return self._runner.run(self._client.list_arms())

    def set_arms(self, primary: str = "", **options: Any) -> pb.ArmChoice:
        """Put arms in force; the options are those of the asynchronous client."""
        return self._runner.run(self._client.set_arms(primary, **options))

    def _iterate(self, answers: AsyncGenerator[T]) -> Iterator[T]:
        self._streams.add(answers)
        try:
            while (answer := self._runner.run(_next(answers))) is not None:
                yield answer
        finally:
            self._end(answers)

    def _end(self, stream: AsyncGenerator[object]) -> None:
        """End a stream once, at the latest together with the client."""
        if stream in self._streams:
            self._streams.discard(stream)
            self._runner.run(stream.aclose())


async def _next(answers: AsyncGenerator[T]) -> T | None:
    return await anext(answers, None)
