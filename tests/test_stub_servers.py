"""The stubs refuse what the real servers refuse, and show as many frames as they do."""

from typing import Any

import aiohttp
import pytest

from sidecar.outside.probe_media import image, long_video, short_video
from sidecar.testing.stub_servers import FLAVOURS, StubServer

FAST, SLOW = long_video(64), short_video(64)
GRID = 12
"""Tokens of two frames of 64 x 64 pixels with their time."""


def fps(value: float) -> dict[str, Any]:
    return {"media_io_kwargs": {"video": {"fps": value}}}


def sampled(*, by_processor: bool) -> dict[str, Any]:
    return {"mm_processor_kwargs": {"do_sample_frames": by_processor}}


async def ask(name: str, *media: Any, **fields: Any) -> tuple[int, dict[str, Any]]:
    server = StubServer(FLAVOURS[name])
    url = await server.start()
    content = [*media, {"type": "text", "text": "Is it?"}]
    body = {
        "model": FLAVOURS[name].model,
        "messages": [{"role": "user", "content": content}],
        **fields,
    }
    try:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{url}/chat/completions", json=body) as response,
        ):
            return response.status, await response.json()
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("name", "media", "fields", "status", "text"),
    [
        ("vllm-0.32", [FAST], fps(4), 400, "Per-request media_io_kwargs are disabled by default"),
        ("vllm-0.32", [], sampled(by_processor=False), 400, "Start the server with --trust-req"),
        ("vllm-0.26", [FAST], sampled(by_processor=True), 400, "Failed to apply Qwen3VLProcessor"),
        ("vllm-0.32", [], {"model": "other"}, 404, "The model `other` does not exist."),
        ("vllm-0.32", [], {"response_format": {"type": "choice"}}, 400, "response_format"),
        ("nim", [image()] * 6, {}, 422, "At most 5 image(s)"),
        ("rt-vlm", [], {"logprobs": True}, 422, "logprobs: Extra inputs are not permitted"),
        ("rt-vlm", [], {"chat_template_kwargs": {}}, 422, "chat_template_kwargs: Extra inputs"),
        ("rt-vlm", [], {"seed": 0}, 422, "seed: Input should be from 1"),
        ("rt-vlm", [], {"vlm_input_width": 5000}, 422, "vlm_input_width: Input should be"),
        ("rt-vlm", [], {"response_format": {"type": "regex"}}, 422, "response_format: regex"),
    ],
)
async def test_refusals(
    name: str, media: list[Any], fields: dict[str, Any], status: int, text: str
) -> None:
    """Each has the status and the words of the server that it imitates."""
    found, body = await ask(name, *media, **fields)

    assert status == found
    assert text in str(body)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("vllm-0.32", {"guided_json": {"type": "string"}}),
        ("vllm-0.11", {**fps(4), **sampled(by_processor=False)}),
        ("sglang", fps(4)),
        ("nim", {"structured_outputs": {"choice": ["yes", "no"]}}),
        ("rt-vlm", fps(4)),
    ],
)
async def test_what_is_ignored_without_a_word(name: str, fields: dict[str, Any]) -> None:
    """Status 200, an answer that nothing constrained, and the frames of a request without it."""
    plain, odd = await ask(name, FAST), await ask(name, FAST, **fields)

    assert 200 == odd[0]
    assert plain == odd


@pytest.mark.parametrize(
    ("media", "fields", "frames"),
    [
        (FAST, {}, 6),
        (SLOW, {}, 4),
        (FAST, {"media_io_kwargs": {"video": {"num_frames": 20}}}, 6),
        (FAST, fps(4), 12),
        (FAST, fps(-1), 4),
        (FAST, fps(8), 6),
        (FAST, {**fps(8), **sampled(by_processor=False)}, 24),
    ],
)
async def test_frames_on_vllm(media: Any, fields: dict[str, Any], frames: int) -> None:
    """As measured on vLLM 0.32: fps is obeyed, num_frames is not, a whole clip is thinned again."""
    (_, plain), (_, shown) = (
        await ask("vllm-0.32-trusted"),
        await ask("vllm-0.32-trusted", media, **fields),
    )
    tokens = shown["usage"]["prompt_tokens"] - plain["usage"]["prompt_tokens"]

    assert frames == tokens // GRID * 2


async def test_rt_vlm_shows_the_first_frame_unless_asked() -> None:
    """Its own fields set how many frames are seen; by default it is one, at 608 x 320 pixels."""
    fields = {"num_frames_per_second_or_fixed_frames_chunk": 4, "use_fps_for_chunking": True}
    size = {"vlm_input_width": 64, "vlm_input_height": 64}
    answers = [
        await ask("rt-vlm"),
        await ask("rt-vlm", FAST),
        await ask("rt-vlm", FAST, **fields, **size),
    ]
    text, first, twelve = (body["usage"]["prompt_tokens"] for _, body in answers)

    assert 19 * 10 + 8 == first - text
    assert 12 // 2 * GRID == twelve - text


async def test_rt_vlm_thinks_inside_the_answer() -> None:
    """With `enable_reasoning` the content holds the tags; there is no other field."""
    _, body = await ask("rt-vlm", enable_reasoning=True)
    message = body["choices"][0]["message"]

    assert ["role", "content"] == list(message)
    assert message["content"].startswith("<think>")
