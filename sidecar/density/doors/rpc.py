"""The gRPC door; the call that submits an event waits for its verdict."""

import grpc

from sidecar.client import AsyncVerifierClient, CallFailed, EventDropped, write_event
from sidecar.density.account import End, Ending
from sidecar.density.doors.http import end_of
from sidecar.density.events import Event
from sidecar.errors import SettingsError
from sidecar.pb.v1 import verifier_pb2 as pb

_VERDICTS = {pb.OUTCOME_CONFIRMED: "confirmed", pb.OUTCOME_REJECTED: "rejected"}
_FULL = frozenset({grpc.StatusCode.RESOURCE_EXHAUSTED})


class RpcDoor:
    """Calls Verify for each event.

    Args:
        target: such as `localhost:9082`.
        timeout_s: wall seconds for one verdict.
        api_key: shown with each call; "" shows none.
        knows_answers: whether verdicts can be compared with known ones.
    """

    def __init__(
        self, target: str, *, timeout_s: float, api_key: str = "", knows_answers: bool = False
    ) -> None:
        self._target = target
        self._client = AsyncVerifierClient(target, api_key=api_key, timeout_s=timeout_s)
        self._knows_answers = knows_answers

    async def open(self) -> None:
        """Connect.

        Raises:
            SettingsError: nobody answers there.
        """
        await self._client.__aenter__()
        try:
            await self._client.list_arms()
        except CallFailed as error:
            await self.close()
            raise SettingsError(f"No gRPC door answers at {self._target}: {error}") from None

    async def prepare(self, event: Event) -> pb.Event:
        """Write the event with its clip."""
        return write_event(event.as_incident(), clip=event.clip.data)

    async def send(self, event: Event, prepared: pb.Event) -> End:
        """Submit an event and wait for its verdict."""
        del event
        try:
            verdict = await self._client.verify(prepared)
        except EventDropped:
            return End(Ending.FAILED, "dropped")
        except CallFailed as error:
            reason = error.code.name.lower()
            return End(Ending.SHED if error.code in _FULL else Ending.FAILED, reason)
        said = _VERDICTS.get(verdict.outcome, "")
        return end_of(said, verdict.reason, knows_answers=self._knows_answers)

    async def close(self) -> None:
        """Disconnect."""
        await self._client.__aexit__(None, None, None)
