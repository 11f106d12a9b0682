"""Print how the sidecar carries VSS's published loads on emulated boards, beside three others.

usage: density_table.py [--boards dgx-spark,agx-thor,h100] [--arms ...] [--out FOLDER] [--search]
                        (`make density` sets up what it needs; under 10 minutes on two cores)

The board is `sidecar mock-vlm --hw`, and runs several times as fast as the real one. Against it,
one after the other, with the same events at the same times:

ours      `sidecar serve` with a SQLite ledger on disk, by its HTTP door; deadlines on.
static    the documented policy of VSS's Alert Bridge: 4 calls in flight, first come first served,
          5 s for a call, no deadline. A policy inside the driver: it costs no CPU, so the
          comparison favours it.
gateway   LiteLLM's proxy from .venv-gateway, a general gateway of language models.
direct    nothing: the driver asks the board.

Every time in the table is one of the board. What the sidecar and the gateway cost on this machine
is multiplied by the speed, and counts against them.
"""

import argparse
import asyncio
import json
import os
import re
import secrets
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[1]
GATEWAY = ROOT / ".venv-gateway" / "bin" / "litellm"
ARMS = ("ours", "static", "gateway", "direct")
ADAPTER = "cosmos3-nano"
MODEL = "nvidia/Cosmos3-Nano-Reasoner"
NOTHING = "\N{EN DASH}"
START_S = 60.0
BROKEN_PROMISE = 7


@dataclass(frozen=True)
class Board:
    """A board, and the load that is offered to it.

    Attributes:
        name: as the emulator calls it.
        precision: of the weights.
        streams: cameras.
        per_minute: events of each.
        speed: seconds of the board in one of ours.
        measure_s: seconds of the board.
        cv_streams: cameras that detection follows on the same GPU.
        published: what VSS's table tells of the same load.
    """

    name: str
    precision: str
    streams: int
    per_minute: float
    speed: float
    measure_s: float
    cv_streams: int
    published: str


BOARDS = (
    Board("dgx-spark", "bf16", 14, 4.6, 12, 240, 14, "average 235 s, growing"),
    Board("agx-thor", "bf16", 14, 4.6, 12, 240, 0, "none for 14"),
    Board("h100", "bf16", 50, 4.7, 4, 100, 0, "average 24.6 s, P90 52.6 s"),
)
OURS = {
    "SIDECAR_METRICS__ENABLED": "false",
    "SIDECAR_CANARY__ENABLED": "false",
    "SIDECAR_AB__PRIMARY": ADAPTER,
    "SIDECAR_ARMS__COSMOS3_NANO__EVIDENCE": "url",
    "SIDECAR_MEDIA__ALLOWED_NETWORKS": "127.0.0.0/8",
    "SIDECAR_VERIFY__MAX_IN_FLIGHT": "16",
    "SIDECAR_VERIFY__MIN_FRAMES_SEEN": "0",
    "SIDECAR_LOG__LEVEL": "warning",
}
DEADLINE_S = 10.0
"""Of the board: what the promise allows the slowest percent."""


def scenario_of(board: Board) -> dict[str, Any]:
    """Write the scenario: VSS's load, frames and promise."""
    return {
        "name": f"{board.name}-{board.streams}",
        "about": f"{board.streams} cameras, {board.per_minute} events a minute each, as in VSS's "
        f"table, on an emulated {board.name} in {board.precision}.",
        "load": {"per_minute": board.per_minute},
        "promises": [{"percent": 95, "within_s": 5}, {"percent": 99, "within_s": 10}],
        "question": {"extra": VSS_FRAMES},
        "window": {"warm_up_s": 60, "measure_s": board.measure_s, "events": 130, "give_up_s": 300},
        "search": {"start": 4, "most": 256, "resolution": 0.1, "confirm": 1},
    }


VSS_FRAMES = {
    "media_io_kwargs": {"video": {"fps": 4, "num_frames": -1}},
    "mm_processor_kwargs": {"size": {"shortest_edge": 1568, "longest_edge": 3_960_000}},
}
"""What VSS's Alert Bridge asks for, as its profile for alerts sets it."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    board: Board
    arm: str
    run: dict[str, Any] | None
    streams: int | None = None
    tokens: float | None = None
    skipped: str = ""

    def __str__(self) -> str:
        name = f"{self.board.name} {self.board.precision}, {self.board.streams} streams"
        if self.run is None:
            return f"| {name} | {self.arm} | {self.skipped} | | | | | | | | |"
        run = self.run
        times = [run["latency"][it] for it in ("mean", "p50", "p90", "p99")]
        offered = run["measured"]
        in_time = next(it for it in run["checks"] if it["name"] == "p95")["detail"]
        share = in_time.split("%")[0] + " %"
        return (
            f"| {name} | {self.arm} | {share} | "
            + " | ".join(NOTHING if it is None else f"{it:.2f} s" for it in times)
            + f" | {run['per_s_verified'] * 60:.0f} of {run['per_s_offered'] * 60:.0f} "
            f"| {sum(run['accounting']['failed'].values())} "
            f"| {sum(run['accounting']['shed'].values())} "
            f"| {'' if self.tokens is None else f'{self.tokens:.0f}'} |"
            + (f" {self.streams} |" if self.streams is not None else "")
            + ("" if offered else " nothing was measured")
        )


async def main() -> int:
    """Print the table; the exit status is 1 when something could not be measured."""
    options = _options()
    boards = [it for it in BOARDS if it.name in options.boards.split(",")]
    has_boards = await asyncio.to_thread(_knows_boards)
    if not has_boards:
        print(
            "NOTE: this version of `sidecar mock-vlm` emulates no board (--hw). A mock that takes "
            "0.9 s for anything stands in; the figures tell that the program works, and nothing of "
            "a board.\n"
        )
    print(
        "| load | arm | in 5 s | mean | p50 | p90 | p99 | verdicts a minute | failed | shed "
        "| prompt tokens |" + (" max streams |" if options.search else "")
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|" + ("---|" if options.search else ""))
    for board in boards:
        for arm in options.arms.split(","):
            row = await _measure(board, arm, options.out, has_boards, options.search)
            print(row, flush=True)
        print(f"| | VSS's own table: {board.published} | | | | | | | | | |", flush=True)
    print(f"\nReports and samples: {options.out}")
    return 0


SIDECAR = (sys.executable, "-m", "sidecar")


async def _measure(board: Board, arm: str, out: Path, has_boards: bool, search: bool) -> Row:
    if arm == "gateway" and not GATEWAY.exists():
        return Row(board, arm, None, skipped="skipped: no LiteLLM in .venv-gateway")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "scenario.json"
        path.write_text(json.dumps(scenario_of(board)), "utf-8")
        async with (
            _emulated(board, folder, has_boards) as model,
            _front(arm, board, model, folder) as options,
        ):
            where = out / f"{board.name}-{arm}"
            common = [str(path), *options, "--speed", f"{board.speed}", "--clips", "none"]
            common += ["--answers", "known"]
            found = await _density(where, *common, "--streams", f"{board.streams}")
            tokens = await _tokens(model)
            most = await _density(where / "search", *common) if search else None
    return Row(board, arm, found["runs"][0], most["streams"] if most else None, tokens)


@asynccontextmanager
async def _emulated(board: Board, folder: Path, has_boards: bool) -> AsyncGenerator[str]:
    """Run the board; yields its URL."""
    port = free_port()
    command = [*SIDECAR, "mock-vlm", "--port", f"{port}", "--model", MODEL, "--known-answers"]
    if has_boards:
        command += ["--hw", board.name, "--precision", board.precision]
        command += ["--speed", f"{board.speed}", "--cv-streams", f"{board.cv_streams}"]
    else:
        command += ["--latency-ms", f"{900 / board.speed}"]
    async with _process(command, folder / "board.log", f"http://127.0.0.1:{port}/v1/models"):
        yield f"http://127.0.0.1:{port}/v1"


@asynccontextmanager
async def _front(arm: str, board: Board, model: str, folder: Path) -> AsyncGenerator[Sequence[str]]:
    """Run what stands before the board; yields the driver's options."""
    port = free_port()
    if arm == "ours":
        settings = {
            **OURS,
            "SIDECAR_HTTP__PORT": f"{port}",
            "SIDECAR_LEDGER__PATH": str(folder / "ledger.db"),
            "SIDECAR_ARMS__COSMOS3_NANO__URL": model,
            "SIDECAR_SCHEDULING__DEADLINE_S": f"{DEADLINE_S / board.speed}",
        }
        ready = f"http://127.0.0.1:{port}/ready"
        log = folder / "sidecar.log"
        async with _process([*SIDECAR, "serve"], log, ready, settings) as pid:
            yield ["--door", f"http://127.0.0.1:{port}", "--watch-pid", f"{pid}"]
    elif arm == "gateway":
        config = folder / "litellm.yaml"
        config.write_text(_litellm_config(model), "utf-8")
        # without these it asks the internet for prices at its start
        quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_LOG": "ERROR"}
        quiet["LITELLM_MASTER_KEY"] = key = f"sk-{secrets.token_hex(16)}"
        command = [str(GATEWAY), "--config", str(config), "--port", f"{port}"]
        ready = f"http://127.0.0.1:{port}/health/liveliness"
        log = folder / "gateway.log"
        command += ["--host", "127.0.0.1", "--telemetry", "False"]
        async with _process(command, log, ready, quiet) as pid:
            url = f"http://127.0.0.1:{port}/v1"
            yield ["--direct", url, "--model", MODEL, "--api-key", key, "--watch-pid", f"{pid}"]
    else:
        yield ["--direct", model, *(["--policy", "static"] if arm == "static" else [])]


@asynccontextmanager
async def _process(
    command: Sequence[str], log: Path, ready: str, environment: dict[str, str] | None = None
) -> AsyncGenerator[int]:
    """Run a process until the context ends; yields its id when it is ready."""
    kept = {name: it for name, it in os.environ.items() if not name.startswith("SIDECAR_")}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *command, env={**kept, **(environment or {})}, stdout=output, stderr=output
        )
    try:
        async with asyncio.timeout(START_S), aiohttp.ClientSession() as client:
            while not await _answers(client, ready):
                if process.returncode is not None:
                    raise RuntimeError(f"{command[:4]} ended:\n{_end_of(log)}")
                await asyncio.sleep(0.1)
        yield process.pid
    finally:
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


def _end_of(log: Path) -> str:
    return log.read_text("utf-8", errors="replace")[-2000:]


async def _answers(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(url) as answer:
            return answer.ok
    except aiohttp.ClientError:
        return False


async def _density(out: Path, *arguments: str) -> dict[str, Any]:
    """Run the command and return what it found about its one target."""
    process = await asyncio.create_subprocess_exec(
        *(*SIDECAR, "density", *arguments, "--out", str(out)),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, told = await process.communicate()
    if process.returncode not in {0, BROKEN_PROMISE}:
        raise RuntimeError(told.decode()[-2000:])
    report = json.loads((out / "report.json").read_bytes())
    [found] = report["found"]
    return dict(found)


async def _tokens(model: str) -> float | None:
    """Return the mean of the prompts' tokens that the board counted: equal for all arms."""
    async with (
        aiohttp.ClientSession() as client,
        client.get(model.removesuffix("/v1") + "/metrics") as answer,
    ):
        text = await answer.text() if answer.ok else ""
    sums = [_sum(text, name) for name in ("vllm:prompt_tokens_total", "vllm:request_success_total")]
    return sums[0] / sums[1] if sums[1] else None


def _sum(text: str, name: str) -> float:
    return sum(map(float, re.findall(rf"^{name}\{{.*\}} (\S+)$", text, re.MULTILINE)))


def _litellm_config(model: str) -> str:
    """Write it as JSON, which is YAML: one model, no retries, no logs of requests."""
    parameters = {"model": f"openai/{MODEL}", "api_base": model, "api_key": "none"}
    return json.dumps(
        {
            "model_list": [{"model_name": MODEL, "litellm_params": parameters}],
            "litellm_settings": {"num_retries": 0, "request_timeout": 600, "telemetry": False},
            "router_settings": {"num_retries": 0, "disable_cooldowns": True},
        }
    )


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def _knows_boards() -> bool:
    command = [*SIDECAR, "mock-vlm", "--hw", "no-such-board"]
    told = subprocess.run(command, capture_output=True, check=False).stderr.decode()
    return "No such option" not in re.sub(r"\x1b\[[0-9;]*m", "", told)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--boards", default=",".join(it.name for it in BOARDS))
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--out", type=Path, default=Path("density-report"))
    parser.add_argument("--search", action="store_true", help="look for the most streams, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
