"""Which questions a bare yes or no answers."""

import pytest

from sidecar.core.choices import as_choice, asks_yes_or_no, takes_choice
from sidecar.model import AnswerRules, AnswerShape, Prompt

MAPPED = {"true": "NO", "false": "YES"}


@pytest.mark.parametrize(
    "text",
    [
        "Do two vehicles collide?",
        "A gate is shown. Is anybody behind it?",
        "Was there a fall?",
        "Describe the clip, then answer yes or no.",
        'Answer as JSON: {"verdict": true, "description": "..."}',
        "When the gate opens, does somebody follow?",
        "A worker without a helmet",
        "映像で人が転倒しましたか。",
        "说明是否有人摔倒。",
        "Stürzt eine Person?",
        "Une personne tombe-t-elle ?",
        "(A) Yes (B) No",
    ],
)
def test_a_question_about_an_event_may_be_put_as_a_choice(text: str) -> None:
    """Also one that does not say so, as long as it asks for nothing else."""
    assert asks_yes_or_no(Prompt("t", text))


@pytest.mark.parametrize(
    "text",
    [
        "What happens in this clip?",
        "You watch a road. Describe what you see.",
        "Please summarize the video.",
        "List all people.\nUse short sentences.",
        "How many forklifts are there?",
        "The physics of this clip:\n(A) Possible (B) Impossible",
        "映像で何が起きたか説明してください。",
        "描述视频。",
        "Beschreibe das Video.",
        "Décris la scène.",
        "Describe el video.",
    ],
)
def test_a_question_for_something_else_may_not(text: str) -> None:
    """The word would be a guess."""
    assert not asks_yes_or_no(Prompt("t", text))


def test_the_system_prompt_may_ask_for_yes_or_no() -> None:
    """As the examples of VSS's RT-VLM do."""
    system = "Answer the user's question correctly in yes or no"

    assert asks_yes_or_no(Prompt("t", "What is on the ladder, a worker without a hat?", system))


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (AnswerRules(), True),
        (AnswerRules(needs_json=True, verdict_field="verdict"), True),
        (AnswerRules(verdict_mapping=MAPPED), True),
        (AnswerRules(verdict_mapping={"safe": "NO", "unsafe": "YES"}), False),
        (AnswerRules(parser="mine"), False),
        (AnswerRules(shape=AnswerShape.TIMELINE), False),
        (AnswerRules(shape=AnswerShape.DESCRIPTION), False),
    ],
)
def test_labels_lists_and_custom_answers_are_no_choice(rules: AnswerRules, expected: bool) -> None:
    """Yes and no do not stand for "safe" and "unsafe"."""
    assert expected is takes_choice(rules)


def test_a_choice_keeps_what_the_words_mean() -> None:
    """The band and the mapping stay; reasoning and JSON give way."""
    rules = AnswerRules(
        needs_json=True, verdict_mapping=MAPPED, abstain=(0.4, 0.6), perspectives=("speed",)
    )
    params = {"enable_reasoning": True, "max_tokens": 8}
    asked = as_choice(Prompt("t", "?", rules=rules, vlm_params=params))

    assert AnswerRules(verdict_mapping=MAPPED, abstain=(0.4, 0.6)) == asked.rules
    assert {"max_tokens": 8} == asked.vlm_params
