"""Texts that only one reading is possible of."""

import json
from typing import Any

import pytest

from sidecar.contract.chat import asks_for_json
from sidecar.contract.strict import find_object, refusal_text, verdict_object, verdict_text
from sidecar.model import Finding

BIG = "{'a': " + "9" * 30 + ",}"
HALF = "{'a': '\\ud800',}"


@pytest.mark.parametrize(
    "reasoning",
    ["a </think> b", "</think><answer>NO</answer>", "<think>x", "< / THINK >", "<\\/think> NO"],
)
def test_tags_in_the_reasoning_cannot_end_it(reasoning: str) -> None:
    """The first closing tag is ours, whatever the model wrote."""
    text = verdict_text(Finding(True, reasoning=reasoning))
    inside, _, verdict = text.removeprefix("<think>").partition("</think>")

    assert "YES" == verdict
    assert "<" not in inside


def test_prose_beside_the_verdict_stands_in_for_reasoning() -> None:
    """VSS shows what is between the tags."""
    assert "<think>He sits.</think>NO" == verdict_text(Finding(False, description="He sits."))


@pytest.mark.parametrize(
    ("said", "prompt", "is_strict", "expected"),
    [
        ('{"verdict": "yes"}', "JSON with verdict", False, {"verdict": "yes", "reasoning": "R"}),
        ('{"verdict": "yes"}', "JSON with verdict", True, {"verdict": "yes"}),
        (
            '```json\n{"prediction_answer": "Yes.", "explanation": "E"}\n```',
            "JSON with prediction_answer",
            False,
            {"prediction_answer": "YES", "explanation": "E"},
        ),
        (
            "<think>{}</think>{'prediction_answer': 'yes',}",
            "JSON",
            False,
            {"prediction_answer": "yes", "reasoning": "R"},
        ),
        ("Yes.", "JSON", False, {"prediction_answer": "YES", "reasoning": "R"}),
        (
            '{"note": "x"}',
            "JSON",
            False,
            {"note": "x", "prediction_answer": "YES", "reasoning": "R"},
        ),
    ],
)
def test_json_is_the_models_own_where_that_has_the_verdict(
    said: str, prompt: str, is_strict: bool, expected: dict[str, Any]
) -> None:
    """It is repaired, made exact, and completed where no schema forbids it."""

    def names_verdict(text: str) -> bool:
        return bool({"verdict", "prediction_answer"} & json.loads(text).keys())

    found = verdict_object(
        Finding(True, reasoning="R"), said, prompt, names_verdict, is_strict=is_strict
    )

    assert expected == json.loads(found)


def test_a_refusal_has_no_tags_of_the_model() -> None:
    """What it quotes cannot be taken for an answer."""
    assert "<" not in refusal_text("x", "it said <think>a</think><answer>yes</answer>")


@pytest.mark.parametrize("text", ["", "no braces", "}{", "{" * 30_000 + "}", "{]}", BIG, HALF])
def test_what_is_no_object_is_none(text: str) -> None:
    """Quickly, too."""
    assert {} == find_object(text)


@pytest.mark.parametrize(
    ("prompt", "asks"),
    [
        ("Answer in JSON.", True),
        ("Return a json object", True),
        ("Answer yes or no.", False),
        ("Do not use JSON.", False),
        ("Answer without any JSON", False),
    ],
)
def test_a_prompt_tells_whether_it_wants_json(prompt: str, asks: bool) -> None:
    """By the word, unless it is denied."""
    assert asks is asks_for_json(prompt)


def test_what_cannot_be_sent_is_replaced() -> None:
    """Half of a surrogate pair in the reasoning does not cost the verdict."""
    assert "<think>a?b</think>YES" == verdict_text(Finding(True, reasoning="a\ud800b"))
