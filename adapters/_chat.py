"""Writing chat requests, the same for every model of the Qwen3-VL line.

Never sent: `mm_processor_kwargs` and `media_io_kwargs` (vLLM 0.32 answers 400 unless it was started
with `--trust-request-mm-kwargs`) and `do_sample_frames` (fails after the loader has sampled). The
clip is prepared beforehand instead, so that every server shows the model the same frames.
"""

from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from adapters._answers import parse_reply
from adapters._tokens import frames_seen
from sidecar.dialect import ServerDialect, StructuredForm
from sidecar.model import (
    AnswerForm,
    ChatReply,
    ChatRequest,
    Evidence,
    EvidenceForm,
    Finding,
    MediaType,
    ModelProfile,
    Question,
    Sampling,
)

_WORDS: Final = ["yes", "no"]
_CONSTRAINTS: Final[Mapping[StructuredForm, Mapping[str, Any]]] = {
    # vLLM >= 0.12 in place of guided_choice, which newer ones ignore without a word
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
    StructuredForm.NONE: {},
}
# with a reasoning parser the choice binds from the first token only when thinking is off
_NO_THINKING: Final = {"chat_template_kwargs": {"enable_thinking": False}}
# as many alternatives as vLLM and OpenAI give, so that the other word is among them
_LOGPROBS: Final = {"logprobs": True, "top_logprobs": 20}


@dataclass(frozen=True, slots=True)
class ChatAdapter:
    """An adapter for models that see media and answer in text. Implements `ports.VlmAdapter`."""

    profile: ModelProfile

    def build_request(self, question: Question) -> ChatRequest:
        """Write the request: system prompt, then one user message with media first and text last.

        Both prompt guides ask for that order, which is the one of the training.
        """
        sampling = _sampling(question)
        text = question.prompt.user
        if sampling.reasoning:
            text += self.profile.cot_suffix
        messages = [{"role": "user", "content": [*_media(question.evidence), _text(text)]}]
        if question.prompt.system:
            messages.insert(0, {"role": "system", "content": question.prompt.system})
        model = question.prompt.vlm_params.get("model") or question.model
        body = {"model": model, "messages": messages, **_options(sampling, question.dialect)}
        return ChatRequest(body, question.evidence)

    def frames_seen(self, request: ChatRequest, reply: ChatReply) -> int | None:
        """Tell from `usage` how many frames the model saw; None when it does not show."""
        return frames_seen(request, reply, self.profile.vision)

    def parse_reply(self, reply: ChatReply) -> Finding:
        """Read the answer.

        Raises:
            AnswerError: the answer is not a verdict.
        """
        return parse_reply(reply)


def _sampling(question: Question) -> Sampling:
    """Lay the alert type's overrides over the arm's sampling."""
    params = question.prompt.vlm_params
    known = {
        "max_tokens": params.get("max_tokens"),
        "temperature": params.get("temperature"),
        "top_p": params.get("top_p"),
        "seed": params.get("seed"),
        "reasoning": params.get("enable_reasoning"),
    }
    given = {name: value for name, value in known.items() if value is not None}
    return replace(question.sampling, **given)


def _options(sampling: Sampling, dialect: ServerDialect | None) -> dict[str, Any]:
    options = {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_tokens or None,  # 0 means the server's default, as in VSS
        "seed": sampling.seed,
    }
    given = {name: value for name, value in options.items() if value is not None}
    if sampling.answer is AnswerForm.CHOICE and not sampling.reasoning:
        given.update(_choice(dialect))
    return given


def _choice(dialect: ServerDialect | None) -> dict[str, Any]:
    """Let the server say only yes or no, in the way that binds there."""
    if dialect is None:
        return {**_CONSTRAINTS[StructuredForm.STRUCTURED_OUTPUTS], **_NO_THINKING}
    return {
        **_CONSTRAINTS[dialect.structured],
        **(_NO_THINKING if dialect.thinking_switch else {}),
        **(_LOGPROBS if dialect.logprobs else {}),
    }


def _media(evidence: Evidence) -> list[dict[str, Any]]:
    if evidence.form is EvidenceForm.VIDEO:
        return [_part("video_url", _data_uri("video/mp4", evidence.video))]
    if evidence.form is EvidenceForm.FRAMES:
        jpegs = (frame.jpeg for frame in evidence.frames)
        return [_part("image_url", _data_uri("image/jpeg", jpeg)) for jpeg in jpegs]
    kind = "video_url" if evidence.type is MediaType.VIDEO else "image_url"
    return [_part(kind, url) for url in evidence.urls]


def _part(kind: str, url: str) -> dict[str, Any]:
    return {"type": kind, kind: {"url": url}}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _data_uri(mime: str, data: bytes) -> str:
    return f"data:{mime};base64,{b64encode(data).decode('ascii')}"
