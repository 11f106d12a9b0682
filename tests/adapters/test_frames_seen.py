"""Counting the frames that a model saw."""

import pytest

from adapters._tokens import frames_seen
from sidecar.model import ChatReply, ChatRequest, Evidence, EvidenceForm, MediaType

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

    assert seen == frames_seen(_request(EvidenceForm.VIDEO, frames, side), reply)


def test_pictures_have_a_grid_each() -> None:
    """Frames sent as images are not merged in pairs."""
    request = _request(EvidenceForm.FRAMES, 8, 448)

    assert 8 == frames_seen(request, ChatReply("yes", prompt_tokens=8 * 198 + 30))
    assert 5 == frames_seen(request, ChatReply("yes", prompt_tokens=5 * 198 + 30))


def test_nothing_is_claimed_without_evidence() -> None:
    """A server that samples for itself, or counts no tokens, does not show it."""
    by_url = ChatRequest({"messages": []}, Evidence(EvidenceForm.URL, MediaType.VIDEO))

    assert frames_seen(by_url, ChatReply("yes", prompt_tokens=100)) is None
    assert frames_seen(_request(EvidenceForm.VIDEO, 8, 64), ChatReply("yes")) is None
