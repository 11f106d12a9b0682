"""Certificates of the gRPC door, read again when their files change."""

from pathlib import Path

import grpc
import structlog

from sidecar.errors import SettingsError
from sidecar.settings import RpcTlsSettings

_log = structlog.get_logger()

Stamp = tuple[tuple[int, int, int], ...]
"""Inode, size and time of change of each file."""


def build_credentials(tls: RpcTlsSettings) -> grpc.ServerCredentials:
    """Make credentials that follow their files: each handshake uses what is there then.

    Raises:
        SettingsError: a file cannot be read.
    """
    files = _CertificateFiles(tls)
    return grpc.dynamic_ssl_server_credentials(
        files.latest(),
        files.latest,
        require_client_authentication=tls.client_ca is not None,
    )


class _CertificateFiles:
    def __init__(self, tls: RpcTlsSettings) -> None:
        assert tls.cert is not None
        assert tls.key is not None
        self._cert, self._key, self._client_ca = tls.cert, tls.key, tls.client_ca
        self._stamp = self._look()
        self._latest = self._read()

    def latest(self) -> grpc.ServerCertificateConfiguration:
        """Return what the files hold; what they held before while they cannot be read."""
        stamp = self._look()
        if stamp != self._stamp:
            try:
                self._latest = self._read()
            except SettingsError as error:
                _log.error("certificates_not_read", detail=error.detail)
                return self._latest
            self._stamp = stamp
            _log.info("certificates_read_again", cert=str(self._cert))
        return self._latest

    def _read(self) -> grpc.ServerCertificateConfiguration:
        pair = (_read(self._key), _read(self._cert))
        authorities = None if self._client_ca is None else _read(self._client_ca)
        return grpc.ssl_server_certificate_configuration([pair], authorities)

    def _look(self) -> Stamp:
        paths = [self._cert, self._key, *([self._client_ca] if self._client_ca else [])]
        return tuple(_stamp(path) for path in paths)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"grpc.tls: {path} cannot be read ({error.strerror}). Correct the path or the "
            "permissions."
        ) from error
