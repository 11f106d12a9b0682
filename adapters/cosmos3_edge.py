"""NVIDIA Cosmos 3 Edge: asked as Nano is, but each frame of a video has tokens of its own."""

from dataclasses import replace
from typing import Final

from adapters._chat import ChatAdapter
from adapters._cosmos import COT_SUFFIX, PLAN, VISION
from sidecar.model import ModelProfile

PROFILE: Final = ModelProfile(
    name="cosmos3-edge",
    # Hugging Face `nvidia/Cosmos3-Edge`, NIM `nvidia/cosmos3-edge-reasoner`
    match=("cosmos3-edge",),
    # 20 frames of 448x448 are 3,920 tokens here, which still leaves half of an 8192-token server
    plan=PLAN,
    cot_suffix=COT_SUFFIX,
    # transformers, cosmos3_edge/video_processing_cosmos3_edge.py; the edges are the others'
    vision=replace(VISION, context_tokens=131_072, temporal_patch=1),
)

ADAPTER: Final = ChatAdapter(PROFILE)
