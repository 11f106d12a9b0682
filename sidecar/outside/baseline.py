"""The OpenCV baseline behind the model port, for machines without a model."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from sidecar.dialect import ServerDialect
from sidecar.errors import UnsupportedQuestion, VlmInvalidPayload, VlmTimeout
from sidecar.model import ChatReply, ChatRequest, Frame
from sidecar.outside.motion import Motion, measure_motion

if TYPE_CHECKING:
    from sidecar.outside.motion import Gray

MODEL: Final = "opencv-motion-baseline"
_MIN_FRAMES: Final = 2


class OpenCvBaseline:
    """Answers whether something moves in the frames; `sidecar.ports.VlmBackend`.

    Args:
        workers: clips compared at the same time.
    """

    def __init__(self, workers: int = 2) -> None:
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="baseline")

    async def model(self) -> str:
        """Return the id that verdicts of this arm carry."""
        return MODEL

    async def dialect(self, *, stale: ServerDialect | None = None) -> None:
        """Return None: there is no server to ask."""

    async def complete(self, request: ChatRequest, timeout_s: float) -> ChatReply:
        """Answer "yes" or "no", and on a second line why.

        Asked for presence, the answer is "unknown" when nothing moves.

        Raises:
            UnsupportedQuestion: the evidence has fewer than two frames.
            VlmInvalidPayload: a frame is not a JPEG.
            VlmTimeout: not done in time.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                motion = await loop.run_in_executor(self._pool, _look, request.evidence.frames)
        except TimeoutError as error:
            raise VlmTimeout(f"The baseline did not finish within {timeout_s:g} s.") from error
        still = "unknown" if request.body.get("question") == "presence" else "no"
        answer = "yes" if motion.found else still
        return ChatReply(f"{answer}\n{describe(motion)}", model=MODEL)

    async def ping(self) -> str:
        """Return "": the baseline needs nothing."""
        return ""

    async def close(self) -> None:
        """Give up clips that wait. Safe to call twice."""
        self._pool.shutdown(wait=False, cancel_futures=True)


def describe(motion: Motion) -> str:
    """Say in one line what was measured."""
    text = (
        f"OpenCV baseline (not a VLM): {motion.changed} of {motion.pairs} frame pairs changed, "
        f"largest moving area {motion.largest:.1%} of the picture."
    )
    if motion.of_camera:
        text += " It changes all over the picture: the camera itself may be moving."
    return text.replace("%", " %")


def _look(frames: Sequence[Frame]) -> Motion:
    if len(frames) < _MIN_FRAMES:
        raise UnsupportedQuestion("The baseline compares frames and needs at least two.")
    return measure_motion([_gray(i, frame) for i, frame in enumerate(frames)])


def _gray(index: int, frame: Frame) -> "Gray":
    import cv2
    import numpy as np

    picture = cv2.imdecode(np.frombuffer(frame.jpeg, dtype=np.uint8), cv2.IMREAD_GRAYSCALE)
    if picture is None:
        raise VlmInvalidPayload(f"Frame {index} of the evidence is not a JPEG.")
    return np.asarray(picture, dtype=np.uint8)
