"""The OpenAI chat-completions wire, read on the client's side. Pure: no I/O."""

from collections.abc import Mapping, Sequence
from typing import Any

from sidecar.errors import VlmServerError
from sidecar.model import ChatReply


def reply_from_completion(body: Mapping[str, Any]) -> ChatReply:
    """Read a chat-completions body.

    The reasoning is in `message.reasoning` (vLLM since 0.12) or `message.reasoning_content` (older
    vLLM, SGLang). `content` may be null, or a list of parts of which the text ones are joined.
    `logprobs.content` becomes one mapping for each token; a broken entry becomes an empty one.

    Raises:
        VlmServerError: the body holds no completion, though the status was 200.
    """
    choice = _first_choice(body)
    message = choice.get("message")
    if not isinstance(message, Mapping):
        raise VlmServerError("InvalidCompletion: choices[0] has no message")
    usage = body.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    return ChatReply(
        content=_text(message.get("content")),
        reasoning=_text(message.get("reasoning")) or _text(message.get("reasoning_content")),
        finish_reason=_string(choice.get("finish_reason")),
        model=_string(body.get("model")),
        prompt_tokens=_count(usage.get("prompt_tokens")),
        completion_tokens=_count(usage.get("completion_tokens")),
        top_logprobs=_top_logprobs(choice.get("logprobs")),
    )


def model_ids(body: object) -> tuple[str, ...]:
    """Return the ids of a `GET /models` body, in its order; () when it lists none."""
    data = body.get("data") if isinstance(body, Mapping) else None
    if not isinstance(data, Sequence):
        return ()
    return tuple(item["id"] for item in data if isinstance(item, Mapping) and item.get("id"))


def failure_from_body(body: object) -> tuple[str, str]:
    """Return type and message of an error body; "" for what it does not say.

    Knows `{"error": {"message", "type"}}` (OpenAI, vLLM, NIM), `{"message", "type"}` (vLLM before
    0.10) and `{"detail": ...}` (FastAPI).
    """
    if not isinstance(body, Mapping):
        return "", body if isinstance(body, str) else ""
    error = body.get("error", body)
    if not isinstance(error, Mapping):
        return "", str(error)
    message = error.get("message") or error.get("detail") or ""
    return _string(error.get("type")), str(message)


def _first_choice(body: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = body.get("choices")
    if isinstance(choices, Sequence) and choices and isinstance(choices[0], Mapping):
        first: Mapping[str, Any] = choices[0]
        return first
    raise VlmServerError("InvalidCompletion: the body has no choices")


def _text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if not isinstance(value, Sequence):
        return None
    texts = (part.get("text") for part in value if isinstance(part, Mapping))
    return "".join(text for text in texts if isinstance(text, str))


def _top_logprobs(value: object) -> tuple[Mapping[str, float], ...]:
    tokens = value.get("content") if isinstance(value, Mapping) else None
    if not isinstance(tokens, list):
        return ()
    return tuple(_alternatives(token) for token in tokens)


def _alternatives(token: object) -> Mapping[str, float]:
    """Return the log-probabilities at one position, the written token first."""
    if not isinstance(token, Mapping) or not _is_logprob(token.get("logprob")):
        return {}
    top = token.get("top_logprobs")
    found: dict[str, float] = {}
    for entry in [token, *(top if isinstance(top, list) else [])]:
        if isinstance(entry, Mapping) and _is_logprob(entry.get("logprob")):
            found.setdefault(_string(entry.get("token")), entry["logprob"])
    return found


def _is_logprob(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value <= 0


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
