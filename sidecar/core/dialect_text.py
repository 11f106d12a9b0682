"""What each fact about a model's server means for the user of the sidecar. Pure: no I/O."""

from dataclasses import dataclass
from typing import Final

from sidecar.dialect import FrameControl, ReasoningField, ServerDialect, StructuredForm

_KINDS: Final = {
    "vllm": "It answers like vLLM.",
    "nim": "It answers like an NVIDIA NIM.",
    "rt-vlm": "It answers like VSS's RT-VLM.",
    "sglang": "It answers like SGLang.",
}
_FRAMES: Final = {
    FrameControl.MEDIA_IO_KWARGS: "The sidecar asks for the frames that it wants to be seen, by "
    "media options.",
    FrameControl.FRAME_FIELDS: "The sidecar asks for the frames that it wants to be seen, by "
    "RT-VLM's own fields.",
    FrameControl.NONE: "No request changes which frames are seen: the sidecar prepares each clip "
    "for what the server does by itself.",
}
_STRUCTURED: Final = {
    StructuredForm.STRUCTURED_OUTPUTS: "Answers can be held to yes or no.",
    StructuredForm.CHOICE_FORMAT: "Answers can be held to yes or no, in RT-VLM's way.",
    StructuredForm.RESPONSE_FORMAT: "Answers can be held to yes or no, by a JSON schema.",
    StructuredForm.NONE: "Answers cannot be held to yes or no: verdicts are read from free text.",
}
_REASONING: Final = {
    ReasoningField.REASONING: "Thoughts come apart from the answer where a parser runs.",
    ReasoningField.REASONING_CONTENT: "Thoughts come apart from the answer where a parser runs.",
    ReasoningField.INLINE: "Thoughts come inside the answer; the sidecar takes them out.",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """One line about a server: name and value of a `ServerDialect` field, and a sentence."""

    name: str
    value: str
    meaning: str


def describe_dialect(dialect: ServerDialect) -> tuple[Fact, ...]:
    """Describe every field, in the order of the class."""
    meanings = _of_server(dialect) | _of_media(dialect) | _of_answers(dialect)
    return tuple(
        Fact(name, _shown(getattr(dialect, name)), meanings[name])
        for name in ServerDialect.__dataclass_fields__
    )


def _of_server(dialect: ServerDialect) -> dict[str, str]:
    ready = f"{dialect.ready_path} tells when the server is ready."
    told = "It does not tell what is running, which changes nothing: only behaviour counts."
    return {
        "server": _KINDS.get(dialect.server, told),
        "version": "For your information only." if dialect.version else told,
        "models": f"Requests name {dialect.models[0]} unless the arm names another model.",
        "ready_path": ready if dialect.ready_path else "No known path tells when it is ready.",
    }


def _of_media(dialect: ServerDialect) -> dict[str, str]:
    video = "Clips are sent as one MP4."
    refused = "The server refuses them, so the sidecar sends none."
    return {
        "takes_video": video if dialect.takes_video else "Clips are sent as single pictures.",
        "max_images": _of_images(dialect.max_images),
        "loader_fps": _of_loader(dialect),
        "frames": _FRAMES[dialect.frames],
        "media_options": "Requests may carry them." if dialect.media_options else refused,
    }


def _of_images(limit: int) -> str:
    if limit == 0:
        return "Pictures are refused: events with images cannot be verified here."
    return f"At most {limit} pictures are sent in one request; more were not tried or not seen."


def _of_loader(dialect: ServerDialect) -> str:
    fps = dialect.loader_fps
    if fps is None:
        return "The server does not tell how many frames were seen: no verdict can check it."
    thinned = "only the first frame of a clip is seen"
    if fps > 0:
        thinned = f"clips of more than {fps:g} frames per second are thinned"
    if dialect.frames is not FrameControl.NONE:
        return f"Without options, {thinned}: the sidecar sends options."
    if fps > 0:
        return f"{thinned.capitalize()}: the sidecar slows them down."
    if dialect.max_images > 1:
        return f"{thinned.capitalize()}, and no option changes it: single pictures are sent."
    return f"{thinned.capitalize()}, and no option changes it: clips cannot be verified here."


def _of_answers(dialect: ServerDialect) -> dict[str, str]:
    switched = "Thinking is switched off for constrained answers, which then come as `content`."
    scored = "Verdicts carry a confidence."
    null = "Plain answers come in the reasoning field alone; the sidecar reads them there."
    return {
        "structured": _STRUCTURED[dialect.structured],
        "thinking_switch": switched if dialect.thinking_switch else "The sidecar does not send it.",
        "reasoning": _REASONING[dialect.reasoning],
        "content_is_null": null if dialect.content_is_null else "Answers come as `content`.",
        "logprobs": scored if dialect.logprobs else "Verdicts carry no confidence.",
    }


def _shown(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "unknown"
    return f"{value:g}" if isinstance(value, float) else str(value)
