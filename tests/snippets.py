"""The programs that the README and the pages of docs/ show, for tests that run them."""

import asyncio
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
TOOLS = Path(__file__).parent
TIMEOUT_S = 40


def blocks(page: str, language: str) -> list[str]:
    """Return the code of a language on a page, such as `docs/grpc.md`."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def here(code: str, places: Mapping[str, str]) -> str:
    """Put the places of a test where the page has its own."""
    for place, own in places.items():
        assert place in code, f"{place} does not occur in:\n{code}"
        code = code.replace(place, own)
    return code


async def run_python(code: str, folder: Path) -> str:
    """Run a program in a process of its own; returns what it prints."""
    return await _output(folder, sys.executable, "-c", code)


async def run_shell(code: str, folder: Path) -> str:
    """Run lines of a shell, where `grpcurl` and `grpc_health_probe` are those of the tests."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    for name in ("grpcurl", "grpc_health_probe"):
        shim = tools / name
        shim.write_text(f'#!/bin/sh\nexec {sys.executable} {TOOLS / f"{name}.py"} "$@"\n')
        shim.chmod(0o755)
    return await _output(folder, "sh", "-ec", code, PATH=f"{tools}:{os.environ['PATH']}")


async def _output(folder: Path, *command: str, **variables: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=folder,
        env={**os.environ, **variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            output, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    assert not process.returncode, errors.decode()
    return output.decode()
