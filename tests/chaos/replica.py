"""`sidecar serve` as a process that is killed, frozen, starved and started again."""

import asyncio
import json
import os
import resource
import signal
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

RESTART_S = 0.2
STOP_S = 40.0
_CLOCKED = Path(__file__).with_name("clocked.py")
_SIDECAR = Path(sys.executable).with_name("sidecar")


class Replica:
    """One place where a sidecar runs, with a supervisor that starts it again whenever it ends.

    Args:
        environment: its settings.

    Attributes:
        url: where it listens; "" while it does not.
        false_starts: last words of processes that ended before they listened, such as when their
            ledger was away.
        crashes: statuses and last words of those that ended by themselves after that.
        kills: how many were killed.
        is_clocked: the next start gets a clock that `set_clock` sets.
    """

    def __init__(self, name: str, folder: Path, environment: Mapping[str, str]) -> None:
        self.name = name
        self.url = ""
        self.false_starts: list[str] = []
        self.crashes: list[str] = []
        self.kills = 0
        self.is_clocked = False
        self._clock = folder / f"{name}.clock"
        self._clock.write_text("0")
        self._environment = {**os.environ, **environment, "CHAOS_CLOCK": str(self._clock)}
        self._log = folder / f"{name}.log"
        self._words: deque[str] = deque(maxlen=5)
        self._process: asyncio.subprocess.Process | None = None
        self._is_wanted = True
        self._is_doomed = False
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def environment(self) -> Mapping[str, str]:
        return self._environment

    def change(self, name: str, value: str) -> None:
        """Set a variable for the processes to come."""
        self._environment[name] = value

    def start(self) -> None:
        """Start it, and keep it running."""
        self._supervisor = asyncio.create_task(self._supervise())

    async def wait_until_up(self, timeout_s: float = 90.0) -> None:
        """Wait until it listens. Does nothing when that takes too long; see `last_words`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not self.url:
                    await asyncio.sleep(0.02)

    @property
    def last_words(self) -> str:
        """Why it does not listen, as far as it said so."""
        return "; ".join([*self.crashes[-1:], *self.false_starts[-1:]])

    def kill(self) -> None:
        """End the process at once; the supervisor starts the next one."""
        if self._signal(signal.SIGKILL):  # there may be none at this moment
            self._is_doomed = True
            self.kills += 1
        self.url = ""  # now, as nobody may take a dying process for one that is up

    def freeze(self) -> None:
        """Stop it in its tracks."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def set_clock(self, ahead_s: float) -> None:
        """Set its wall clock, when it has one of its own."""
        self._clock.write_text(f"{ahead_s}")

    def limit_files(self, size: int) -> None:
        """Let writes behind this position of any file fail, as on a full disk."""
        if self._process is not None and self._process.returncode is None:
            with suppress(ProcessLookupError):
                limits = (size, resource.RLIM_INFINITY)
                resource.prlimit(self._process.pid, resource.RLIMIT_FSIZE, limits)

    async def leave(self, number: int = signal.SIGTERM) -> None:
        """End it for good."""
        self._is_wanted = False
        self._is_doomed = number == signal.SIGKILL
        self._signal(signal.SIGCONT)
        self._signal(number)
        if self._supervisor is not None:
            done, _ = await asyncio.wait({self._supervisor}, timeout=STOP_S)
            if not done:
                self.crashes.append(f"{self.name} did not stop within {STOP_S} s")
                self._signal(signal.SIGKILL)
                await self._supervisor
            self._supervisor = None

    def _signal(self, number: int) -> bool:
        if self._process is None or self._process.returncode is not None:
            return False
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
            return True
        return False

    async def _supervise(self) -> None:
        while self._is_wanted:
            await self._run_once()
            if self._is_wanted:
                await asyncio.sleep(RESTART_S)

    async def _run_once(self) -> None:
        self._is_doomed = False
        self._words.clear()
        command = (sys.executable, str(_CLOCKED)) if self.is_clocked else (str(_SIDECAR),)
        # a pipe, as a log file would suffer from `limit_files` as well
        process = await asyncio.create_subprocess_exec(
            *command,
            "serve",
            env=self._environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            limit=2**20,
        )
        self._process = process
        if not self._is_wanted:  # it was told to leave while it was made
            self._is_doomed = self._signal(signal.SIGKILL)
        assert process.stdout is not None
        await self._listen(process.stdout)
        status = await process.wait()
        has_listened, self.url = bool(self.url), ""
        if not (self._is_doomed or (not self._is_wanted and status == 0)):
            ends = self.crashes if has_listened else self.false_starts
            ends.append(f"{self.name} ended with {status}: {' | '.join(self._words)}")

    async def _listen(self, output: asyncio.StreamReader) -> None:
        with self._log.open("ab") as log:
            async for line in output:
                log.write(line)
                self._words.append(line.decode(errors="replace").strip()[:500])
                if b'"listening"' in line and not self._is_doomed:
                    with suppress(ValueError, KeyError):
                        self.url = json.loads(line)["url"]
