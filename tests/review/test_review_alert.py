"""`POST /reviewAlert`: what the samples of VSS 2.4 give, and what becomes of an answer."""

import re
from pathlib import Path
from typing import Any

from harness import running
from review_samples import CV_METADATA, FULL, full, reviewing, short

from sidecar.testing.mock_vlm import ScriptedAnswer
from sidecar.testing.stub_servers import FLAVOURS, StubServer


async def _results(
    folder: Path, *answers: str | ScriptedAnswer, **options: Any
) -> list[dict[str, Any]]:
    """Review the short sample once for each answer and return each `result`."""
    async with reviewing(folder, *answers, **options) as (service, _):
        bodies = [await service.post("/reviewAlert", short()) for _ in range(len(answers))]
    return [dict(body["result"]) for _, body in bodies]


async def _result(
    folder: Path, answer: ScriptedAnswer, request: dict[str, Any], **options: Any
) -> dict[str, Any]:
    """Review once and return `result`."""
    async with reviewing(folder, answer, **options) as (service, _):
        status, body = await service.post("/reviewAlert", request)
    assert status == 200, body
    return dict(body["result"])


async def test_the_full_sample_gives_the_full_answer(folder: Path) -> None:
    """Every field of 2.4's sample answer is there and no other, in its type and with its value."""
    answer = ScriptedAnswer("<think>\nHe climbs over the gate.\n</think>\n\nYes")
    async with reviewing(folder, answer) as (service, _):
        status, body = await service.post("/reviewAlert", FULL)

    result = body.pop("result")
    times = result["debug"].pop("selected_frames_ts")
    assert 200 == status
    assert {
        **{key: FULL[key] for key in FULL if key != "vss_params"},
        "cv_metadata_path": str(folder / CV_METADATA),
        "alert": {**FULL["alert"], "status": "REVIEWED"},
    } == body
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result.pop("reviewed_at"))
    assert {
        "status": "SUCCESS",
        "error_string": "",
        "verification_result": True,
        "reasoning": "He climbs over the gate.",
        "review_method": "VSS",
        "reviewed_by": "nvidia/cosmos-reason2-8b",
        "notes": "Alert auto-reviewed by VSS; confidence above threshold.",
        "description": "Yes",
        "input_prompt": "Is there person detected in restricted area?",
        "debug": {},
    } == result
    assert [0.0, 0.7, 1.5, 2.2, 3.0, 3.7, 4.5, 5.2] == times


async def test_what_was_not_asked_for_is_absent(folder: Path) -> None:
    """Empty echoes, the verdict and the debug block are left out, not null."""
    request = short(do_verification=False)
    async with reviewing(folder, "A forklift stands still.") as (service, _):
        status, body = await service.post("/v1/reviewAlert", {**request, "stream_name": None})

    assert 200 == status
    assert {"stream_name", "meta_labels", "vss_params"}.isdisjoint(body)
    assert {"verification_result", "debug"}.isdisjoint(body["result"])
    assert ("", 0.0, 0.0) == (body["cv_metadata_path"], body["start_time"], body["end_time"])
    assert "confidence" not in body["event"]
    assert "A forklift stands still." == body["result"]["description"]
    assert "No reasoning available" == body["result"]["reasoning"]


async def test_the_model_is_asked_in_the_requests_words_and_options(folder: Path) -> None:
    """Prompts, decoding options and the number of frames reach the server."""
    async with reviewing(folder, "yes", arm={"evidence": "frames"}) as (service, vlm):
        await service.post("/reviewAlert", full(enable_reasoning=False))
        (asked,) = vlm.requests

    system, user = asked["messages"]
    assert FULL["vss_params"]["vlm_params"]["system_prompt"] == system["content"]
    assert 8 == sum(part["type"] == "image_url" for part in user["content"])
    assert "Is there person detected in restricted area?" == user["content"][-1]["text"]
    assert (512, 0.2, 1.0, 10) == tuple(
        asked[name] for name in ("max_tokens", "temperature", "top_p", "seed")
    )


async def test_reasoning_is_asked_for_once(folder: Path) -> None:
    """The format of a chain of thought is added, but not to a prompt that has one."""
    own = short(enable_reasoning=True)
    own["vss_params"]["vlm_params"] = {"prompt": "Is it? Answer as <think>why</think>yes."}
    async with reviewing(folder) as (service, vlm):
        await service.post("/reviewAlert", short(enable_reasoning=True))
        await service.post("/reviewAlert", own)
        texts = [asked["messages"][-1]["content"][-1]["text"] for asked in vlm.requests]

    assert [1, 1] == [text.count("<think>") for text in texts]
    assert texts[0].startswith("Did a worker drop any boxes?")


async def test_a_request_without_a_system_prompt_gets_the_settings(folder: Path) -> None:
    """As 2.4's environment variable does."""
    review = {"default_system_prompt": "Answer in yes or no only."}
    async with reviewing(folder, review=review) as (service, vlm):
        await service.post("/reviewAlert", short())
        (asked,) = vlm.requests

    assert {"role": "system", "content": "Answer in yes or no only."} == asked["messages"][0]


async def test_an_answer_is_read_as_a_verdict_and_else_by_its_words(folder: Path) -> None:
    """An answer that says neither yes nor no is a verdict by 2.4's rule; the text stays whole."""
    answers = {
        "yes": True,
        "No.": False,
        "Yes, he dropped two.": True,
        "It is true that a box fell.": True,
        "A box lies on the floor.": False,
        "No. Something else may be true.": False,
    }
    results = await _results(folder, *answers, verify={"ask_again": False})

    assert [("SUCCESS", confirmed, answer) for answer, confirmed in answers.items()] == [
        (it["status"], it["verification_result"], it["description"]) for it in results
    ]


async def test_an_answer_that_is_none_fails_the_review(folder: Path) -> None:
    """Nothing, both, a refusal and a fragment are no verdicts, where 2.4 takes them for false."""
    answers = (
        "",
        "Yes, he did. No, he did not: no.",
        "I cannot tell from this video.",
        ScriptedAnswer("The worker bends down and", finish_reason="length"),
    )
    results = await _results(folder, *answers, verify={"ask_again": False})

    assert [("FAILURE", False, "Error: INTERNAL_ERROR")] * 4 == [
        (it["status"], it["verification_result"], it["notes"]) for it in results
    ]
    assert all(it["error_string"] for it in results)


async def test_a_model_is_held_to_a_word_when_its_answer_has_none(folder: Path) -> None:
    """A description is followed by a constrained question, and stays the description."""
    server = StubServer(FLAVOURS["vllm-0.13"])
    arm = {"url": await server.start(), "retries": 0}
    review = {"media_base_dir": folder}
    async with running(
        folder, ab={"primary": "reason2"}, arms={"reason2": arm}, review=review
    ) as service:
        _, body = await service.post("/reviewAlert", short(debug=True))
    await server.close()

    result = body["result"]
    assert ("SUCCESS", True) == (result["status"], result["verification_result"])
    assert "yes" not in result["description"].lower()


async def test_a_model_that_fails_makes_the_review_a_failure(folder: Path) -> None:
    """The alert's status, the result's and the error tell so, in an answer of the usual shape."""
    async with reviewing(folder, ScriptedAnswer("boom", status=500), arm={"retries": 0}) as (
        service,
        _,
    ):
        status, body = await service.post("/reviewAlert", short())

    assert (200, "REVIEW_FAILED", "FAILURE") == (
        status,
        body["alert"]["status"],
        body["result"]["status"],
    )
    assert "boom" in body["result"]["error_string"]
    assert "" == body["result"]["description"]


async def test_compat_gives_the_answers_of_2_4(folder: Path) -> None:
    """Every review succeeds, and one word of the answer decides."""
    answers = (
        ScriptedAnswer("boom", status=500),
        ScriptedAnswer("", finish_reason="length"),
        "That is not true.",
        "I cannot tell from this video.",
    )
    options = {"review": {"compat": "2.4"}, "arm": {"retries": 0}}
    results = await _results(folder, *answers, **options)

    assert [("SUCCESS", "", confirmed) for confirmed in (False, False, True, False)] == [
        (it["status"], it["error_string"], it["verification_result"]) for it in results
    ]


async def test_one_token_is_enough_for_a_verdict(folder: Path) -> None:
    """NVIDIA's benchmark allows one, so every answer ends with `length`."""
    result = await _result(folder, ScriptedAnswer("Yes", finish_reason="length"), short())

    assert ("SUCCESS", True) == (result["status"], result["verification_result"])


async def test_a_caption_may_end_at_the_callers_limit(folder: Path) -> None:
    """Without a verdict a cut off description is worth more than none."""
    cut = ScriptedAnswer("A worker bends down and", finish_reason="length")
    result = await _result(folder, cut, short(do_verification=False))

    assert ("SUCCESS", "A worker bends down and") == (result["status"], result["description"])


async def test_a_review_that_takes_too_long_fails(folder: Path) -> None:
    """The caller learns that nothing was decided in time."""
    answer = ScriptedAnswer(hang=True)
    result = await _result(folder, answer, short(), review={"deadline_s": 0.3})

    assert ("FAILURE", "Error: PROCESSING_TIMEOUT") == (result["status"], result["notes"])
    assert "SIDECAR_REVIEW__DEADLINE_S" in result["error_string"]


async def test_the_baseline_reviews_motion_without_a_model(folder: Path) -> None:
    """Without a GPU a motion alert is reviewed, any other one fails with the reason."""
    moved, dropped = short(), short()
    moved["alert"]["type"] = "MOTION_DETECTED"
    async with reviewing(folder, ab={"primary": "baseline"}) as (service, _):
        results = [(await service.post("/reviewAlert", it))[1]["result"] for it in (moved, dropped)]

    assert [("SUCCESS", True), ("FAILURE", False)] == [
        (it["status"], it["verification_result"]) for it in results
    ]
    assert "Error: INVALID_REQUEST" == results[1]["notes"]
