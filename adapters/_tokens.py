"""What a clip costs in tokens, and how many frames a model saw for the tokens that were counted.

Qwen3-VL line: patch 16 x spatial merge 2 makes 32 x 32 pixels one token, and `temporal_patch`
frames of a video share one grid of tokens. Sizes are first rounded to whole tokens and fitted
into the pixel budget (transformers 5.19, `smart_resize` of qwen3_vl/video_processing_qwen3_vl.py,
cosmos3_edge/video_processing_cosmos3_edge.py and qwen2_vl/image_processing_qwen2_vl.py).
"""

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar.model import ChatReply, ChatRequest, Evidence, EvidenceForm, MediaType, VisionFacts

_MARK_TOKENS: Final = 2
"""What begins and ends each grid, picture and message: `<|vision_start|>` and the like."""
_STAMP_TOKENS: Final = 6
"""Tokens, at least, of the time before each grid of a video: `<`, `0`, `.`, `2`, ` seconds`, `>`
(Qwen3VLProcessor and Cosmos3EdgeProcessor write it so; one more from 10 seconds on)."""
_WORD: Final = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]{1,4}|[^\W\d_]+|\d{1,3}|[^\w\s]+(?=\s|$)")
"""What no token reaches beyond: a word, three digits, punctuation at the end of a word. Four
letters of Japanese or Chinese are more than a token has on average."""


def fit_to_budget(width: int, height: int, frames: int, facts: VisionFacts) -> tuple[int, int]:
    """Return the width and height that the processor resizes each frame of a video to.

    Args:
        width: pixels of each frame.
        height: pixels of each frame.
        frames: of the whole video; fewer than fill one grid are counted as one full grid.
        facts: of the model family.
    """
    side, step = facts.token_side, facts.temporal_patch
    if min(width, height) < side:
        scale = max(side / width, side / height)
        width, height = int(width * scale), int(height * scale)
    frames = max(frames, step)
    counted = round(frames / step) * step
    budget = (facts.video_shortest_edge, facts.video_longest_edge)
    return _fit(width, height, (frames, counted), side, budget)


def fit_image_to_budget(width: int, height: int, facts: VisionFacts) -> tuple[int, int]:
    """Return the width and height in pixels that the processor resizes a single picture to."""
    budget = (facts.image_shortest_edge, facts.image_longest_edge)
    return _fit(width, height, (1, 1), facts.token_side, budget)


def vision_tokens(width: int, height: int, frames: int, facts: VisionFacts) -> int:
    """Count the tokens of a video of `frames` frames, its times left out."""
    across, down = fit_to_budget(width, height, frames, facts)
    return _grids(frames, facts) * across * down // facts.token_side**2


def image_tokens(width: int, height: int, facts: VisionFacts) -> int:
    """Count the tokens of a single picture."""
    across, down = fit_image_to_budget(width, height, facts)
    return across * down // facts.token_side**2


def frames_seen(request: ChatRequest, reply: ChatReply, facts: VisionFacts | None) -> int | None:
    """Return the largest number of frames that the server's count of prompt tokens allows.

    The server does not tell the text's own tokens. They are counted as low as they can be, so
    that no frame is missed that was seen; a step of one grid hides where the text has as many
    tokens more, which takes a prompt of several hundred words at 448 x 448 pixels.

    Returns:
        At most the frames that were sent. None when it does not show: the family's arithmetic is
        not known, the server samples for itself or counts no tokens, or several pictures may
        differ in size.
    """
    sent, evidence = request.evidence.frames_sent, request.evidence
    pictures_differ = evidence.type is MediaType.IMAGE and sent != 1
    if facts is None or sent is None or reply.prompt_tokens is None or pictures_differ:
        return None
    left = reply.prompt_tokens - _least_text_tokens(request.body)
    return next((n for n in range(sent, 0, -1) if _least_tokens(evidence, n, facts) <= left), 0)


def _fit(
    width: int, height: int, frames: tuple[int, int], side: int, budget: tuple[int, int]
) -> tuple[int, int]:
    """Fit frames into a budget of (least, most) pixels; `frames` is (real, rounded to grids)."""
    real, counted = frames
    least, most = budget
    across, down = round(width / side) * side, round(height / side) * side
    if counted * across * down > most:
        shrink = math.sqrt(real * height * width / most)
        across = max(side, math.floor(width / shrink / side) * side)
        down = max(side, math.floor(height / shrink / side) * side)
    elif counted * across * down < least:
        grow = math.sqrt(least / (real * height * width))
        across = math.ceil(width * grow / side) * side
        down = math.ceil(height * grow / side) * side
    return across, down


def _grids(frames: int, facts: VisionFacts) -> int:
    return -(-frames // facts.temporal_patch)


def _least_tokens(evidence: Evidence, frames: int, facts: VisionFacts) -> int:
    if evidence.form is EvidenceForm.VIDEO:
        stamps = _grids(frames, facts) * (_STAMP_TOKENS + _MARK_TOKENS)
        return stamps + vision_tokens(evidence.width, evidence.height, frames, facts)
    return frames * (_MARK_TOKENS + image_tokens(evidence.width, evidence.height, facts))


def _least_text_tokens(body: Mapping[str, Any]) -> int:
    words = sum(len(_WORD.findall(text)) for text in _texts(body))
    return words + _MARK_TOKENS * len(body["messages"])


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    for message in body["messages"]:
        content = message["content"]
        parts = [{"text": content}] if isinstance(content, str) else content
        yield from (part["text"] for part in parts if "text" in part)
