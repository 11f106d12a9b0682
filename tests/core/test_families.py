"""Which family a model id belongs to."""

import importlib

import pytest

from sidecar.core.families import belongs, check_family
from sidecar.errors import ModelMismatch
from sidecar.settings import DEFAULT_ADAPTERS

FAMILIES = {
    name: importlib.import_module(adapter.partition(":")[0]).PROFILE
    for name, adapter in DEFAULT_ADAPTERS.items()
}
IDS = {
    "reason2": (
        "nvidia/Cosmos-Reason2-2B",
        "nvidia/Cosmos-Reason2-8B",
        "nvidia/Cosmos-Reason2-32B",
        "nvidia/cosmos-reason2-8b",
        "nvidia/cosmos-reason2-8b-fp8",
        "NVIDIA/COSMOS-REASON2-8B",
        "nim_nvidia_cosmos-reason2-8b_hf-1208",
        "nim_nvidia_cosmos-reason2-8b_0303-fp8-dynamic-kv8",
        "nim_nvidia_cosmos-reason2-8b_hf-0303",
        "nim_nvidia_cosmos-reason2-8b_0303-fp4-dynamic-kv8",
        "nim_nvidia_cosmos-reason2-8b_1208-fp8-static-kv8",
        "ngc:nim/nvidia/cosmos-reason2-8b:hf-1208",
        "cosmos-reason2",
        "cosmos_reason2",
        "cosmos-reason-2-8b",
        "/models/Cosmos-Reason2-8B/",
        "/root/.cache/huggingface/hub/models--nvidia--Cosmos-Reason2-2B/snapshots/3f1c",
    ),
    "cosmos3-nano": (
        "nvidia/Cosmos3-Nano",
        "nvidia/Cosmos3-Nano-Reasoner",
        "nvidia/cosmos3-nano-reasoner",
        "nim_nvidia_cosmos3-nano-reasoner_bf16-final",
        "nim_nvidia_cosmos3-nano-reasoner_modelopt-fp8-final_format_fix",
        "nim_nvidia_cosmos3-nano-reasoner_modelopt-nvfp4-full-quantize-final_format_fix",
        "nim_nvidia_cosmos3-nano-reasoner_modelopt-fp8-final_format_hf",
        "cosmos3-nano-reasoner",
        "cosmos-reason3",
        "cosmos_reason3",
        "cosmos3_nano",
        "Cosmos-3-Nano",
        "/models/Cosmos3-Nano",
        "/root/.cache/huggingface/hub/models--nvidia--Cosmos3-Nano/snapshots/3f1c",
    ),
    "cosmos3-super": (
        "nvidia/Cosmos3-Super",
        "nvidia/Cosmos3-Super-Reasoner",
        "nvidia/cosmos3-super-reasoner",
        "nim_nvidia_cosmos3-super-reasoner_modelopt-nvfp4-full-quantize-final_format_fix",
        "cosmos3-super-reasoner",
        "nim_nvidia_cosmos3-super-reasoner_bf16-final",
        "/models/cosmos3_super",
    ),
    "cosmos3-edge": (
        "nvidia/Cosmos3-Edge",
        "nvidia/cosmos3-edge-reasoner",
        "Cosmos3_Edge",
        "/models/COSMOS3-EDGE",
    ),
    "baseline": ("opencv-motion-baseline",),
}


@pytest.mark.parametrize(
    ("model", "family"), [(model, family) for family, models in IDS.items() for model in models]
)
def test_every_served_id_belongs_to_one_family(model: str, family: str) -> None:
    """Each id under which a model is served fits its own adapter and the generic one only."""
    fitting = {name for name, profile in FAMILIES.items() if belongs(model, profile)}

    assert {family, "generic"} == fitting


@pytest.mark.parametrize(
    "model",
    [
        "",
        "vlm",
        "nvidia/cosmos-reason1-7b",
        "Qwen/Qwen3-VL-8B-Instruct",
        "nvidia/Cosmos3",
        "/model",
    ],
)
def test_other_ids_belong_to_no_family(model: str) -> None:
    """An id that names no family, or none that is known, fits the generic adapter only."""
    fitting = {name for name, profile in FAMILIES.items() if belongs(model, profile)}

    assert {"generic"} == fitting


def test_a_model_of_its_family_passes() -> None:
    """Nothing is raised, whatever other adapters there are."""
    check_family("nvidia/Cosmos3-Nano", "mine", FAMILIES["cosmos3-nano"], FAMILIES)
    check_family("anything", "mine", FAMILIES["generic"], FAMILIES)


@pytest.mark.parametrize(
    ("model", "adapters"),
    [("nvidia/Cosmos3-Super", "cosmos3-super or generic"), ("my-vlm", "generic")],
)
def test_the_error_names_the_adapters_that_accept_the_model(model: str, adapters: str) -> None:
    """The sentence can be followed as it stands."""
    with pytest.raises(ModelMismatch) as caught:
        check_family(model, "cosmos3-nano", FAMILIES["cosmos3-nano"], FAMILIES)

    assert (
        f"The server of arm cosmos3-nano serves {model!r}, which is not a cosmos3-nano model. "
        f"Set SIDECAR_ARMS__COSMOS3_NANO__ADAPTER to {adapters}, or serve the model under an id "
        "that names its family."
    ) == caught.value.detail
