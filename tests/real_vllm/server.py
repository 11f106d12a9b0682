"""Starting real vLLM servers on the CPU, with tiny random models of the real architectures."""

import os
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
DEFAULT_PYTHON: Final = HERE.parents[1] / ".venv-vllm" / "bin" / "python"
START_TIMEOUT_S: Final = 240
STOP_TIMEOUT_S: Final = 20
MODEL_IDS: Final = {"reason2": "nvidia/Cosmos-Reason2-8B", "cosmos3": "nvidia/Cosmos3-Nano"}
FAMILIES: Final = {"reason2": "reason2", "cosmos3-nano": "cosmos3"}
"""Architectures by the names of their arms."""
PARSER: Final = ("--reasoning-parser", "qwen3")
OPTIONS: Final = ("--trust-request-mm-kwargs",)


@dataclass(frozen=True, slots=True)
class VllmServer:
    """A running server: its URL including `/v1`, the id that it serves, and its log."""

    url: str
    model: str
    log: Path


def find_python() -> Path | None:
    """Return the Python that has vLLM: `VLLM_PYTHON`, or `.venv-vllm` in the project root."""
    named = os.environ.get("VLLM_PYTHON")
    python = Path(named) if named else DEFAULT_PYTHON
    return python if python.is_file() else None


@contextmanager
def run_vllm(
    python: Path, family: str, folder: Path, *, flags: Sequence[str] = (), port: int = 0
) -> Iterator["StartingVllm"]:
    """Start a server for `family` ("reason2" or "cosmos3"), and end it with the context.

    Args:
        python: of the environment that has vLLM.
        family: which architecture to serve.
        folder: takes the model, unless it has one, and the log.
        flags: further command-line options.
        port: to listen on; 0 takes a free one.
    """
    model = folder / "model"
    if not model.exists():
        make_model = [python, HERE / "tiny_model.py", model, family]
        subprocess.run(make_model, check=True, capture_output=True)
    log = folder / "vllm.log"
    port = port or find_free_port()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*build_command(python, model, MODEL_IDS[family], port), *flags],
            env=build_environment(),
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        yield StartingVllm(process, url, VllmServer(f"{url}/v1", MODEL_IDS[family], log))
    finally:
        stop(process)


@dataclass(frozen=True, slots=True)
class StartingVllm:
    """A server that was started and may not answer yet."""

    process: "subprocess.Popen[bytes]"
    root_url: str
    server: VllmServer

    def wait(self) -> VllmServer:
        """Wait until the server is healthy.

        Raises:
            RuntimeError: it ended or takes too long; the text has the end of its log.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if is_healthy(self.root_url):
                return self.server
            time.sleep(0.5)
        tail = "\n".join(self.server.log.read_text(errors="replace").splitlines()[-30:])
        raise RuntimeError(f"vLLM did not start (exit status {self.process.poll()}):\n{tail}")


def build_command(python: Path, model: Path, model_id: str, port: int) -> list[str]:
    """Build the command line of a server with otherwise default options."""
    options = {
        "--model": str(model),
        "--served-model-name": model_id,
        "--load-format": "dummy",
        "--dtype": "float32",
        "--max-model-len": "16384",
        "--host": "127.0.0.1",
        "--port": str(port),
    }
    pairs = [word for option in options.items() for word in option]
    return [str(python), "-m", "vllm.entrypoints.openai.api_server", *pairs, "--enforce-eager"]


def build_environment() -> dict[str, str]:
    """Build the environment of a server: small cache, all cores, no network."""
    return {
        **os.environ,
        "DO_NOT_TRACK": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{(os.cpu_count() or 1) - 1}",
    }


def find_free_port() -> int:
    """Return a port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_healthy(root_url: str) -> bool:
    """Ask for `/health`."""
    try:
        with urllib.request.urlopen(f"{root_url}/health", timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def stop(process: "subprocess.Popen[bytes]") -> None:
    """End a server and the engine processes that it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            continue
