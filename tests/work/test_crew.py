"""The service does not outlive a part that it cannot do without."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

from sidecar.work.crew import Crew

BREAKING = """
import sys
from sidecar.work.dispatch import Dispatcher
from sidecar.__main__ import main

async def run(self):
    raise ZeroDivisionError("a defect of the dispatcher")

Dispatcher.run = run
main(["serve"])
"""


async def _for_ever() -> None:
    await asyncio.Event().wait()


async def _at_once() -> None:
    raise ZeroDivisionError


async def test_a_part_that_breaks_is_told_once() -> None:
    """Its end calls for help, and hinders nobody from stopping the others."""
    crew, broken = Crew(), asyncio.Event()
    crew.on_broken = broken.set
    crew.start("steady", _for_ever())
    crew.start("weak", _at_once())

    await asyncio.wait_for(broken.wait(), 10)
    await crew.stop()

    assert ["weak"] == crew.broken


async def test_a_part_that_was_told_to_stop_is_not_broken() -> None:
    """Neither when it ends as it should, nor when it breaks at its end."""

    async def breaks_at_its_end() -> None:
        try:
            await _for_ever()
        finally:
            await _at_once()

    crew = Crew()
    crew.start("steady", _for_ever())
    crew.start("untidy", breaks_at_its_end())
    await asyncio.sleep(0)

    await crew.stop("steady")
    await crew.stop()

    assert [] == crew.broken


def test_a_service_whose_part_broke_ends_with_a_status(tmp_path: Path) -> None:
    """`sidecar serve` says what broke and ends, so that it is started again."""
    done = subprocess.run(
        [sys.executable, "-c", BREAKING],
        env={
            "SIDECAR_HTTP__PORT": "0",
            "SIDECAR_METRICS__ENABLED": "false",
            "SIDECAR_LEDGER__PATH": str(tmp_path / "ledger.db"),
            "PATH": "/usr/bin:/bin",
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert 1 == done.returncode, done.stderr
    assert re.search('"part": "dispatcher".*"part_ended"', done.stderr)
    assert "a defect of the dispatcher" in done.stderr
