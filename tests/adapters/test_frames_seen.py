"""Counting the frames that a model saw."""

import pytest

from adapters import cosmos3_edge, cosmos_reason2, generic
from adapters._tokens import frames_seen
from sidecar.model import ChatReply, ChatRequest, Evidence, EvidenceForm, MediaType, VisionFacts

FACTS = cosmos_reason2.PROFILE.vision
EDGE = cosmos3_edge.PROFILE.vision
TEXT = "Does the video show a collision? Answer yes or no."


def _request(form: EvidenceForm, frames: int, side: int) -> ChatRequest:
    evidence = Evidence(
        form, MediaType.VIDEO, timestamps_s=(0.0,) * frames, width=side, height=side
    )
    message = {"role": "user", "content": [{"type": "text", "text": TEXT}]}
    system = {"role": "system", "content": "You are a helpful assistant."}
    return ChatRequest({"messages": [system, message]}, evidence)


@pytest.mark.parametrize(
    ("frames", "side", "tokens", "seen"),
    [
        # measured on vLLM 0.32 (CPU): text 27 tokens; the loader thinned MP4s of 4 fps
        (12, 64, 101, 12),
        (40, 64, 279, 40),
        (13, 64, 113, 13),
        (20, 64, 156, 20),
        # published: RT-VLM of VSS, 80 frames of 448x448 are 7,840 vision tokens
        (80, 448, 7840 + 40 * 8 + 60, 80),
        # one step of two frames missing
        (20, 448, 9 * (196 + 8) + 60, 18),
        # half of the frames
        (40, 448, 10 * (196 + 8) + 60, 20),
        (20, 448, 60, 0),
        (20, 448, 0, 0),
    ],
)
def test_the_count_of_prompt_tokens_tells_the_frames(
    frames: int, side: int, tokens: int, seen: int
) -> None:
    """As many frames as the tokens allow, never more than were sent."""
    reply = ChatReply("yes", prompt_tokens=tokens)

    assert seen == frames_seen(_request(EvidenceForm.VIDEO, frames, side), reply, FACTS)


def test_every_frame_of_edge_has_a_grid_and_a_time() -> None:
    """What two frames cost elsewhere is one frame here."""
    request = _request(EvidenceForm.VIDEO, 20, 448)

    assert 20 == frames_seen(request, ChatReply("yes", prompt_tokens=20 * 204 + 60), EDGE)
    assert 10 == frames_seen(request, ChatReply("yes", prompt_tokens=10 * 204 + 60), EDGE)


@pytest.mark.parametrize(("frames", "tokens"), [(20, 11960 + 10 * 8 + 60), (8, 8160 + 4 * 8 + 60)])
def test_clips_that_the_processor_shrinks_are_not_taken_for_thinned(
    frames: int, tokens: int
) -> None:
    """At 1920x1080 the pixel budget makes frames smaller, not fewer."""
    times = (0.0,) * frames
    evidence = Evidence(
        EvidenceForm.VIDEO, MediaType.VIDEO, timestamps_s=times, width=1920, height=1080
    )
    request = ChatRequest({"messages": []}, evidence)

    assert frames == frames_seen(request, ChatReply("yes", prompt_tokens=tokens), FACTS)


@pytest.mark.parametrize(
    ("size", "frames", "tokens"),
    [((960, 540), 8, 2231), ((1920, 1080), 20, 12199)],
)
def test_counts_of_a_hosted_nim_are_understood(
    size: tuple[int, int], frames: int, tokens: int
) -> None:
    """A NIM samples at 4 fps; its counts for 2 s and 5 s clips leave 159 tokens of text both."""
    width, height = size
    evidence = Evidence(
        EvidenceForm.VIDEO,
        MediaType.VIDEO,
        timestamps_s=(0.0,) * frames,
        width=width,
        height=height,
    )
    message = {"role": "user", "content": [{"type": "text", "text": "word " * 150}]}
    request = ChatRequest({"messages": [message]}, evidence)

    assert frames == frames_seen(request, ChatReply("yes", prompt_tokens=tokens), FACTS)
    assert frames - 2 == frames_seen(request, ChatReply("yes", prompt_tokens=tokens - 8), FACTS)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        # counted with the vocabulary of Qwen
        ("Is anyone on the ladder without a hardhat and safety vest? Answer yes or no. " * 20, 361),
        ("梯子の上に、ヘルメットと安全ベストを着用していない人がいますか。" * 10, 200),
        ('Answer as JSON: {"verdict": true, "severity": 3, "seen_at": "00:12.50"}\n' * 10, 300),
    ],
)
def test_small_frames_are_not_lost_behind_a_long_prompt(text: str, tokens: int) -> None:
    """No frame is missed that was seen, and half of the frames of 64 x 64 are missed for sure."""
    evidence = Evidence(
        EvidenceForm.VIDEO, MediaType.VIDEO, timestamps_s=(0.0,) * 40, width=64, height=64
    )
    message = {"role": "user", "content": [{"type": "text", "text": text}]}
    request = ChatRequest({"messages": [message]}, evidence)

    def seen(grids: int) -> int | None:
        reply = ChatReply("yes", prompt_tokens=tokens + 8 + grids * (4 + 8))
        return frames_seen(request, reply, FACTS)

    assert seen(20) == 40
    assert (seen(5) or 0) < 36


def test_pictures_have_a_grid_each() -> None:
    """Frames sent as images are not merged in pairs."""
    request = _request(EvidenceForm.FRAMES, 8, 448)

    assert 8 == frames_seen(request, ChatReply("yes", prompt_tokens=8 * 198 + 30), FACTS)
    assert 5 == frames_seen(request, ChatReply("yes", prompt_tokens=5 * 198 + 30), FACTS)


def test_small_pictures_are_enlarged() -> None:
    """The processor makes a picture of 64x64 one of 256x256, which is 64 tokens."""
    request = _request(EvidenceForm.FRAMES, 4, 64)

    assert 4 == frames_seen(request, ChatReply("yes", prompt_tokens=4 * 66 + 27), FACTS)
    assert 2 == frames_seen(request, ChatReply("yes", prompt_tokens=2 * 66 + 27), FACTS)


@pytest.mark.parametrize(
    ("form", "media", "frames", "tokens", "facts"),
    [
        pytest.param(EvidenceForm.URL, MediaType.VIDEO, 0, 100, FACTS, id="server samples"),
        pytest.param(EvidenceForm.VIDEO, MediaType.VIDEO, 8, None, FACTS, id="no usage"),
        pytest.param(
            EvidenceForm.VIDEO, MediaType.VIDEO, 8, 100, generic.PROFILE.vision, id="any model"
        ),
        pytest.param(EvidenceForm.FRAMES, MediaType.IMAGE, 3, 100, FACTS, id="sizes may differ"),
    ],
)
def test_nothing_is_claimed_without_evidence(
    form: EvidenceForm,
    media: MediaType,
    frames: int,
    tokens: int | None,
    facts: VisionFacts | None,
) -> None:
    """Where the count of tokens cannot tell the frames, none is derived from it."""
    evidence = Evidence(form, media, timestamps_s=(0.0,) * frames, width=64, height=64)
    request = ChatRequest({"messages": []}, evidence)

    assert frames_seen(request, ChatReply("yes", prompt_tokens=tokens), facts) is None
