"""What the stub servers refuse, with the status and the words of the real ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from sidecar.testing.stub_flavours import Flavour, MediaOptions
from sidecar.testing.stub_media import Body, parts_of

_FORMATS: Final = ("text", "json_object", "json_schema", "structural_tag")
_RT_VLM_FORMATS: Final = ("text", "json_object", "json_schema", "choice")
_RT_VLM_FIELDS: Final = {
    "model",
    "messages",
    "stream",
    "stream_options",
    "n",
    "max_tokens",
    "max_completion_tokens",
    "min_tokens",
    "temperature",
    "top_p",
    "top_k",
    "seed",
    "ignore_eos",
    "response_format",
    "id",
    "chunk_duration",
    "chunk_overlap_duration",
    "enable_reasoning",
    "enable_audio",
    "num_frames_per_second_or_fixed_frames_chunk",
    "use_fps_for_chunking",
    "vlm_input_width",
    "vlm_input_height",
    "media_io_kwargs",
    "mm_processor_kwargs",
}
_RT_VLM_RANGES: Final[Mapping[str, tuple[float, float]]] = {
    "seed": (1, 2**63),
    "top_k": (1, 1000),
    "temperature": (0, 2),
    "n": (1, 1),
    "num_frames_per_second_or_fixed_frames_chunk": (-1, 256),
    "vlm_input_width": (0, 4096),
    "vlm_input_height": (0, 4096),
}
_UNTRUSTED: Final = {
    "mm_processor_kwargs": "they can change multimodal preprocessing resource usage",
    "media_io_kwargs": "they can change multimodal media loading resource usage",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refused request: status, and body with the message in it."""

    status: int
    message: str
    body: Mapping[str, Any]


def refuse(flavour: Flavour, body: Body) -> Refusal | None:
    """Return what is wrong with a request in the eyes of that server; None when nothing is."""
    if flavour.is_rt_vlm:
        return _refuse_as_rt_vlm(flavour, body)
    if body.get("model") != flavour.model:
        text = f"The model `{body.get('model')}` does not exist."
        return _refusal(HTTPStatus.NOT_FOUND, text, "NotFoundError", "model")
    response_format = (body.get("response_format") or {}).get("type", "text")
    if response_format not in _FORMATS:
        text = f"1 validation error: 'response_format', 'type': Input should be one of {_FORMATS}"
        return _refusal(HTTPStatus.BAD_REQUEST, text)
    images = len(parts_of(body, "image_url"))
    if images > flavour.max_images:
        text = f"At most {flavour.max_images} image(s) may be provided in one prompt."
        return _refusal(flavour.too_many_images, text)
    return _refuse_options(flavour, body)


def _refuse_options(flavour: Flavour, body: Body) -> Refusal | None:
    sent = [name for name in _UNTRUSTED if body.get(name)]
    if sent and flavour.media_options is MediaOptions.REFUSED:
        text = (
            f"Per-request {sent[0]} are disabled by default because {_UNTRUSTED[sent[0]]}. Start "
            "the server with --trust-request-mm-kwargs only when clients are trusted. "
            f"(parameter={sent[0]})"
        )
        return _refusal(HTTPStatus.BAD_REQUEST, text, param=sent[0])
    samples_twice = (body.get("mm_processor_kwargs") or {}).get("do_sample_frames") is True
    if samples_twice and parts_of(body, "video_url"):
        text = "Failed to apply Qwen3VLProcessor on data={'text': '<|vision_start|>...'}"
        return _refusal(HTTPStatus.BAD_REQUEST, text)
    return None


def _refuse_as_rt_vlm(flavour: Flavour, body: Body) -> Refusal | None:
    for name in body:
        if name not in _RT_VLM_FIELDS:
            return _rt_vlm_refusal(f"{name}: Extra inputs are not permitted")
    for name, (least, most) in _RT_VLM_RANGES.items():
        if not least <= body.get(name, least) <= most:
            return _rt_vlm_refusal(f"{name}: Input should be from {least} to {most}")
    response_format = (body.get("response_format") or {}).get("type", "text")
    if response_format not in _RT_VLM_FORMATS:
        return _rt_vlm_refusal(f"response_format: {response_format} is not one of them")
    if body.get("model") != flavour.model:
        return _rt_vlm_refusal(f"No such model {body.get('model')}", "BadParameters", 400)
    return None


def _refusal(status: int, text: str, kind: str = "BadRequestError", param: str = "") -> Refusal:
    error = {"message": text, "type": kind, "param": param or None, "code": int(status)}
    return Refusal(int(status), text, {"error": error})


def _rt_vlm_refusal(text: str, code: str = "InvalidParameters", status: int = 422) -> Refusal:
    return Refusal(status, text, {"code": code, "message": text})
