"""How many frames a model saw, told from the prompt tokens that its server counted.

Qwen3-VL line: patch 16 x spatial merge 2 makes 32 x 32 pixels one token; two video frames share
one grid of tokens, and each grid is introduced by its time as text, seven tokens or more
(transformers, Qwen3VLProcessor). The server does not tell the text's own tokens, so what comes
out is the largest number of frames that the count allows. Counts move in steps of two frames.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from sidecar.model import ChatReply, ChatRequest, EvidenceForm

_PIXELS_PER_TOKEN_SIDE: Final = 32
_FRAMES_PER_GRID: Final = 2
_STAMP_TOKENS: Final = 7
_CHARS_PER_TOKEN: Final = 8
"""More characters than a token of prose has, so that the text is not taken for frames."""


def frames_seen(request: ChatRequest, reply: ChatReply) -> int | None:
    """Return the frames that the model saw; None when it does not show."""
    sent, evidence = request.evidence.frames_sent, request.evidence
    if sent is None or reply.prompt_tokens is None:
        return None
    across = evidence.width // _PIXELS_PER_TOKEN_SIDE
    down = evidence.height // _PIXELS_PER_TOKEN_SIDE
    is_video = evidence.form is EvidenceForm.VIDEO
    per_grid = across * down + (_STAMP_TOKENS if is_video else 0)
    text = sum(len(part) for part in _texts(request.body)) // _CHARS_PER_TOKEN
    grids = max(reply.prompt_tokens - text, 0) // max(per_grid, 1)
    return min(sent, grids * (_FRAMES_PER_GRID if is_video else 1))


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    for message in body["messages"]:
        content = message["content"]
        parts = [{"text": content}] if isinstance(content, str) else content
        yield from (part["text"] for part in parts if "text" in part)
