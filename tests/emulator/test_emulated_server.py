"""A board behind the OpenAI API: it answers in its order and tells what vLLM would."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sidecar.testing.emulated_server import engine_for
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

CLIP = {"type": "video_url", "video_url": {"url": "http://vst/clip.mp4"}}
BODY = {"model": "m", "messages": [{"role": "user", "content": [CLIP]}]}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


def _board(speed: float, hw: str = "dgx-spark") -> MockVlm:
    engine = engine_for(hw, "reason2", "bf16", "rtvi-vlm", speed, 0)
    answers = (ScriptedAnswer("yes there is smoke"),)
    return MockVlm(MockVlmOptions(model_id="reason2", answers=answers, engine=engine))


async def _ask(
    http: aiohttp.ClientSession, url: str, body: dict[str, Any]
) -> tuple[int, dict[str, Any]]:
    async with http.post(f"{url}/chat/completions", json=body) as response:
        return response.status, await response.json()


async def _metrics(http: aiohttp.ClientSession, url: str) -> dict[str, float]:
    async with http.get(url.removesuffix("/v1") + "/metrics") as response:
        text = await response.text()
    found = re.findall(r'^vllm:(\w+)\{model_name="reason2"\} ([\d.e+-]+)$', text, re.MULTILINE)
    return {name: float(value) for name, value in found}


async def test_answers_tell_what_they_cost(http: aiohttp.ClientSession) -> None:
    """Prompt tokens are those of the clip that the request names, and `/metrics` counts them."""
    mock = _board(speed=1000.0)
    url = await mock.start()
    try:
        status, answer = await _ask(http, url, BODY)
        counted = await _metrics(http, url)
    finally:
        await mock.close()

    assert (200, "yes there is smoke") == (status, answer["choices"][0]["message"]["content"])
    tokens = answer["usage"]["prompt_tokens"]
    assert tokens > 2000
    assert 4 == answer["usage"]["completion_tokens"]
    assert tokens == counted["prompt_tokens_total"]
    assert (1.0, 4.0) == (counted["request_success_total"], counted["generation_tokens_total"])
    assert (0.0, 0.0) == (counted["num_requests_running"], counted["num_requests_waiting"])


async def test_a_full_board_shows_its_line(http: aiohttp.ClientSession) -> None:
    """At a hundredth of a Spark's speed nothing ends here; hanging up lets the next one run."""
    mock = _board(speed=0.01)
    url = await mock.start()
    asking = [asyncio.create_task(_ask(http, url, BODY)) for _ in range(3)]
    try:
        full = await _until(http, url, 3)
        for task in asking:
            task.cancel()
        empty = await _until(http, url, 0)
    finally:
        await mock.close()
        await asyncio.gather(*asking, return_exceptions=True)

    assert 3 == full["num_requests_running"] + full["num_requests_waiting"]
    assert 0 == empty["kv_cache_usage_perc"]


async def test_unreadable_media_are_a_400(http: aiohttp.ClientSession) -> None:
    """In the words of an OpenAI error."""
    broken = {"type": "video_url", "video_url": {"url": "data:video/mp4;base64,AAAA"}}
    mock = _board(speed=1000.0)
    url = await mock.start()
    try:
        status, answer = await _ask(
            http, url, {"messages": [{"role": "user", "content": [broken]}]}
        )
    finally:
        await mock.close()

    assert (400, 400) == (status, answer["error"]["code"])
    assert "cannot be read" in answer["error"]["message"]


async def test_without_a_board_metrics_tell_what_is_in_flight(http: aiohttp.ClientSession) -> None:
    """The mock of scripted answers has vLLM's gauge too."""
    mock = MockVlm(MockVlmOptions(model_id="reason2"))
    url = await mock.start()
    try:
        found = await _metrics(http, url)
    finally:
        await mock.close()

    assert {"num_requests_running": 0.0} == found


async def _until(http: aiohttp.ClientSession, url: str, held: int) -> dict[str, float]:
    while True:
        found = await _metrics(http, url)
        if found["num_requests_running"] + found["num_requests_waiting"] == held:
            return found
        await asyncio.sleep(0.01)
