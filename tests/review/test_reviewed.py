"""The parts of a review: text without tags, the rule of words, and what of a clip is shown."""

from pathlib import Path

import pytest

from sidecar.core.reviewed import says_yes, split_answer
from sidecar.model import Clip, EvidenceForm, MediaType, SamplePlan
from sidecar.outside.frames import PyavSampler
from sidecar.settings import MediaSettings

PLAN = SamplePlan(EvidenceForm.VIDEO, fps=2.0, max_frames=8, max_pixels=8 * 320 * 192)


@pytest.mark.parametrize(
    ("text", "said", "thought"),
    [
        ("Yes", "Yes", ""),
        ("<think>\nHe runs.\n</think>\n\nYes", "Yes", "He runs."),
        ("He runs.</think>Yes", "Yes", "He runs."),
        ("<think>He runs and", "", "He runs and"),
        ("Yes<think>He runs and", "Yes", "He runs and"),
        ("<think>a</think><answer>No</answer>", "No", "a"),
        ("<summary>A box.</summary>", "A box.", ""),
        ("</think>Yes <think>b", "Yes b", ""),
    ],
)
def test_an_answer_is_split_where_2_4_splits_it(text: str, said: str, thought: str) -> None:
    """Both tags, the closing one alone, the opening one alone; all tags are taken out."""
    assert (said, thought) == split_answer(text)


def test_one_word_says_yes() -> None:
    """Punctuation and case do not matter, parts of words do not count."""
    texts = {
        "Yes.": True,
        "**TRUE**": True,
        "That is not true!": True,
        "yesterday": False,
        "untrue": False,
        "no": False,
        "": False,
    }

    assert texts == {text: says_yes(text) for text in texts}


@pytest.mark.parametrize(
    ("span", "times"),
    [
        (None, [0.0, 0.7, 1.5, 2.2, 3.0, 3.7, 4.5, 5.2]),
        ((1.0, 3.0), [1.0, 1.5, 2.0, 2.5]),
        ((4.0, 60.0), [4.0, 4.5, 5.0, 5.5]),
        ((5.95, 6.0), [5.9]),
    ],
)
async def test_a_span_shows_its_own_frames(
    clips: Path, span: tuple[float, float] | None, times: list[float]
) -> None:
    """Times are those of the whole clip, and even a span between two frames shows one."""
    sampler = PyavSampler(MediaSettings())
    clip = Clip(MediaType.VIDEO, (clips / "short.mp4",), span=span)
    evidence = await sampler.sample(clip, PLAN)
    await sampler.close()

    assert times == [round(time, 2) for time in evidence.timestamps_s]
