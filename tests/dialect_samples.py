"""A server's dialect to start from."""

from typing import Final

from sidecar.dialect import FrameControl, ReasoningField, ServerDialect, StructuredForm

VLLM: Final = ServerDialect(
    server="vllm",
    version="0.32.0",
    models=("the-model",),
    ready_path="/health",
    takes_video=True,
    max_images=64,
    loader_fps=2.0,
    frames=FrameControl.NONE,
    media_options=False,
    structured=StructuredForm.STRUCTURED_OUTPUTS,
    thinking_switch=True,
    reasoning=ReasoningField.REASONING,
    content_is_null=False,
    logprobs=True,
)
"""vLLM 0.32 as it starts without options."""
