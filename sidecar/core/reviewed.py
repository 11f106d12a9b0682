"""From the verdicts about the chunks of a clip to one result, worded as VSS 2.4 does. Pure."""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sidecar.core.chunking import Chunk
from sidecar.errors import (
    DeadlineExpired,
    MediaError,
    MediaRoute,
    ModelMismatch,
    NoPrompt,
    RecorderOverloaded,
    RecorderTimeout,
    RecorderUnavailable,
    TruncatedAnswer,
    UnparsableAnswer,
    UnsupportedQuestion,
    VerificationError,
    VlmBusy,
    VlmInvalidPayload,
    VlmRefused,
    VlmTimeout,
    VlmUnreachable,
    row_of,
)
from sidecar.model import Verdict

_WORDS: Final = frozenset({"yes", "true"})
_THINK: Final = re.compile(r"<think>|</think>", re.IGNORECASE)
_TAGS: Final = re.compile(r"</?(?:think|answer|summary)>", re.IGNORECASE)
_RULE: Final = "-" * 20
_CODES: Final[dict[type[VerificationError], str]] = {
    VlmTimeout: "PROCESSING_TIMEOUT",
    DeadlineExpired: "PROCESSING_TIMEOUT",
    VlmUnreachable: "SERVICE_UNAVAILABLE",
    VlmBusy: "SERVICE_UNAVAILABLE",
    VlmInvalidPayload: "INVALID_REQUEST",
    VlmRefused: "INVALID_REQUEST",
    UnsupportedQuestion: "INVALID_REQUEST",
    ModelMismatch: "INVALID_REQUEST",
    NoPrompt: "INVALID_REQUEST",
    RecorderTimeout: "CONNECTION_TIMEOUT",
    RecorderOverloaded: "SERVICE_UNAVAILABLE",
    RecorderUnavailable: "SERVICE_UNAVAILABLE",
}


@dataclass(frozen=True, slots=True)
class Look:
    """What became of one chunk.

    Attributes:
        text: the answer without its tags; "" when there is none.
        confirmed: whether the answer confirms; False where no verdict is asked for.
        error: why the answer does not count; None when it does.
        times_s: of the frames that were shown, in seconds of the clip.
    """

    chunk: Chunk
    text: str = ""
    reasoning: str = ""
    confirmed: bool = False
    error: VerificationError | None = None
    times_s: tuple[float, ...] = ()


def read_look(chunk: Chunk, verdict: Verdict, *, by_words: bool, wants_verdict: bool) -> Look:
    """Read what was said about a chunk.

    Args:
        chunk: which one.
        verdict: about it.
        by_words: count as 2.4 does, whatever went wrong: one word of the answer confirms.
        wants_verdict: whether a verdict was asked for.
    """
    text, reasoning = _said(verdict)
    error = verdict.error
    if by_words or (text and _counts_all_the_same(verdict, wants_verdict=wants_verdict)):
        error = None
    finding = verdict.finding
    if by_words or (error is None and (finding is None or finding.confirmed is None)):
        confirmed = says_yes(text)
    else:
        confirmed = bool(finding and finding.confirmed)
    times = verdict.evidence.timestamps_s if verdict.evidence else ()
    return Look(chunk, text, reasoning, confirmed and wants_verdict, error, times)


def says_yes(text: str) -> bool:
    """Tell whether any word of an answer is "yes" or "true", as 2.4 decides."""
    return any(word.strip(string.punctuation).lower() in _WORDS for word in text.split())


def split_answer(text: str) -> tuple[str, str]:
    """Split an answer into what is said and what is thought, and take the tags out.

    With the closing tag alone, what precedes it is the thinking; with the opening tag alone, what
    follows it is, and the answer was cut off.
    """
    opening, closing = _tag(text, "<think>"), _tag(text, "</think>")
    if closing is not None:
        start = opening.end() if opening and opening.end() <= closing.start() else 0
        before = text[: opening.start()] if opening and start else ""
        said, thought = before + text[closing.end() :], text[start : closing.start()]
    elif opening is not None:
        said, thought = text[: opening.start()], text[opening.end() :]
    else:
        said, thought = text, ""
    return _TAGS.sub("", said).strip(), _TAGS.sub("", thought).strip()


def join_descriptions(looks: Sequence[Look]) -> str:
    """Write one description of the clip; several chunks get a line each."""
    if len(looks) == 1:
        return looks[0].text
    lines = (f"{it.chunk.label}: {it.text}" for it in looks)
    return "\n".join(["Detailed description per chunk:", *lines])


def join_reasoning(looks: Sequence[Look]) -> str:
    """Write one reasoning, in blocks for several chunks; "" when there is none about any."""
    if len(looks) == 1 or not any(it.reasoning for it in looks):
        return looks[0].reasoning
    blocks = (f"{it.chunk.label}:\n{it.reasoning}" for it in looks)
    return "Detailed reasoning per chunk:\n" + f"\n{_RULE}\n".join(blocks)


def failure_of(looks: Sequence[Look]) -> Look | None:
    """Return the chunk whose failure makes the review one; None when the result stands.

    One confirmed chunk confirms the clip, whatever became of the others.
    """
    if any(it.confirmed for it in looks):
        return None
    return next((it for it in looks if it.error is not None), None)


def explain(look: Look, *, is_only: bool) -> str:
    """Say why there is no answer about a chunk."""
    assert look.error is not None
    # of the routes, the recorder's wording tells most
    status = row_of(look.error).worded(look.error, MediaRoute.RECORDER).status.strip()
    return status if is_only else f"{look.chunk.label}: {status}"


def code_of(error: VerificationError) -> str:
    """Return the failure in the vocabulary of the 2.4 bridge."""
    usual = "INVALID_REQUEST" if isinstance(error, MediaError) else "INTERNAL_ERROR"
    return _CODES.get(type(error), usual)


def _counts_all_the_same(verdict: Verdict, *, wants_verdict: bool) -> bool:
    """Tell whether a refused answer is one here.

    A description may end at the length that the caller set. A whole answer without a verdict of its
    own, such as a description, is read by its words.
    """
    if not wants_verdict:
        return isinstance(verdict.error, TruncatedAnswer)
    first = verdict.answers[0].reason
    return isinstance(verdict.error, UnparsableAnswer) and first in (
        "",
        row_of(verdict.error).reason,
    )


def _said(verdict: Verdict) -> tuple[str, str]:
    """Return the first answer that says something: asked again, a model is held to one word."""
    found = ("", "")
    for answer in verdict.answers:
        # a server with a reasoning parser may put a whole answer there
        text, apart = (answer.text, answer.reasoning) if answer.text else (answer.reasoning, "")
        said, thought = split_answer(text)
        found = said, apart.strip() or thought
        if said:
            break
    return found


def _tag(text: str, tag: str) -> re.Match[str] | None:
    return next((it for it in _THINK.finditer(text) if it[0].lower() == tag), None)
