"""Replies of both models, and what they mean."""

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters import cosmos3_nano, cosmos_reason2
from adapters._answers import parse_reply
from sidecar.errors import (
    AnswerError,
    ContradictoryAnswer,
    EmptyAnswer,
    TruncatedAnswer,
    UnparsableAnswer,
)
from sidecar.model import ChatReply

VERDICTS = {
    # whole words
    "yes": ("yes", True),
    "no": ("no", False),
    "capitals": ("YES", True),
    "full-stop": ("Yes.", True),
    "exclamation": ("No!", False),
    "bold": ("**Yes**", True),
    "underscores": ("__No__", False),
    "quoted": ('"Yes"', True),
    "curly-quotes": ("“No”", False),
    "backticks": ("`yes`", True),
    "heading": ("# No", False),
    "bullet": ("- Yes", True),
    "newlines": ("\n\nno\n", False),
    "end-token": ("yes<|im_end|>", True),
    "byte-order-mark": ("\ufeffyes", True),
    "full-width": ("Ｙｅｓ。", True),  # noqa: RUF001 - what a Japanese tokenizer may write
    "confirmed": ("confirmed", True),
    "rejected": ("Rejected.", False),
    "true": ("True", True),
    "false": ("false", False),
    "letter-a": ("A", True),
    "letter-b": ("B", False),
    "letter-parentheses": ("(A)", True),
    "letter-bracket": ("B)", False),
    # languages
    "japanese-yes": ("はい", True),
    "japanese-no": ("いいえ。", False),
    "japanese-because": ("はい、人物が転倒しています。", True),
    "chinese-yes": ("是的", True),
    "chinese-no": ("否", False),
    "chinese-not": ("不是，画面中没有人。", False),  # noqa: RUF001 - Chinese punctuation
    "german-yes": ("Ja.", True),
    "german-no": ("Nein, es ist niemand zu sehen.", False),
    "french-yes": ("Oui", True),
    "french-no": ("Non.", False),
    "spanish-yes": ("Sí, hay una persona.", True),
    "spanish-si": ("si", True),
    # prose
    "because": ("Yes, because the worker falls.", True),
    "repeated-on-second-line": ("no\nNo, the robot does not reach the cup.", False),
    "bold-lead": ("**No**, nobody is there.", False),
    "bold-full-stop": ("**Yes.** Two cars collide.", True),
    "dash": ("No - the road is empty.", False),
    "em-dash": ("Yes—two cars touch.", True),
    "colon": ("Yes: a person climbs the fence.", True),
    "no-comma": ("Yes the worker wears a helmet", True),
    "last-line": ("A man walks to the door.\nHe opens it.\n\nYes", True),
    "option-with-text": ("(A) Possible", True),
    "option-with-verdict": ("B. No", False),
    "announced": ("The robot drops the box. Answer: yes", True),
    "announced-bold": ("**Answer:** No", False),
    "the-answer-is": ("The lane is empty, so the answer is no.", False),
    "final-answer": ("Final answer: A", True),
    "final-decides": ("Yes, at first it seems so.\nFinal answer: No", False),
    "boxed": (r"The cars touch. \boxed{yes}", True),
    "verdict-confirmed": ("Verdict: confirmed. The man falls.", True),
    "no-inside-description": ("Yes. No helmet is visible.", True),
    "question-then-answer": ("Is there a fire? Answer yes or no.\nno", False),
    # thinking
    "think": ("<think>He falls.</think>\n\nyes", True),
    "think-without-opener": ("He falls.</think>no", False),
    "think-empty": ("<think></think>yes", True),
    "think-escaped": (r"\<think\>He falls.\</think\> yes", True),
    "think-escaped-slash": (r"<think\>He falls.<\/think> no", False),
    "think-after-greeting": ("Sure. <think>r</think>yes", True),
    "think-unclosed-last-line": ("<think>He stumbles and falls.\nYes", True),
    "think-says-the-opposite": ("<think>No, wait. Yes.</think>yes", True),
    "think-and-answer": ("<think>r</think>\n<answer>\nno\n</answer>", False),
    "answer-tags": ("<answer>Yes</answer>", True),
    "answer-with-prose": ("<answer>No, the door stays shut.</answer>", False),
    "answer-unclosed": ("<answer>yes", True),
    "answer-without-opener": ("yes</answer>", True),
    # JSON
    "json": ('{"verdict": "yes"}', True),
    "json-bool": ('{"verdict": false, "reasoning": "empty road"}', False),
    "json-vss-field": ('{"prediction_answer": "No"}', False),
    "json-confirmed": ('{"confirmed": true}', True),
    "json-is-confirmed": ('{"isConfirmed": "false"}', False),
    "json-hazard": ('{"hazard_detection": {"is_hazardous": true}}', True),
    "json-false-alarm": ('{"is_false_alarm": true}', False),
    "json-word": ('{"result": "rejected"}', False),
    "json-letter": ('{"answer": "A"}', True),
    "json-sentence": ('{"answer": "Yes, the man falls."}', True),
    "json-fenced": ('```json\n{"verdict": "no"}\n```', False),
    "json-fence-open": ('```json\n{"verdict": "yes"}', True),
    "json-after-prose": ('Here is the result:\n```json\n{"verdict": "yes"}\n```', True),
    "json-array-of-one": ('[{"verdict": "no"}]', False),
    "json-trailing-comma": ('{"verdict": "yes",}', True),
    "json-python": ("{'verdict': True, 'reasoning': None}", True),
    "json-ellipsis": ('{"verdict": "no", ...}', False),
    "json-after-think": ('<think>r</think>{"verdict": "yes"}', True),
    "json-answer-disagrees-with-nothing": ('{"answer": "a red car", "verdict": "no"}', False),
    "fence-without-json": ("```\nyes\n```", True),
    "fence-on-one-line": ("```yes```", True),
}

FAILURES = {
    "empty": ("", EmptyAnswer),
    "blank": (" \n ", EmptyAnswer),
    "only-thinking": ("<think>Yes, he falls.</think>", EmptyAnswer),
    "empty-answer-block": ("<think>r</think><answer></answer>", EmptyAnswer),
    "prose": ("A man walks through a door.", UnparsableAnswer),
    "article": ("A man", UnparsableAnswer),
    "determiner": ("No helmet is visible on the worker.", UnparsableAnswer),
    "number": ("No. 3 is the camera in the yard.", UnparsableAnswer),
    "prefix": ("Nothing happens.", UnparsableAnswer),
    "compound": ("Non-compliant", UnparsableAnswer),
    "negated": ("yes would be wrong", UnparsableAnswer),
    "taken-back": ("Yes, that would be wrong.", ContradictoryAnswer),
    "not-yes": ("not yes", UnparsableAnswer),
    "answer-is-not": ("The answer is not yes.", UnparsableAnswer),
    "denied": ("I do not think that the answer is yes.", UnparsableAnswer),
    "conditional": ("If he falls, the answer is yes.", UnparsableAnswer),
    "echo": ("Answer yes or no", UnparsableAnswer),
    "echo-announced": ("Answer: yes or no", UnparsableAnswer),
    "echo-slash": ("Answer: yes/no", UnparsableAnswer),
    "echo-slash-only": ("Yes/No", UnparsableAnswer),
    "echo-question": (
        "Is the worker wearing a helmet? Please answer 'yes' or 'no'.",
        UnparsableAnswer,
    ),
    "echo-options": ("(A) Yes (B) No", ContradictoryAnswer),
    "echo-list": ("- Yes: a person falls\n- No: nobody falls", ContradictoryAnswer),
    "echo-schema": ('{"verdict": "yes or no"}', UnparsableAnswer),
    "question-mark": ("Yes?", UnparsableAnswer),
    "refusal": ("I'm sorry, but I can't help with that.", UnparsableAnswer),
    "refusal-cannot": ("I cannot determine whether he falls. Answer: no", UnparsableAnswer),
    "refusal-after-verdict": ("No, I cannot see the video.", UnparsableAnswer),
    "refusal-on-second-line": ("No\nI cannot view the video.", UnparsableAnswer),
    "undecided": ("No. It cannot be determined from the clip.", UnparsableAnswer),
    "unknown": ("unknown", UnparsableAnswer),
    "both": ("Yes. No, wait.", ContradictoryAnswer),
    "both-comma": ("Yes, no", ContradictoryAnswer),
    "both-lines": ("Yes\nno", ContradictoryAnswer),
    "both-announced": ("Yes, he falls. The answer is no.", ContradictoryAnswer),
    "two-finals": ("Final answer: yes. Final answer: no.", ContradictoryAnswer),
    "two-answer-blocks": ("<answer>yes</answer><answer>no</answer>", ContradictoryAnswer),
    "option-against-text": ("A) No", ContradictoryAnswer),
    "repetition": ("yes yes yes yes", UnparsableAnswer),
    "repetition-sentences": ("Yes. " * 50, UnparsableAnswer),
    "repetition-phrase": ("Yes, " + "the man falls. " * 40, UnparsableAnswer),
    "punctuation": ("!!!!!!!!!!!!", UnparsableAnswer),
    "unclosed-think": ("<think>Yes, he might fall, or he sits down", UnparsableAnswer),
    "json-cut": ('{"verdict": "yes", "reasoning": "The man', TruncatedAnswer),
    "json-without-verdict": ('{"description": "The answer is yes."}', UnparsableAnswer),
    "json-null": ('{"verdict": null}', UnparsableAnswer),
    "json-unknown": ('{"verdict": "uncertain", "detected": true}', UnparsableAnswer),
    "json-conflict": ('{"verdict": "yes", "confirmed": false}', ContradictoryAnswer),
    "json-two-objects": ('{"verdict": "yes"}\n{"verdict": "no"}', ContradictoryAnswer),
    "json-two-values": ('{"verdict": "yes", "verdict": "no"}', ContradictoryAnswer),
    "json-two-values-broken": ("{'verdict': 'yes', 'verdict': 'no',}", ContradictoryAnswer),
    "json-against-prose": ('No, nobody falls. {"verdict": "yes"}', ContradictoryAnswer),
    "json-is-something-else": ('{"is_daytime": true}', UnparsableAnswer),
    "json-timeline": ('```json\n[{"start": "00:00.10", "caption": "yes"}]\n```', UnparsableAnswer),
    "json-deep": ('{"a":' * 5000, UnparsableAnswer),
    "json-deep-closed": ('{"a":' * 5000 + "1" + "}" * 5000, UnparsableAnswer),
    "too-long": ("yes " * 100_000, UnparsableAnswer),
}

CUT_VERDICTS = {
    "one-token": ("yes", True),
    "one-token-no": ("No", False),
    "answer-tags": ("<think>r</think><answer>no</answer>", False),
    "whole-json": ('{"verdict": "yes"}', True),
}

CUT_FAILURES = {
    "empty": ("", TruncatedAnswer),
    "prose": ("Yes, the worker falls and", TruncatedAnswer),
    "two-words": ("No helmet", TruncatedAnswer),
    "article": ("A", TruncatedAnswer),
    "in-thought": ("<think>He falls.\nYes", TruncatedAnswer),
    "verdict-then-thought": ("yes<think>or", TruncatedAnswer),
    "after-thought": ("<think>He falls.</think>", TruncatedAnswer),
    "in-json": ('{"verdict": "yes", "reasoning": "The', TruncatedAnswer),
    "in-json-fence": ('```json\n{"verdict": "no", "objects": [{"a": 1}', TruncatedAnswer),
    "in-nested-json": ('{"verdict": "no", "objects": {"a": 1}', TruncatedAnswer),
}


def rows(table):
    return [pytest.param(*row, id=name) for name, row in table.items()]


@pytest.mark.parametrize(("content", "expected"), rows(VERDICTS))
def test_a_clear_answer_is_a_verdict(content, expected):
    """Every way in which the models say yes or no clearly gives the verdict."""
    finding = parse_reply(ChatReply(content))

    assert finding.confirmed is expected


@pytest.mark.parametrize(("content", "expected"), rows(FAILURES))
def test_anything_else_is_an_error(content, expected):
    """An answer that is not clearly one verdict is an error of the right kind, never a guess."""
    with pytest.raises(expected) as caught:
        parse_reply(ChatReply(content))

    assert type(caught.value) is expected
    assert caught.value.detail


@pytest.mark.parametrize(("content", "expected"), rows(CUT_VERDICTS))
def test_a_whole_verdict_survives_the_token_limit(content, expected):
    """A verdict that cannot go on is one although the server stopped at max_tokens."""
    finding = parse_reply(ChatReply(content, finish_reason="length"))

    assert finding.confirmed is expected


@pytest.mark.parametrize(("content", "expected"), rows(CUT_FAILURES))
def test_a_cut_answer_is_no_verdict(content, expected):
    """An answer that the token limit cut off is truncated, whatever it starts with."""
    with pytest.raises(expected):
        parse_reply(ChatReply(content, finish_reason="length"))


@pytest.mark.parametrize("finish_reason", ["abort", "error", "repetition", "content_filter"])
def test_every_kind_of_cut_counts(finish_reason):
    """Prose that the server ended for another reason than its end is truncated."""
    with pytest.raises(TruncatedAnswer):
        parse_reply(ChatReply("Yes, the worker", finish_reason=finish_reason))


def test_content_null_falls_back_to_the_reasoning():
    """A server with the qwen3 parser puts the whole direct answer into `reasoning`."""
    finding = parse_reply(ChatReply(None, reasoning="Yes, he falls."))

    assert finding.confirmed is True
    assert finding.reasoning == ""
    assert finding.description == "he falls."


def test_reasoning_beside_the_content_is_kept():
    """The server's reasoning field and inline thinking both end in `reasoning`."""
    finding = parse_reply(ChatReply("<think>inline</think>no", reasoning="apart"))

    assert finding.confirmed is False
    assert finding.reasoning == "apart\ninline"


def test_prose_beside_the_verdict_is_the_description():
    """The description is what follows the verdict word."""
    finding = parse_reply(ChatReply("<think>Look.</think>\n**Yes**, because he falls."))

    assert finding.reasoning == "Look."
    assert finding.description == "because he falls."


def test_json_fields_are_taken_over():
    """Reasoning, description, confidence and severity of VSS's JSON prompts are kept."""
    finding = parse_reply(
        ChatReply(
            '{"verdict": true, "description": "A man climbs.", "severity": "high",'
            ' "confidence": 0.9, "reasoning": "The fence is low."}'
        )
    )

    assert finding.confirmed is True
    assert finding.reasoning == "The fence is low."
    assert finding.description == "A man climbs."
    assert finding.confidence == 0.9
    assert dict(finding.extra) == {"severity": "high"}


@pytest.mark.parametrize("confidence", ["1.5", '"high"', "-0.1", "true", "null", "NaN"])
def test_a_confidence_that_is_no_probability_is_dropped(confidence):
    """Only numbers from 0 to 1 are confidences."""
    finding = parse_reply(ChatReply(f'{{"verdict": "yes", "confidence": {confidence}}}'))

    assert finding.confidence is None


@pytest.mark.parametrize("adapter", [cosmos_reason2.ADAPTER, cosmos3_nano.ADAPTER])
def test_both_models_are_read_alike(adapter):
    """The same words mean the same from both models."""
    assert adapter.parse_reply(ChatReply("Yes.")).confirmed is True


FRAGMENTS = st.sampled_from(
    [
        "yes",
        "no",
        "Yes, ",
        "No. ",
        "<think>",
        "</think>",
        "<answer>",
        "</answer>",
        "```json\n",
        "```",
        '{"verdict": ',
        '"yes"',
        "}",
        "{",
        "[",
        "]",
        ",",
        ":",
        "'",
        "\\",
        "A)",
        "(B)",
        "Final answer: ",
        "the answer is ",
        "not ",
        "はい",
        "、",
        "\n",
        " ",
        "*",
        "\u0130",
        "\u017f",
        r"\boxed{yes}",
        "1e999",
    ]
)


@settings(max_examples=400, deadline=None)
@given(
    content=st.one_of(st.none(), st.text(), st.lists(FRAGMENTS, max_size=40).map("".join)),
    reasoning=st.one_of(st.none(), st.text(max_size=20)),
    finish_reason=st.sampled_from(["stop", "length", ""]),
)
def test_parsing_ends_in_a_finding_or_an_answer_error(content, reasoning, finish_reason):
    """Whatever a model writes, the parser raises nothing but AnswerError."""
    try:
        finding = parse_reply(ChatReply(content, reasoning, finish_reason))
    except AnswerError:
        return

    assert finding.confirmed in (True, False)


@settings(max_examples=60, deadline=None)
@given(st.lists(FRAGMENTS, min_size=1, max_size=6).map("".join))
def test_parsing_takes_linear_time(fragment):
    """A fragment repeated up to 100,000 characters is read within a second."""
    text = (fragment * 100_000)[:100_000]
    started = time.process_time()
    with suppress(AnswerError):
        parse_reply(ChatReply(text))

    assert time.process_time() - started < 1.0
