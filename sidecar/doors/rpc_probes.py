"""What probes ask: KServe's ServerLive, ServerReady and ModelReady."""

from collections.abc import Awaitable, Callable

from sidecar.core.routing import Arm, Switchboard
from sidecar.doors.rpc_refusals import Context, refusing
from sidecar.errors import NotFound, VlmError
from sidecar.pb.inference import grpc_service_pb2 as pb
from sidecar.pb.inference.grpc_service_pb2_grpc import GRPCInferenceServiceServicer


class ProbeService(GRPCInferenceServiceServicer):
    """`inference.GRPCInferenceService`, as far as probes use it.

    Args:
        is_ready: asks every part whether it can work.
        switchboard: the arms, which are the models.
    """

    def __init__(self, is_ready: Callable[[], Awaitable[bool]], switchboard: Switchboard) -> None:
        self._is_ready = is_ready
        self._switchboard = switchboard

    async def ServerLive(  # noqa: N802 - name of the protocol, as below
        self, request: pb.ServerLiveRequest, context: Context
    ) -> pb.ServerLiveResponse:
        """Tell that the process lives."""
        del request, context
        return pb.ServerLiveResponse(live=True)

    @refusing
    async def ServerReady(  # noqa: N802
        self, request: pb.ServerReadyRequest, context: Context
    ) -> pb.ServerReadyResponse:
        """Tell whether the service can work."""
        del request, context
        return pb.ServerReadyResponse(ready=await self._is_ready())

    @refusing
    async def ModelReady(  # noqa: N802
        self, request: pb.ModelReadyRequest, context: Context
    ) -> pb.ModelReadyResponse:
        """Tell whether an arm can work, by its name or its model's id."""
        del context
        arm = await self._find(request.name)
        return pb.ModelReadyResponse(ready=not await arm.backend.ping())

    async def _find(self, name: str) -> Arm:
        arms = self._switchboard.current.arms
        if name in arms:
            return arms[name]
        for arm in arms.values():
            if await model_of(arm) == name:
                return arm
        raise NotFound(f"There is no model {name!r}; the arms are {', '.join(sorted(arms))}.")


async def model_of(arm: Arm) -> str:
    """Return the id of the model behind an arm; "" when its server does not tell it at once."""
    try:
        return "" if await arm.backend.ping() else await arm.backend.model()
    except VlmError:
        return ""
