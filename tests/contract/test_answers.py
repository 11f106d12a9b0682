"""How answers are read, on the wire."""

from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.contract.answers import AnswerBody, explain_parser, read_answer, write_answer
from sidecar.model import AnswerRules, AnswerShape

VSS_REASONING = ("reasoning", "thinking", "explanation", "video_description")


def read(answer: dict[str, Any]) -> AnswerRules:
    return read_answer(AnswerBody.model_validate(answer))


@pytest.mark.parametrize("name", ["auto", "cosmos-reason", "cr1", "cr2", "cr3"])
def test_formats_of_cosmos_are_read_our_way(name: str) -> None:
    """VSS's names for its strict reading of Cosmos answers stand for our tolerant one."""
    assert read({"response_format": name}) == AnswerRules()


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({}, AnswerRules()),
        (
            {"response_format": "json"},
            AnswerRules(
                needs_json=True,
                verdict_field="prediction_answer",
                reasoning_fields=VSS_REASONING,
            ),
        ),
        (
            {"response_format": "json", "json_parser": {"verdict_field": ""}},
            AnswerRules(needs_json=True, reasoning_fields=VSS_REASONING),
        ),
        (
            {"json_parser": {"verdict_mapping": {"TRUE": True, "Safe": "no", "x": "b"}}},
            AnswerRules(verdict_mapping={"true": "YES", "safe": "NO", "x": "B"}),
        ),
        ({"response_format": "other"}, AnswerRules(AnswerShape.DESCRIPTION)),
        ({"shape": "description"}, AnswerRules(AnswerShape.DESCRIPTION)),
        (
            {"shape": "timeline", "response_format": " my-xml ", "perspectives": [" fire "]},
            AnswerRules(AnswerShape.TIMELINE, parser="my-xml", perspectives=("fire",)),
        ),
        ({"abstain": [0, 1]}, AnswerRules(abstain=(0.0, 1.0))),
    ],
)
def test_answer_is_read_and_written_back(answer: dict[str, Any], expected: AnswerRules) -> None:
    """The JSON that is shown and stored gives exactly the same rules again."""
    rules = read(answer)

    assert rules == expected
    assert read(write_answer(rules)) == expected


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"shape": "circle"}, "'verdict', 'description', 'timeline', 'boxes' or 'points'"),
        ({"abstain": [0.6, 0.4]}, "abstain.*first number must be below the second"),
        ({"abstain": [0.5, 0.5]}, "abstain.*first number must be below the second"),
        ({"abstain": [0.5, 1.5]}, "abstain.*less than or equal to 1"),
        ({"abstain": [float("nan"), 0.5]}, "abstain.*finite number"),
        ({"abstain": [0.5]}, "abstain.*Field required"),
        ({"response_format": " "}, "response_format.*at least 1 character"),
        ({"response_format": "other", "shape": "boxes"}, "'other' reads no verdict"),
        ({"response_format": "other", "abstain": [0.1, 0.9]}, "a description has no verdict"),
        ({"response_format": "json", "shape": "description"}, "a description has no verdict"),
        ({"json_parser": {"verdict_mapping": {"true": "maybe"}}}, "'YES', 'NO', 'A' or 'B'"),
        ({"json_parser": {"path": "x"}}, "json_parser.path"),
        ({"perspectives": ["x" * 201]}, "at most 200 characters"),
        ({"format": "json"}, "format.*Extra inputs"),
    ],
)
def test_wrong_answer_is_explained(answer: dict[str, Any], message: str) -> None:
    """Every refusal names the field and says what would be right."""
    with pytest.raises(ValidationError) as refused:
        AnswerBody.model_validate(answer)

    assert all(part in str(refused.value) for part in message.split(".*"))


def test_unknown_parser_is_explained() -> None:
    """The sentence lists what may be asked for; known and built-in ones are no problem."""
    problem = explain_parser(AnswerRules(parser="xml"), ["csv"])

    assert "'xml' is not known; take one of auto, cosmos-reason, cr1, cr2, cr3, csv, " in problem
    assert explain_parser(AnswerRules(parser="csv"), ["csv"]) == ""
    assert explain_parser(AnswerRules(), []) == ""
