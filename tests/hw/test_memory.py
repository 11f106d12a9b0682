"""The arithmetic of memory against figures that others published or that were measured."""

import pytest

from sidecar.errors import NotFound, SettingsError
from sidecar.hw.facts import load_facts
from sidecar.hw.memory import GB, GIB, count_parameters, kv_bytes_per_token, need_of, weights_gib

FACTS = load_facts()

PUBLISHED = [
    # model, precision, size of the weights in bytes, where it is published
    ("reason2", "bf16", 17 * GB, "article: Reason 2 8B takes about 17 GB"),
    ("reason2", "fp8", 10 * GB, "Jetson AI Lab: about 10 GB of download"),
    ("reason2-2b", "bf16", 5 * GB, "Jetson AI Lab: about 5 GB"),
    ("cosmos3-nano", "bf16", 16.3 * GIB, "NVIDIA/cosmos #278: in Transformers"),
    ("cosmos3-nano", "bf16", 16.8 * GIB, "NVIDIA/cosmos #279: in vLLM"),
    ("cosmos3-nano", "bf16", 17 * GB, "article: about 17 GB as a reasoner alone"),
    ("cosmos3-nano", "nvfp4", 7.04 * GB, "Jetson AI Lab: 7.04 GB in 14 files"),
    ("cosmos3-super", "bf16", 64 * GB, "NVIDIA: 32B parameters in 16 bits"),
    ("cosmos3-edge", "bf16", 5 * GB, "NVIDIA: about 2.4B parameters in the reasoner"),
]


@pytest.mark.parametrize(("model", "precision", "size", "source"), PUBLISHED)
def test_weights_are_within_a_tenth_of_what_is_published(
    model: str, precision: str, size: float, source: str
) -> None:
    """Sizes come from layers and bits, not from the published figure that they are compared to."""
    computed = weights_gib(FACTS, model, precision) * GIB

    assert computed == pytest.approx(size, rel=0.1), source


def test_the_parameters_of_the_8b_models_are_those_of_their_base() -> None:
    """8.77 billion, as the cards of Qwen3-VL-8B say; both reasoners were trained from it."""
    architecture = FACTS.model("reason2").architecture
    assert architecture
    counted = count_parameters(architecture)

    assert counted.linear + counted.rest == pytest.approx(8.77e9, rel=0.01)


def test_an_h100_holds_the_tokens_that_vllm_counted() -> None:
    """VLLM 0.26 reported 389,344 tokens at 0.9 of 79.22 GiB without CUDA graphs."""
    need = need_of(FACTS, "cosmos3-nano", "bf16", context=0, sequences=1)
    graphs = FACTS.engine.graphs_gib.value
    memory = FACTS.machine("h100").memory_gib.value * 0.9
    architecture = FACTS.model("cosmos3-nano").architecture
    assert architecture
    free = (memory - need.total + graphs) * GIB

    assert free / kv_bytes_per_token(architecture.text) == pytest.approx(389_344, rel=0.1)


def test_a_cache_in_fp8_is_half_as_large() -> None:
    """The precision of the weights says nothing about it, so it is asked for by itself."""
    wide = need_of(FACTS, "reason2", "fp8", context=8192, sequences=4)
    narrow = need_of(FACTS, "reason2", "fp8", context=8192, sequences=4, kv="fp8")

    assert (narrow.kv, narrow.weights) == (wide.kv / 2, wide.weights)


def test_a_model_without_published_layers_takes_its_makers_floor() -> None:
    """NVIDIA asks for 12 GiB for Edge; its own weights are less."""
    need = need_of(FACTS, "cosmos3-edge", "bf16", context=8192, sequences=4)

    assert need.total == pytest.approx(12)


@pytest.mark.parametrize(
    ("model", "precision", "kv", "text"),
    [
        ("reason3", "bf16", "bf16", "Known: reason2, "),
        ("reason2", "int4", "bf16", "there are bf16, fp8, nvfp4"),
        ("reason2", "bf16", "int4", "known: bf16, fp8"),
    ],
)
def test_what_is_not_known_is_named(model: str, precision: str, kv: str, text: str) -> None:
    """The error tells what there is instead."""
    with pytest.raises((NotFound, SettingsError), match=text):
        need_of(FACTS, model, precision, context=1, sequences=1, kv=kv)


def test_every_fact_has_a_source_and_every_source_is_used() -> None:
    """A source that nothing cites is out of date; one that is missing is a made-up number."""
    cited = set(_sources(FACTS.model_dump(exclude={"sources"})))

    assert cited <= set(FACTS.sources)


def _sources(value: object) -> list[str]:
    if isinstance(value, dict):
        own = [value["source"]] if isinstance(value.get("source"), str) else []
        return own + [key for child in value.values() for key in _sources(child)]
    if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], str):
        return [value[1]] if isinstance(value[0], float) else []
    if isinstance(value, list | tuple):
        return [key for child in value for key in _sources(child)]
    return []
