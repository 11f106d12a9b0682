"""A process that decodes clips, one after the other, and ends with its standard input.

usage: python -m sidecar.outside.decoder_process     (started by `decoders.py`)
"""

import os
import signal
import sys
import threading
from typing import BinaryIO

from sidecar.errors import MediaError
from sidecar.outside.decoding_wire import (
    HEADER_BYTES,
    dump_error,
    dump_evidence,
    length_of,
    load_job,
)
from sidecar.outside.frames import sample_clip


def main() -> None:
    """Answer jobs until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal; the service ends by itself
    answers = _own_output()
    jobs = sys.stdin.buffer
    while prefix := jobs.read(HEADER_BYTES):
        _answer(jobs.read(length_of(prefix)), answers)


def _answer(header: bytes, answers: BinaryIO) -> None:
    job = load_job(header)
    nobody_stops_it = threading.Event()
    try:
        evidence = sample_clip(job.clip, job.plan, job.limits, nobody_stops_it)
        answers.writelines(dump_evidence(evidence))
    except MediaError as error:
        answers.write(dump_error(error))
    answers.flush()


def _own_output() -> BinaryIO:
    """Keep standard output for answers; what a library prints there goes to standard error."""
    own = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return os.fdopen(own, "wb", buffering=2**20)


if __name__ == "__main__":
    main()
