"""What boards make of requests: physics, published rows, and refusals that name the choices."""

import subprocess
import sys
from pathlib import Path

import pytest

from sidecar.errors import NotFound, SettingsError, SidecarError
from sidecar.hw.facts import load_facts
from sidecar.testing.emulated_boards import (
    Shape,
    alert_shape,
    emulate,
    image_shape,
    load_emulator,
    load_fit,
    tflop_of,
    video_shape,
)
from sidecar.testing.emulator import serve_closed, serve_open

ROOT = Path(__file__).parents[2]
BOARDS = ("dgx-spark", "agx-thor", "h100", "rtx-pro-6000")
CHUNK = video_shape(448, 448, 80, text_tokens=56)


def test_a_chunk_of_80_frames_is_166_trillion_operations() -> None:
    """7840 vision tokens of an 8B model, attention and vision encoder included."""
    architecture = load_facts().model("reason2").architecture
    assert architecture is not None

    assert 7840 == CHUNK.vision_tokens
    assert pytest.approx(166, rel=0.01) == tflop_of(architecture, CHUNK)


def test_an_alert_is_what_vss_shows_of_a_clip() -> None:
    """10 s at 4 frames/s within 3.96 million pixels, about 2.1 thousand tokens with its text."""
    shape = alert_shape()

    assert 1800 < shape.vision_tokens < 1940
    assert 2000 < shape.vision_tokens + shape.text_tokens < 2200
    assert pytest.approx(100 * 1920 * 1080 / 1e6) == shape.decoded_mpixels


def test_pictures_cost_their_pixels() -> None:
    """Two pictures of 640 x 360 are 220 tokens each."""
    assert 440 == image_shape([(640, 360), (640, 360)], 10).vision_tokens


@pytest.mark.parametrize("board", BOARDS)
def test_every_board_can_be_emulated_in_the_precisions_it_has(board: str) -> None:
    """And no faster than its peak allows."""
    capability = load_facts().machine(board).capability.value
    for precision, peak in load_emulator().board(board).peak_tflops.items():
        if capability < load_facts().precisions[precision].from_capability.value:
            continue
        it = emulate(board, "reason2", precision)
        job = it.job(CHUNK)
        ended = serve_closed(it.speed, job, 8, 40)
        rate = 32 / (ended[-1].at - ended[7].at)

        assert 0 < rate < peak.value / job.tflop
        assert it.speed.weights_s > 0.9 * 7e9 / (
            load_emulator().board(board).memory_gbs.value * 1e9
        )


def test_detection_slows_the_model_only_where_they_share_a_gpu() -> None:
    """On a Spark, and the more the more cameras there are."""
    times = [
        [_alone(board, cv_streams=streams) for streams in (0, 5, 14)]
        for board in ("dgx-spark", "h100")
    ]

    assert times[0][0] < times[0][1] < times[0][2]
    assert times[1][0] == times[1][1] == times[1][2]


def test_vllm_alone_prepares_more_clips_at_a_time() -> None:
    """The stack of VSS prepares one at a time, which binds an H100."""
    rates = []
    for stack in ("rtvi-vlm", "vllm"):
        it = emulate("h100", "cosmos3-nano", "bf16", stack=stack)
        ended = serve_closed(it.speed, it.job(alert_shape()), 32, 200)
        rates.append(168 / (ended[-1].at - ended[31].at))

    assert 4 < rates[0] < 5.5
    assert rates[1] > 2 * rates[0]


@pytest.mark.parametrize(
    ("wish", "error", "text"),
    [
        ({"hw": "dgx-sprak"}, NotFound, "dgx-spark, agx-thor, h100, rtx-pro-6000"),
        ({"model": "gpt"}, NotFound, "Known: reason2, reason2-2b, cosmos3-nano, cosmos3-super"),
        ({"model": "cosmos3-edge"}, NotFound, "cannot be emulated. Known: reason2"),
        ({"precision": "int4"}, SettingsError, "Known: bf16, fp8, nvfp4"),
        ({"hw": "h100", "precision": "nvfp4"}, SettingsError, "compute capability 10"),
        ({"stack": "triton"}, SettingsError, "Known: rtvi-vlm, vllm"),
        ({"model": "cosmos3-super"}, SettingsError, "second node"),
        ({"model": "cosmos3-super", "hw": "h100"}, SettingsError, "servers may take"),
    ],
)
def test_what_cannot_be_emulated_is_refused(
    wish: dict[str, str], error: type[SidecarError], text: str
) -> None:
    """With the choices there are, or with the reason that `hw plan` gives."""
    asked = {"hw": "dgx-spark", "model": "reason2", "precision": "bf16", **wish}
    with pytest.raises(error) as refused:
        emulate(**asked)

    assert text in refused.value.detail


@pytest.mark.parametrize(
    "name", ["reason2", "reason2-8b", "nvidia/Cosmos-Reason2-8B", "nvidia/cosmos-reason2-8b"]
)
def test_a_model_is_found_by_its_names(name: str) -> None:
    """Its own, its size's and its checkpoint's, in any case."""
    assert emulate("h100", name, "bf16") == emulate("h100", "reason2", "bf16")


def test_the_fit_is_as_good_as_it_says() -> None:
    """The typical error of each kind of row is stated, and small enough to be of use."""
    error = load_fit().error

    assert error["closed loop"]["fitted_median"] < 0.03
    assert error["live chunks"]["fitted_median"] < 0.15
    assert error["alerts"]["fitted_median"] < 0.15
    assert all(0 < value <= 0.95 for name, value in load_fit().numbers.items() if _is_share(name))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_page_and_the_stated_errors_are_what_comes_out() -> None:
    """`docs/fit_emulator.py --check` computes every row again."""
    done = subprocess.run(
        [sys.executable, ROOT / "docs" / "fit_emulator.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (0, "") == (done.returncode, done.stdout), done.stderr


def test_the_wrong_use_of_the_command_is_one_sentence() -> None:
    """A board's options without a board name the boards."""
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "mock-vlm", "--speed", "10"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert 3 == done.returncode
    assert "name one of dgx-spark, agx-thor, h100, rtx-pro-6000 with --hw" in done.stderr
    assert "Traceback" not in done.stderr


def test_longer_answers_take_longer_by_the_bandwidth() -> None:
    """100 tokens of an 8B model in FP8 take a Spark 4 to 5 s."""
    it = emulate("dgx-spark", "reason2", "fp8")
    short, long = (it.job(Shape(0, 1000, 196, 50, tokens)) for tokens in (1, 101))
    (first,), (last,) = serve_open(it.speed, [(0, short)]), serve_open(it.speed, [(0, long)])

    assert 4 < last.seconds - first.seconds < 5.5


def _alone(board: str, cv_streams: int) -> float:
    it = emulate(board, "cosmos3-nano", "bf16", cv_streams=cv_streams)
    return serve_open(it.speed, [(0.0, it.job(alert_shape()))])[0].seconds


def _is_share(name: str) -> bool:
    return name.rpartition(".")[2] in {"bf16", "fp8", "nvfp4", "bandwidth"}
