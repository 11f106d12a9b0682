"""TLS of the gRPC door, with certificates of an authority that exists for the test."""

from pathlib import Path

import grpc
import pytest
import trustme
from rpc_service import rpc_service

from sidecar.doors.rpc_tls import build_credentials
from sidecar.errors import SettingsError
from sidecar.pb.inference import grpc_service_pb2 as probes
from sidecar.pb.inference.grpc_service_pb2_grpc import GRPCInferenceServiceStub
from sidecar.settings import RpcTlsSettings


def _write(authority: trustme.CA, folder: Path) -> dict[str, Path]:
    """Write a certificate for localhost, over what was there."""
    issued = authority.issue_cert("localhost")
    cert, key = folder / "server.pem", folder / "server.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return {"cert": cert, "key": key}


def _trusting(
    authority: trustme.CA, own: trustme.LeafCert | None = None
) -> grpc.ChannelCredentials:
    """Trust an authority, and show an own certificate where there is one."""
    root = authority.cert_pem.bytes()
    if own is None:
        return grpc.ssl_channel_credentials(root)
    chain = b"".join(blob.bytes() for blob in own.cert_chain_pems)
    return grpc.ssl_channel_credentials(root, own.private_key_pem.bytes(), chain)


async def _is_live(target: str, credentials: grpc.ChannelCredentials) -> bool:
    async with grpc.aio.secure_channel(target, credentials) as channel:
        stub = GRPCInferenceServiceStub(channel)
        call = stub.ServerLive(probes.ServerLiveRequest(), timeout=5)
        return await call.code() is grpc.StatusCode.OK


async def test_tls_is_spoken_with_those_who_trust_the_server(tmp_path: Path) -> None:
    """A client that trusts the authority is served; one that does not hangs up."""
    authority, stranger = trustme.CA(), trustme.CA()
    tls = _write(authority, tmp_path)
    async with rpc_service(tmp_path, grpc={"tls": tls}) as rpc:
        served = await _is_live(rpc.target, _trusting(authority))
        refused = await _is_live(rpc.target, _trusting(stranger))

    assert (True, False) == (served, refused)


async def test_mutual_tls_serves_only_known_clients(tmp_path: Path) -> None:
    """With `client_ca`, only clients whose certificate it signed are served."""
    authority, clients, stranger = trustme.CA(), trustme.CA(), trustme.CA()
    clients.cert_pem.write_to_path(tmp_path / "clients.pem")
    tls = {**_write(authority, tmp_path), "client_ca": tmp_path / "clients.pem"}
    known, unknown = (ca.issue_cert("pipeline@example.com") for ca in (clients, stranger))
    async with rpc_service(tmp_path, grpc={"tls": tls}) as rpc:
        served = await _is_live(rpc.target, _trusting(authority, known))
        others = [
            await _is_live(rpc.target, _trusting(authority, unknown)),
            await _is_live(rpc.target, _trusting(authority)),
        ]

    assert served
    assert [False, False] == others


async def test_new_certificates_are_used_without_a_restart(tmp_path: Path) -> None:
    """After the files changed, the next handshake uses them."""
    before, after = trustme.CA(), trustme.CA()
    tls = _write(before, tmp_path)
    async with rpc_service(tmp_path, grpc={"tls": tls}) as rpc:
        first = await _is_live(rpc.target, _trusting(before))
        _write(after, tmp_path)
        second = await _is_live(rpc.target, _trusting(after))
        (tmp_path / "server.pem").unlink()
        still = await _is_live(rpc.target, _trusting(after))

    assert (True, True, True) == (first, second, still)


async def test_a_new_authority_of_clients_is_trusted_without_a_restart(tmp_path: Path) -> None:
    """After its file changed, clients of the old authority are served no more."""
    authority, before, after = trustme.CA(), trustme.CA(), trustme.CA()
    before.cert_pem.write_to_path(tmp_path / "clients.pem")
    tls = {**_write(authority, tmp_path), "client_ca": tmp_path / "clients.pem"}
    old, new = (ca.issue_cert("pipeline@example.com") for ca in (before, after))
    async with rpc_service(tmp_path, grpc={"tls": tls}) as rpc:
        served = [await _is_live(rpc.target, _trusting(authority, it)) for it in (old, new)]
        after.cert_pem.write_to_path(tmp_path / "clients.pem")
        later = [await _is_live(rpc.target, _trusting(authority, it)) for it in (old, new)]

    assert ([True, False], [False, True]) == (served, later)


def test_missing_certificates_stop_the_start(tmp_path: Path) -> None:
    """A certificate that cannot be read is named."""
    tls = RpcTlsSettings(cert=tmp_path / "no.pem", key=tmp_path / "no.key")
    with pytest.raises(SettingsError, match=r"no\.key cannot be read"):
        build_credentials(tls)


@pytest.mark.parametrize("given", [{"cert": "a"}, {"key": "a"}, {"client_ca": "a"}])
def test_half_a_pair_is_refused(given: dict[str, str]) -> None:
    """Certificate and key come together, and client certificates need both."""
    with pytest.raises(ValueError, match="cert"):
        RpcTlsSettings.model_validate(given)
