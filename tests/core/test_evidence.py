"""What is prepared for a server."""

from dataclasses import replace

import pytest
from dialect_samples import VLLM
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.evidence import fit_plan
from sidecar.dialect import FrameControl
from sidecar.model import EvidenceForm, MediaType, SamplePlan

VIDEO, FRAMES, URL = EvidenceForm.VIDEO, EvidenceForm.FRAMES, EvidenceForm.URL
PLAN = SamplePlan(VIDEO, fps=2.0, max_frames=40, max_pixels=2**22)

plans = st.builds(
    SamplePlan,
    form=st.sampled_from(EvidenceForm),
    fps=st.floats(0.1, 60),
    max_frames=st.integers(1, 768),
    max_pixels=st.integers(4096, 2**25),
    max_images=st.none() | st.integers(1, 64),
)
dialects = st.builds(
    lambda **facts: replace(VLLM, **facts),
    takes_video=st.booleans(),
    max_images=st.integers(0, 64),
    loader_fps=st.none() | st.just(0.0) | st.floats(0.5, 30),
    frames=st.sampled_from(FrameControl),
)
media = st.sampled_from(MediaType)


@pytest.mark.parametrize(
    ("plan", "facts", "expected"),
    [
        pytest.param(PLAN, {}, PLAN, id="nothing to do"),
        pytest.param(
            PLAN,
            {"takes_video": False},
            replace(PLAN, form=FRAMES, max_images=64),
            id="no video",
        ),
        pytest.param(
            replace(PLAN, form=FRAMES), {"max_images": 5}, PLAN, id="too few pictures, but video"
        ),
        pytest.param(
            PLAN,
            {"takes_video": False, "max_images": 5},
            replace(PLAN, form=FRAMES, max_images=5),
            id="too few pictures and no video",
        ),
        pytest.param(
            replace(PLAN, fps=4.0), {}, replace(PLAN, fps=4.0, written_fps=2.0), id="slowed down"
        ),
        pytest.param(
            replace(PLAN, fps=4.0), {"loader_fps": 4.0}, replace(PLAN, fps=4.0), id="fast loader"
        ),
        pytest.param(
            replace(PLAN, fps=4.0),
            {"loader_fps": 0.0},
            replace(PLAN, fps=4.0, form=FRAMES, max_images=64),
            id="first frame",
        ),
        pytest.param(
            PLAN, {"loader_fps": 0.0, "max_images": 1}, PLAN, id="first frame and one picture"
        ),
        pytest.param(
            replace(PLAN, fps=4.0), {"loader_fps": None}, replace(PLAN, fps=4.0), id="not known"
        ),
        pytest.param(
            replace(PLAN, fps=4.0),
            {"frames": FrameControl.MEDIA_IO_KWARGS},
            replace(PLAN, fps=4.0),
            id="the request sets the rate",
        ),
        pytest.param(
            replace(PLAN, fps=4.0),
            {"frames": FrameControl.FRAME_FIELDS},
            replace(PLAN, fps=4.0),
            id="the request sets the frames",
        ),
    ],
)
def test_a_plan_is_fitted_to_the_server(plan, facts, expected):
    """The form, the number of pictures and the written rate follow what the server takes."""
    found = fit_plan(plan, replace(VLLM, **facts), MediaType.VIDEO)

    assert expected == found


def test_images_keep_the_form_and_get_the_limit():
    """Images are pictures whatever the form, so only their number can be too much."""
    found = fit_plan(replace(PLAN, fps=4.0), replace(VLLM, max_images=5), MediaType.IMAGE)

    assert replace(PLAN, fps=4.0, max_images=5) == found


@given(plans, media)
def test_nothing_changes_without_a_server_to_ask(plan, kind):
    """Nobody asked the server, so the arm's plan stands."""
    assert plan == fit_plan(plan, None, kind)


@given(plans, dialects, media)
def test_urls_are_never_touched(plan, dialect, kind):
    """The server fetches and samples for itself."""
    plan = replace(plan, form=URL)

    assert plan == fit_plan(plan, dialect, kind)


@given(plans, dialects, media)
def test_what_is_wanted_stays(plan, dialect, kind):
    """The rate that is sampled, the number of frames and of pixels are the arm's choice."""
    found = fit_plan(plan, dialect, kind)

    wanted = (plan.fps, plan.max_frames, plan.max_pixels, plan.align)
    assert wanted == (found.fps, found.max_frames, found.max_pixels, found.align)


@given(plans, dialects, media)
def test_fitting_twice_is_fitting_once(plan, dialect, kind):
    """A plan that suits the server is not changed."""
    fitted = fit_plan(plan, dialect, kind)

    assert fitted == fit_plan(fitted, dialect, kind)


@given(plans, dialects)
def test_a_clip_is_sent_in_a_form_that_the_server_takes(plan, dialect):
    """Never a video where none is taken, and never more pictures than fit while video would do."""
    found = fit_plan(replace(plan, form=VIDEO), dialect, MediaType.VIDEO)
    frames = fit_plan(replace(plan, form=FRAMES), dialect, MediaType.VIDEO)

    shows_one = dialect.frames is FrameControl.NONE and dialect.loader_fps == 0.0
    is_shown = dialect.takes_video and not (shows_one and dialect.max_images > 1)
    assert is_shown is (found.form is VIDEO)
    assert frames.form is VIDEO or not is_shown or plan.max_frames <= dialect.max_images


@given(plans, dialects, media)
def test_pictures_have_a_limit_that_both_sides_keep(plan, dialect, kind):
    """At least one, and no more than the server or the arm allows."""
    found = fit_plan(plan, dialect, kind)

    if plan.form is not URL and (found.form is FRAMES or kind is MediaType.IMAGE):
        assert found.max_images is not None
        assert 1 <= found.max_images <= max(dialect.max_images, 1)
        assert plan.max_images is None or found.max_images <= plan.max_images


@given(plans, dialects, media)
def test_a_clip_is_slowed_down_only_when_nothing_else_helps(plan, dialect, kind):
    """To exactly the rate that the server shows whole, and below the rate that is sampled."""
    found = fit_plan(plan, dialect, kind)

    if found.written_fps is not None:
        assert FrameControl.NONE is dialect.frames
        assert dialect.loader_fps == found.written_fps
        assert 0.0 < found.written_fps < plan.fps
        assert (VIDEO, MediaType.VIDEO) == (found.form, kind)
