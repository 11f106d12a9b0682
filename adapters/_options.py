"""The fields of a chat request beside its messages: only such as the server takes.

Never sent: `do_sample_frames: true` (fails on vLLM 0.32 after its loader has sampled) and the
`guided_*` fields (newer vLLMs ignore them without a word).
"""

import math
from collections.abc import Mapping
from typing import Any, Final

from sidecar.dialect import FrameControl, ServerDialect, StructuredForm
from sidecar.model import (
    AnswerForm,
    AnswerShape,
    Evidence,
    EvidenceForm,
    MediaType,
    Note,
    Question,
    SamplePlan,
    Sampling,
)

_WORDS: Final = ["yes", "no"]
_CONSTRAINTS: Final[Mapping[StructuredForm, Mapping[str, Any]]] = {
    # vLLM >= 0.12 in place of guided_choice
    StructuredForm.STRUCTURED_OUTPUTS: {"structured_outputs": {"choice": _WORDS}},
    StructuredForm.RESPONSE_FORMAT: {
        "response_format": {
            "type": "json_schema",
            "json_schema": {
                "name": "verdict",
                "schema": {"type": "string", "enum": _WORDS},
                "strict": True,
            },
        }
    },
    # RT-VLM of VSS 3.3
    StructuredForm.CHOICE_FORMAT: {"response_format": {"type": "choice", "choices": _WORDS}},
    StructuredForm.NONE: {},
}
# With a reasoning parser, a choice binds from the first token only when thinking is off, and only
# then does a free answer land in `content` (vLLM 0.32, qwen3 parser).
_NO_THINKING: Final = {"chat_template_kwargs": {"enable_thinking": False}}
# as many alternatives as vLLM and OpenAI give, so that the other word is among them
_LOGPROBS: Final = {"logprobs": True, "top_logprobs": 20}
_LOADER_FPS_MAX: Final = 30
"""The most that vLLM's loader for this line samples (vllm/multimodal/video.py, 0.32)."""
_ALWAYS_WHOLE: Final = 4
"""Clips of up to this many frames are seen whole at any rate (same source)."""
_FRAME_FIELD_MAX: Final = 256
"""The largest `num_frames_per_second_or_fixed_frames_chunk` (RT-VLM)."""


def is_choice(question: Question, sampling: Sampling) -> bool:
    """Tell whether the answer is wanted as a bare yes or no, and not after a chain of thought."""
    return _wants_choice(question, sampling) and not sampling.reasoning


def build_options(question: Question, sampling: Sampling) -> dict[str, Any]:
    """Write the fields beside `model` and `messages`.

    Args:
        question: its dialect decides what may be sent; without one, what vLLM takes is sent.
        sampling: the arm's, with the alert type's overrides.
    """
    return {
        **_decoding(question, sampling),
        **_answer_fields(question, sampling),
        **_media_fields(question),
    }


def limits_of(question: Question, sampling: Sampling) -> tuple[Note, ...]:
    """Name what a reader of the verdict has to know about the request."""
    evidence, dialect = question.evidence, question.dialect
    sent, asked = evidence.frames_sent, evidence.frames_asked
    cannot_bind = dialect is not None and dialect.structured is StructuredForm.NONE
    is_unbound = sampling.reasoning or cannot_bind
    found = {
        Note.TIMES_STRETCHED: evidence.stretch > 1.0,
        Note.FEWER_IMAGES: sent is not None and asked is not None and sent < asked,
        Note.NOT_CONSTRAINED: _wants_choice(question, sampling) and is_unbound,
    }
    return tuple(note for note, is_so in found.items() if is_so)


def _has_frame_fields(dialect: ServerDialect | None) -> bool:
    return dialect is not None and dialect.frames is FrameControl.FRAME_FIELDS


def _wants_choice(question: Question, sampling: Sampling) -> bool:
    is_verdict = question.prompt.rules.shape is AnswerShape.VERDICT
    return is_verdict and sampling.answer is AnswerForm.CHOICE


def _decoding(question: Question, sampling: Sampling) -> dict[str, Any]:
    options: dict[str, Any] = {
        # also 0: an RT-VLM build took its own default for a missing one
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens or None,  # 0 means the server's default, as in VSS
        "seed": sampling.seed,
    }
    if _has_frame_fields(question.dialect):
        if sampling.seed is not None:
            options["seed"] = max(sampling.seed, 1)  # RT-VLM refuses less
        # RT-VLM bans think tags otherwise
        options["enable_reasoning"] = True if sampling.reasoning else None
    return {name: value for name, value in options.items() if value is not None}


def _answer_fields(question: Question, sampling: Sampling) -> dict[str, Any]:
    """Write what shapes the answer: a constraint, the switch for thinking, probabilities."""
    dialect, bare = question.dialect, is_choice(question, sampling)
    if dialect is None:
        vllm = _CONSTRAINTS[StructuredForm.STRUCTURED_OUTPUTS]
        return {**vllm, **_NO_THINKING} if bare else {}
    rules = question.prompt.rules
    is_scored = rules.shape is AnswerShape.VERDICT and (
        not sampling.reasoning or rules.abstain is not None
    )
    return {
        **(_CONSTRAINTS[dialect.structured] if bare else {}),
        **(_NO_THINKING if dialect.thinking_switch and not sampling.reasoning else {}),
        **(_LOGPROBS if dialect.logprobs and is_scored else {}),
    }


def _media_fields(question: Question) -> dict[str, Any]:
    """Write what makes the server show all frames of a clip."""
    dialect = question.dialect
    if _has_frame_fields(dialect):
        return _frame_fields(question)
    if dialect is None or dialect.frames is FrameControl.NONE:
        return {}
    fps = _loader_fps(question, dialect)
    if fps is None:
        return {}
    return {
        "media_io_kwargs": {"video": {"fps": fps}},
        # vLLM's processor thins a clip to 2 fps when its loader took every frame of it
        "mm_processor_kwargs": {"do_sample_frames": False},
    }


def _frame_fields(question: Question) -> dict[str, Any]:
    """Write RT-VLM's fields; without them it shows the first frame only."""
    evidence, plan = question.evidence, question.plan
    if evidence.frames_sent is not None:
        frames, is_rate = evidence.frames_sent, False
    elif plan is not None and evidence.type is MediaType.VIDEO:
        frames, is_rate = math.ceil(plan.fps), True
    else:
        return {}
    size = {"vlm_input_width": evidence.width, "vlm_input_height": evidence.height}
    return {
        "num_frames_per_second_or_fixed_frames_chunk": min(frames, _FRAME_FIELD_MAX),
        "use_fps_for_chunking": is_rate,
        **(size if evidence.width and evidence.height else {}),
    }


def _loader_fps(question: Question, dialect: ServerDialect) -> float | None:
    """Return the rate to ask of a server's loader; None where its own shows all that is wanted."""
    evidence, plan = question.evidence, question.plan
    if evidence.form is EvidenceForm.URL:
        is_wanted = plan is not None and evidence.type is MediaType.VIDEO
        return plan.fps if plan and is_wanted and plan.fps != dialect.loader_fps else None
    if evidence.form is not EvidenceForm.VIDEO or len(evidence.timestamps_s) <= _ALWAYS_WHOLE:
        return None
    rate = _written_rate(evidence, plan)
    if dialect.loader_fps is not None and rate <= dialect.loader_fps:
        return None
    # Loaders round the number of frames down, and never take more than there are.
    return min(math.floor(rate) + 1, _LOADER_FPS_MAX)


def _written_rate(evidence: Evidence, plan: SamplePlan | None) -> float:
    """Return frames per second of the MP4; the plan's rate is never exceeded."""
    times = evidence.timestamps_s
    rate = (len(times) - 1) / (times[-1] - times[0])
    return (rate if plan is None else min(rate, plan.fps)) / evidence.stretch
