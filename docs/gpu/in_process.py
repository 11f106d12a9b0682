"""Measure an engine in this process, fed with arrays, and see where the GPU's time goes.

usage: in_process.py OUT_DIR [--tiny] [--seconds N] [--args JSON] [--parts text,video,profile]

`text`: prompts without a video, as long as a chunk, so that what is missing to the rate of chunks
is the vision tower and the front end. `video`: unique chunks of 80 frames of 448x448 as arrays, in
batches. `profile`: two chunks under torch's profiler, the kernels summed up by name. Rates are of
whole batches; the preparation of the frames is in them, as it runs in this process.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import shapes

FRAMES, SIDE, FPS = 80, 448, 8
CHUNK_TOKENS = 8208
VIDEO = (
    "<|im_start|>user\n<|vision_start|><|video_pad|><|vision_end|>yes or no<|im_end|>\n"
    "<|im_start|>assistant\n"
)


def chunk(seed: int, *, frames: int, side: int) -> tuple[Any, dict[str, Any]]:
    """Return frames as an array (frames, side, side, 3) of bytes, and what vLLM wants to know."""
    rng = np.random.default_rng(seed)
    small = rng.integers(0, 255, (frames, side // 16, side // 16, 3), dtype=np.uint8)
    video = small.repeat(16, axis=1).repeat(16, axis=2)
    return video, {
        "fps": FPS,
        "duration": frames / FPS,
        "total_num_frames": frames,
        "frames_indices": list(range(frames)),
        "video_backend": "opencv",
        "do_sample_frames": False,
    }


def main() -> None:
    """Run the parts, each by itself, and print a line of JSON for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--args", type=json.loads, default={})
    parser.add_argument("--parts", default="text,video,profile")
    options = parser.parse_args()
    from vllm import LLM, SamplingParams

    model = options.out / "model"
    shapes.write_model(model, "reason2", "tiny" if options.tiny else "8b")
    started = time.perf_counter()
    arguments: dict[str, Any] = {
        "load_format": "dummy",
        "enforce_eager": True,
        "max_model_len": 16_384,
        "max_num_batched_tokens": 16_384,
        "max_num_seqs": 64,
        "limit_mm_per_prompt": {"image": 0, "video": 1},
        "mm_processor_cache_gb": 0,
        "skip_mm_profiling": True,
        "enable_prefix_caching": False,
        **({} if options.tiny else {"gpu_memory_utilization": 0.85}),
        **options.args,
    }
    engine = LLM(model=str(model), **arguments)
    print(json.dumps({"ready_s": round(time.perf_counter() - started, 1), **options.args}))
    one = SamplingParams(temperature=0.0, max_tokens=1)
    frames, side = (8, 64) if options.tiny else (FRAMES, SIDE)
    length = 64 if options.tiny else CHUNK_TOKENS
    clips = [chunk(seed, frames=frames, side=side) for seed in range(32)]

    def ask(prompts: list[Any]) -> int:
        answers = engine.generate(prompts, one, use_tqdm=False)
        return sum(len(it.prompt_token_ids or ()) for it in answers)

    def texts(turn: int) -> list[Any]:
        rng = np.random.default_rng(1000 + turn)
        return [{"prompt_token_ids": rng.integers(20, 500, length).tolist()} for _ in range(8)]

    def videos(turn: int) -> list[Any]:
        chosen = [clips[(8 * turn + number) % len(clips)] for number in range(8)]
        return [{"prompt": VIDEO, "multi_modal_data": {"video": [clip]}} for clip in chosen]

    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "text": lambda: measure(ask, texts, options.seconds),
        "video": lambda: measure(ask, videos, options.seconds),
        "profile": lambda: profiled(lambda: ask(videos(99)[:2]), options.out),
    }
    for name in options.parts.split(","):
        try:
            print(json.dumps({"part": name, **parts[name]()}), flush=True)
        except Exception as error:  # noqa: BLE001 - the other parts may work
            print(json.dumps({"part": name, "error": repr(error)[:500]}), flush=True)


def measure(
    ask: Callable[[list[Any]], int], prompts: Callable[[int], list[Any]], seconds: float
) -> dict[str, Any]:
    """Ask batch after batch for so many seconds, after one to warm up."""
    ask(prompts(0))
    started, asked, tokens, turn = time.perf_counter(), 0, 0, 1
    while (took := time.perf_counter() - started) < seconds:
        batch = prompts(turn)
        tokens += ask(batch)
        asked += len(batch)
        turn += 1
    took = time.perf_counter() - started
    return {"per_s": round(asked / took, 3), "tokens": tokens // max(asked, 1), "asked": asked}


def profiled(work: Callable[[], int], out: Path) -> dict[str, Any]:
    """Return the kernels that took most of the GPU's time, in milliseconds."""
    from torch.profiler import ProfilerActivity, profile

    work()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as watched:
        started = time.perf_counter()
        work()
        took = time.perf_counter() - started
    rows = [
        (getattr(it, "self_device_time_total", 0.0) / 1000, it.count, it.key[:110])
        for it in watched.key_averages()
    ]
    rows.sort(reverse=True)
    (out / "kernels.json").write_text(json.dumps([r for r in rows if r[0] > 0], indent=1))
    total = sum(time_ms for time_ms, _, _ in rows)
    top = [f"{time_ms:9.2f} ms {count:6d}x {name}" for time_ms, count, name in rows[:24]]
    print("\n".join(top), file=sys.stderr)
    return {"wall_ms": round(took * 1000, 1), "gpu_ms": round(total, 1)}


if __name__ == "__main__":
    main()
