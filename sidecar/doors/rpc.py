"""The gRPC door on 9082: the verifier, health, reflection, and what KServe's probes ask."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import grpc
import structlog
from grpc_health.v1 import health_pb2
from grpc_health.v1.health import aio as health_aio
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection

from sidecar.core.arms import Arms
from sidecar.core.service import Service
from sidecar.doors.rpc_probes import ProbeService
from sidecar.doors.rpc_tls import build_credentials
from sidecar.doors.rpc_verifier import VerifierService
from sidecar.doors.rpc_waiting import Waiting
from sidecar.errors import StoreUnavailable
from sidecar.model import StoredEvent, Verdict, VerdictRecord, VerifyEvent
from sidecar.pb.inference import grpc_service_pb2
from sidecar.pb.inference.grpc_service_pb2_grpc import add_GRPCInferenceServiceServicer_to_server
from sidecar.pb.v1 import verifier_pb2
from sidecar.pb.v1.verifier_pb2_grpc import add_VerifierServicer_to_server
from sidecar.ports import InlineMedia
from sidecar.settings import RpcSettings

VERIFIER: Final = verifier_pb2.DESCRIPTOR.services_by_name["Verifier"].full_name
PROBES: Final = grpc_service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name
HEALTH: Final = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name

LISTEN_RETRY_S: Final = 2.0
SWEEP_EVERY_S: Final = 600.0

_log = structlog.get_logger()


class RpcDoor:
    """Serves gRPC; `sidecar.ports.Door`.

    Args:
        settings: of the door.
        service: what the methods ask.
        arms: what is in force.
        verify: decides an event that is not kept, for dry runs.
        media: keeps inline media; None when they cannot be kept.
        interceptors: what stands before every method, such as access control.

    Raises:
        SettingsError: a certificate cannot be read.
    """

    def __init__(
        self,
        settings: RpcSettings,
        service: Service,
        arms: Arms,
        verify: Callable[[VerifyEvent], Awaitable[Verdict]],
        media: InlineMedia | None,
        interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    ) -> None:
        self._settings = settings
        self._service = service
        self._media = media
        self._interceptors = interceptors
        self._credentials = build_credentials(settings.tls) if settings.tls.cert else None
        self._waiting = Waiting(service, self._forget_media)
        self._verifier = VerifierService(service, self._waiting, arms, verify, media)
        self._probes = ProbeService(self._is_ready, arms.switchboard)
        self._problem = "The gRPC door does not listen yet."
        self.port = 0

    async def ping(self) -> str:
        """Return "" when the door listens, else what is wrong."""
        return self._problem

    async def close(self) -> None:
        """Do nothing: the end of `run` released everything."""

    async def run(self) -> None:
        """Serve until cancelled; a port that somebody else holds is tried again and again."""
        async with self._listening() as health, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._waiting.run())
            tasks.create_task(self._tell_health(health))
            if self._media is not None:
                tasks.create_task(self._sweep(self._media))

    @asynccontextmanager
    async def _listening(self) -> AsyncGenerator[health_aio.HealthServicer]:
        health = health_aio.HealthServicer()
        server = await self._start(health)
        while server is None:
            await asyncio.sleep(LISTEN_RETRY_S)
            server = await self._start(health)
        try:
            yield health
        finally:
            self._problem = "The gRPC door is stopping."
            await health.enter_graceful_shutdown()
            await server.stop(self._settings.shutdown_grace_s)

    async def _start(self, health: health_aio.HealthServicer) -> grpc.aio.Server | None:
        """Start a server; None when its port cannot be had."""
        server = self._build(health)
        host, port = self._settings.host, self._settings.port
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            if self._credentials is None:
                self.port = server.add_insecure_port(address)
            else:
                self.port = server.add_secure_port(address, self._credentials)
        except RuntimeError as error:  # what grpcio raises when it cannot bind
            self._problem = (
                f"The gRPC door cannot listen on {address}. Stop what holds it, or set "
                "SIDECAR_GRPC__PORT."
            )
            _log.error("grpc_cannot_listen", address=address, detail=str(error))
            return None
        await self._set_health(health, is_ready=False)
        await server.start()
        self._problem = ""
        _log.info("grpc_listening", host=host, port=self.port, tls=self._credentials is not None)
        return server

    def _build(self, health: health_aio.HealthServicer) -> grpc.aio.Server:
        server = grpc.aio.server(
            interceptors=self._interceptors,
            options=_options(self._settings),
            maximum_concurrent_rpcs=self._settings.max_calls,
        )
        add_VerifierServicer_to_server(self._verifier, server)
        add_GRPCInferenceServiceServicer_to_server(self._probes, server)
        add_HealthServicer_to_server(health, server)
        names = (VERIFIER, PROBES, HEALTH, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server

    async def _is_ready(self) -> bool:
        health = await self._service.health()
        return not any(part.problem and part.required for part in health)

    async def _tell_health(self, health: health_aio.HealthServicer) -> None:
        """Keep the health service up to date, per service name and for the server as a whole."""
        while True:
            await self._set_health(health, is_ready=await self._is_ready())
            await asyncio.sleep(self._settings.health_every_s)

    async def _set_health(self, health: health_aio.HealthServicer, *, is_ready: bool) -> None:
        answer = health_pb2.HealthCheckResponse
        for name in ("", VERIFIER, PROBES):
            await health.set(name, answer.SERVING if is_ready else answer.NOT_SERVING)

    async def _forget_media(self, record: VerdictRecord) -> None:
        info = record.document.get("info")
        name = info.get("video_path") if isinstance(info, dict) else None
        if self._media is not None and name:
            try:
                await self._media.forget(str(name), record.key)
            except StoreUnavailable as error:
                _log.warning("inline_media_stay", detail=error.detail)

    async def _sweep(self, media: InlineMedia) -> None:
        """Remove now and then what a crash or a repeated event left behind."""
        while True:
            try:
                await media.sweep(self._is_decided)
            except StoreUnavailable as error:
                _log.warning("inline_media_stay", detail=error.detail)
            await asyncio.sleep(SWEEP_EVERY_S)

    async def _is_decided(self, key: str) -> bool | None:
        found = await self._service.ledger.lookup(key)
        return None if found is None else not isinstance(found, StoredEvent)


def _options(settings: RpcSettings) -> list[tuple[str, int]]:
    """Return grpc-core's channel arguments; times are milliseconds."""
    return [
        ("grpc.so_reuseport", 0),  # two sidecars on one port are a mistake
        ("grpc.max_receive_message_length", settings.max_message_bytes),
        ("grpc.max_send_message_length", settings.max_message_bytes),
        ("grpc.keepalive_time_ms", round(settings.keepalive_s * 1000)),
        ("grpc.keepalive_timeout_ms", round(settings.keepalive_timeout_s * 1000)),
        ("grpc.keepalive_permit_without_calls", 1),
        (
            "grpc.http2.min_recv_ping_interval_without_data_ms",
            round(settings.min_ping_interval_s * 1000),
        ),
    ]
