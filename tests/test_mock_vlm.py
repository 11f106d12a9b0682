"""The mock of a model's server."""

import asyncio
import math
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from sidecar.errors import SettingsError
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer, answers_from_json
from sidecar.testing.personality import Personality, personality_from_json

BODY = {"model": "m", "messages": [{"role": "user", "content": "?"}]}


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def ask(http: aiohttp.ClientSession, url: str) -> str:
    async with http.post(f"{url}/chat/completions", json=BODY) as response:
        return (await response.json())["choices"][0]["message"]["content"]


async def test_answers_come_in_turn(http):
    """The scripted answers are given one after the other, then from the start."""
    mock = MockVlm(MockVlmOptions(answers=(ScriptedAnswer("yes"), ScriptedAnswer("no"))))
    url = await mock.start()
    try:
        contents = [await ask(http, url) for _ in range(3)]
    finally:
        await mock.close()

    assert contents == ["yes", "no", "yes"]
    assert mock.requests == [BODY] * 3


async def test_closed_gate_holds_requests(http):
    """While the gate is closed requests wait, and the statistics show them."""
    mock = MockVlm()
    url = await mock.start()
    stub = url.removesuffix("/v1") + "/stub"
    try:
        await http.post(f"{stub}/gate/close")
        waiting = [asyncio.create_task(ask(http, url)) for _ in range(2)]
        await mock.wait_for_in_flight(2)
        async with http.get(f"{stub}/stats") as response:
            held = await response.json()
        await http.post(f"{stub}/gate/open")
        contents = await asyncio.gather(*waiting)
        async with http.post(f"{stub}/reset") as response:
            reset = await response.json()
    finally:
        await mock.close()

    assert held == {"in_flight": 2, "peak_in_flight": 2, "total_requests": 2, "gate_open": False}
    assert contents == ["yes", "yes"]
    assert reset == {"in_flight": 0, "peak_in_flight": 0, "total_requests": 0, "gate_open": True}


@pytest.mark.parametrize("path", ["/health", "/v1/health/live", "/v1/health/ready", "/v1/models"])
async def test_health_paths_of_vllm_and_nim_answer(http, path):
    """Both kinds of servers' health paths exist, and the model list."""
    mock = MockVlm()
    url = await mock.start()
    try:
        async with http.get(url.removesuffix("/v1") + path) as response:
            status = response.status
    finally:
        await mock.close()

    assert status == 200


async def test_close_lets_go_of_hanging_requests(http):
    """Closing the server does not wait for a request that hangs."""
    mock = MockVlm(MockVlmOptions(answers=(ScriptedAnswer(hang=True),)))
    url = await mock.start()
    request = asyncio.create_task(ask(http, url))
    await mock.wait_for_in_flight(1)
    async with asyncio.timeout(3):
        await mock.close()
        await asyncio.gather(request, return_exceptions=True)

    assert mock.stats["in_flight"] == 0


def test_script_mixes_strings_and_objects():
    """A script is an array of contents and of objects with an answer's fields."""
    answers = answers_from_json('["yes", {"content": null, "status": 503, "delay_ms": 5}]')

    assert answers == (
        ScriptedAnswer("yes"),
        ScriptedAnswer(None, status=503, delay_ms=5),
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("yes", "not JSON"),
        ("[]", "at least one"),
        ("{}", "array"),
        ("[1]", "a string or an object"),
        ('[{"answer": "yes"}]', "no field answer"),
    ],
)
def test_wrong_script_is_explained(text, problem):
    """A script that cannot be used names what is wrong."""
    with pytest.raises(SettingsError, match=problem):
        answers_from_json(text)


TRUTH = {f"event-{number}": number % 3 > 0 for number in range(3000)}


def question(identity: str) -> dict[str, Any]:
    """Ask as the sidecar does: parts of media and text, the event's id in quotes."""
    text = f'Event "{identity}": does something move? Answer "yes" or "no".'
    parts = [{"type": "video_url", "video_url": {"url": "data:"}}, {"type": "text", "text": text}]
    return {
        "messages": [{"role": "system", "content": "Help."}, {"role": "user", "content": parts}]
    }


def test_a_personality_errs_at_its_rates():
    """3,000 events: the shares that it gets right are those asked for, within chance."""
    personality = Personality(TRUTH, sensitivity=0.8, specificity=0.6, unparsable=0.1, seed=4)
    said = {it: personality(question(it)).content for it in TRUTH}
    read = {it: text for it, text in said.items() if text in {"yes", "no"}}
    of_true = [text == "yes" for it, text in read.items() if TRUTH[it]]
    of_false = [text == "no" for it, text in read.items() if not TRUTH[it]]

    assert abs(1 - len(read) / len(said) - 0.1) < 0.02
    assert abs(sum(of_true) / len(of_true) - 0.8) < 0.03
    assert abs(sum(of_false) / len(of_false) - 0.6) < 0.05


def test_a_personality_says_the_same_about_an_event_every_time():
    """Another seed says it about other events; what it does not know it confirms."""
    one, other = (Personality(TRUTH, 0.5, 0.5, seed=seed) for seed in (1, 2))
    first = [one(question(it)).content for it in list(TRUTH)[:100]]

    assert first == [one(question(it)).content for it in list(TRUTH)[:100]]
    assert first != [other(question(it)).content for it in list(TRUTH)[:100]]
    assert "yes" == one(question("stranger")).content


async def test_a_mock_answers_in_character(http):
    """Over HTTP, with the probability of its word."""
    personality = Personality({"event-1": False}, sensitivity=1.0, specificity=1.0)
    mock = MockVlm(MockVlmOptions(choose=personality))
    url = await mock.start()
    try:
        async with http.post(f"{url}/chat/completions", json=question("event-1")) as response:
            choice = (await response.json())["choices"][0]
    finally:
        await mock.close()
    (token,) = choice["logprobs"]["content"]

    assert ("no", "no") == (choice["message"]["content"], token["token"])
    assert math.exp(token["logprob"]) >= 0.5


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("{", "JSON"),
        ("{}", "truth: Field required"),
        ('{"truth": {}, "sensitivity": 1, "specificity": 1}', "truth"),
        ('{"truth": {"a": true}, "sensitivity": 2, "specificity": 1}', "sensitivity"),
        ('{"truth": {"a": true}, "sensitivity": 1, "specificity": 1, "mood": 1}', "mood"),
    ],
)
def test_a_wrong_personality_is_refused_by_name(text, word):
    """In a sentence."""
    with pytest.raises(SettingsError, match=word):
        personality_from_json(text)
