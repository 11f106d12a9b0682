"""The certificate of the HTTP door, read again when its files change."""

import ssl
from functools import partial
from pathlib import Path

from sidecar.core.fresh_files import FreshFiles
from sidecar.errors import SettingsError
from sidecar.settings import HttpTlsSettings, variable_of


def build_context(tls: HttpTlsSettings) -> ssl.SSLContext:
    """Make a context that follows its files: each handshake uses what is there then.

    Raises:
        SettingsError: a file cannot be used.
    """
    assert tls.cert is not None
    assert tls.key is not None
    load = partial(_load, tls.cert, tls.key)
    files = FreshFiles([tls.cert, tls.key], load, "HTTP certificate")

    def choose(connection: ssl.SSLSocket | ssl.SSLObject, _name: str, _: ssl.SSLContext) -> None:
        connection.context = files.latest()

    # OpenSSL calls it at the start of each handshake, whether the client names a server or not.
    listening = load()
    listening.sni_callback = choose
    return listening


def _load(cert: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, password="")  # without one, OpenSSL asks the terminal
    except (OSError, ValueError) as error:  # SSLError is an OSError
        reason = getattr(error, "strerror", None) or error
        raise SettingsError(
            f"http.tls: {cert} and {key} cannot be used ({reason}). Correct the files, "
            f"{variable_of('http.tls.cert')} and {variable_of('http.tls.key')}."
        ) from error
    return context
