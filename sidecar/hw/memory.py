"""How much memory a model's server takes. Pure arithmetic over the facts; sizes are in GiB."""

from dataclasses import dataclass
from typing import Final

from sidecar.errors import SettingsError
from sidecar.hw.facts import Architecture, Engine, Facts, TextSizes, VisionSizes

GIB: Final = 1024**3
GB: Final = 1000**3
_FULL_BITS: Final = 16
_KV_BITS: Final = {"bf16": 16, "fp8": 8}


@dataclass(frozen=True, slots=True)
class Parameters:
    """Weights of a model: those that a lower precision makes smaller, and the rest."""

    linear: int
    rest: int

    def bytes_at(self, bits: float) -> float:
        """Return the size of all weights, the linear layers at `bits`, the rest at 16."""
        return (self.linear * bits + self.rest * _FULL_BITS) / 8


@dataclass(frozen=True, slots=True)
class Need:
    """What one server takes.

    Attributes:
        weights: of the model.
        kv: cache for all requests at the same time, each with its whole context.
        vision: features of the longest video that the model takes.
        engine: everything else of the server on the GPU.
        floor: what the model's maker asks for at least.
    """

    weights: float
    kv: float
    vision: float
    engine: float
    floor: float = 0.0

    @property
    def total(self) -> float:
        """All together, or the floor when that is more."""
        return max(self.weights + self.kv + self.vision + self.engine, self.floor)


def count_parameters(architecture: Architecture) -> Parameters:
    """Count weights by the sizes of the layers, biases and norms left out.

    Embeddings and the output layer, which stay in 16 bits, are counted once each, as the
    checkpoints hold them.
    """
    text, vision = architecture.text, architecture.vision
    return Parameters(_linear(text), 2 * text.vocabulary * text.hidden + _vision(vision, text))


def _linear(text: TextSizes) -> int:
    query, keys = text.heads * text.head_dim, text.kv_heads * text.head_dim
    attention = 2 * text.hidden * query + 2 * text.hidden * keys
    return text.layers * (attention + 3 * text.hidden * text.intermediate)


def _vision(vision: VisionSizes, text: TextSizes) -> int:
    layer = 4 * vision.hidden**2 + 2 * vision.hidden * vision.intermediate
    merged = 4 * vision.hidden  # 2 x 2 patches become one token
    return vision.layers * layer + vision.mergers * (merged**2 + merged * text.hidden)


def kv_bytes_per_token(text: TextSizes, precision: str = "bf16") -> int:
    """Return what one token of context keeps: keys and values of every layer."""
    bits = _KV_BITS.get(precision)
    if bits is None:
        raise SettingsError(f"--kv: {precision!r} is unknown; known: {', '.join(_KV_BITS)}.")
    return 2 * text.layers * text.kv_heads * text.head_dim * bits // 8


def weights_gib(facts: Facts, model: str, precision: str) -> float:
    """Return the size of a model's weights.

    Raises:
        NotFound: there is no such model.
        SettingsError: it has no artefact of that precision.
    """
    known = facts.model(model)
    if precision not in known.artefacts:
        choices = ", ".join(known.artefacts)
        raise SettingsError(f"{model} has no artefact in {precision!r}; there are {choices}.")
    bits = facts.precisions[precision].bits.value
    if known.architecture is None:
        assert known.parameters is not None
        return known.parameters.value * bits / 8 / GIB
    return count_parameters(known.architecture).bytes_at(bits) / GIB


def need_of(
    facts: Facts, model: str, precision: str, *, context: int, sequences: int, kv: str = "bf16"
) -> Need:
    """Add up what the server of a model takes.

    Args:
        facts: what is known.
        model: its name.
        precision: of its weights.
        context: tokens of one request.
        sequences: requests at the same time.
        kv: precision of the KV cache; FP8 weights do not imply it.
    """
    known, engine = facts.model(model), facts.engine
    weights = weights_gib(facts, model, precision)
    floor = known.floor_gib.value if known.floor_gib else 0.0
    if known.architecture is None:
        return Need(weights, 0.0, 0.0, _engine_gib(engine, 0.0), floor)
    text, vision = known.architecture.text, known.architecture.vision
    cache = context * sequences * kv_bytes_per_token(text, kv) / GIB
    features = vision_gib(engine, text, vision)
    measured_for = facts.model("cosmos3-nano").architecture
    assert measured_for is not None
    usual = vision_gib(engine, measured_for.text, measured_for.vision)
    return Need(weights, cache, features, _engine_gib(engine, usual), floor)


def vision_gib(engine: Engine, text: TextSizes, vision: VisionSizes) -> float:
    """Return what the features of the longest video take: one vector a token and merger."""
    return engine.video_tokens.value * text.hidden * vision.mergers * 2 / GIB


def _engine_gib(engine: Engine, vision: float) -> float:
    """Return the rest of a server: what was measured, less the vision features in it."""
    return engine.measured_gib.value - vision + engine.graphs_gib.value
