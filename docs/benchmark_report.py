"""Measure how long a report over many comparisons takes, and how much memory.

    .venv/bin/python docs/benchmark_report.py [--events 100000]

Writes simulated comparisons of two arms over 300 sensors, with answers of about 300 characters and
40 % of the events labelled, and runs `sidecar ab report` on them as a user does.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any, Final

BEGIN: Final = datetime(2026, 1, 1, tzinfo=UTC)
TEXT: Final = "yes, because something moves in the clip from left to right " * 5
PREVALENCE, LABELLED = 0.6, 0.4
CATEGORIES: Final = ("ppe", "fall", "intrusion", "tailgating", "near miss", "smoke")


def main() -> int:
    """Return the exit status."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=100_000)
    events = options.parse_args().events
    with tempfile.TemporaryDirectory() as name:
        source, page = Path(name) / "compared.jsonl", Path(name) / "report.html"
        random = Random(1)
        with source.open("w") as file:
            file.writelines(f"{json.dumps(_line(n, random))}\n" for n in range(events))
        command = [sys.executable, "-m", "sidecar", "ab", "report", str(source)]
        begun = time.monotonic()
        subprocess.run([*command, "--out", str(page)], check=True, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - begun
        peak_kib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        print(
            f"{events:,} comparisons, {source.stat().st_size / 1e6:.0f} MB: {seconds:.1f} s, "
            f"peak {peak_kib / 1024:.0f} MiB, page {page.stat().st_size / 1e3:.0f} kB"
        )
    return 0


def _line(number: int, random: Random) -> dict[str, Any]:
    truth = random.random() < PREVALENCE
    at = BEGIN + timedelta(seconds=30 * number)
    line: dict[str, Any] = {
        "key": f"event-{number}",
        "sensorId": f"camera-{random.randrange(300)}",
        "category": random.choice(CATEGORIES),
        "timestamp": at.isoformat(),
        "answers": [
            _answer("reason2", truth, 0.8, at, random),
            _answer("cosmos3-nano", truth, 0.88, at, random),
        ],
    }
    if random.random() < LABELLED:
        line["label"] = {"truth": truth, "labelledAt": at.isoformat()}
    return line


def _answer(arm: str, truth: bool, accuracy: float, at: datetime, random: Random) -> dict[str, Any]:
    is_right = random.random() < accuracy
    latency_ms = round(random.lognormvariate(6.8, 0.4))
    return {
        "arm": arm,
        "model": f"nvidia/{arm}",
        "adapter": arm,
        "outcome": "confirmed" if truth is is_right else "rejected",
        "decidedAt": (at + timedelta(milliseconds=latency_ms)).isoformat(),
        "latencyMs": latency_ms,
        "confidence": 0.5 + random.random() / (2 if is_right else 4),
        "promptTokens": 2300,
        "completionTokens": 40,
        "text": TEXT,
    }


if __name__ == "__main__":
    sys.exit(main())
