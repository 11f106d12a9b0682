"""What a request costs: tokens, floating-point operations, and the rates a card allows at most.

The shape is that of Qwen3-VL-8B, the architecture of Cosmos Reason 2 8B and of the Cosmos 3 Nano
Reasoner: 36 layers of width 4096 (32 heads and 8 of keys and values of 128, MLP 12288) behind a
vision tower of 27 layers of width 1152 (MLP 4304) with patches of 16, merged 2 x 2, and one grid of
patches for two frames.
"""

from typing import Final

PATCH: Final = 16
MERGE: Final = 2
TEMPORAL: Final = 2

LAYERS: Final = 36
WIDTH: Final = 4096
KV_WIDTH: Final = 1024
MLP: Final = 12_288
VISION_LAYERS: Final = 27
VISION_WIDTH: Final = 1152
VISION_MLP: Final = 4304
MERGERS: Final = 4  # the last layer's, and three that feed layers of the language model

# dense, of an H100 SXM by its datasheet
H100_BF16: Final = 989e12
H100_FP8: Final = 1979e12


def grids(frames: int) -> int:
    """Return how many grids of patches `frames` make."""
    return -(-frames // TEMPORAL)


def vision_tokens(frames: int, width: int, height: int) -> int:
    """Return the video tokens of `frames` of this size in pixels, multiples of 32."""
    side = PATCH * MERGE
    return grids(frames) * (width // side) * (height // side)


def vision_flop(frames: int, width: int, height: int) -> float:
    """Return the operations of the vision tower for one clip."""
    per_grid = (width // PATCH) * (height // PATCH)
    patches = grids(frames) * per_grid
    weights = VISION_LAYERS * (4 * VISION_WIDTH**2 + 2 * VISION_WIDTH * VISION_MLP)
    embed = PATCH * PATCH * 3 * TEMPORAL * VISION_WIDTH
    attention = 4 * patches * per_grid * VISION_WIDTH * VISION_LAYERS
    merged = VISION_WIDTH * MERGE**2
    merge = MERGERS * (merged**2 + merged * WIDTH) * (patches // MERGE**2)
    return 2 * (weights + embed) * patches + attention + 2 * merge


def language_flop(tokens: int) -> tuple[float, float]:
    """Return the operations of a prefill: products with weights, and causal attention."""
    weights = LAYERS * (WIDTH * (WIDTH + 2 * KV_WIDTH) + WIDTH**2 + 3 * WIDTH * MLP)
    return 2 * weights * tokens, 2 * tokens**2 * WIDTH * LAYERS


def clip_flop(frames: int, width: int, height: int, tokens: int) -> float:
    """Return the operations of one request with one output token.

    Args:
        frames: frames that the model sees.
        width: of a frame, in pixels.
        height: of a frame, in pixels.
        tokens: of the whole prompt.
    """
    return vision_flop(frames, width, height) + sum(language_flop(tokens))


def limit(flop: float, flop_per_s: float) -> float:
    """Return the requests per second that `flop_per_s` allows."""
    return flop_per_s / flop
