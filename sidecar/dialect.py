"""What one endpoint accepts and how it answers. Found by asking it, never from a model's name."""

from dataclasses import dataclass
from enum import StrEnum


class ReasoningField(StrEnum):
    """The field of a message in which a reasoning parser puts what the model thought.

    vLLM up to 0.11 has `reasoning_content`, 0.12 to 0.14 both, newer ones `reasoning`, null where
    no parser runs. INLINE: there is no such field, so thoughts can only be in `content`.
    """

    REASONING = "reasoning"
    REASONING_CONTENT = "reasoning_content"
    INLINE = "inline"


class StructuredForm(StrEnum):
    """How an answer can be constrained. Fields that a server ignores silently do not count."""

    STRUCTURED_OUTPUTS = "structured_outputs"
    RESPONSE_FORMAT = "response_format"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ServerDialect:
    """The facts about one endpoint that decide what a request may contain.

    Attributes:
        server: "vllm", "nim", "rt-vlm", "sglang" or "unknown", told by the paths that answer.
        version: as the server tells it; "" when it does not.
        models: ids of `GET /models`, at least one.
        ready_path: path that answers when the server is ready, from the root of the server.
        takes_video: whether a `video_url` part with a data URI is accepted.
        frames_seen: how many of the `frames_sent` frames of a small MP4 at 2 fps the model saw
            without any option; None when the server counts no tokens.
        frames_sent: frames of that MP4.
        media_options: whether a request may carry `media_io_kwargs`.
        sets_fps: whether `media_io_kwargs.video.fps` then really changes the frames.
        structured: how to constrain an answer.
        thinking_switch: whether a constrained answer lands in `content` when the request says
            `enable_thinking: false`.
        reasoning: where thoughts are when the server separates them.
        content_is_null: whether a plain answer came back with `content: null`, all of it in the
            reasoning field.
        logprobs: whether answers carry the probabilities of their tokens.
    """

    server: str
    version: str
    models: tuple[str, ...]
    ready_path: str
    takes_video: bool
    frames_seen: int | None
    frames_sent: int
    media_options: bool
    sets_fps: bool
    structured: StructuredForm
    thinking_switch: bool
    reasoning: ReasoningField
    content_is_null: bool
    logprobs: bool
