"""How the known model servers differ, for stubs of them.

The facts come from vLLM's sources and changelogs, measured runs of vLLM 0.32, the NIM and RT-VLM
documentation of VSS 3.3, and issues reported against them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sidecar.dialect import ReasoningField, StructuredForm


class MediaOptions(StrEnum):
    """What becomes of `media_io_kwargs` and `mm_processor_kwargs` in a request."""

    REFUSED = "refused"
    IGNORED = "ignored"
    OBEYED = "obeyed"


@dataclass(frozen=True, slots=True)
class Flavour:
    """How one kind of server behaves.

    Attributes:
        paths: answer with 200, beside the API's own.
        model: the id served.
        version: told by `/version`; "" when there is no such path.
        reasoning: fields of a message that carry reasoning; empty when it is inline.
        parses_reasoning: a plain answer is taken for reasoning and `content` is null, as vLLM's
            qwen3 parser does, unless the request says `enable_thinking: false`.
        media_options: what becomes of per-request media options.
        structured: constraints that bind; others are ignored with status 200.
        loader_fps: frames per second that the server samples.
        max_images: more `image_url` parts are refused.
        too_many_images: status of that refusal.
        logprobs: are returned when asked for.
        is_rt_vlm: only known fields with values in their ranges are accepted, one clip or picture
            is looked at, its first frame alone unless RT-VLM's own fields ask for more.
        plain_answer: what the model says when nothing constrains it.
    """

    paths: tuple[str, ...]
    model: str
    version: str = ""
    reasoning: tuple[ReasoningField, ...] = ()
    parses_reasoning: bool = False
    media_options: MediaOptions = MediaOptions.OBEYED
    structured: tuple[StructuredForm, ...] = (
        StructuredForm.STRUCTURED_OUTPUTS,
        StructuredForm.RESPONSE_FORMAT,
    )
    loader_fps: float = 2.0
    max_images: int = 999
    plain_answer: str = "No person is to be seen."
    too_many_images: int = 400
    logprobs: bool = True
    is_rt_vlm: bool = False


_FORMAT_ONLY: Final = (StructuredForm.RESPONSE_FORMAT,)
_OLD, _NEW = ReasoningField.REASONING_CONTENT, ReasoningField.REASONING
_REASON2: Final = "nvidia/Cosmos-Reason2-8B"
_NANO: Final = "nvidia/Cosmos3-Nano"
_REFUSED, _IGNORED = MediaOptions.REFUSED, MediaOptions.IGNORED
_VLLM_PATHS: Final = ("/health",)

FLAVOURS: Final[Mapping[str, Flavour]] = {
    # `media_io_kwargs` in a request: since vLLM pull request 34778 of March 2026
    "vllm-0.11": Flavour(
        _VLLM_PATHS,
        _REASON2,
        "0.11.0",
        reasoning=(_OLD,),
        media_options=_IGNORED,
        structured=_FORMAT_ONLY,
    ),
    "vllm-0.13": Flavour(
        _VLLM_PATHS, _REASON2, "0.13.0", reasoning=(_NEW, _OLD), media_options=_IGNORED
    ),
    "vllm-0.26": Flavour(_VLLM_PATHS, _NANO, "0.26.0", reasoning=(_NEW,)),
    "vllm-0.32": Flavour(_VLLM_PATHS, _NANO, "0.32.0", reasoning=(_NEW,), media_options=_REFUSED),
    "vllm-0.32-parser": Flavour(
        _VLLM_PATHS,
        _REASON2,
        "0.32.0",
        reasoning=(_NEW,),
        media_options=_REFUSED,
        parses_reasoning=True,
    ),
    "vllm-0.32-trusted": Flavour(_VLLM_PATHS, _NANO, "0.32.0", reasoning=(_NEW,)),
    "nim": Flavour(
        ("/v1/health/ready", "/v1/health/live", "/v1/metadata"),
        "nvidia/cosmos3-nano-reasoner",
        structured=_FORMAT_ONLY,
        loader_fps=4.0,
        max_images=5,
        too_many_images=422,
    ),
    "rt-vlm": Flavour(
        ("/v1/ready", "/v1/live", "/v1/startup", "/v1/health/ready", "/v1/health/live"),
        "nim_nvidia_cosmos3-nano-reasoner_bf16-final",
        media_options=_IGNORED,
        structured=(StructuredForm.CHOICE_FORMAT, StructuredForm.RESPONSE_FORMAT),
        logprobs=False,
        is_rt_vlm=True,
    ),
    "sglang": Flavour(
        ("/health", "/get_server_info"),
        _NANO,
        reasoning=(_OLD,),
        media_options=_IGNORED,
        structured=_FORMAT_ONLY,
    ),
}
