"""HTTPS, as the service serves it."""

import asyncio
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from fastapi import FastAPI

from sidecar.app import _listen, _Server, _serving
from sidecar.doors.http_tls import build_context
from sidecar.errors import SettingsError
from sidecar.settings import HttpTlsSettings, Settings


def _write(authority: trustme.CA, folder: Path) -> dict[str, Path]:
    """Write a certificate for localhost, over what was there."""
    issued = authority.issue_cert("localhost", "127.0.0.1")
    cert, key = folder / "server.pem", folder / "server.key"
    cert.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(key)
    return {"cert": cert, "key": key}


@asynccontextmanager
async def _served(tls: dict[str, Path], **http: Any) -> AsyncGenerator[int]:
    """Serve an application as `sidecar serve` does; gives the port."""
    app = FastAPI()

    @app.get("/")
    async def hello() -> str:
        return "hello"

    listening = _listen("127.0.0.1", 0)
    settings = Settings(http={"tls": tls, **http})
    server = _Server(_serving(app, settings))
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    while not server.started:
        await asyncio.sleep(0.01)
    yield int(listening.getsockname()[1])
    server.should_exit = True
    await serving


async def _greets(url: str, trusting: trustme.CA | None = None) -> bool:
    """Ask over a new connection; False when the server is not believed or does not answer."""
    context = ssl.create_default_context()
    if trusting is not None:
        trusting.configure_trust(context)
    try:
        async with aiohttp.ClientSession() as client, client.get(url, ssl=context) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_https_is_spoken_with_those_who_trust_the_server(tmp_path: Path, host: str) -> None:
    """By name and by address, which a client does not announce; nobody gets plain text."""
    authority, stranger = trustme.CA(), trustme.CA()
    async with _served(_write(authority, tmp_path)) as port:
        served = await _greets(f"https://{host}:{port}/", authority)
        refused = await _greets(f"https://{host}:{port}/", stranger)
        plain = await _greets(f"http://{host}:{port}/")

    assert (True, False, False) == (served, refused, plain)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
async def test_new_certificates_are_used_without_a_restart(tmp_path: Path, host: str) -> None:
    """The next handshake uses them; files that broke leave those that were there."""
    before, after = trustme.CA(), trustme.CA()
    tls = _write(before, tmp_path)
    async with _served(tls) as port:
        url = f"https://{host}:{port}/"
        first = await _greets(url, before)
        _write(after, tmp_path)
        second = await _greets(url, after), await _greets(url, before)
        tls["cert"].write_text("broken")
        third = await _greets(url, after)
        tls["key"].unlink()
        fourth = await _greets(url, after)

    assert (True, (True, False), True, True) == (first, second, third, fourth)


async def test_old_versions_of_tls_are_not_spoken(tmp_path: Path) -> None:
    """TLS 1.2 is the least."""
    authority = trustme.CA()
    context = build_context(HttpTlsSettings(**_write(authority, tmp_path)))

    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


def _missing(folder: Path) -> None:
    (folder / "server.pem").unlink()


def _garbage(folder: Path) -> None:
    (folder / "server.key").write_text("no key")


def _of_another(folder: Path) -> None:
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(folder / "server.key")


def _encrypted(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization as s

    key = s.load_pem_private_key((folder / "server.key").read_bytes(), None)
    secret = s.BestAvailableEncryption(b"secret")
    form = s.Encoding.PEM, s.PrivateFormat.TraditionalOpenSSL
    (folder / "server.key").write_bytes(key.private_bytes(*form, secret))


@pytest.mark.parametrize("spoil", [_missing, _garbage, _of_another, _encrypted])
def test_unusable_certificates_stop_the_start(tmp_path: Path, spoil: Any) -> None:
    """The sentence names the files and the variables, and nobody is asked for a password."""
    tls = HttpTlsSettings(**_write(trustme.CA(), tmp_path))
    spoil(tmp_path)
    with pytest.raises(SettingsError, match=r"server\.pem and .*server\.key cannot be used") as it:
        build_context(tls)

    assert "SIDECAR_HTTP__TLS__CERT" in it.value.detail


@pytest.mark.parametrize("given", [{"cert": "a"}, {"key": "a"}])
def test_half_a_pair_is_refused(given: dict[str, str]) -> None:
    """Certificate and key come together."""
    with pytest.raises(ValueError, match="give both"):
        HttpTlsSettings.model_validate(given)


async def test_connections_have_a_limit(tmp_path: Path) -> None:
    """Connections beyond it are told so, and the service goes on."""
    authority = trustme.CA()
    tls = _write(authority, tmp_path)
    async with _served(tls, max_connections=2) as port:
        _, idle = await asyncio.open_connection("127.0.0.1", port, ssl=_trusting(authority))
        full = await _status(port, authority)
        idle.close()
        await idle.wait_closed()
        async with asyncio.timeout(10):
            while await _status(port, authority) != 200:
                await asyncio.sleep(0.01)

    assert 503 == full


async def _status(port: int, authority: trustme.CA) -> int:
    url, context = f"https://127.0.0.1:{port}/", _trusting(authority)
    async with aiohttp.ClientSession() as client, client.get(url, ssl=context) as answer:
        return answer.status


def _trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
