"""Scores of answers, by the benchmarks' rules and by ours, on tiny sets of our own."""

from typing import Any

import pytest

from adapters.cosmos_reason2 import ADAPTER
from sidecar.ab.scorers import (
    Answered,
    by_adapter,
    choice_of,
    first_word,
    score_choice,
    score_json,
    score_thinking,
    score_yes_no,
)

OURS = by_adapter(ADAPTER)


@pytest.mark.parametrize(
    ("text", "first", "ours"),
    [
        ("Yes.", True, True),
        ("no\nNo, the robot stands still.", False, False),
        ("The worker is safe, so: NO", False, None),
        ("I see a street.", None, None),
        ("", None, None),
        # the first word decides against what the model concludes
        ("<think>At first glance yes, but the cover is closed.</think>\n\nno", True, False),
        ('{"reasoning": "At first yes, but it is a shadow", "verdict": "no"}', True, False),
        # a contradiction is no verdict
        ('{"verdict": "no", "reasoning": "yes, a person is there"}', False, None),
        # no word of its own: knowledge, nobody, noted
        ("Nobody noted anything; I know nothing.", None, None),
    ],
)
def test_the_first_word_and_our_reading_of_the_same_answers(
    text: str, first: bool | None, ours: bool | None
) -> None:
    """VANTAGE-Bench's rule takes the first yes or no; ours takes the verdict."""
    assert (first, ours) == (first_word(text), OURS(text))


def test_event_verification_is_scored_as_the_benchmark_does() -> None:
    """Macro F1 over readable answers, as scikit-learn's classification_report has it.

    Truth yes: yes, yes, no, unreadable; truth no: no, yes. F1 of yes is 2*2/(3+3), that of no
    2*1/(2+2); unreadable counts as wrong in the strict score: 2*2/(3+4) and 2*1/(3+2).
    """
    said = [("yes", "yes"), ("yes", "Yes!"), ("yes", "no"), ("yes", "hm")]
    said += [("no", "no"), ("no", "yes"), ("", "yes")]
    found = score_yes_no([Answered(text, truth) for truth, text in said], first_word)

    assert found.macro_f1 == pytest.approx((4 / 6 + 2 / 4) / 2)
    assert found.macro_f1_strict == pytest.approx((4 / 7 + 2 / 5) / 2)
    assert (found.sensitivity.value, found.sensitivity.n) == (pytest.approx(2 / 3), 3)
    assert (found.specificity.value, found.specificity.n) == (0.5, 2)
    assert (found.unreadable.value, found.unreadable.n) == (pytest.approx(1 / 6), 6)
    assert (found.accuracy.value, found.accuracy.n) == (0.5, 6)


def test_nothing_readable_has_no_f1() -> None:
    """And fails nothing."""
    found = score_yes_no([Answered("hm", "yes")], first_word)

    assert found.macro_f1 is None
    assert 0.0 == found.macro_f1_strict


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        ("B", "B"),
        ("(C)", "C"),
        ("B. the forklift", "B"),
        ("The answer is D.", "D"),
        ("Answer: (A) Possible", "A"),
        ("答え\uff1a\uff22", "B"),
        ("正解はC", "C"),
        ("<think>A or B? I take B.</think>\nA", "A"),
        ("A is wrong, so the answer is B.", "B"),
        ("First the answer seems to be A. No: the answer is C.", "C"),
        ("It is either (A) or (B).", None),
        ("A forklift, B a person", None),
        ("I cannot tell.", None),
        ("Z", None),
        ("", None),
    ],
)
def test_a_choice_is_found_or_there_is_none(text: str, letter: str | None) -> None:
    """Letters in words do not count, and two answers are none."""
    assert letter == choice_of(text)


def test_multiple_choice_and_short_answers_are_matched_exactly() -> None:
    """Letters by choice; other truths by the text but for case, width, spaces and a full stop."""
    answers = [
        Answered("(B)", "B"),
        Answered("A", "B"),
        Answered("perhaps", "B"),
        Answered(" 東京。", "東京"),
        Answered("\uff11\uff12", "12"),
        Answered("thirteen", "12"),
    ]
    right, unreadable = score_choice(answers)

    assert (0.5, 6) == (right.value, right.n)
    assert unreadable.value == pytest.approx(1 / 6)


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [
        ('{"a": 1}', True),
        ('```json\n[{"point_2d": [1, 2]}]\n```', True),
        ('<think>so</think>\n\n```\n{"a": 1}\n```', True),
        ('Here: {"a": 1}', False),
        ('{"a": 1,}', False),
        ("{'a': 1}", False),
        ('```json\n{"a": 1', False),
        ("yes", False),
        ("12", False),
        ("", False),
    ],
)
def test_json_is_valid_or_not(text: str, is_valid: bool) -> None:
    """A fence and thinking before it are allowed; prose, repairs and bare values are not."""
    assert float(is_valid) == score_json([Answered(text)]).value


def test_valid_json_is_a_share_of_all_answers() -> None:
    """Five of eight, as a trajectory test would report 0.62."""
    found = score_json([Answered("[]")] * 5 + [Answered("[")] * 3)

    assert (0.625, 8) == (found.value, found.n)


def test_thinking_is_counted_by_style_of_the_prompt() -> None:
    """Inline or apart; an empty form is no chain of thought."""
    thought = "The belt moves left and the box falls."
    answers: list[Any] = [
        Answered("no", style="bare"),
        Answered("<think>\n\n</think>\n\nno", style="bare"),
        Answered("<think>yes</think>no", style="bare"),
        Answered(f"<think>{thought}</think>no", style="asks"),
        Answered("no", style="asks", reasoning=thought),
    ]
    found = score_thinking(answers)

    assert {"bare": (0.0, 3), "asks": (1.0, 2)} == {
        style: (it.value, it.n) for style, it in found.items()
    }
