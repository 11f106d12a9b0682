"""What the adapters send."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from dialect_samples import VLLM

from adapters import cosmos3_edge, cosmos3_nano, cosmos3_super, cosmos_reason2, generic
from sidecar.dialect import FrameControl, StructuredForm
from sidecar.errors import MediaRoute
from sidecar.model import (
    AnswerForm,
    AnswerRules,
    AnswerShape,
    EventKind,
    Evidence,
    EvidenceForm,
    Frame,
    MediaRequest,
    MediaType,
    Note,
    Origin,
    Prompt,
    Question,
    SamplePlan,
    Sampling,
    VerifyEvent,
)

ADAPTERS = [
    module.ADAPTER
    for module in (cosmos_reason2, cosmos3_nano, cosmos3_super, cosmos3_edge, generic)
]
EACH = pytest.mark.parametrize("adapter", ADAPTERS, ids=lambda adapter: adapter.profile.name)
VIDEO = Evidence(EvidenceForm.VIDEO, MediaType.VIDEO, video=b"mp4", timestamps_s=(0.0, 0.5))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


CHOICE = Sampling(answer=AnswerForm.CHOICE)
LOADER = replace(VLLM, frames=FrameControl.MEDIA_IO_KWARGS, media_options=True)
RT_VLM = replace(
    VLLM,
    server="rt-vlm",
    max_images=1,
    loader_fps=0.0,
    frames=FrameControl.FRAME_FIELDS,
    structured=StructuredForm.CHOICE_FORMAT,
    thinking_switch=False,
    logprobs=False,
)
PLAN = SamplePlan(EvidenceForm.VIDEO, fps=4.0, max_frames=40, max_pixels=2**22)


def video(fps, frames=20, **more):
    """Evidence of a clip that was sampled at a rate."""
    times = tuple(i / fps for i in range(frames))
    size = {"width": 448, "height": 256, "video": b"mp4", "timestamps_s": times}
    return Evidence(EvidenceForm.VIDEO, MediaType.VIDEO, **{**size, **more})


def ask(evidence=VIDEO, sampling=None, system="", **vlm_params):
    event = VerifyEvent(
        key="k",
        id="i",
        fingerprint="f",
        kind=EventKind.INCIDENT,
        origin=Origin.PIPELINE,
        raw={},
        sensor_id="cam",
        category="fall",
        timestamp=NOON,
        end=NOON,
        media=MediaRequest(MediaRoute.LOCAL),
    )
    prompt = Prompt("fall", "Did he fall?", system=system, vlm_params=vlm_params)
    return Question(event, prompt, evidence, sampling or Sampling(), "the-model")


def ask_server(dialect, evidence=VIDEO, sampling=None, plan=PLAN, **rules):
    """Ask about an alert type with rules, at a server that is known."""
    question = ask(evidence, sampling)
    prompt = replace(question.prompt, rules=AnswerRules(**rules))
    return replace(question, dialect=dialect, plan=plan, prompt=prompt)


def user_text(request):
    return request.body["messages"][-1]["content"][-1]["text"]


@EACH
def test_video_request(adapter):
    """A clip goes out as one MP4 before the text, after the system prompt, and nothing else."""
    request = adapter.build_request(ask(system="You are a helpful assistant."))

    video = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,bXA0"}}
    assert request.evidence is VIDEO
    assert request.body == {
        "model": "the-model",
        "messages": [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": [video, {"type": "text", "text": "Did he fall?"}]},
        ],
        "temperature": 0.0,
        "max_tokens": 1024,
    }


@EACH
def test_frames_go_out_as_images(adapter):
    """Frames are image parts in their order, before the text."""
    frames = (Frame(0.0, b"one"), Frame(0.5, b"two"))
    evidence = Evidence(EvidenceForm.FRAMES, MediaType.IMAGE, frames=frames)

    content = adapter.build_request(ask(evidence)).body["messages"][0]["content"]

    assert content == [
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,b25l"}},
        {"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,dHdv"}},
        {"type": "text", "text": "Did he fall?"},
    ]


@EACH
@pytest.mark.parametrize(
    ("media", "part"), [(MediaType.VIDEO, "video_url"), (MediaType.IMAGE, "image_url")]
)
def test_urls_are_passed_through(adapter, media, part):
    """A URL goes out as it is, as the part of its media type."""
    evidence = Evidence(EvidenceForm.URL, media, urls=("http://vst/a",))

    content = adapter.build_request(ask(evidence)).body["messages"][0]["content"]

    assert content[0] == {"type": part, part: {"url": "http://vst/a"}}


@EACH
def test_choice_binds_from_the_first_token(adapter):
    """A choice answer constrains the server and switches thinking off, which would free it."""
    body = adapter.build_request(ask(sampling=Sampling(answer=AnswerForm.CHOICE))).body

    assert body["structured_outputs"] == {"choice": ["yes", "no"]}
    assert body["chat_template_kwargs"] == {"enable_thinking": False}


@EACH
def test_reasoning_is_asked_for_in_the_prompt(adapter):
    """With reasoning the format is appended to the prompt, and no choice is forced."""
    sampling = Sampling(answer=AnswerForm.CHOICE, reasoning=True)
    body = adapter.build_request(ask(sampling=sampling)).body

    text = body["messages"][0]["content"][-1]["text"]
    assert text.startswith("Did he fall?\n\nAnswer the question using the following format")
    assert "<think>\nYour reasoning.\n</think>" in text
    assert "structured_outputs" not in body


@EACH
def test_unset_options_are_left_to_the_server(adapter):
    """Options that are None do not appear."""
    body = adapter.build_request(ask(sampling=Sampling(temperature=None, max_tokens=None))).body

    assert sorted(body) == ["messages", "model"]


@EACH
def test_all_options_are_sent(adapter):
    """Options that are set appear under their OpenAI names."""
    body = adapter.build_request(ask(sampling=Sampling(0.7, 0.8, 16, 3407))).body

    options = {name: body[name] for name in ("temperature", "top_p", "max_tokens", "seed")}
    assert options == {"temperature": 0.7, "top_p": 0.8, "max_tokens": 16, "seed": 3407}


@EACH
def test_alert_type_overrides_the_sampling(adapter):
    """VSS's VlmParams of an alert type win; those about media and transport are not sent."""
    question = ask(
        model="other",
        max_tokens=1,
        temperature=0.6,
        enable_reasoning=True,
        num_frames=5,
        do_resize=True,
        base_url="http://elsewhere",
    )
    body = adapter.build_request(question).body

    assert sorted(body) == ["max_tokens", "messages", "model", "temperature"]
    assert (body["model"], body["max_tokens"], body["temperature"]) == ("other", 1, 0.6)
    assert "<think>" in body["messages"][0]["content"][-1]["text"]


@EACH
def test_empty_overrides_change_nothing(adapter):
    """VSS writes null for parameters that are not set, and sends max_tokens only when not 0."""
    body = adapter.build_request(ask(model=None, temperature=None, max_tokens=0)).body

    assert (body["model"], body["temperature"]) == ("the-model", 0.0)
    assert "max_tokens" not in body


@EACH
def test_a_constrained_prompt_ends_with_what_may_be_said(adapter):
    """The prompt may ask for JSON, which a bare word is not; its last line says so."""
    request = adapter.build_request(ask(sampling=CHOICE))

    assert user_text(request) == "Did he fall?\n\nAnswer with yes or no only."


@EACH
@pytest.mark.parametrize(
    ("form", "field"),
    [
        (StructuredForm.STRUCTURED_OUTPUTS, {"structured_outputs": {"choice": ["yes", "no"]}}),
        (
            StructuredForm.CHOICE_FORMAT,
            {"response_format": {"type": "choice", "choices": ["yes", "no"]}},
        ),
        (
            StructuredForm.RESPONSE_FORMAT,
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {
                        "name": "verdict",
                        "schema": {"type": "string", "enum": ["yes", "no"]},
                        "strict": True,
                    },
                }
            },
        ),
    ],
)
def test_a_choice_is_asked_for_as_the_server_takes_it(adapter, form, field):
    """Each server has one form of constraint; nothing else is sent, and nothing is missing."""
    request = adapter.build_request(ask_server(replace(VLLM, structured=form), sampling=CHOICE))

    sent = {"structured_outputs", "response_format"} & request.body.keys()
    assert field == {name: request.body[name] for name in sent}
    assert request.notes == ()


@EACH
def test_a_choice_that_cannot_bind_is_noted(adapter):
    """A server without constraints, or a chain of thought, leaves the answer free."""
    none = replace(VLLM, structured=StructuredForm.NONE)
    free = adapter.build_request(ask_server(none, sampling=CHOICE))
    thought = adapter.build_request(ask_server(VLLM, sampling=replace(CHOICE, reasoning=True)))

    assert (Note.NOT_CONSTRAINED,) == free.notes == thought.notes
    assert not {"structured_outputs", "response_format"} & (free.body.keys() | thought.body.keys())


@EACH
@pytest.mark.parametrize("shape", [shape for shape in AnswerShape if shape != AnswerShape.VERDICT])
def test_lists_and_descriptions_are_never_a_choice(adapter, shape):
    """An alert type whose answers are no bare verdict is not constrained, nor scored."""
    request = adapter.build_request(ask_server(VLLM, sampling=CHOICE, shape=shape))

    assert user_text(request) == "Did he fall?"
    assert not {"structured_outputs", "logprobs"} & request.body.keys()


@EACH
def test_answers_land_in_content_where_the_server_can_be_told(adapter):
    """Thinking is switched off for free answers too, and never when a chain of thought is asked."""
    thinking = Sampling(reasoning=True)
    without = replace(VLLM, thinking_switch=False)

    assert adapter.build_request(ask_server(VLLM)).body["chat_template_kwargs"] == {
        "enable_thinking": False
    }
    assert "chat_template_kwargs" not in adapter.build_request(ask_server(without)).body
    question = ask_server(VLLM, sampling=thinking)
    assert "chat_template_kwargs" not in adapter.build_request(question).body


@EACH
@pytest.mark.parametrize(
    ("dialect", "sampling", "rules", "scored"),
    [
        pytest.param(VLLM, Sampling(), {}, True, id="verdict"),
        pytest.param(VLLM, CHOICE, {}, True, id="choice"),
        pytest.param(VLLM, Sampling(reasoning=True), {}, False, id="thoughts"),
        pytest.param(
            VLLM, Sampling(reasoning=True), {"abstain": (0.3, 0.7)}, True, id="abstaining"
        ),
        pytest.param(replace(VLLM, logprobs=False), CHOICE, {}, False, id="server"),
    ],
)
def test_probabilities_are_asked_for_where_they_are_used(adapter, dialect, sampling, rules, scored):
    """Of verdicts; behind a chain of thought only when the alert type abstains."""
    body = adapter.build_request(ask_server(dialect, sampling=sampling, **rules)).body

    assert ({"logprobs": True, "top_logprobs": 20} if scored else {}) == {
        name: body[name] for name in ("logprobs", "top_logprobs") if name in body
    }


@EACH
def test_perspectives_are_listed_before_the_format_of_the_reasoning(adapter):
    """Naming what to consider asks for reasoning by itself, and the format stays last."""
    request = adapter.build_request(ask_server(VLLM, perspectives=("pedestrians", "the lane")))

    assert user_text(request) == (
        "Did he fall?\n\nConsider each of these in turn:\n- pedestrians\n- the lane"
        + adapter.profile.cot_suffix
    )


@EACH
@pytest.mark.parametrize(
    ("evidence", "fps"),
    [
        pytest.param(video(4.0), 5, id="faster than the loader"),
        pytest.param(video(3.7), 4, id="between"),
        pytest.param(video(60.0, 120), 5, id="the plan is an upper limit"),
        pytest.param(video(2.0), None, id="as the loader"),
        pytest.param(video(4.0, stretch=2.0), None, id="slowed down"),
        pytest.param(video(4.0, 4), None, id="always whole"),
        pytest.param(
            Evidence(EvidenceForm.URL, MediaType.VIDEO, urls=("http://vst/a",)), 4.0, id="url"
        ),
        pytest.param(
            Evidence(EvidenceForm.URL, MediaType.IMAGE, urls=("http://vst/a",)), None, id="picture"
        ),
    ],
)
def test_the_loader_is_told_a_rate_only_when_it_would_thin_the_clip(adapter, evidence, fps):
    """A rate above the clip's own, as counts are rounded down; and no second thinning after it."""
    body = adapter.build_request(ask_server(LOADER, evidence)).body

    media = {"media_io_kwargs": {"video": {"fps": fps}}}
    both = {**media, "mm_processor_kwargs": {"do_sample_frames": False}}
    sent = {name: body[name] for name in both if name in body}
    assert sent == (both if fps else {})


@EACH
def test_the_loader_is_told_nothing_about_a_url_without_a_plan(adapter):
    """Or when the plan is what the loader does anyway."""
    url = Evidence(EvidenceForm.URL, MediaType.VIDEO, urls=("http://vst/a",))

    for plan in (None, replace(PLAN, fps=2.0)):
        body = adapter.build_request(ask_server(LOADER, url, plan=plan)).body
        assert "media_io_kwargs" not in body


@EACH
def test_a_faster_clip_than_loaders_sample_is_asked_for_at_their_limit(adapter):
    """The loader of vLLM samples 30 frames a second at most."""
    body = adapter.build_request(ask_server(LOADER, video(60.0, 120), plan=None)).body

    assert body["media_io_kwargs"] == {"video": {"fps": 30}}


@EACH
def test_rt_vlm_is_told_how_many_frames_there_are(adapter):
    """Without its own fields it shows the first frame only."""
    fields = (
        "num_frames_per_second_or_fixed_frames_chunk",
        "use_fps_for_chunking",
        "vlm_input_width",
        "vlm_input_height",
    )

    body = adapter.build_request(ask_server(RT_VLM, video(4.0))).body
    assert {name: body[name] for name in fields} == dict(
        zip(fields, (20, False, 448, 256), strict=True)
    )
    url = Evidence(EvidenceForm.URL, MediaType.VIDEO, urls=("http://vst/a",))
    body = adapter.build_request(ask_server(RT_VLM, url)).body
    assert {name: body[name] for name in fields if name in body} == {
        "num_frames_per_second_or_fixed_frames_chunk": 4,
        "use_fps_for_chunking": True,
    }


@EACH
def test_rt_vlm_gets_nothing_that_it_refuses(adapter):
    """It forbids fields that it does not know, and seeds under 1."""
    sampling = Sampling(seed=0, answer=AnswerForm.CHOICE)
    body = adapter.build_request(ask_server(RT_VLM, video(4.0), sampling)).body

    assert sorted(body) == [
        "max_tokens",
        "messages",
        "model",
        "num_frames_per_second_or_fixed_frames_chunk",
        "response_format",
        "seed",
        "temperature",
        "use_fps_for_chunking",
        "vlm_input_height",
        "vlm_input_width",
    ]
    assert (body["temperature"], body["seed"]) == (0.0, 1)


@EACH
def test_rt_vlm_is_told_that_it_may_think(adapter):
    """It bans think tags unless reasoning is switched on."""
    body = adapter.build_request(ask_server(RT_VLM, sampling=Sampling(reasoning=True))).body

    assert body["enable_reasoning"] is True


@EACH
def test_a_server_without_options_gets_none(adapter):
    """A vLLM 0.32 refuses media options unless it was started to trust them."""
    body = adapter.build_request(ask_server(VLLM, video(4.0))).body

    assert not {"media_io_kwargs", "mm_processor_kwargs"} & body.keys()


@EACH
def test_what_was_done_to_the_evidence_is_noted(adapter):
    """A clip that was slowed down, and pictures that were left out."""
    slow = adapter.build_request(ask_server(VLLM, video(4.0, stretch=2.0)))
    few = adapter.build_request(ask_server(VLLM, video(4.0, frames_asked=40)))
    all_of_it = adapter.build_request(ask_server(VLLM, video(4.0, frames_asked=20)))

    assert (Note.TIMES_STRETCHED,) == slow.notes
    assert (Note.FEWER_IMAGES,) == few.notes
    assert () == all_of_it.notes
