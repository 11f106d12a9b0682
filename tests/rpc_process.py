"""A service with its gRPC door as a process of its own, so that it can be killed.

Usage: python rpc_process.py FOLDER PORT SETTINGS, the settings as JSON.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rpc_service import rpc_service


class RpcProcess:
    """One service that is started and killed again and again on one ledger and port."""

    def __init__(self, folder: Path, port: int, settings: Mapping[str, Any]) -> None:
        self._folder = folder
        self._arguments = (str(folder), str(port), json.dumps(settings))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start; the caller waits until it answers."""
        command = (sys.executable, __file__, *self._arguments)
        with (self._folder / "rpc.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)

    async def kill(self) -> None:
        """Stop it the hard way."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()


async def main(folder: Path, port: int, settings: Mapping[str, Any]) -> None:
    """Serve until killed."""
    async with rpc_service(folder, grpc={"port": port}, **settings):
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])))
