"""vLLM servers as processes of their own: start, wait, look at what they use, end."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import psutil

KEPT_METRICS: Final = re.compile(
    r"^(vllm:\w*(?:cache_queries_total|cache_hits_total|prompt_tokens_total|preemptions_total|"
    r"queue_time\w*_(?:sum|count)|prefill_time\w*_(?:sum|count)|e2e\w*_(?:sum|count)))"
    r"(?:\{[^}]*\})?\s+(\S+)$",
    re.MULTILINE,
)


class ServerDied(Exception):
    """The server ended, or did not answer in time, before it was ready."""


@dataclass
class Server:
    """One vLLM server process with all the processes it starts.

    Attributes:
        url: where it answers.
        process: the one started.
        log: where its output goes.
    """

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    @classmethod
    def start(
        cls, *, model: Path, port: int, args: list[str], env: dict[str, str], log: Path
    ) -> "Server":
        """Start `vllm serve` of dummy weights; it is not ready yet."""
        command = [sys.executable, "-m", "vllm.entrypoints.cli.main", "serve", str(model)]
        command += ["--served-model-name", "vlm", "--port", str(port)]
        command += ["--host", "127.0.0.1", "--load-format", "dummy", *args]
        with log.open("wb") as out:
            out.write((" ".join(command) + f"\n{env}\n").encode())
            out.flush()
            process = subprocess.Popen(
                command,
                env={**os.environ, **env},
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(f"http://127.0.0.1:{port}", process, log)

    def wait(self, until: float) -> None:
        """Return once it answers; `until` is of `time.monotonic`.

        Raises:
            ServerDied: the process ended, or the time is over.
        """
        while self.process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{self.url}/health", timeout=2).close()
                return
            if time.monotonic() > until:
                raise ServerDied(f"not ready in time: {self.tail()}")
            time.sleep(0.3)
        raise ServerDied(f"ended with {self.process.returncode}: {self.tail()}")

    def tail(self, size: int = 900) -> str:
        """Return the end of its log."""
        return self.log.read_bytes()[-size:].decode(errors="replace")

    def metrics(self) -> dict[str, float]:
        """Return some counters, summed over labels; empty where it does not answer."""
        try:
            with urllib.request.urlopen(f"{self.url}/metrics", timeout=5) as got:
                text = got.read().decode()
        except OSError:
            return {}
        found: dict[str, float] = {}
        for name, value in KEPT_METRICS.findall(text):
            found[name] = found.get(name, 0.0) + float(value)
        return found

    def cpu_seconds(self) -> dict[str, float]:
        """Return the processor time so far, by the names of its processes."""
        found: dict[str, float] = {}
        with contextlib.suppress(psutil.Error):
            root = psutil.Process(self.process.pid)
            for each in (root, *root.children(recursive=True)):
                with contextlib.suppress(psutil.Error):
                    times = each.cpu_times()
                    name = "front end" if each == root else role(each)
                    found[name] = found.get(name, 0.0) + times.user + times.system
        return found

    def end(self) -> None:
        """End it and all it started, and wait for that."""
        for each, patience in ((signal.SIGTERM, 4), (signal.SIGKILL, 10)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, each)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        stop = time.monotonic() + 10
        while time.monotonic() < stop and _group_lives(self.process.pid):
            time.sleep(0.2)


def _group_lives(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def role(process: psutil.Process) -> str:
    """Return what a process of vLLM is for, by the title it gives itself."""
    title = " ".join(process.cmdline()[:2]) or process.name()
    for name in ("EngineCore", "APIServer", "Worker", "resource_tracker"):
        if name.lower() in title.lower():
            return name
    return "other"


@dataclass
class Watch:
    """What the GPU does, read twice a second from `nvidia-smi`, where there is one.

    Attributes:
        rows: time of `time.time`, utilisation in percent, power in watts, SM clock in MHz,
            memory in MiB.
    """

    rows: list[tuple[float, float, float, float, float]] = field(default_factory=list)
    _process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin to read; a machine without `nvidia-smi` gives no rows."""
        query = "utilization.gpu,power.draw,clocks.sm,memory.used"
        command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits"]
        with contextlib.suppress(FileNotFoundError):
            self._process = subprocess.Popen(
                [*command, "-lms", "500"], stdout=subprocess.PIPE, text=True
            )
            threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self._process
        assert self._process.stdout
        for line in self._process.stdout:
            with contextlib.suppress(ValueError):
                busy, power, clock, memory = (float(part) for part in line.split(","))
                self.rows.append((time.time(), busy, power, clock, memory))

    def between(self, start: float, end: float) -> dict[str, Any]:
        """Return the means between two times of `time.time`."""
        rows = [row[1:] for row in self.rows if start <= row[0] <= end]
        names = ("gpu_busy_percent", "power_w", "clock_mhz", "memory_mib")
        return {
            n: round(sum(c) / len(c), 1)
            for n, c in zip(names, zip(*rows, strict=True), strict=False)
        }

    def end(self, file: Path) -> None:
        """Stop reading and write all rows to `file`, as CSV."""
        lines = [",".join(f"{value:.1f}" for value in row) for row in self.rows]
        file.write_text("\n".join(["time,busy_percent,power_w,clock_mhz,memory_mib", *lines, ""]))
        if self._process:
            self._process.kill()
            self._process.wait()
