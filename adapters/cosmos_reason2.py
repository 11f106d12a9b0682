"""NVIDIA Cosmos-Reason2 (2B, 8B, 32B)."""

from typing import Final

from adapters._chat import ChatAdapter
from adapters._cosmos import COT_SUFFIX, PLAN, VISION
from sidecar.model import ModelProfile

PROFILE: Final = ModelProfile(
    name="cosmos-reason2",
    # Hugging Face `nvidia/Cosmos-Reason2-8B`, NIM `nvidia/cosmos-reason2-8b`, RT-VLM
    # `nim_nvidia_cosmos-reason2-8b_hf-1208`
    match=("cosmos-reason2",),
    plan=PLAN,
    cot_suffix=COT_SUFFIX,
    vision=VISION,
)

ADAPTER: Final = ChatAdapter(PROFILE)
