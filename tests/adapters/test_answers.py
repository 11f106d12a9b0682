"""What the golden answers cannot hold: hostile text, probabilities, any text at all."""

import math
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._answers import parse_reply
from sidecar.errors import (
    AnswerError,
    TruncatedAnswer,
    UnparsableAnswer,
)
from sidecar.model import ChatReply

HOSTILE = {
    "json-deep": ('{"a":' * 5000, UnparsableAnswer),
    "json-deep-closed": ('{"a":' * 5000 + "1" + "}" * 5000, UnparsableAnswer),
    "too-long": ("yes " * 100_000, UnparsableAnswer),
}


@pytest.mark.parametrize(
    ("content", "expected"), [pytest.param(*row, id=name) for name, row in HOSTILE.items()]
)
def test_hostile_answers_are_errors(content, expected):
    """Answers made to exhaust the parser are refused like any other that is no verdict."""
    with pytest.raises(expected) as caught:
        parse_reply(ChatReply(content))

    assert type(caught.value) is expected
    assert caught.value.detail


@pytest.mark.parametrize("finish_reason", ["abort", "error", "repetition", "content_filter"])
def test_every_kind_of_cut_counts(finish_reason):
    """Prose that the server ended for another reason than its end is truncated."""
    with pytest.raises(TruncatedAnswer):
        parse_reply(ChatReply("Yes, the worker", finish_reason=finish_reason))


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


@pytest.mark.parametrize("confidence", ["1.5", '"high"', "-0.1", "true", "null", "NaN"])
def test_a_confidence_that_is_no_probability_is_dropped(confidence):
    """Only numbers from 0 to 1 are confidences."""
    finding = parse_reply(ChatReply(f'{{"verdict": "yes", "confidence": {confidence}}}'))

    assert finding.confidence is None


@pytest.mark.parametrize(
    ("tokens", "content", "expected"),
    [
        pytest.param([{"yes": 0.75, "no": 0.25}], "yes", 0.75, id="two-classes"),
        pytest.param([{"no": 0.6, "yes": 0.2, "The": 0.2}], "no", 0.75, id="others-do-not-count"),
        pytest.param(
            [{"Yes": 0.5, " yes": 0.2, "YES": 0.1, "No": 0.1, " no": 0.1}],
            "Yes",
            0.8,
            id="variants",
        ),
        pytest.param([{"yes": 0.3, "no": 0.7}], "yes", 0.3, id="sampled-against-the-odds"),
        pytest.param(
            [{"A": 0.9, "B": 0.1, "yes": 0.5}], "A", 0.9, id="letters-compete-with-letters"
        ),
        pytest.param(
            [{"**": 1.0, "x": 0.1}, {"No": 0.8, "Yes": 0.2}, {".": 1.0, "yes": 0.1}],
            "**No.",
            0.8,
            id="decorated",
        ),
        pytest.param(
            [{"re": 0.8, "con": 0.2}, {"jected": 1.0, "x": 0.1}], "rejected", 0.8, id="word-of-two"
        ),
        pytest.param(
            [{"いい": 0.75, "はい": 0.25}, {"え": 1.0, "x": 0.1}], "いいえ", 0.75, id="japanese"
        ),
        pytest.param(
            [
                *({"<think>": 1.0, "x": 0.1}, {"no": 0.9, "yes": 0.1}, {"</think>": 1.0, "x": 0.1}),
                *({"yes": 0.6, "no": 0.4}, {"<|im_end|>": 1.0, "x": 0.1}),
            ],
            "<think>no</think>yes",
            0.6,
            id="after-thinking",
        ),
        pytest.param([{"yes": 1.0}], "yes", None, id="no-alternatives"),
        pytest.param([], "yes", None, id="no-logprobs"),
        pytest.param([{"yes": 0.9, "no": 0.1}], "Yes, he falls.", None, id="more-than-a-word"),
        pytest.param([{"no": 0.9, "yes": 0.1}], "yes", None, id="of-another-answer"),
        pytest.param([{"yes": 0.0, "no": 0.0}], "yes", None, id="no-mass"),
    ],
)
def test_confidence_of_a_bare_verdict(tokens, content, expected):
    """The confidence is the verdict's share among yes-like and no-like first tokens."""
    logprobs = tuple(
        {token: math.log(p) if p else -math.inf for token, p in token_.items()} for token_ in tokens
    )

    confidence = parse_reply(ChatReply(content, top_logprobs=logprobs)).confidence

    assert confidence == (expected if expected is None else pytest.approx(expected))


def test_the_model_s_own_confidence_counts_without_logprobs_of_a_word():
    """JSON keeps its `confidence` field also when the server sends logprobs."""
    reply = ChatReply('{"verdict": "yes", "confidence": 0.4}', top_logprobs=({"{": 0.0, "a": -9},))

    assert parse_reply(reply).confidence == 0.4


def test_extra_fields_are_bounded():
    """At most 16 further fields of 1000 characters are taken over."""
    fields = ", ".join(f'"field{i}": "{"x" * 2000}"' for i in range(40))

    extra = parse_reply(ChatReply(f'{{"verdict": "yes", {fields}}}')).extra

    assert len(extra) == 16
    assert {1000} == {len(value) for value in extra.values()}


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
