"""NVIDIA Cosmos 3 Nano Reasoner."""

from typing import Final

from adapters._chat import ChatAdapter
from adapters._cosmos import COT_SUFFIX, PLAN, VISION
from sidecar.model import ModelProfile

PROFILE: Final = ModelProfile(
    name="cosmos3-nano",
    # Hugging Face `nvidia/Cosmos3-Nano`, NIM `nvidia/cosmos3-nano-reasoner`, RT-VLM
    # `nim_nvidia_cosmos3-nano-reasoner_bf16-final` and its selector `cosmos-reason3`
    match=("cosmos3-nano", "cosmos-reason3"),
    plan=PLAN,
    cot_suffix=COT_SUFFIX,
    vision=VISION,
)

ADAPTER: Final = ChatAdapter(PROFILE)
