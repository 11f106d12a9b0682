"""NVIDIA Cosmos 3 Super Reasoner: asked as Nano is, four times its size."""

from typing import Final

from adapters._chat import ChatAdapter
from adapters._cosmos import COT_SUFFIX, PLAN, VISION
from sidecar.model import ModelProfile

PROFILE: Final = ModelProfile(
    name="cosmos3-super",
    # Hugging Face `nvidia/Cosmos3-Super`, NIM `nvidia/cosmos3-super-reasoner`, RT-VLM
    # `nim_nvidia_cosmos3-super-reasoner_bf16-final`
    match=("cosmos3-super",),
    plan=PLAN,
    cot_suffix=COT_SUFFIX,
    vision=VISION,
)

ADAPTER: Final = ChatAdapter(PROFILE)
