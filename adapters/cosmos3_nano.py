"""NVIDIA Cosmos 3 reasoners: Nano, and Super and Edge, which are asked the same way."""

from typing import Final

from adapters._chat import ChatAdapter
from adapters._cosmos import COT_SUFFIX, PLAN
from sidecar.model import ModelProfile

PROFILE: Final = ModelProfile(
    name="cosmos3-nano",
    # Hugging Face `nvidia/Cosmos3-Nano`, NIM `nvidia/cosmos3-nano-reasoner`, RT-VLM
    # `nim_nvidia_cosmos3-nano-reasoner_bf16-final` and its selector `cosmos-reason3`
    match=("cosmos3", "cosmos-3", "cosmos-reason3", "cosmos_reason3"),
    plan=PLAN,
    cot_suffix=COT_SUFFIX,
)

ADAPTER: Final = ChatAdapter(PROFILE)
