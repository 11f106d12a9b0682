"""How an OpenAI client is answered: completions, chunks, models, errors. Pure: no I/O."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from sidecar.contract.chat import ChatMode
from sidecar.errors import (
    AnswerError,
    DeadlineExpired,
    Forbidden,
    InvalidRequest,
    MediaRoute,
    NotFound,
    Overloaded,
    RateLimited,
    RequestError,
    Unauthenticated,
    UnsupportedQuestion,
    VerificationError,
    VlmBusy,
    VlmError,
    row_of,
)
from sidecar.model import Note

OWNER: Final = "vss-vlm-sidecar"
_TOO_MANY: Final = 429
_SERVER_ERROR: Final = 500
_STATUSES: Final[tuple[tuple[tuple[type[Exception], ...], int], ...]] = (
    ((InvalidRequest, UnsupportedQuestion), 400),
    ((AnswerError,), 422),
    ((Overloaded, VlmBusy), _TOO_MANY),
    ((DeadlineExpired,), 504),
)
"""Statuses that differ from the error table's, which is made for events."""


@dataclass(frozen=True, slots=True)
class ChatChoice:
    """One answer.

    Attributes:
        content: its text.
        reasoning: what the server set apart from it; "" when it set nothing apart.
        finish_reason: as the server told it.
    """

    content: str
    reasoning: str = ""
    finish_reason: str = "stop"


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """How a chat ended.

    Attributes:
        model: that answered, by its server's word.
        prompt_tokens, completion_tokens: of all requests that it took; None when not counted.
        notes: what a reader has to know, as in verdicts.
        dropped: names of the request's fields that were not passed on.
    """

    arm: str
    model: str
    mode: ChatMode
    choices: tuple[ChatChoice, ...]
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    notes: tuple[Note, ...] = ()
    dropped: tuple[str, ...] = ()


def completion(answer: ChatAnswer, identity: str, created: int) -> dict[str, Any]:
    """Build the body of an answer that is not streamed.

    Reasoning is given under both names that clients read: `reasoning_content` (vLLM before 0.12,
    SGLang, most clients) and `reasoning` (newer vLLM).
    """
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", **_said(choice)},
            "logprobs": None,
            "finish_reason": choice.finish_reason,
        }
        for index, choice in enumerate(answer.choices)
    ]
    head = _head(answer, "chat.completion", identity, created)
    return {**head, "choices": choices, "usage": _usage(answer)}


def chunks(
    answer: ChatAnswer, identity: str, created: int, *, include_usage: bool
) -> Iterator[bytes]:
    """Yield the server-sent events of a streamed answer, `[DONE]` included."""
    head = _head(answer, "chat.completion.chunk", identity, created)
    # OpenAI: with `include_usage`, every chunk but the last has a null `usage`
    null = {"usage": None} if include_usage else {}

    def event(index: int, delta: dict[str, Any], finish_reason: str | None = None) -> bytes:
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return _event({**head, "choices": [choice], **null})

    for index, choice in enumerate(answer.choices):
        yield event(index, {"role": "assistant", "content": ""})
        yield event(index, _said(choice))
        yield event(index, {}, choice.finish_reason)
    if include_usage:
        yield _event({**head, "choices": [], "usage": _usage(answer)})
    yield b"data: [DONE]\n\n"


def model_list(ids: Sequence[str], created: int) -> dict[str, Any]:
    """Build the body of `GET /v1/models`."""
    models = [
        {"id": it, "object": "model", "created": created, "owned_by": OWNER, "root": it}
        for it in ids
    ]
    return {"object": "list", "data": models}


def failure(error: RequestError | VerificationError) -> tuple[int, dict[str, Any]]:
    """Return HTTP status and body for an error, in OpenAI's shape."""
    status = _status(error)
    param = error.issues[0].field if isinstance(error, InvalidRequest) else None
    return status, write_error(_message(error), _type(error, status), _code(error), param)


def write_error(
    message: str, kind: str, code: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """Write an error in OpenAI's shape."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _head(answer: ChatAnswer, kind: str, identity: str, created: int) -> dict[str, Any]:
    return {"id": identity, "object": kind, "created": created, "model": answer.model}


def _said(choice: ChatChoice) -> dict[str, Any]:
    apart = {"reasoning_content": choice.reasoning, "reasoning": choice.reasoning}
    return {"content": choice.content, **(apart if choice.reasoning else {})}


def _usage(answer: ChatAnswer) -> dict[str, int] | None:
    prompt, completed = answer.prompt_tokens, answer.completion_tokens
    if prompt is None and completed is None:
        return None
    counts = {"prompt_tokens": prompt or 0, "completion_tokens": completed or 0}
    return {**counts, "total_tokens": sum(counts.values())}


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + orjson.dumps(value) + b"\n\n"


def _status(error: RequestError | VerificationError) -> int:
    """Choose a status: OpenAI's client repeats a request after 408, 409, 429 and 5xx."""
    for kinds, status in _STATUSES:
        if isinstance(error, kinds):
            return status
    row = row_of(error)
    if isinstance(error, VlmError):
        return row.worded(error, MediaRoute.DIRECT).code
    return row.wording.code


def _type(error: RequestError | VerificationError, status: int) -> str:
    if isinstance(error, AnswerError):
        return "no_verdict"
    if status == _TOO_MANY:
        return "rate_limit_error"
    return "server_error" if status >= _SERVER_ERROR else "invalid_request_error"


def _code(error: RequestError | VerificationError) -> str:
    match error:
        case NotFound():
            return "model_not_found"
        case Unauthenticated():
            return "invalid_api_key"
        case Forbidden():
            return "insufficient_permissions"
        case Overloaded() | RateLimited():
            return "rate_limit_exceeded"
        case _:
            return row_of(error).reason


def _message(error: RequestError | VerificationError) -> str:
    if isinstance(error, InvalidRequest):
        return " ".join(f"{issue.field}: {issue.message}" for issue in error.issues)
    return error.detail or row_of(error).wording.status
