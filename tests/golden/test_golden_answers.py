"""Answers of the models as they are known to come, and what every adapter makes of them.

Each file holds the answers of one family of models: `both` of every one, the others of those whose
name starts with the file's. `rules` are the fields of `AnswerRules` that are not the default.
Fields that `expect` leaves out are not checked.
"""

import json
from dataclasses import astuple, replace
from pathlib import Path

import pytest

from sidecar.contract.openai import reply_from_completion
from sidecar.core.plugins import load_object
from sidecar.errors import AnswerError, row_of
from sidecar.model import AnswerRules, AnswerShape, ChatReply
from sidecar.settings import DEFAULT_ADAPTERS
from sidecar.testing.stub_servers import FLAVOURS

FILES = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.json"))}
ANSWERS = {family: json.loads(path.read_text("utf-8")) for family, path in FILES.items()}
ADAPTERS = {
    name: load_object(target, "adapters")
    for name, target in DEFAULT_ADAPTERS.items()
    if load_object(target, "adapters").profile.is_vlm
}
VERDICTS = {True: "confirmed", False: "rejected", None: None}


def cases():
    return [
        pytest.param(name, answer, id=f"{name}-{answer['id']}")
        for family, answers in ANSWERS.items()
        for name in ADAPTERS
        if family == "both" or name.startswith(family)
        for answer in answers
    ]


def reading(adapter, reply, rules):
    """Read a reply into the shape of `expect`."""
    try:
        finding = adapter.parse_reply(reply, rules)
    except AnswerError as error:
        return {"verdict": "verification-failed", "failure": row_of(error).reason}
    return {
        "verdict": VERDICTS[finding.confirmed],
        "failure": None,
        "description": finding.description,
        "reasoning": finding.reasoning,
        "confidence": finding.confidence,
        "extra": dict(finding.extra),
        "timeline": listed(finding.timeline),
        "boxes": listed(finding.boxes),
        "points": listed(finding.points),
    }


def listed(items):
    return None if items is None else [list(astuple(item)) for item in items]


def rules_of(answer):
    """Build the rules of an answer from JSON."""
    rules = dict(answer.get("rules", {}))
    rules["shape"] = AnswerShape(rules.get("shape", "verdict"))
    rules["reasoning_fields"] = tuple(rules.get("reasoning_fields", ()))
    return AnswerRules(**rules)


@pytest.mark.parametrize(("name", "answer"), cases())
def test_every_adapter_reads_the_golden_answers_of_its_family(name, answer):
    """An answer gives the verdict that a careful reader would see in it, or the right failure."""
    found = reading(ADAPTERS[name], ChatReply(**answer["reply"]), rules_of(answer))

    assert answer["expect"] == {key: found.get(key) for key in answer["expect"]}


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
@pytest.mark.parametrize("family", ANSWERS)
def test_a_completion_with_a_golden_answer_reads_the_same(family, field):
    """Read from the wire, as `sidecar parse` does, every answer means what it means by itself."""
    name = next(name for name in ADAPTERS if family == "both" or name.startswith(family))
    for answer in ANSWERS[family]:
        reply = answer["reply"]
        message = {"role": "assistant", "content": reply["content"], field: reply["reasoning"]}
        choice = {"index": 0, "message": message, "finish_reason": reply["finish_reason"]}

        wired = reply_from_completion({"choices": [choice]})

        found = reading(ADAPTERS[name], wired, rules_of(answer))

        assert answer["expect"] == {key: found.get(key) for key in answer["expect"]}, answer["id"]


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize("name", ADAPTERS)
def test_an_answer_means_the_same_however_a_server_delivers_it(name, flavour):
    """In `content`, in both fields, or all in the reasoning: the same verdict, and no other.

    A parser may take away what told a thought from an answer; then there is a failure, and no
    verdict where there was none.
    """
    for answer in whole_answers():
        text, finish = answer["reply"]["content"], answer["reply"]["finish_reason"]
        message = delivered(FLAVOURS[flavour], text)
        reply = reply_from_completion({"choices": [{"message": message, "finish_reason": finish}]})
        rules = replace(rules_of(answer), reasoned="think" in text)

        found, expected = reading(ADAPTERS[name], reply, rules), answer["expect"]

        is_lost = found["verdict"] == "verification-failed" and FLAVOURS[flavour].parses_reasoning
        assert expected["verdict"] == found["verdict"] or (is_lost and "think" in text), answer


def whole_answers():
    """List the answers that came in `content` alone, which every server might have given."""
    every = (answer for answers in ANSWERS.values() for answer in answers)
    return [it for it in every if it["reply"]["content"] and it["reply"]["reasoning"] is None]


def delivered(flavour, text):
    """Build the message in which a server of that flavour gives an answer.

    vLLM's qwen3 parser begins within a thought, whether or not the model opens one, and leaves
    `content` null without anything after it (vllm/reasoning/qwen3_reasoning_parser.py, 0.32).
    """
    message = dict.fromkeys(field.value for field in flavour.reasoning)
    if not flavour.parses_reasoning:
        return {**message, "content": text}
    thought, closing, rest = text.partition("</think>")
    thought = thought.replace("<think>", "", 1)
    said = rest if closing and rest else None
    return {**message, "content": said, flavour.reasoning[0].value: thought}


def test_golden_answers_have_unique_names():
    """A row of the documentation is found again by its id."""
    names = [answer["id"] for answers in ANSWERS.values() for answer in answers]

    assert sorted(set(names)) == sorted(names)
