"""The adapters and the client against real vLLM servers: same requests, same processors, no GPU.

The weights are random, so an answer means nothing; that it is one of the two words does. How many
frames a model saw is read from `usage.prompt_tokens`: clips of 64x64 and of 128x64 pixels differ by
4 tokens for every step of two frames (32x32 pixels a token), and in nothing else.
"""

import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from fractions import Fraction

import numpy as np
import pytest
from real_vllm.server import VllmServer

from adapters import cosmos3_nano, cosmos_reason2
from sidecar.errors import MediaRoute, VlmRefused
from sidecar.model import (
    AnswerForm,
    AnswerRules,
    ChatReply,
    EventKind,
    Evidence,
    EvidenceForm,
    MediaRequest,
    MediaType,
    Origin,
    Prompt,
    Question,
    Sampling,
    VerifyEvent,
)
from sidecar.outside.vlm_http import HttpVlm
from sidecar.settings import ArmSettings

pytestmark = [pytest.mark.vllm, pytest.mark.timeout(300)]

ADAPTERS = {"reason2": cosmos_reason2.ADAPTER, "cosmos3-nano": cosmos3_nano.ADAPTER}
TOKENS_PER_STEP = 4
FRAMES_PER_STEP = 2
# Random weights spell the words: a trained model needs one token, these up to three.
CHOICE = Sampling(max_tokens=4, answer=AnswerForm.CHOICE)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture(params=list(ADAPTERS))
def arm(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def vlm(arm: str, vllm_servers: dict[str, VllmServer]) -> AsyncIterator[HttpVlm]:
    client = HttpVlm(arm, ArmSettings(url=vllm_servers[arm].url))
    yield client
    await client.close()


def write_mp4(frames: int, fps: Fraction, width: int) -> bytes:
    """Encode noise, 64 pixels high, at a constant rate."""
    import av

    noise = np.random.default_rng(0)
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.width, stream.height, stream.pix_fmt = width, 64, "yuv420p"
        for index in range(frames):
            pixels = noise.integers(0, 255, (64, width, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, 1 / fps
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return buffer.getvalue()


def build_evidence(frames: int, fps: Fraction, width: int = 64) -> Evidence:
    return Evidence(
        EvidenceForm.VIDEO,
        MediaType.VIDEO,
        video=write_mp4(frames, fps, width),
        timestamps_s=tuple(index / float(fps) for index in range(frames)),
        width=width,
        height=64,
        duration_s=frames / float(fps),
    )


async def ask(vlm: HttpVlm, arm: str, evidence: Evidence, sampling: Sampling) -> ChatReply:
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
    prompt = Prompt(
        "fall", "Is the event visible? Answer yes or no.", "You are a helpful assistant."
    )
    question = Question(event, prompt, evidence, sampling, await vlm.model(), await vlm.dialect())
    return await vlm.complete(ADAPTERS[arm].build_request(question), 60)


async def test_choice_is_a_verdict(arm, vlm, vllm_servers):
    """A constrained answer about a clip is read as a verdict."""
    reply = await ask(vlm, arm, build_evidence(12, Fraction(2)), CHOICE)
    finding = ADAPTERS[arm].parse_reply(reply, AnswerRules())

    assert reply.content in {"yes", "no"}
    assert finding.confirmed is (reply.content == "yes")
    assert reply.model == vllm_servers[arm].model


async def test_choice_comes_with_the_probabilities_of_its_tokens(arm, vlm):
    """The tokens spell the answer, each with its alternatives; no certainty is made up of them.

    Random weights want neither word, so the verdict has no confidence, or one below certainty.
    """
    reply = await ask(vlm, arm, build_evidence(4, Fraction(2)), CHOICE)
    finding = ADAPTERS[arm].parse_reply(reply, AnswerRules())
    tokens = [next(iter(alternatives)) for alternatives in reply.top_logprobs]

    assert "".join(tokens).startswith(reply.content)
    assert all(len(alternatives) >= 20 for alternatives in reply.top_logprobs)
    assert finding.confidence is None or 0.0 < finding.confidence < 1.0


@pytest.mark.parametrize(
    ("frames", "fps"),
    [
        pytest.param(12, Fraction(2), id="12-at-2"),
        pytest.param(40, Fraction(2), id="40-at-2"),
        pytest.param(20, Fraction(1), id="20-at-1"),
        pytest.param(20, Fraction(1, 2), id="20-at-0.5"),
        pytest.param(40, Fraction(2, 3), id="40-at-0.67"),
        pytest.param(2, Fraction(2), id="2-at-2"),
    ],
)
async def test_prepared_clip_is_seen_whole(arm, vlm, frames, fps):
    """Every frame of an MP4 of up to 2 fps reaches the model on a server with default options."""
    narrow = await ask(vlm, arm, build_evidence(frames, fps, 64), CHOICE)
    wide = await ask(vlm, arm, build_evidence(frames, fps, 128), CHOICE)

    steps = (wide.prompt_tokens - narrow.prompt_tokens) / TOKENS_PER_STEP
    assert steps * FRAMES_PER_STEP == frames


async def test_faster_clip_needs_an_option(arm, vlm):
    """Above 2 fps a default server drops frames without a word; one that takes options does not."""
    narrow = await ask(vlm, arm, build_evidence(40, Fraction(4), 64), CHOICE)
    wide = await ask(vlm, arm, build_evidence(40, Fraction(4), 128), CHOICE)
    seen = (wide.prompt_tokens - narrow.prompt_tokens) / TOKENS_PER_STEP * FRAMES_PER_STEP

    assert {"reason2": 20, "cosmos3-nano": 40}[arm] == seen


async def test_wrong_model_is_refused(vlm, arm, vllm_servers):
    """A model id that is not served is refused, with the server's own words."""
    stranger = HttpVlm(arm, ArmSettings(url=vllm_servers[arm].url, model="nobody/nothing"))
    try:
        ping = await stranger.ping()
        with pytest.raises(
            VlmRefused, match=r"^NotFoundError: HTTP 404, The model `nobody/nothing`"
        ):
            await ask(stranger, arm, build_evidence(2, Fraction(2)), CHOICE)
    finally:
        await stranger.close()

    assert vllm_servers[arm].model in ping
    assert await vlm.ping() == ""


async def test_reasoning_request_is_accepted(arm, vlm):
    """Asking for reasoning is a plain request; random weights run into the token limit."""
    sampling = Sampling(max_tokens=8, reasoning=True)

    reply = await ask(vlm, arm, build_evidence(4, Fraction(2)), sampling)

    assert reply.completion_tokens == 8
    assert reply.finish_reason == "length"
