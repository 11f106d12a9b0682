"""Any other model behind an OpenAI-compatible server that takes videos, asked as Qwen3-VL is."""

from typing import Final

from adapters._chat import ChatAdapter
from adapters._cosmos import COT_SUFFIX, PLAN
from sidecar.model import ModelProfile

PROFILE: Final = ModelProfile(
    name="generic",
    match=("",),
    plan=PLAN,
    cot_suffix=COT_SUFFIX,
    # what its pixels cost is not known, so a count of tokens says nothing about frames
    vision=None,
)

ADAPTER: Final = ChatAdapter(PROFILE)
