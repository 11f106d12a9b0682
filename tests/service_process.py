"""`sidecar serve` as its users start it: a process that can be killed."""

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class ServiceProcess:
    """One service that is started and killed again and again on one ledger and port."""

    def __init__(
        self, folder: Path, settings: Mapping[str, str], output: Path | None = None
    ) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.log = folder / "service.log"
        self._output = output or folder / "service.out"
        self.environment = {
            **os.environ,
            "SIDECAR_LEDGER__PATH": str(folder / "ledger.db"),
            "SIDECAR_HTTP__PORT": str(self._port),
            "SIDECAR_METRICS__ENABLED": "false",
            # tests start services more often than they show them clips
            "SIDECAR_MEDIA__DECODE_PROCESSES": "0",
            **settings,
        }
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start and wait until it answers."""
        command = (sys.executable, "-m", "sidecar", "serve")
        with self.log.open("ab") as log, self._output.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *command, env=self.environment, stdout=output, stderr=log
            )
        async with asyncio.timeout(30), aiohttp.ClientSession() as client:
            while True:
                with suppress(aiohttp.ClientError, OSError):
                    async with client.get(self.url + "/health"):
                        return
                assert self._process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    async def kill(self) -> None:
        """Stop it the hard way."""
        await self._signal(signal.SIGKILL)

    async def stop(self) -> int:
        """Stop it the polite way; returns the exit status."""
        return await self._signal(signal.SIGTERM)

    async def post(
        self, client: aiohttp.ClientSession, path: str, body: Mapping[str, Any]
    ) -> tuple[int, dict[str, Any]]:
        async with client.post(self.url + path, json=body) as answer:
            return answer.status, json.loads(await answer.read())

    async def get(self, client: aiohttp.ClientSession, path: str) -> tuple[int, dict[str, Any]]:
        async with client.get(self.url + path) as answer:
            return answer.status, json.loads(await answer.read())

    async def _signal(self, number: signal.Signals) -> int:
        assert self._process is not None
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        return await self._process.wait()
