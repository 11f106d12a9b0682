"""Compare ways to prepare a clip: 10 s of 1080p at 30 fps to 20 small frames in an MP4.

usage: benchmark_frames.py      (about 4 minutes; also as `benchmark.py frames`)

Each way runs in a process of its own, and the processes take turns, clip by clip. The number of
each frame is drawn into it as nine black or white squares, so that the small pictures tell which
frames were really taken. Three clips: as a camera encodes it (no B frames, a key frame every two
seconds), the same with two gaps as a bad network leaves them, and one with B frames. torchcodec
takes part where it can be imported.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from sidecar.model import EvidenceForm, SamplePlan
from sidecar.outside import decode
from sidecar.outside.container import open_video
from sidecar.outside.frames import to_mp4
from sidecar.outside.sampling import fit_size, sample_times, shown_at
from sidecar.settings import MediaSettings

FPS, SECONDS, WIDTH, HEIGHT = 30, 10, 1920, 1080
SQUARE, BITS, GREY = 64, 9, 128
PLAN = SamplePlan(EvidenceForm.VIDEO, fps=2.0, max_frames=20, max_pixels=20 * 448 * 448)
SIZE = fit_size(WIDTH, HEIGHT, 20, PLAN)
TIMES = sample_times(SECONDS, PLAN)
LIMITS = MediaSettings()
REPEATS = 7

Picture = np.ndarray[Any, np.dtype[Any]]


def write_clip(path: Path, b_frames: int) -> None:
    """Write a textured scene with moving objects and a camera's noise, at about 6 Mbit/s."""
    rng = np.random.default_rng(7)
    scene = np.full((HEIGHT, WIDTH, 3), 120, np.float32)
    for cells, contrast in ((8, 60), (32, 35), (128, 18), (512, 8)):
        texture = rng.normal(0, contrast, (cells * 9 // 16 + 1, cells, 3)).astype(np.float32)
        scene += cv2.resize(texture, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    scene = np.clip(scene, 10, 235)
    noise = rng.normal(0, 4, (HEIGHT + 64, WIDTH + 64, 1)).astype(np.float32)
    options = {"preset": "veryfast", "g": "60", "sc_threshold": "0", "bf": str(b_frames)}
    rate = {"b": "6M", "maxrate": "8M", "bufsize": "12M"}
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={**options, **rate})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FPS * SECONDS):
            picture = scene.copy()
            _draw_objects(picture, scene, number)
            top, left = rng.integers(0, 64, 2)
            picture += noise[top : top + HEIGHT, left : left + WIDTH]
            _draw_number(picture, number)
            drawn = np.clip(picture, 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn, "bgr24")))
        container.mux(stream.encode(None))


def _draw_objects(picture: Picture, scene: Picture, number: int) -> None:
    for i in range(8):
        turn = number / 60 + i * (1.7 + number / 200)
        left, top = int((WIDTH - 160) * (0.5 + 0.5 * np.sin(turn))), 80 + i * 115
        width, height = 90 + i * 9, 60 + i * 6
        cut = scene[top : top + height, left // 2 : left // 2 + width]
        picture[top : top + height, left : left + width] = cut * 0.5 + 60 + 8 * i


def _draw_number(picture: Picture, number: int) -> None:
    for bit in range(BITS):
        picture[:SQUARE, bit * SQUARE : (bit + 1) * SQUARE] = 235 if number >> bit & 1 else 16


def read_number(picture: Picture) -> int:
    """Read which frame a small picture shows."""
    height, width = picture.shape[:2]
    y = SQUARE * height // HEIGHT // 2
    xs = ((2 * bit + 1) * SQUARE * width // WIDTH // 2 for bit in range(BITS))
    return sum(int(picture[y, x].mean() > GREY) << bit for bit, x in enumerate(xs))


def write_with_gaps(source: Path, path: Path) -> None:
    """Copy a camera's clip without the last third of its third and fourth group of pictures."""
    with av.open(source) as whole, av.open(path, "w") as target:
        track = whole.streams.video[0]
        stream = target.add_stream_from_template(track)
        for number, packet in enumerate(whole.demux(track)):
            is_lost = number in range(160, 180) or number in range(220, 240)
            if packet.size and not is_lost:
                packet.stream = stream
                target.mux(packet)


def expected_numbers(path: Path) -> list[int]:
    """Tell which frames a viewer sees at the wanted times."""
    timeline = decode.read_timeline(path, LIMITS)
    shown = shown_at(timeline.shown, timeline.time_base, TIMES)
    return [round(timeline.seconds(tick) * FPS) for tick in shown]


def opencv_sequential(path: Path) -> list[Picture]:
    """Grab every frame, retrieve the wanted ones."""
    capture = cv2.VideoCapture(str(path))
    wanted = _places(capture)
    pictures = []
    for place in range(wanted[-1] + 1):
        capture.grab()
        if place in wanted:
            pictures.append(_small(capture.retrieve()[1]))
    capture.release()
    return pictures


def opencv_seek(path: Path) -> list[Picture]:
    """Seek to each wanted frame."""
    capture = cv2.VideoCapture(str(path))
    pictures = []
    for place in _places(capture):
        capture.set(cv2.CAP_PROP_POS_FRAMES, place)
        pictures.append(_small(capture.read()[1]))
    capture.release()
    return pictures


def _places(capture: cv2.VideoCapture) -> list[int]:
    rate = capture.get(cv2.CAP_PROP_FPS)
    last = int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) - 1
    return [min(round(t * rate), last) for t in TIMES]


def _small(picture: Picture) -> Picture:
    return np.asarray(cv2.resize(picture, SIZE, interpolation=cv2.INTER_AREA))


def pyav_every_frame(path: Path, threads: int) -> list[Picture]:
    """Decode everything up to the last wanted frame; 0 threads lets FFmpeg choose."""
    wanted = set(_product_ticks(path)[1])
    pictures = []
    with av.open(path) as container:
        stream = container.streams.video[0]
        stream.thread_type, stream.thread_count = "FRAME", threads
        for frame in container.decode(stream):
            if frame.pts in wanted:
                flags = decode.exact_area()
                pictures.append(frame.reformat(*SIZE, "bgr24", interpolation=flags).to_ndarray())
            if len(pictures) == len(wanted):
                break
    return pictures


def product(path: Path, threads: int = 1) -> list[Picture]:
    """Do what the sidecar does: frames that no wanted frame depends on are not decoded."""

    @contextmanager
    def opened(path: Path, limits: MediaSettings) -> Iterator[tuple[Any, Any]]:
        with open_video(path, limits) as (container, stream):
            stream.thread_type, stream.thread_count = "FRAME", threads
            yield container, stream

    if threads > 1:
        decode.open_video = opened
    timeline, wanted = _product_ticks(path)
    never = threading.Event()
    samples = decode.decode_pictures(path, timeline, wanted, SIZE, LIMITS, never)
    return [sample.picture for sample in samples.values()]


def _product_ticks(path: Path) -> tuple[decode.Timeline, list[int]]:
    timeline = decode.read_timeline(path, LIMITS)
    return timeline, shown_at(timeline.shown, timeline.time_base, TIMES)


def torchcodec(path: Path, threads: int) -> list[Picture]:
    """Ask torchcodec for the frame at each wanted time."""
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NHWC", num_ffmpeg_threads=threads)
    frames = (decoder.get_frame_played_at(t + 1e-6).data.numpy() for t in TIMES)
    return [np.asarray(cv2.cvtColor(_small(frame), cv2.COLOR_RGB2BGR)) for frame in frames]


WAYS: dict[str, Callable[[Path], list[Picture]]] = {
    "OpenCV, grab and retrieve": opencv_sequential,
    "OpenCV, seek": opencv_seek,
    "PyAV, every frame, 1 thread": partial(pyav_every_frame, threads=1),
    "PyAV, every frame, 2 frame threads": partial(pyav_every_frame, threads=2),
    "PyAV, every frame, auto frame threads": partial(pyav_every_frame, threads=0),
    "**the sidecar**: PyAV, needed frames, 1 thread": product,
    "PyAV, needed frames, 2 frame threads": partial(product, threads=2),
    "torchcodec, 1 thread": partial(torchcodec, threads=1),
    "torchcodec, 2 threads": partial(torchcodec, threads=2),
}
BASELINE = "OpenCV, grab and retrieve"


def serve(name: str) -> None:
    """Prepare the clips named on stdin in one way; answer each with a line of JSON."""
    if name.startswith("torchcodec"):
        try:
            import_module("torchcodec.decoders")
        except (ImportError, OSError, RuntimeError) as error:
            print(json.dumps({"error": f"{type(error).__name__}: {error}".splitlines()[0]}))
            return
    idle_mb = _memory_mb("VmRSS")
    print(json.dumps({"idle_mb": idle_mb}), flush=True)
    for line in sys.stdin:
        used, begun = time.process_time(), time.perf_counter()
        pictures = WAYS[name](Path(line.strip()))
        read = time.perf_counter()
        to_mp4(pictures, Fraction(2))
        done = time.perf_counter()
        found = {
            "read": (read - begun) * 1000,
            "encode": (done - read) * 1000,
            "both": (done - begun) * 1000,
            "cpu": (time.process_time() - used) * 1000,
            "numbers": [read_number(picture) for picture in pictures],
            "peak_mb": _memory_mb("VmHWM") - idle_mb,
        }
        print(json.dumps(found), flush=True)


def _memory_mb(key: str) -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split(f"{key}:")[1].split()[0]) * 1024 / 1e6


class Worker:
    """A process that prepares clips in one way."""

    def __init__(self, name: str) -> None:
        command = [sys.executable, __file__, name]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.told = self._line()

    def begin(self, path: Path) -> None:
        """Start on a clip."""
        assert self._process.stdin
        print(path, file=self._process.stdin, flush=True)

    def end(self) -> dict[str, Any]:
        """Return what preparing it cost."""
        return self._line()

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()

    def _line(self) -> dict[str, Any]:
        assert self._process.stdout
        found: dict[str, Any] = json.loads(self._process.stdout.readline())
        return found


def main() -> None:
    """Print both tables."""
    with tempfile.TemporaryDirectory() as folder:
        camera, gaps, b_frames = (Path(folder) / f"{name}.mp4" for name in ("camera", "gaps", "b"))
        write_clip(camera, b_frames=0)
        write_with_gaps(camera, gaps)
        write_clip(b_frames, b_frames=3)
        workers = {name: Worker(name) for name in WAYS}
        for name in [name for name, worker in workers.items() if "error" in worker.told]:
            print(f"{name}: {workers.pop(name).told['error']}")
        with_gaps = {name: _compare(_once(it, gaps), gaps) for name, it in workers.items()}
        for path in (camera, b_frames):
            _print_table(workers, path)
        print(f"\nWith gaps: {with_gaps}")
        for worker in workers.values():
            worker.close()


def _print_table(workers: dict[str, Worker], path: Path) -> None:
    rate = path.stat().st_size * 8 / SECONDS / 1e6
    print(f"\n{path.name}: {rate:.1f} Mbit/s, {len(TIMES)} frames of {SIZE[0]} x {SIZE[1]}\n")
    print("| way | decode, sample, resize | encode | ratio | CPU | right frames", end="")
    print(" | peak memory |\n|---|---|---|---|---|---|---|")
    runs = _take_turns(workers, path)
    for name, found in runs.items():
        right, peak_mb = _compare(found[-1], path), max(run["peak_mb"] for run in found)
        print(_row(name, found, runs[BASELINE]), f"{right} | {peak_mb:.0f} MB |")


def _take_turns(workers: dict[str, Worker], path: Path) -> dict[str, list[dict[str, Any]]]:
    for worker in workers.values():
        _once(worker, path)
    rounds = [{n: _once(w, path) for n, w in workers.items()} for _ in range(REPEATS)]
    return {name: [found[name] for found in rounds] for name in workers}


def _once(worker: Worker, path: Path) -> dict[str, Any]:
    worker.begin(path)
    return worker.end()


def _compare(run: dict[str, Any], path: Path) -> str:
    expected = expected_numbers(path)
    off = [abs(a - b) for a, b in zip(expected, run["numbers"], strict=True)]
    right = sum(frames == 0 for frames in off)
    return f"{right} of {len(off)}" + (f", up to {max(off) / FPS:.2f} s off" if max(off) else "")


def _row(name: str, runs: Sequence[dict[str, Any]], baseline: Sequence[dict[str, Any]]) -> str:
    middle = {key: statistics.median(run[key] for run in runs) for key in ("read", "encode", "cpu")}
    pairs = zip(runs, baseline, strict=True)
    ratio = statistics.median(run["both"] / other["both"] for run, other in pairs)
    times = f"{middle['read']:.0f} ms | {middle['encode']:.0f} ms"
    return f"| {name} | {times} | {ratio:.2f} | {middle['cpu']:.0f} ms |"


if __name__ == "__main__":
    if sys.argv[1:]:
        serve(sys.argv[1])
    else:
        main()
