"""What every adapter's requests are like, whatever the server."""

from dataclasses import replace

import pytest
from conformance.kit import CLIP, PICTURES, ask, rule

from sidecar.core.families import belongs
from sidecar.model import (
    AnswerForm,
    AnswerRules,
    AnswerShape,
    ChatReply,
    EvidenceForm,
    MediaType,
    Sampling,
)

IDS = {
    "cosmos-reason2": (
        "nvidia/Cosmos-Reason2-2B",
        "nvidia/Cosmos-Reason2-8B",
        "nvidia/Cosmos-Reason2-32B",
        "nvidia/cosmos-reason2-8b",
        "nvidia/cosmos-reason2-8b-fp8",
        "nim_nvidia_cosmos-reason2-8b_hf-1208",
        "nim_nvidia_cosmos-reason2-8b_0303-fp8-dynamic-kv8",
        "/models/Cosmos_Reason2_8B",
    ),
    "cosmos3-nano": (
        "nvidia/Cosmos3-Nano",
        "nvidia/Cosmos3-Nano-Reasoner",
        "nvidia/cosmos3-nano-reasoner",
        "nim_nvidia_cosmos3-nano-reasoner_bf16-final",
        "nim_nvidia_cosmos3-nano-reasoner_modelopt-fp8-final_format_fix",
        "cosmos-reason3",
    ),
    "cosmos3-super": (
        "nvidia/Cosmos3-Super",
        "nvidia/cosmos3-super-reasoner",
        "nim_nvidia_cosmos3-super-reasoner_bf16-final",
    ),
    "cosmos3-edge": ("nvidia/Cosmos3-Edge", "nvidia/cosmos3-edge-reasoner"),
    "baseline": ("opencv-motion-baseline",),
    "generic": ("Qwen/Qwen3-VL-8B-Instruct", "gpt-4o"),
}
EVIDENCE = {
    "clip": CLIP,
    "pictures": PICTURES,
    "clip by URL": replace(CLIP, form=EvidenceForm.URL, timestamps_s=(), urls=("http://vst/a",)),
    "pictures by URL": replace(
        CLIP, form=EvidenceForm.URL, type=MediaType.IMAGE, timestamps_s=(), urls=("http://a/b",) * 2
    ),
}
SAMPLINGS = {
    "free": Sampling(),
    "choice": Sampling(answer=AnswerForm.CHOICE),
    "reasoning": Sampling(reasoning=True),
}
QUESTIONS = {
    f"{kind}, {way}, {shape}": ask(
        evidence, sampling, system="You are a helpful assistant.", rules=AnswerRules(shape=shape)
    )
    for kind, evidence in EVIDENCE.items()
    for way, sampling in SAMPLINGS.items()
    for shape in AnswerShape
}


def bodies(adapter):
    """Write the requests of all questions."""
    return {name: adapter.build_request(question).body for name, question in QUESTIONS.items()}


def user_parts(request):
    return request.body["messages"][-1]["content"]


@rule("model-names")
def test_an_adapter_knows_its_own(adapter):
    """Every published id is its family's and no other's; the generic one takes them all."""
    name = adapter.profile.name
    found = {each for ids in IDS.values() for each in ids if belongs(each, adapter.profile)}

    assert (set().union(*IDS.values()) if name == "generic" else set(IDS[name])) == found


@rule("media-first-text-last")
def test_the_text_is_the_last_part(adapter):
    """One text after all media; what the operator says stands in a message of its own."""
    for name, body in bodies(adapter).items():
        system, user = body["messages"]
        kinds = [part["type"] for part in user["content"]]

        assert ("system", "user") == (system["role"], user["role"]), name
        assert ["text"] == [kind for kind in kinds if kind == "text"], name
        assert len(kinds) > 1, name
        assert "text" == kinds[-1], name


@rule("reasoning-in-the-prompt")
def test_the_format_of_the_reasoning_ends_the_text(adapter):
    """The prompt, then what to consider, then the tags; naming perspectives is enough."""
    request = adapter.build_request(ask(rules=AnswerRules(perspectives=("the lane", "people"))))
    text = user_parts(request)[-1]["text"]

    assert text.startswith("Did he fall?")
    assert text.endswith(adapter.profile.cot_suffix)
    assert text.index("the lane") < text.index("people") < text.index("<think>")


@rule("never-do-sample-frames")
def test_frames_are_never_sampled_twice(adapter):
    """Without a server to ask, nothing is said about the processor at all."""
    options = {"mm_processor_kwargs", "media_io_kwargs"}

    assert [] == [name for name, body in bodies(adapter).items() if options & body.keys()]


@rule("never-removed-guided-fields")
def test_removed_fields_are_not_used(adapter):
    """A choice is asked for in the ways that servers of today know."""
    sent = {field for body in bodies(adapter).values() for field in body}

    assert [] == [field for field in sent if field.startswith("guided") or field == "nvext"]


@rule("explicit-temperature")
@pytest.mark.parametrize("temperature", [0.0, 0.6])
def test_the_temperature_is_sent(adapter, temperature):
    """Zero is a value too."""
    body = adapter.build_request(ask(sampling=Sampling(temperature=temperature))).body

    assert temperature == body["temperature"]


@rule("overrides")
def test_an_alert_type_has_the_last_word(adapter):
    """Over the model's id, the decoding and the reasoning; null leaves the arm's own."""
    params = {"model": "other", "max_tokens": 1, "temperature": 0.6, "enable_reasoning": True}
    body = adapter.build_request(ask(vlm_params=params)).body
    same = adapter.build_request(ask(vlm_params=dict.fromkeys(params))).body

    assert ("other", 1, 0.6) == (body["model"], body["max_tokens"], body["temperature"])
    assert "<think>" in body["messages"][-1]["content"][-1]["text"]
    assert adapter.build_request(ask()).body == same


@rule("japanese")
def test_japanese_prompts_go_out_as_they_are(adapter):
    """Not a character is changed."""
    text = "梯子の上に、ヘルメットを着用していない人がいますか。"

    assert text == user_parts(adapter.build_request(ask(text=text)))[-1]["text"]


@rule("frames-truth")
@pytest.mark.parametrize(("share", "expected"), [(1, 8), (2, 4)])
def test_the_frames_that_were_seen_are_told(adapter, share, expected):
    """By what was counted: all of them, and half of them when the server dropped the rest."""
    request = adapter.build_request(ask(PICTURES))
    if not adapter.profile.is_vlm:
        assert 8 == adapter.frames_seen(request, ChatReply("yes"))
        return
    counted = ChatReply("yes", prompt_tokens=30 + 8 // share * (14 * 14 + 2))

    assert expected == adapter.frames_seen(request, counted)
    assert adapter.frames_seen(request, ChatReply("yes")) is None
