"""`sidecar` with a clock that a test can set: the file CHAOS_CLOCK holds seconds to add to it."""

import os
import sys
from datetime import datetime, timedelta
from pathlib import Path

import sidecar.app
from sidecar.__main__ import main
from sidecar.outside.clock import SystemClock


class JumpingClock(SystemClock):
    """The wall clock, set by a file; the monotonic one does not jump."""

    def now(self) -> datetime:
        text = Path(os.environ["CHAOS_CLOCK"]).read_text()
        return super().now() + timedelta(seconds=float(text or 0))


if __name__ == "__main__":
    sidecar.app.SystemClock = JumpingClock
    main(sys.argv[1:])
