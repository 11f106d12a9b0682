"""What the adapters send."""

from datetime import UTC, datetime

import pytest

from adapters import cosmos3_edge, cosmos3_nano, cosmos3_super, cosmos_reason2, generic
from sidecar.errors import MediaRoute
from sidecar.model import (
    AnswerForm,
    EventKind,
    Evidence,
    EvidenceForm,
    Frame,
    MediaRequest,
    MediaType,
    Origin,
    Prompt,
    Question,
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
