"""The parts of docs/gpu that need no GPU: arithmetic, clips, figures, and the plan itself."""

import json
import sys
import tempfile
from pathlib import Path

import av
import pytest

FOLDER = Path(__file__).parents[1] / "docs" / "gpu"
PLAN = json.loads((FOLDER / "plan.json").read_text())


sys.path.append(str(FOLDER))  # the programs find each other, as they do when one of them is run

import arithmetic  # noqa: E402
import load  # noqa: E402
import media  # noqa: E402
import results  # noqa: E402


def test_a_chunk_costs_what_is_published() -> None:
    """80 frames of 448 x 448 are 7840 video tokens, and 5.9 of them a second fill an H100."""
    assert arithmetic.vision_tokens(80, 448, 448) == 7840
    flop = arithmetic.clip_flop(80, 448, 448, tokens=8363)
    assert arithmetic.limit(flop, arithmetic.H100_BF16) == pytest.approx(5.9, abs=0.1)


def test_clips_of_other_seeds_differ_and_decode_whole() -> None:
    """Any order of groups of pictures is a clip that a decoder reads to its end."""
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        with av.open(file.name, "w") as container:
            options = {"g": "4", "keyint_min": "4", "sc_threshold": "0", "bf": "0"}
            stream = container.add_stream("libx264", rate=4, options=options)
            stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
            for _ in range(24):
                container.mux(stream.encode(av.VideoFrame(64, 32, "yuv420p")))
            container.mux(stream.encode(None))
        with av.open(file.name) as container:
            stream = container.streams.video[0]
            samples = tuple(bytes(p) for p in container.demux(stream) if p.size)
            avcc = bytes(stream.codec_context.extradata)
    pool = media.Pool((64, 32), 4.0, 4, avcc, samples)
    with tempfile.NamedTemporaryFile(suffix=".mp4") as file:
        Path(file.name).write_bytes(pool.clip(1, 16, fps=2.0))
        with av.open(file.name) as container:
            assert container.streams.video[0].average_rate == 2
            assert sum(1 for _ in container.decode(video=0)) == 16
    assert len(pool.jpegs) == 24


def test_a_late_sending_counts_as_latency() -> None:
    """Latency runs from when a request was due, and an unanswered one never ends."""
    late = load.Sample(at=1.0, sent=3.0, done=4.0, status=200)
    lost = load.Sample(at=1.0, sent=1.0)
    figures = load.summary([late, lost], ramp=0.0, end=5.0)
    assert figures["p50_s"] == 3.0
    assert figures["p99_s"] is None
    assert figures["good"] == 1


def test_a_growing_backlog_has_a_slope() -> None:
    """What is never answered grows the number in the system by the rate of arrivals."""
    samples = [load.Sample(at=k / 2, sent=k / 2) for k in range(40)]
    assert load.slope(samples, ramp=0.0, end=20.0) == pytest.approx(2.0, rel=0.05)


def test_every_camera_sends_once_a_period() -> None:
    """46 streams of one chunk each 10 s are due 4.6 times a second."""
    times = load.periodic(46, 10.0, 30.0, seed=7)
    assert len(times) == 3 * 46
    assert times == sorted(times)


@pytest.mark.parametrize("server", PLAN["servers"], ids=lambda server: server["name"])
def test_each_load_of_the_plan_says_what_it_expects(
    server: dict[str, list[dict[str, str]]],
) -> None:
    """A load names its clips and, before it is run, bounds for a figure, and why."""
    for job in server["loads"]:
        assert job["media"] in PLAN["media"]
        assert job["predicted"]
        assert job["why"]


def test_the_page_puts_predictions_beside_outcomes() -> None:
    """A row says what was offered, what came of it, and whether the prediction held."""
    row = {
        "name": "bf16/mp4-16",
        "media": "chunk-mp4",
        "load": "closed",
        "concurrency": 16,
        "predicted": {"per_s": [4.2, 4.8]},
        "why": "the card binds",
        "as_predicted": {"per_s": False},
        "requests": 70,
        "good": 69,
        "per_s": 3.9,
        "cpu_s": {"APIServer": 60.0, "EngineCore": 9.0},
    }
    page = results.page([row, {"name": "nvdec", "error": "no decoder"}])
    assert "chunk-mp4, 16 in flight (**1 of 70 not answered**) | 3.9 |" in page
    assert "| 1 | per_s 4.2 to 4.8: the card binds | **no** |" in page
    assert "- `nvdec`: no decoder" in page
