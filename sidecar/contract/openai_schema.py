"""The OpenAI face in the API's description.

These models only describe: bodies carry large media, so `contract.chat` reads requests by hand, and
`contract.completion` writes answers.
"""

from typing import Any, Final, Literal

from pydantic import BaseModel


class CompletionMessage(BaseModel):
    """What the model said; `reasoning` under both names that clients read, where it is apart."""

    role: Literal["assistant"]
    content: str
    reasoning: str = ""
    reasoning_content: str = ""


class CompletionChoice(BaseModel):
    """One answer."""

    index: int
    message: CompletionMessage
    logprobs: None
    finish_reason: str


class CompletionUsage(BaseModel):
    """Tokens of all requests that the answer took."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Completion(BaseModel):
    """Answer of `POST /v1/chat/completions`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: CompletionUsage | None


class ServedModel(BaseModel):
    """A model id that may be asked for."""

    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    root: str


class ServedModelList(BaseModel):
    """Answer of `GET /v1/models`."""

    object: Literal["list"]
    data: list[ServedModel]


class NimHealth(BaseModel):
    """Answer of `GET /v1/health/...`, as of a NIM."""

    object: Literal["health.response"]
    message: str
    status: Literal["live", "ready", "not_ready"]


class NimModel(BaseModel):
    """A model in a NIM's metadata."""

    modelUrl: str
    shortName: str


class NimMetadata(BaseModel):
    """Answer of `GET /v1/metadata`, as of a NIM; `sidecarArm` is ours."""

    version: str
    modelInfo: list[NimModel]
    assetInfo: list[str]
    repository_override: str
    model_type: Literal["reasoner"]
    inference_endpoint: str
    sidecarArm: str


class ApiError(BaseModel):
    """What is wrong, as OpenAI says it."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorBody(BaseModel):
    """Body of every answer that is no success."""

    error: ApiError


CHAT_REQUEST: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["messages"],
                    "properties": {
                        "model": {"type": "string"},
                        "messages": {
                            "type": "array",
                            "minItems": 1,
                            "maxItems": 100,
                            "items": {
                                "type": "object",
                                "required": ["role"],
                                "properties": {
                                    "role": {"enum": ["system", "developer", "user", "assistant"]},
                                    "content": {"type": ["string", "array", "null"]},
                                },
                            },
                        },
                        "stream": {"type": "boolean"},
                        "n": {"type": "integer", "minimum": 1, "maximum": 8},
                        "max_tokens": {"type": "integer", "minimum": 0},
                        "temperature": {"type": "number", "minimum": 0, "maximum": 2},
                    },
                }
            }
        },
    }
}
"""Body of `POST /v1/chat/completions`, as far as it is not the model's server that reads it."""
