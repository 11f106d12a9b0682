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
    """How an answer can be constrained. Fields that a server ignores silently do not count.

    CHOICE_FORMAT is RT-VLM's `response_format` of type `choice`.
    """

    STRUCTURED_OUTPUTS = "structured_outputs"
    RESPONSE_FORMAT = "response_format"
    CHOICE_FORMAT = "choice_format"
    NONE = "none"


class FrameControl(StrEnum):
    """How a request sets which frames of a clip the model sees.

    MEDIA_IO_KWARGS: `media_io_kwargs.video.fps`, read by the server's loader (vLLM, NIM), with
        `mm_processor_kwargs.do_sample_frames: false`. Without the latter, vLLM thins a clip that
        was asked for at its own rate to 2 frames per second (seen on vLLM 0.32).
    FRAME_FIELDS: RT-VLM's `num_frames_per_second_or_fixed_frames_chunk` (a number of frames), with
        `use_fps_for_chunking: false` and `vlm_input_width` and `vlm_input_height`.
    NONE: not at all, so the clip has to be prepared for the server's own habits.
    """

    MEDIA_IO_KWARGS = "media_io_kwargs"
    FRAME_FIELDS = "frame_fields"
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
        max_images: pictures that one request may hold, as far as it was tried.
        loader_fps: a clip of up to this many frames per second is seen whole without any option,
            0.0 when only its first frame is; None when the server counts no tokens.
        frames: how a request sets the frames, where that was seen to work.
        media_options: whether a request may carry `media_io_kwargs` and `mm_processor_kwargs` at
            all.
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
    max_images: int
    loader_fps: float | None
    frames: FrameControl
    media_options: bool
    structured: StructuredForm
    thinking_switch: bool
    reasoning: ReasoningField
    content_is_null: bool
    logprobs: bool
