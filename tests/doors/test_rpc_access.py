"""Who may do what over gRPC, on the service as it is wired."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import trustme
from api_keys import ADMIN, READER, SCOPES, SUBMITTER, a_key, one_of_each
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from grpc_status import rpc_status
from prometheus_client import CollectorRegistry, generate_latest
from rpc_service import QUICK, incident

from sidecar.app import App, build
from sidecar.client import AsyncVerifierClient, CallFailed, VerifierClient
from sidecar.core.api_keys import KeyRing
from sidecar.core.gate import Gate, RateLimits
from sidecar.doors.rpc import RpcDoor
from sidecar.doors.rpc_access import AccessInterceptor, caller, read_address, read_key
from sidecar.doors.scopes import CALLS
from sidecar.model import EventKind
from sidecar.observe.access_metrics import PrometheusAccessMeter
from sidecar.pb.inference import grpc_service_pb2 as probes
from sidecar.pb.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from sidecar.pb.v1 import verifier_pb2 as pb
from sidecar.pb.v1.verifier_pb2_grpc import VerifierStub
from sidecar.settings import SecuritySettings, Settings
from sidecar.testing.fakes import FrozenClock

OK = grpc.StatusCode.OK
UNKNOWN = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
ELSEWHERE = {"host": "0.0.0.0"}
REQUESTS: Mapping[str, Any] = {
    "Verify": pb.VerifyRequest(),
    "Submit": pb.SubmitRequest(),
    "SubmitStream": iter(()),
    "WatchVerdicts": pb.WatchVerdictsRequest(after=0),
    "GetVerdict": pb.GetVerdictRequest(id="nobody's"),
    "ListArms": pb.ListArmsRequest(),
    "SetArms": pb.SetArmsRequest(),
}
"""A request for every method."""


@dataclass(frozen=True)
class Wired:
    """A service whose gRPC door was made from the settings."""

    app: App
    door: RpcDoor

    @property
    def target(self) -> str:
        return f"localhost:{self.door.port}"

    async def ask(
        self,
        method: str,
        request: Any,
        metadata: Mapping[str, str] | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> grpc.aio.AioRpcError | None:
        """Call a method; returns how it was refused. One answer of a stream is enough."""
        async with self._open(credentials) as channel:
            shown = tuple((metadata or {}).items())
            call = getattr(VerifierStub(channel), method)(request, metadata=shown, timeout=10)
            try:
                if hasattr(call, "read"):
                    await call.read()
                else:
                    await call
            except grpc.aio.AioRpcError as error:
                return error
            finally:
                call.cancel()
        return None

    async def code(self, method: str, metadata: Mapping[str, str] | None = None) -> Any:
        error = await self.ask(method, REQUESTS[method], metadata)
        return error.code() if error else OK

    def _open(self, credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(self.target)
        return grpc.aio.secure_channel(self.target, credentials)


@asynccontextmanager
async def wired(
    folder: Path, rpc: Mapping[str, Any] | None = None, **security: Any
) -> AsyncGenerator[Wired]:
    """Run a service with these settings until the context ends."""
    sections: dict[str, Any] = {
        "ledger": {"path": folder / "ledger.db"},
        "metrics": {"enabled": False},
        "canary": {"enabled": False},
        "grpc": {**QUICK, **(rpc or {})},
        "security": security,
    }
    app = build(Settings(**sections))
    (door,) = (it for it in app.doors.values() if isinstance(it, RpcDoor))
    try:
        await app.prepare()
        async with app.running():
            async with asyncio.timeout(10):
                while await door.ping():
                    await asyncio.sleep(0.01)
            yield Wired(app, door)
    finally:
        await app.close()


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncGenerator[Wired]:
    """A service with a key for each scope, and an event whose verdict can be followed."""
    async with wired(tmp_path, keys=one_of_each()) as service:
        await service.app.service.submit(incident(), EventKind.INCIDENT)
        yield service


def _shown(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def _details(error: grpc.aio.AioRpcError) -> dict[str, Any]:
    """Unpack what a program can act on, by its kind."""
    found: dict[str, Any] = {}
    status = rpc_status.from_call(error)  # type: ignore[arg-type]  # it has what is read here
    assert status is not None
    for packed in status.details:
        for kind in (ErrorInfo(), RetryInfo()):
            if packed.Unpack(kind):
                found[kind.DESCRIPTOR.name] = kind
    return found


async def test_every_method_is_in_the_table_of_scopes(guarded: Wired) -> None:
    """A method without a line fails here, and so does a line without a method."""
    ask = reflection_pb2.ServerReflectionRequest
    async with grpc.aio.insecure_channel(guarded.target) as channel:
        stub = ServerReflectionStub(channel)
        (listed,) = [it async for it in stub.ServerReflectionInfo(iter([ask(list_services="")]))]
        names = [service.name for service in listed.list_services_response.service]
        asked = iter([ask(file_containing_symbol=name) for name in names])
        files = [it.file_descriptor_response async for it in stub.ServerReflectionInfo(asked)]

    methods = set()
    for file in files:
        proto = FileDescriptorProto.FromString(file.file_descriptor_proto[0])
        for service in proto.service:
            full = f"{proto.package}.{service.name}"
            methods |= {f"/{full}/{method.name}" for method in service.method}

    assert set(CALLS) == methods


async def test_a_method_opens_to_the_keys_with_its_scope(guarded: Wired) -> None:
    """Without a key UNAUTHENTICATED, without the scope PERMISSION_DENIED, else the method."""
    wrong: list[Any] = []
    for method in REQUESTS:
        needed = CALLS[f"/vlm_sidecar.v1.Verifier/{method}"]
        for key, scope in SCOPES.items():
            code = await guarded.code(method, _shown(key))
            if code is UNKNOWN or (code is DENIED) == (scope in {needed, "admin"}):
                wrong.append((method, scope, code))
        for metadata in ({}, _shown("wrong")):
            code = await guarded.code(method, metadata)
            if code is not UNKNOWN:
                wrong.append((method, metadata, code))

    assert [] == wrong


async def test_probes_and_descriptions_are_open(guarded: Wired) -> None:
    """Health, KServe's probes and reflection need no key."""
    async with grpc.aio.insecure_channel(guarded.target) as channel:
        live = await GRPCInferenceServiceStub(channel).ServerLive(probes.ServerLiveRequest())
        await GRPCInferenceServiceStub(channel).ServerReady(probes.ServerReadyRequest())
        await GRPCInferenceServiceStub(channel).ModelReady(
            probes.ModelReadyRequest(name="baseline")
        )
        health = await HealthStub(channel).Check(health_pb2.HealthCheckRequest())
        watching = HealthStub(channel).Watch(health_pb2.HealthCheckRequest())
        watched = await watching.read()
        watching.cancel()

    assert live.live
    assert health.status == watched.status != health_pb2.HealthCheckResponse.UNKNOWN


async def test_a_refusal_tells_programs_what_to_do(guarded: Wired) -> None:
    """Reason and domain in the details, a sentence in the message."""
    unknown = await guarded.ask("Submit", pb.SubmitRequest())
    denied = await guarded.ask("Submit", pb.SubmitRequest(), _shown(READER))
    assert unknown
    assert denied

    assert "UNAUTHENTICATED" == _details(unknown)["ErrorInfo"].reason
    assert "X-API-Key" in str(unknown.details())
    assert "FORBIDDEN" == _details(denied)["ErrorInfo"].reason
    assert "'submit'" in str(denied.details())
    assert "RetryInfo" not in _details(unknown) | _details(denied)


async def test_a_key_may_be_shown_as_x_api_key_too(guarded: Wired) -> None:
    """As over HTTP."""
    assert OK is await guarded.code("ListArms", {"x-api-key": READER})
    assert UNKNOWN is await guarded.code("ListArms", {"x-api-key": "wrong"} | _shown(READER))


async def test_too_many_calls_are_refused_with_the_time_to_wait(tmp_path: Path) -> None:
    """RESOURCE_EXHAUSTED, and the details say when to come again."""
    async with wired(tmp_path, keys=[a_key("k", "read", rate_per_minute=1)]) as service:
        first = await service.code("ListArms", _shown("k"))
        refused = await service.ask("ListArms", pb.ListArmsRequest(), _shown("k"))
        counted = generate_latest(service.app.meter.registry).decode()
    assert refused

    assert (OK, EXHAUSTED) == (first, refused.code())
    assert 1 <= _details(refused)["RetryInfo"].retry_delay.seconds <= 60
    assert 'sidecar_access_refused_total{door="grpc",reason="rate_limited"} 1.0' in counted


async def test_the_events_of_a_stream_count_as_calls(tmp_path: Path) -> None:
    """One call cannot bring more than a key may send; what it brought is taken all the same."""
    async with wired(tmp_path, keys=[a_key("k", "submit", rate_per_minute=2)]) as service:
        async with AsyncVerifierClient(service.target, api_key="k") as client:
            acks = [ack async for ack in client.submit_stream([incident(1), incident(2)])]
        code = await service.code("Submit", _shown("k"))

    assert [True, True] == [ack.HasField("receipt") for ack in acks]
    assert EXHAUSTED is code


@pytest.mark.parametrize(("network", "code"), [("127.0.0.0/8,::1", OK), ("10.0.0.0/8", UNKNOWN)])
async def test_only_trusted_networks_need_no_key_elsewhere(
    tmp_path: Path, network: str, code: grpc.StatusCode
) -> None:
    """The address of the connection decides."""
    async with wired(tmp_path, ELSEWHERE, trusted_networks=network) as service:
        assert code is await service.code("ListArms")


async def test_without_keys_the_door_is_open_on_loopback(tmp_path: Path) -> None:
    """As over HTTP."""
    async with wired(tmp_path) as service:
        assert OK is await service.code("ListArms")


async def test_a_clients_certificate_is_as_good_as_a_key(tmp_path: Path) -> None:
    """With `client_ca` no key is needed, and one that is shown counts more."""
    authority, clients = trustme.CA(), trustme.CA()
    issued, own = authority.issue_cert("localhost"), clients.issue_cert("pipeline@example.com")
    cert, key, client_ca = (tmp_path / name for name in ("server.pem", "server.key", "ca.pem"))
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    clients.cert_pem.write_to_path(client_ca)
    credentials = grpc.ssl_channel_credentials(
        authority.cert_pem.bytes(), own.private_key_pem.bytes(), own.cert_chain_pems[0].bytes()
    )
    tls = {"cert": cert, "key": key, "client_ca": client_ca}
    async with wired(tmp_path, {**ELSEWHERE, "tls": tls}, keys=one_of_each()) as service:
        without = await service.ask("ListArms", pb.ListArmsRequest(), {}, credentials)
        narrower = await service.ask(
            "ListArms", pb.ListArmsRequest(), _shown(SUBMITTER), credentials
        )
    assert narrower

    assert without is None
    assert DENIED is narrower.code()


async def test_a_refused_message_is_not_read(guarded: Wired) -> None:
    """Somebody without a key cannot make the service take megabytes."""
    event = pb.Event(json=b"{}", clip=b"x" * 8_000_000)
    refused = await guarded.ask("Submit", pb.SubmitRequest(event=event), _shown("wrong"))
    assert refused

    assert UNKNOWN is refused.code()


async def test_the_client_shows_its_key_with_every_call(guarded: Wired) -> None:
    """Each method works with the key, and says without one why it does not."""
    async with AsyncVerifierClient(guarded.target, api_key=ADMIN) as client:
        receipt = await client.submit(incident(5))
        acks = [ack async for ack in client.submit_stream([incident(6)])]
        watched = await anext(client.watch(after=0))
        arms = await client.list_arms()
        await client.get_verdict(receipt.id)
    async with AsyncVerifierClient(guarded.target) as stranger:
        with pytest.raises(CallFailed, match="UNAUTHENTICATED") as caught:
            await stranger.submit(incident(7))
        with pytest.raises(CallFailed, match="UNAUTHENTICATED"):
            _ = [ack async for ack in stranger.submit_stream([incident(8)])]

    assert receipt.verdict_key
    assert acks[0].HasField("receipt")
    assert watched.seq
    assert arms
    assert "UNAUTHENTICATED" == caught.value.reason


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8"], ids=["by key", "by key or address"])
async def test_a_long_stream_is_told_why_it_is_refused(tmp_path: Path, trusted: str) -> None:
    """The refusal arrives, however much the client has to send."""
    async with (
        wired(tmp_path, keys=one_of_each(), trusted_networks=trusted) as service,
        AsyncVerifierClient(service.target, api_key=READER) as client,
    ):
        with pytest.raises(CallFailed, match="lacks the scope 'submit'") as caught:
            _ = [ack async for ack in client.submit_stream(map(incident, range(3000)))]

    assert DENIED is caught.value.code


async def test_the_client_for_threads_shows_its_key(guarded: Wired) -> None:
    """It is the same client inside."""

    def ask() -> int:
        with VerifierClient(guarded.target, api_key=READER) as client:
            return len(client.list_arms())

    assert await asyncio.to_thread(ask)


KINDS = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")


@asynccontextmanager
async def echoing(gate: Gate) -> AsyncGenerator[str]:
    """Serve methods of every kind that answer who calls; none is in the table of scopes."""

    async def one(request: Any, _: Any) -> bytes:
        if not isinstance(request, bytes):
            async for _ in request:
                pass
        return caller().name.encode()

    async def two(request: Any, context: Any) -> AsyncGenerator[bytes]:
        for _ in range(2):
            yield await one(request, context)

    made = {
        kind: getattr(grpc, f"{kind}_rpc_method_handler")(two if kind.endswith("stream") else one)
        for kind in KINDS
    }
    server = grpc.aio.server(interceptors=[AccessInterceptor(gate, has_certificates=False)])
    server.add_registered_method_handlers("echo.Echo", made)
    port = server.add_insecure_port("localhost:0")
    await server.start()
    yield f"localhost:{port}"
    await server.stop(0)


def a_gate(*, trusted: str = "") -> Gate:
    settings = SecuritySettings.model_validate({"keys": one_of_each(), "trusted_networks": trusted})
    limits, meter = RateLimits(FrozenClock()), PrometheusAccessMeter(CollectorRegistry())
    return Gate("grpc", KeyRing(settings), limits, meter, trusted=settings.trusted_networks)


@pytest.mark.parametrize("trusted", ["", "10.0.0.0/8"], ids=["by key", "by key or address"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_forgotten_method_needs_admin_and_learns_who_calls(kind: str, trusted: str) -> None:
    """Of every kind, whether the message is read before it is known who calls or after."""
    async with (
        echoing(a_gate(trusted=trusted)) as target,
        grpc.aio.insecure_channel(target) as channel,
    ):

        async def ask(key: str) -> Any:
            method = getattr(channel, kind)(f"/echo.Echo/{kind}")
            # what is being sent when a refusal comes would hide it
            request = iter(()) if kind.startswith("stream") else b"a"
            call = method(request, metadata=tuple(_shown(key).items()), timeout=10)
            try:
                if kind.endswith("stream"):
                    return [answer async for answer in call]
                return [await call]
            except grpc.aio.AioRpcError as error:
                return error.code()

        answers = [await ask(key) for key in ("wrong", READER, ADMIN)]

    named = [b"admin"] * (2 if kind.endswith("stream") else 1)
    assert [UNKNOWN, DENIED, named] == answers


async def test_a_method_that_does_not_exist_is_told_as_before() -> None:
    """There is nothing behind it to guard."""
    async with echoing(a_gate()) as target, grpc.aio.insecure_channel(target) as channel:
        call = channel.unary_unary("/echo.Echo/nothing")(b"", timeout=10)
        code = await call.code()

    assert grpc.StatusCode.UNIMPLEMENTED is code


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("ipv4:10.0.0.1:4711", "10.0.0.1"),
        ("ipv6:%5B::1%5D:4711", "::1"),
        ("ipv6:[fe80::1%25eth0]:4711", "fe80::1%eth0"),
        ("unix:/run/sidecar.sock", ""),
        ("", ""),
    ],
)
def test_addresses_are_read_from_peers(peer: str, address: str) -> None:
    """In the forms that gRPC writes them."""
    assert address == read_address(peer)


def test_keys_are_read_from_metadata() -> None:
    """Binary metadata, and other kinds of authorization, hold none."""
    assert "k" == read_key((("authorization", "Bearer k"),))
    assert "x" == read_key((("authorization", "Bearer k"), ("x-api-key", "x")))
    assert "" == read_key((("authorization", "Basic k"), ("x-api-key-bin", b"x")))
    assert "" == read_key(None)
