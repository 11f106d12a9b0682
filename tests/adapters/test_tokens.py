"""What clips and pictures cost, against counts of the processors of transformers 5.19."""

from types import ModuleType

import pytest

from adapters import cosmos3_edge, cosmos3_nano, cosmos3_super, cosmos_reason2, generic
from adapters._tokens import fit_image_to_budget, fit_to_budget, image_tokens, vision_tokens

FACTS = cosmos_reason2.PROFILE.vision
EDGE = cosmos3_edge.PROFILE.vision
FRAMES = (8, 16, 20, 40, 60, 120)
PICTURES = {
    (320, 240): 80,
    (640, 360): 220,
    (854, 480): 405,
    (960, 540): 510,
    (1280, 720): 880,
    (1920, 1080): 2040,
}
VIDEOS = {
    (320, 240): (320, 640, 800, 1600, 2400, 4800),
    (640, 360): (880, 1760, 2200, 4400, 6600, 11400),
    (854, 480): (1620, 3240, 4050, 8100, 12150, 11400),
    (960, 540): (2040, 4080, 5100, 10200, 11700, 11400),
    (1280, 720): (3520, 7040, 8800, 11880, 11700, 11400),
    (1920, 1080): (8160, 12064, 11960, 11880, 11700, 11400),
}


@pytest.mark.parametrize(("size", "tokens"), PICTURES.items())
def test_a_picture_costs_what_the_processor_makes_of_it(size: tuple[int, int], tokens: int) -> None:
    """Rounded to whole tokens within the budget of pictures."""
    assert tokens == image_tokens(*size, FACTS)


@pytest.mark.parametrize(
    ("size", "frames", "tokens"),
    [
        (size, frames, tokens)
        for size, row in VIDEOS.items()
        for frames, tokens in zip(FRAMES, row, strict=True)
    ],
)
def test_a_video_costs_what_the_processor_makes_of_it(
    size: tuple[int, int], frames: int, tokens: int
) -> None:
    """Two frames a grid, and no more pixels than the budget of videos."""
    assert tokens == vision_tokens(*size, frames, FACTS)


@pytest.mark.parametrize(
    ("size", "frames", "fitted"),
    [
        # whole tokens within the budget stay as they are
        ((448, 448), 20, (448, 448)),
        # too large: both sides shrink to whole tokens
        ((1920, 1080), 16, (1664, 928)),
        # too small: enlarged to the least that a video may have
        ((32, 32), 2, (64, 64)),
        # a side under one token is enlarged first
        ((640, 16), 8, (1280, 32)),
        # half a token is rounded to the even neighbour
        ((720, 1296), 8, (704, 1280)),
        # 27 and 29 frames count as 28 against the budget, and as themselves in the shrinking
        ((1280, 704), 27, (1280, 704)),
        ((1280, 704), 29, (1248, 672)),
    ],
)
def test_frames_are_fitted_as_the_processor_does(
    size: tuple[int, int], frames: int, fitted: tuple[int, int]
) -> None:
    """Sizes in pixels, each a multiple of 32."""
    assert fitted == fit_to_budget(*size, frames, FACTS)


def test_pictures_are_enlarged_and_shrunk_on_their_own() -> None:
    """Pictures have other limits than videos."""
    assert (256, 256) == fit_image_to_budget(64, 64, FACTS)
    assert (4096, 4096) == fit_image_to_budget(8000, 8000, FACTS)


def test_every_frame_of_edge_costs() -> None:
    """Edge merges no frames: eight of 720p are 7,040 tokens instead of 3,520."""
    assert 7040 == vision_tokens(1280, 720, 8, EDGE)


def test_rt_vlm_shows_as_many_tokens_as_vss_publishes() -> None:
    """80 frames of 448x448 are 7,840 tokens."""
    assert 7840 == vision_tokens(448, 448, 80, FACTS)


@pytest.mark.parametrize("module", [cosmos_reason2, cosmos3_nano, cosmos3_super, cosmos3_edge])
def test_the_default_clip_fits_a_small_server(module: ModuleType) -> None:
    """An 8192-token server takes it with its times, a prompt and an answer of 1024 tokens."""
    plan, facts = module.PROFILE.plan, module.PROFILE.vision
    frames = plan.max_pixels // (448 * 448)
    stamps = frames // facts.temporal_patch * 8

    assert plan.fps <= 2.0
    assert facts.token_side == plan.align
    assert vision_tokens(448, 448, frames, facts) + stamps < 8192 - 1024 - 1024


def test_what_is_known_about_the_families() -> None:
    """Context and frames a grid; nothing is known about any other model."""
    known = [cosmos_reason2, cosmos3_nano, cosmos3_super, cosmos3_edge]
    facts = [module.PROFILE.vision for module in known]

    assert [262_144, 262_144, 262_144, 131_072] == [it.context_tokens for it in facts]
    assert [2, 2, 2, 1] == [it.temporal_patch for it in facts]
    assert generic.PROFILE.vision is None
