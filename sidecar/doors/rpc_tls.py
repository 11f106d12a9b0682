"""Certificates of the gRPC door, read again when their files change."""

from functools import partial
from pathlib import Path

import grpc

from sidecar.core.fresh_files import FreshFiles
from sidecar.errors import SettingsError
from sidecar.settings import RpcTlsSettings


def build_credentials(tls: RpcTlsSettings) -> grpc.ServerCredentials:
    """Make credentials that follow their files: each handshake uses what is there then.

    Raises:
        SettingsError: a file cannot be read.
    """
    assert tls.cert is not None
    assert tls.key is not None
    paths = [path for path in (tls.cert, tls.key, tls.client_ca) if path is not None]
    load = partial(_load, tls.cert, tls.key, tls.client_ca)
    files = FreshFiles(paths, load, "gRPC certificates")
    return grpc.dynamic_ssl_server_credentials(
        files.latest(),
        files.latest,
        require_client_authentication=tls.client_ca is not None,
    )


def _load(cert: Path, key: Path, client_ca: Path | None) -> grpc.ServerCertificateConfiguration:
    pair = (_read(key), _read(cert))
    authorities = None if client_ca is None else _read(client_ca)
    return grpc.ssl_server_certificate_configuration([pair], authorities)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"grpc.tls: {path} cannot be read ({error.strerror}). Correct the path or the "
            "permissions."
        ) from error
