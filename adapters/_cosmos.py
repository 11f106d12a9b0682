"""Facts that Cosmos-Reason2 and the Cosmos 3 reasoners share; both come from Qwen3-VL."""

from typing import Final

from sidecar.model import EvidenceForm, SamplePlan, VisionFacts

PLAN: Final = SamplePlan(
    form=EvidenceForm.VIDEO,
    # vLLM's loader for this line samples at 2 fps: int(frames / fps * 2), at most all frames. An
    # MP4 of up to 2 fps is therefore seen whole on every server (vllm/multimodal/video.py, 0.32).
    fps=2.0,
    # 20 s at the full rate; VSS's segments last 10 s.
    max_frames=40,
    # The processors take up to 25,165,824 pixels a clip (`size.longest_edge` of both checkpoints),
    # which is 12,288 tokens: too much for the 8192-token servers that edge devices run. RT-VLM of
    # VSS shows 448x448 of a frame; 20 such frames, a 10 s segment, are 1,960 tokens.
    max_pixels=20 * 448 * 448,
    # patch 16 x spatial merge 2
    align=32,
)

# `max_position_embeddings` of Cosmos-Reason2, Cosmos3-Nano and Cosmos3-Super
VISION: Final = VisionFacts(context_tokens=262_144)

# Reasoning is asked for in the user prompt, in this format (cosmos-reason2 README; cosmos,
# reasoner_prompt_guide.md). The template has no switch for it.
COT_SUFFIX: Final = (
    "\n\nAnswer the question using the following format:\n\n"
    "<think>\nYour reasoning.\n</think>\n\n"
    "Write your final answer immediately after the </think> tag."
)
