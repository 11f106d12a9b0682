"""Writing chat requests, the same for every model of the Qwen3-VL line."""

from base64 import b64encode
from dataclasses import dataclass, replace
from typing import Any, Final

from adapters._answers import parse_reply
from adapters._options import build_options, is_choice, limits_of
from adapters._tokens import frames_seen
from sidecar.model import (
    AnswerRules,
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

_PERSPECTIVES: Final = "\n\nConsider each of these in turn:\n"
_YES_OR_NO: Final = "\n\nAnswer with yes or no only."
"""The last line of a prompt whose answer is constrained; the prompt itself may ask for JSON."""


@dataclass(frozen=True, slots=True)
class ChatAdapter:
    """An adapter for models that see media and answer in text. Implements `ports.VlmAdapter`."""

    profile: ModelProfile

    def build_request(self, question: Question) -> ChatRequest:
        """Write the request: system prompt, then one user message with media first and text last.

        Both prompt guides ask for that order, which is the one of the training.
        """
        sampling = _sampling(question)
        text = self._write_prompt(question, sampling)
        messages = [{"role": "user", "content": [*_media(question.evidence), _text(text)]}]
        if question.prompt.system:
            messages.insert(0, {"role": "system", "content": question.prompt.system})
        model = question.prompt.vlm_params.get("model") or question.model
        body = {"model": model, "messages": messages, **build_options(question, sampling)}
        notes = limits_of(question, sampling)
        return ChatRequest(body, question.evidence, notes, reasoned=sampling.reasoning)

    def frames_seen(self, request: ChatRequest, reply: ChatReply) -> int | None:
        """Tell from `usage` how many frames the model saw; None when it does not show."""
        return frames_seen(request, reply, self.profile.vision)

    def parse_reply(self, reply: ChatReply, rules: AnswerRules) -> Finding:
        """Read the answer by the rules of its alert type.

        Raises:
            AnswerError: the answer is not a verdict.
        """
        return parse_reply(reply, rules)

    def _write_prompt(self, question: Question, sampling: Sampling) -> str:
        """Write the user's text, with what asks for a chain of thought or for a bare word."""
        user, perspectives = question.prompt.user, question.prompt.rules.perspectives
        if is_choice(question, sampling):
            return user + _YES_OR_NO
        if not sampling.reasoning:
            return user
        listed = "\n".join(f"- {phrase}" for phrase in perspectives)
        return user + (_PERSPECTIVES + listed if listed else "") + self.profile.cot_suffix


def _sampling(question: Question) -> Sampling:
    """Lay the alert type's overrides over the arm's sampling; perspectives ask for reasoning."""
    params = question.prompt.vlm_params
    known: dict[str, Any] = {
        "max_tokens": params.get("max_tokens"),
        "temperature": params.get("temperature"),
        "top_p": params.get("top_p"),
        "seed": params.get("seed"),
        "reasoning": bool(question.prompt.rules.perspectives) or params.get("enable_reasoning"),
    }
    given = {name: value for name, value in known.items() if value is not None}
    return replace(question.sampling, **given)


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
