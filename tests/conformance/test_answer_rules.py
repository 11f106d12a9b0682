"""How every adapter reads what models are known to say; `tests/golden` has many more."""

from math import log

import pytest
from conformance.kit import rule

from sidecar.errors import (
    AnswerError,
    ContradictoryAnswer,
    DegenerateAnswer,
    RefusedAnswer,
    TruncatedAnswer,
)
from sidecar.model import AnswerRules, AnswerShape, ChatReply

VERDICT = AnswerRules()


@rule("null-content")
@pytest.mark.parametrize("content", [None, "", "\n\n"])
def test_an_answer_in_the_reasoning_field_counts(adapter, content):
    """A model that answers directly is taken for a thinking one by a reasoning parser."""
    found = adapter.parse_reply(ChatReply(content, reasoning="Yes"), VERDICT)

    assert found.confirmed is True


@rule("think-tags")
@pytest.mark.parametrize(
    "content",
    [
        "<think>He slips.</think>\n\nyes",
        "He slips.\n</think>\n\nyes",
        "<think>He slips.</think><answer>yes</answer>",
        "<think\\>He slips.</think\\>\n\nyes",
    ],
)
def test_thoughts_are_told_from_the_answer(adapter, content):
    """In each form that was seen."""
    found = adapter.parse_reply(ChatReply(content), VERDICT)

    assert (True, "He slips.") == (found.confirmed, found.reasoning)


@rule("truncation")
@pytest.mark.parametrize(
    "content", ["<think>He walks. Yes, the", '{"verdict": "yes", "descr', "Yes, because the man"]
)
def test_what_was_cut_off_is_no_verdict(adapter, content):
    """The end may say something else."""
    with pytest.raises(TruncatedAnswer):
        adapter.parse_reply(ChatReply(content, finish_reason="length"), VERDICT)


@rule("one-token")
@pytest.mark.parametrize(("word", "confirmed"), [("Yes", True), ("no", False)])
def test_one_word_is_enough(adapter, word, confirmed):
    """With `max_tokens` 1 every answer ends by length, and the word is whole all the same."""
    found = adapter.parse_reply(ChatReply(word, finish_reason="length"), VERDICT)

    assert confirmed is found.confirmed


@rule("contradiction")
def test_two_verdicts_are_none(adapter):
    """Nobody can tell which one is meant."""
    with pytest.raises(ContradictoryAnswer):
        adapter.parse_reply(ChatReply("<answer>yes</answer><answer>no</answer>"), VERDICT)


@rule("contradiction")
def test_a_negated_word_is_no_verdict(adapter):
    """It says what is wrong, not what is so."""
    with pytest.raises(AnswerError):
        adapter.parse_reply(ChatReply("Yes would be wrong."), VERDICT)


@rule("japanese")
@pytest.mark.parametrize(
    ("content", "confirmed"),
    [("はい。", True), ("いいえ", False), ("はい、人が転倒しています。", True)],
)
def test_japanese_answers_are_verdicts(adapter, content, confirmed):
    """A word alone or before a sentence."""
    found = adapter.parse_reply(ChatReply(content), VERDICT)

    assert confirmed is found.confirmed


@rule("confidence")
def test_the_probability_is_that_of_the_verdict_word(adapter):
    """Against its opposite alone, and with all ways of writing either."""
    alternatives = {"yes": log(0.5), "Yes": log(0.1), "no": log(0.2), "The": log(0.2)}
    found = adapter.parse_reply(ChatReply("yes", top_logprobs=(alternatives,)), VERDICT)

    assert pytest.approx(0.75) == found.confidence


@rule("timeline")
@pytest.mark.parametrize(
    "item",
    [
        '{"start": "00:05.64", "end": "00:17.49", "caption": "he falls"}',
        '{"start": "0:00:05.640", "end": "0:00:17.490", "caption": "he falls"}',
        '{"start": 5.64, "end": 17.49, "caption": "he falls"}',
    ],
)
@pytest.mark.parametrize("form", ["[{item}]", "{item}", "```json\n[{item}]\n```"])
def test_times_are_seconds(adapter, item, form):
    """Minutes and seconds or seconds alone, in a list, alone or fenced."""
    reply = ChatReply(form.format(item=item))
    found = adapter.parse_reply(reply, AnswerRules(shape=AnswerShape.TIMELINE)).timeline

    assert [(5.64, 17.49, "he falls")] == [(it.start_s, it.end_s, it.caption) for it in found]


@rule("boxes")
def test_boxes_are_shares_of_the_picture(adapter):
    """The corners in order, and what lies outside brought to the edge and marked."""
    content = '[{"bbox_2d": [100, 200, 300, 400], "label": "a"}, {"bbox_2d": [900, 0, 500, 1200]}]'
    found = adapter.parse_reply(ChatReply(content), AnswerRules(shape=AnswerShape.BOXES)).boxes

    assert [(0.1, 0.2, 0.3, 0.4, "a", False), (0.5, 0.0, 0.9, 1.0, "", True)] == [
        (box.x1, box.y1, box.x2, box.y2, box.label, box.is_clipped) for box in found
    ]


@rule("points")
def test_points_are_shares_of_the_picture(adapter):
    """In the order in which they are passed."""
    content = '[{"point_2d": [100, 200], "label": "a"}, {"point_2d": [1000, 0], "label": "a"}]'
    found = adapter.parse_reply(ChatReply(content), AnswerRules(shape=AnswerShape.POINTS)).points

    assert [(0.1, 0.2), (1.0, 0.0)] == [(point.x, point.y) for point in found]


@rule("degenerate")
def test_a_loop_is_no_verdict(adapter):
    """It begins like an answer and never ends."""
    with pytest.raises(DegenerateAnswer):
        adapter.parse_reply(ChatReply("Yes, the man falls. " + "the man the man " * 60), VERDICT)


@rule("refusal")
@pytest.mark.parametrize(
    "content", ["I'm sorry, I cannot determine that.", "申し訳ありませんが、判断できません。"]
)
def test_a_refusal_is_no_verdict(adapter, content):
    """Not even a no."""
    with pytest.raises(RefusedAnswer):
        adapter.parse_reply(ChatReply(content), VERDICT)
