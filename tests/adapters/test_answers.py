"""What the golden answers cannot hold: hostile text, probabilities, any text at all."""

import math
import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters._answers import parse_reply
from sidecar.errors import AnswerError, DegenerateAnswer, TruncatedAnswer, UnparsableAnswer
from sidecar.model import AnswerRules, AnswerShape, ChatReply

RULES = AnswerRules()

HOSTILE = {
    "json-deep": ('{"a":' * 3000, UnparsableAnswer),
    "json-deep-closed": ('{"a":' * 3000 + "1" + "}" * 3000, UnparsableAnswer),
    "too-long": ("yes " * 100_000, UnparsableAnswer),
    "long-answer": ("Yes. " + " ".join(map(str, range(5000))), UnparsableAnswer),
    "long-loop": ("yes " * 10_000, DegenerateAnswer),
    "many-tags": ("<think>" * 1000, DegenerateAnswer),
    "many-fences": ("```" * 1000 + "yes", DegenerateAnswer),
    "many-keys": (
        "{" + ",".join(f'"k{i}":1' for i in range(300)) + ',"verdict":true}',
        UnparsableAnswer,
    ),
    "many-objects": ('{"verdict": "yes"} ' * 17, UnparsableAnswer),
    "many-answers": ("".join(f"{i} Answer: yes. " for i in range(99)), DegenerateAnswer),
}


@pytest.mark.parametrize(
    ("content", "expected"), [pytest.param(*row, id=name) for name, row in HOSTILE.items()]
)
def test_hostile_answers_are_errors(content, expected):
    """Answers made to exhaust the parser are refused like any other that is no verdict."""
    with pytest.raises(expected) as caught:
        parse_reply(ChatReply(content), RULES)

    assert type(caught.value) is expected
    assert caught.value.detail


@pytest.mark.parametrize("finish_reason", ["abort", "error", "repetition", "content_filter"])
def test_every_kind_of_cut_counts(finish_reason):
    """Prose that the server ended for another reason than its end is truncated."""
    with pytest.raises(TruncatedAnswer):
        parse_reply(ChatReply("Yes, the worker", finish_reason=finish_reason), RULES)


def test_a_thought_that_a_parser_set_apart_does_not_lead_with_its_verdict():
    """A model that was asked to think may have got no further; one that was not has answered."""
    reply = ChatReply(None, reasoning="Yes, a man is there. Let me look at his feet.")

    with pytest.raises(UnparsableAnswer):
        parse_reply(reply, AnswerRules(reasoned=True))

    assert parse_reply(reply, RULES).confirmed is True


@pytest.mark.parametrize(
    "text",
    [
        "<think>So the answer is yes. Let me look again at his feet.",
        "<think>Final answer: yes. I will check the other frames, too.",
        '<think>I have {"verdict": "yes"}. But I will look at the other frames, too.',
    ],
)
def test_a_thought_that_goes_on_after_its_verdict_has_none(text):
    """Without an end of the thinking, only what it ends with can be the answer."""
    with pytest.raises(UnparsableAnswer):
        parse_reply(ChatReply(text), RULES)

    assert parse_reply(ChatReply(text.split(". ")[0]), RULES).confirmed is True


@pytest.mark.parametrize("text", ["yes", "He lies on the floor.\nYes", "r</think>Yes, he fell."])
def test_an_answer_that_a_parser_set_apart_is_read_after_a_thought(text):
    """A bare word, a last line and what follows the thinking are answers all the same."""
    finding = parse_reply(ChatReply(None, reasoning=text), AnswerRules(reasoned=True))

    assert finding.confirmed is True


def test_reasoning_beside_the_content_is_kept():
    """The server's reasoning field and inline thinking both end in `reasoning`."""
    finding = parse_reply(ChatReply("<think>inline</think>no", reasoning="apart"), RULES)

    assert finding.confirmed is False
    assert finding.reasoning == "apart\ninline"


def test_prose_beside_the_verdict_is_the_description():
    """The description is what follows the verdict word."""
    finding = parse_reply(ChatReply("<think>Look.</think>\n**Yes**, because he falls."), RULES)

    assert finding.reasoning == "Look."
    assert finding.description == "because he falls."


@pytest.mark.parametrize("confidence", ["1.5", '"high"', "-0.1", "true", "null", "NaN"])
def test_a_confidence_that_is_no_probability_is_dropped(confidence):
    """Only numbers from 0 to 1 are confidences."""
    finding = parse_reply(ChatReply(f'{{"verdict": "yes", "confidence": {confidence}}}'), RULES)

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
        pytest.param(
            [{"yes": 0.9, "The": 0.06, "A": 0.01}], "yes", 0.989, id="opposite-is-not-listed"
        ),
        pytest.param(
            [{"yes": 0.001, "The": 0.6, "Look": 0.2}], "yes", None, id="wanted-something-else"
        ),
        pytest.param([{"yes": 1.0}], "yes", None, id="no-alternatives"),
        pytest.param([], "yes", None, id="no-logprobs"),
        pytest.param([{"yes": 0.9, "no": 0.1}], "Yes, he falls.", None, id="other-text"),
        pytest.param([{"no": 0.9, "yes": 0.1}], "yes", None, id="of-another-answer"),
        pytest.param([{"yes": 0.0, "no": 0.0}], "yes", None, id="no-mass"),
    ],
)
def test_confidence_of_a_bare_verdict(tokens, content, expected):
    """The confidence is the verdict's share among yes-like and no-like first tokens."""
    logprobs = tuple(
        {token: math.log(p) if p else -math.inf for token, p in token_.items()} for token_ in tokens
    )

    confidence = parse_reply(ChatReply(content, top_logprobs=logprobs), RULES).confidence

    assert confidence == (expected if expected is None else pytest.approx(expected, abs=1e-4))


INVERTED = AnswerRules(verdict_mapping={"true": "no", "false": "yes"})
LABELS = AnswerRules(verdict_field="label", verdict_mapping={"unsafe": "yes", "safe": "no"})
TIMELINE = AnswerRules(shape=AnswerShape.TIMELINE)


@pytest.mark.parametrize(
    ("pieces", "at", "others", "rules", "expected"),
    [
        pytest.param(['{"', "verdict", '":', " true", "}"], 3, " false", RULES, 0.8, id="true"),
        pytest.param(['{"', "verdict", '":', " false", "}"], 3, " true", RULES, 0.8, id="false"),
        pytest.param(['{"', "verdict", '":', ' "', "yes", '"}'], 4, "no", RULES, 0.8, id="word"),
        pytest.param(['{"verdict', '":', ' "yes', '"}'], 2, ' "no', RULES, 0.8, id="with-quote"),
        pytest.param(['{"verdict":', '"', "A", '"}'], 2, "B", RULES, 0.8, id="letter"),
        pytest.param(['{"verdict":', " 1", "}"], 1, " 0", RULES, 0.8, id="digit"),
        pytest.param(['{"verdict":"', "con", 'firmed"}'], 1, "re", RULES, 0.8, id="two-tokens"),
        pytest.param(
            [
                "<think>",
                '{"verdict": "',
                "no",
                '"}',
                "</think>",
                "\n\n",
                '{"verdict": "',
                "Yes",
                '"}',
            ],
            *(7, " no", RULES, 0.8),
            id="thinking-before",
        ),
        pytest.param(
            ["```", "json\n", '{"verdict": "', "yes", '"}', "\n```", "<|im_end|>"],
            *(3, "No", RULES, 0.8),
            id="fenced",
        ),
        pytest.param(['{"is_false_alarm":', " true", "}"], 1, " false", RULES, 0.8, id="key"),
        pytest.param(['{"verdict":', " true", "}"], 1, " false", INVERTED, 0.8, id="inverted"),
        pytest.param(['{"label": "', "uns", 'afe"}'], 1, "safe", LABELS, 0.8, id="mapped"),
        pytest.param(
            ['{"verdict": "', "yes", '", "events": []}'], 1, "no", TIMELINE, 0.8, id="timeline"
        ),
        pytest.param(["Yes", ",", " he falls."], 0, "No", RULES, 0.8, id="prose"),
        pytest.param(["**", "No", "**", "\nNobody falls."], 1, "Yes", RULES, 0.8, id="prose-bold"),
        pytest.param(["(", "A", ")", " Possible"], 1, "B", RULES, 0.8, id="prose-option"),
        pytest.param(
            ["He falls.", "\n", "Final answer: ", "yes"], 3, "no", RULES, None, id="announced"
        ),
        pytest.param(['{"verdict": "y', "es", '"}'], 0, "n", RULES, None, id="glued-to-the-key"),
        pytest.param(
            ['{"verdict": "', "yes", '", "confirmed": true}'], 1, "no", RULES, None, id="two-keys"
        ),
        pytest.param(["{'verdict': '", "yes", "',}"], 1, "no", RULES, None, id="repaired"),
    ],
)
def test_confidence_of_a_verdict_in_an_answer(pieces, at, others, rules, expected):
    """The confidence is read where the verdict's word starts, in JSON and at the start of prose."""
    tokens = [{piece: math.log(0.9), "?": math.log(0.1)} for piece in pieces]
    tokens[at] = {pieces[at]: math.log(0.4), others: math.log(0.1), "maybe": math.log(0.5)}
    content = "".join(pieces).removesuffix("<|im_end|>")

    finding = parse_reply(ChatReply(content, top_logprobs=tuple(tokens)), rules)

    assert finding.confidence == (expected if expected is None else pytest.approx(expected))


def test_the_model_s_own_confidence_counts_without_logprobs_of_a_word():
    """JSON keeps its `confidence` field also when the server sends logprobs."""
    reply = ChatReply('{"verdict": "yes", "confidence": 0.4}', top_logprobs=({"{": 0.0, "a": -9},))

    assert parse_reply(reply, RULES).confidence == 0.4


def test_extra_fields_are_bounded():
    """At most 16 further fields of 1000 characters are taken over."""
    fields = ", ".join(f'"field{i}": "{"x" * 1050}"' for i in range(17))

    extra = parse_reply(ChatReply(f'{{"verdict": "yes", {fields}}}'), RULES).extra

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
    rules=st.sampled_from([RULES, LABELS, INVERTED, TIMELINE, AnswerRules(needs_json=True)]),
)
def test_parsing_ends_in_a_finding_or_an_answer_error(content, reasoning, finish_reason, rules):
    """Whatever a model writes, the parser raises nothing but AnswerError."""
    try:
        finding = parse_reply(ChatReply(content, reasoning, finish_reason), rules)
    except AnswerError:
        return

    assert finding.confirmed in (True, False) or rules is TIMELINE


@settings(max_examples=60, deadline=None)
@given(st.lists(FRAGMENTS, min_size=1, max_size=6).map("".join))
def test_parsing_takes_linear_time(fragment):
    """A fragment repeated up to 100,000 characters is read within a second."""
    text = (fragment * 100_000)[:100_000]
    started = time.process_time()
    with suppress(AnswerError):
        parse_reply(ChatReply(text), RULES)

    assert time.process_time() - started < 1.0


HOSTILE_PIECES = [
    *("{", '{"a"', '{"a":', '{"a":1} ', "[{]", "<", "<think", "<think>", "</think>", "\\<think>"),
    *("<answer>yes</answer>", "```", "```json\n", "<|im_end|>", "a", '"', "\\", ",", " ", "\n"),
    *("Answer: yes. ", "yes no ", "cannot be x ", "sorry.", "\\boxed{yes}", "はい、", "A) B "),
]


@pytest.mark.parametrize("piece", HOSTILE_PIECES)
@pytest.mark.parametrize("size", [19_000, 100_000])
def test_hostile_answers_cost_little(piece, size):
    """No repeated piece takes longer than 20 ms, ten times what is measured on a quiet machine."""
    reply = ChatReply("yes " + (piece * size)[:size] + "x")
    seconds = []
    for _ in range(3):
        started = time.process_time()
        with suppress(AnswerError):
            parse_reply(reply, RULES)
        seconds.append(time.process_time() - started)

    assert min(seconds) < 0.02


def test_a_long_train_of_thought_is_no_long_answer():
    """Only what follows the thinking has to be short."""
    finding = parse_reply(ChatReply(f"<think>{'He walks on. ' * 7000}</think>yes"), RULES)

    assert finding.confirmed is True
