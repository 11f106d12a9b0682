"""Run a plan of serving experiments on one GPU: what throughput, at what latency, and what binds.

usage: run_h100.py PLAN.json --media DIR --out DIR [--seconds N] [--only NAME,NAME] [--state FILE]
                   [--tiny]

A plan is a list of servers (arguments and environment of vLLM), each with the loads to run on it,
both in order of importance. A load carries its prediction, written before the run. Results are
appended to OUT/results.jsonl and OUT/samples.jsonl as they come, so that nothing is lost when time
runs out; loads that OUT/results.jsonl or --state already holds are left out. `--tiny` runs the same
on a CPU with two small layers and a few seconds a load, to see that everything works.

Needs vLLM and what comes with it; nothing of this project outside this folder. `make_media.py`
writes DIR.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any, Final

import arithmetic
import ceiling
import load
import media
import shapes
from server import Server, ServerDied, Watch

PORT: Final = 8190
WAIT_READY_S: Final = 240.0
READY_S: Final = 75.0  # what a start is taken to last when the rest of the time is planned
WARM_UP: Final = 3
PROMPT: Final = "Is a person in the picture? Answer yes or no."
TINY: Final = {
    "args": ["--dtype", "float32", "--enforce-eager", "--max-model-len", "16384"],
    "env": {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"},
    "seconds": 6.0,
    "concurrency": 2,
    "rate": 0.5,
}
# vLLM's options that only a GPU has, and how many values follow
GPU_ONLY: Final = {"--gpu-memory-utilization": 1, "--quantization": 1, "--kv-cache-dtype": 1}


class Clips:
    """Makes the bodies of requests: every one has a clip that was never sent before."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._pools: dict[str, media.Pool] = {}
        self._next = 0

    def pool(self, name: str) -> media.Pool:
        """Return a pool, read once."""
        if name not in self._pools:
            self._pools[name] = media.Pool.read(self._folder, name)
        return self._pools[name]

    def url(self, kind: dict[str, Any], seed: int) -> bytes:
        """Return the clip of `seed` as a data URL."""
        pool = self.pool(kind["pool"])
        if kind["form"] == "jpeg":
            return b"data:video/jpeg;base64," + pool.frame_list(seed, kind["frames"])
        import pybase64

        clip = pool.clip(seed, kind["frames"], kind.get("fps"))
        return b"data:video/mp4;base64," + pybase64.b64encode(clip)

    def body(self, kind: dict[str, Any], kwargs: dict[str, Any], index: int) -> bytes:
        """Return a chat completion with a new clip, or with the one before (`repeat`)."""
        repeated = kind.get("repeat", 1)
        if index % repeated == 0:
            self._next += 1
        part: dict[str, Any] = {"type": "video_url", "video_url": {"url": "@"}}
        words = {"type": "text", "text": f"{PROMPT} {'' if repeated == 1 else index % repeated}"}
        order = [words, part] if kind.get("text_first") else [part, words]
        request = {
            "model": "vlm",
            "messages": [{"role": "user", "content": order}],
            "max_tokens": kind.get("max_tokens", 1),
            "temperature": 0,
            **kwargs,
        }
        before, after = json.dumps(request).encode().split(b'"@"')
        return before + b'"' + self.url(kind, self._next) + b'"' + after


def expected_tokens(kind: dict[str, Any]) -> tuple[int, int]:
    """Return the least and the most prompt tokens if the model sees what it should.

    The text of a time stamp before each pair of frames takes 7 to 14 tokens by the tokenizer.
    """
    frames, width, height = kind["seen"]
    vision = arithmetic.vision_tokens(frames, width, height)
    return vision + 4 * arithmetic.grids(frames), vision + 15 * arithmetic.grids(frames) + 100


async def agree(servers: load.Servers, clips: Clips, kind: dict[str, Any]) -> dict[str, Any]:
    """Find the options of a request with which this server shows the model all frames.

    Raises:
        ValueError: none of `kind["options"]` does; says what each gave.
    """
    least, most = expected_tokens(kind)
    seen = []
    async with load.new_session() as session:
        for options in kind["options"]:
            sample = load.Sample(0, 0)
            await servers.ask(session, clips.body(kind, options, 0), sample)
            if least <= sample.tokens <= most:
                return dict(options)
            seen.append(f"{options}: {sample.tokens or sample.error}")
    raise ValueError(f"expected {least} to {most} prompt tokens, saw {seen}")


def scaled(plan_load: dict[str, Any], tiny: bool) -> dict[str, Any]:
    """Return a load, made small for `--tiny`."""
    if not tiny:
        return plan_load
    small = {**plan_load, "seconds": TINY["seconds"], "ramp": 1.0, "patience": 20.0}
    if "concurrency" in small:
        small["concurrency"] = TINY["concurrency"]
    if small["load"] != "closed":
        small |= {"load": "poisson", "rate": TINY["rate"]}
        small.pop("of", None)
    return small


async def run_load(
    servers: load.Servers, clips: Clips, kind: dict[str, Any], job: dict[str, Any]
) -> dict[str, Any]:
    """Run one load; return its figures and, under `samples`, the requests."""
    options = await agree(servers, clips, kind)
    body = partial(clips.body, kind, options)
    async with load.new_session() as session:
        warm = [load.Sample(0, 0) for _ in range(job.get("warm_up", WARM_UP))]
        await asyncio.gather(*(servers.ask(session, body(i), s) for i, s in enumerate(warm)))
    seconds, ramp = job["seconds"], job.get("ramp", 4.0)
    began = time.time()
    if job["load"] == "closed":
        samples, end = await load.closed(
            servers, body, concurrency=job["concurrency"], seconds=seconds
        )
    else:
        times = (
            load.periodic(job["streams"], job["period"], seconds, seed=7)
            if job["load"] == "periodic"
            else load.poisson(job["rate"], seconds, seed=7)
        )
        samples, end = await load.opened(
            servers, body, times=times, seconds=seconds, patience=job.get("patience", 12.0)
        )
    figures = load.summary(samples, ramp=ramp, end=end)
    return {
        "options": options,
        "began": began,
        "ended": time.time(),
        "body_bytes": len(body(0)),
        **figures,
        "samples": [sample.row() for sample in samples],
    }


def shares(
    figures: dict[str, Any], kind: dict[str, Any], limits: dict[str, float]
) -> dict[str, Any]:
    """Return the operations of a request, and its rate as a share of what each limit allows."""
    frames, width, height = kind["seen"]
    flop = arithmetic.clip_flop(frames, width, height, figures["prompt_tokens"])
    found = {"tflop": round(flop / 1e12, 1), "tflop_per_s": round(figures["per_s"] * flop / 1e12)}
    for name, value in limits.items():
        found[f"of_{name}"] = round(figures["per_s"] / arithmetic.limit(flop, value), 3)
    return found


def name_of_cpu_build() -> Path:
    """Return a folder that lets `vllm serve` of the package vllm-cpu find its own version."""
    folder = Path(tempfile.gettempdir()) / "vllm-cpu-name"
    about = folder / "vllm-0.0.0+cpu.dist-info" / "METADATA"
    about.parent.mkdir(parents=True, exist_ok=True)
    about.write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.0.0+cpu\n")
    return folder


def as_predicted(job: dict[str, Any], figures: dict[str, Any]) -> dict[str, bool]:
    """Return for each figure that the load predicts whether it lies within its bounds."""
    found = {}
    for name, (least, most) in job["predicted"].items():
        value = figures.get(name)
        found[name] = value is not None and least <= value <= most
    return found


def without_gpu(options: list[str], tiny: bool) -> list[str]:
    """Return a server's arguments, without those of a GPU for `--tiny`."""
    if not tiny:
        return options
    kept, skip = [], 0
    for option in options:
        if skip:
            skip -= 1
        elif option in GPU_ONLY:
            skip = GPU_ONLY[option]
        else:
            kept.append(option)
    return [*kept, *TINY["args"]]


class Runner:
    """Runs the servers and loads of a plan until the time is over."""

    def __init__(self, args: argparse.Namespace) -> None:
        self._tiny: bool = args.tiny
        self._out: Path = args.out
        self._state: Path | None = args.state
        self._until = time.monotonic() + args.seconds
        self._plan = json.loads(args.plan.read_text())
        self._only = set(args.only.split(",")) if args.only else None
        self._clips = Clips(args.media)
        self._watch = Watch()
        self._limits = {"bf16": arithmetic.H100_BF16, "fp8": arithmetic.H100_FP8}
        self._rows: dict[str, dict[str, Any]] = {
            row["name"]: row
            for file in (args.out / "results.jsonl", args.state)
            if file and file.exists()
            for row in map(json.loads, file.read_text().splitlines())
            if "error" not in row
        }

    def _left(self) -> float:
        return self._until - time.monotonic()

    def _keep(self, row: dict[str, Any]) -> None:
        samples = row.pop("samples", [])
        if "error" not in row:
            self._rows[row["name"]] = row
        for results in filter(None, (self._out / "results.jsonl", self._state)):
            with results.open("a") as file:
                file.write(json.dumps(row) + "\n")
        with (self._out / "samples.jsonl").open("a") as file:
            for sample in samples:
                file.write(json.dumps({"name": row["name"], **sample}) + "\n")
        short = {k: row[k] for k in SHOWN if k in row}
        print(f"[{self._left():.0f} s left] {row['name']}", json.dumps(short), flush=True)

    def run(self) -> None:
        """Run all that fits into the time."""
        self._watch.start()
        self._keep({"name": "machine", **machine()})
        if not self._tiny and "ceiling" not in self._rows:
            self._keep({"name": "ceiling", **ceiling.measure()})
        found = self._rows.get("ceiling", {})
        self._limits |= {f"measured_{k}": found[k] for k in ("bf16", "fp8") if k in found}
        try:
            for server in self._plan["servers"]:
                if not self._only or server["name"] in self._only:
                    self._serve(server)
        finally:
            self._watch.end(self._out / "gpu.csv")

    def _jobs(self, server: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            scaled(job, self._tiny)
            for job in server["loads"]
            if f"{server['name']}/{job['name']}" not in self._rows
        ]

    def _sized(self, server: str, job: dict[str, Any]) -> dict[str, Any] | None:
        """Return a load with its rate, where that is a share of what another load reached."""
        if "of" not in job:
            return job
        reached = [self._rows.get(f"{server}/{name}", {}).get("per_s") for name in job["of"]]
        best = max((each for each in reached if each), default=0.0)
        if not best:
            return None
        rate = best * job["share"]
        if job["load"] == "periodic":
            return {**job, "streams": max(1, int(rate * job["period"]))}
        return {**job, "rate": rate}

    def _serve(self, server: dict[str, Any]) -> None:
        jobs = self._jobs(server)
        if not jobs or self._left() < READY_S + jobs[0]["seconds"]:
            return
        print(f"[{self._left():.0f} s left] start {server['name']}", flush=True)
        size = "tiny" if self._tiny else "8b"
        model = Path(tempfile.gettempdir()) / "gpu-models" / f"{server['model']}-{size}"
        if not model.exists():
            shapes.write_model(model, server["model"], size)
        before = time.monotonic()
        with ExitStack() as stack:
            try:
                running = self._start(stack, server, model)
            except ServerDied as error:
                self._keep({"name": server["name"], "error": str(error)})
                return
            ready = time.monotonic() - before
            for asked in jobs:
                job = self._sized(server["name"], asked)
                if job is None:
                    print("nothing to size", server["name"], asked["name"], "by", flush=True)
                    continue
                if self._left() < job["seconds"] + job.get("patience", 5.0) + 6:
                    print("no time for", server["name"], job["name"], flush=True)
                    continue
                if not self._one(server, running, job, ready):
                    return

    def _start(self, stack: ExitStack, server: dict[str, Any], model: Path) -> list[Server]:
        """Start the engines of a server, with its `else` arguments where the first do not do."""
        choices = [server.get("args", [])] + ([server["else"]] if "else" in server else [])
        for number, choice in enumerate(choices):
            attempt = stack.enter_context(ExitStack())
            try:
                return self._start_with(attempt, server, choice, model)
            except ServerDied as error:
                attempt.close()
                if number == len(choices) - 1:
                    raise
                print(f"{server['name']} without {choice}: {error}", flush=True)
        raise AssertionError(choices)

    def _start_with(
        self, stack: ExitStack, server: dict[str, Any], choice: list[str], model: Path
    ) -> list[Server]:
        env = {**self._plan["env"], **server.get("env", {})}
        args = without_gpu([*self._plan["args"], *choice], self._tiny)
        if self._tiny:
            env |= {**TINY["env"], "PYTHONPATH": str(name_of_cpu_build())}
        running = []
        for number in range(server.get("engines", 1)):
            log = Path(tempfile.gettempdir()) / f"{server['name']}-{number}.log"
            one = Server.start(model=model, port=PORT + number, args=args, env=env, log=log)
            stack.callback(self._end, one)
            running.append(one)
            one.wait(min(self._until, time.monotonic() + WAIT_READY_S))
        return running

    def _end(self, server: Server) -> None:
        server.end()
        with (self._out / "server-logs.txt").open("a") as file:
            text = server.log.read_text(errors="replace")
            file.write(f"===== {server.log.name}\n{text[:6000]}\n[...]\n{text[-4000:]}\n")

    def _one(
        self, server: dict[str, Any], running: list[Server], job: dict[str, Any], ready: float
    ) -> bool:
        """Run one load; return whether the servers still live."""
        kind = self._plan["media"][job["media"]]
        row = {"name": f"{server['name']}/{job['name']}", "ready_s": round(ready, 1), **job}
        cpu = [each.cpu_seconds() for each in running]
        counters = [each.metrics() for each in running]
        try:
            servers = load.Servers([each.url for each in running])
            figures = asyncio.run(run_load(servers, self._clips, kind, job))
        except (ValueError, OSError) as error:
            self._keep({**row, "name": row["name"], "error": str(error)})
            return all(each.process.poll() is None for each in running)
        figures["cpu_s"] = _growth(cpu, [each.cpu_seconds() for each in running])
        figures["counters"] = _growth(counters, [each.metrics() for each in running])
        figures |= self._watch.between(figures["began"] + job.get("ramp", 4.0), figures["ended"])
        row |= figures | shares(figures, kind, self._limits)
        row["as_predicted"] = as_predicted(job, row)
        self._keep({**row, "name": f"{server['name']}/{job['name']}"})
        return all(each.process.poll() is None for each in running)


SHOWN: Final = (
    "error",
    "requests",
    "good",
    "streams",
    "per_s",
    "offered_per_s",
    "p50_s",
    "p95_s",
    "p99_s",
    "backlog_per_s",
    "prompt_tokens",
    "gpu_busy_percent",
    "of_bf16",
    "of_measured_bf16",
    "as_predicted",
    "cpu_s",
    "errors",
    "gpu",
    "bf16",
    "fp8",
    "ready_s",
)


def _growth(before: list[dict[str, float]], after: list[dict[str, float]]) -> dict[str, float]:
    found: dict[str, float] = {}
    for old, new in zip(before, after, strict=True):
        for name, value in new.items():
            found[name] = round(found.get(name, 0.0) + value - old.get(name, 0.0), 3)
    return found


def machine() -> dict[str, Any]:
    """Return what the figures were measured on and with."""
    found: dict[str, Any] = {"cores": os.cpu_count(), "python": sys.version.split()[0]}
    for package in ("vllm", "vllm-cpu", "torch", "transformers", "triton", "flashinfer-python"):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    query = "--query-gpu=name,driver_version,memory.total,power.limit"
    try:
        got = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
        )
        found["gpu"] = got.stdout.strip()
    except (FileNotFoundError, subprocess.CalledProcessError):
        found["gpu"] = "none"
    return found


def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("plan", type=Path)
    parser.add_argument("--media", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=540.0)
    parser.add_argument("--only", default="")
    parser.add_argument("--state", type=Path)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    Runner(args).run()


if __name__ == "__main__":
    main()
