"""Does something move between the frames of a clip? Classical computer vision, no learning."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np

    Gray = np.ndarray[Any, np.dtype[np.uint8]]
    Smooth = np.ndarray[Any, np.dtype[np.float32]]

WIDTH: Final = 320
"""Frames are compared at this width in pixels."""
MIN_DIFFERENCE: Final = 12.0
"""Grey levels that a pixel must change by; compression and sensor noise stay below."""
MAX_DIFFERENCE: Final = 25.0
"""Grey levels that always count as a change; no sensor is that noisy after smoothing."""
NOISE_FACTOR: Final = 5.0
"""Between the two, a pixel must change by so many standard deviations of the whole picture."""
CLIPPED: Final = 248.0
"""Grey level from which on a smoothed pixel may have been cut off at white."""
MIN_AREA: Final = 0.0015
"""Part of the picture that must change in one piece: about 9 x 9 of 320 x 180 pixels."""
GRID: Final = (8, 6)
"""Cells across and down in which changes are counted to notice a moving camera."""
EVERYWHERE: Final = 0.6
"""Part of the cells in which something must change before the camera is suspected."""


@dataclass(frozen=True, slots=True)
class Change:
    """What differs between two frames.

    Attributes:
        area: largest connected area, as a part of the picture.
        spread: part of the grid's cells in which something changes.
    """

    area: float
    spread: float


@dataclass(frozen=True, slots=True)
class Motion:
    """What changes in a series of frames.

    Attributes:
        pairs: pairs of neighbouring frames.
        changed: pairs in which a connected area of `MIN_AREA` or more changes.
        largest: largest such area in any pair, as a part of the picture.
        spread: median over the changed pairs of the part of the cells with a change.
    """

    pairs: int
    changed: int
    largest: float
    spread: float

    @property
    def found(self) -> bool:
        """Whether something moves: one changed pair among several may be a switch of the light."""
        return self.changed >= min(2, self.pairs)

    @property
    def of_camera(self) -> bool:
        """Whether the picture changes in so many places that the camera itself may be moving."""
        return self.found and self.spread >= EVERYWHERE


def measure_motion(frames: "Sequence[Gray]") -> Motion:
    """Compare neighbouring frames.

    Args:
        frames: at least two grey pictures of the same size, in the order of their times.
    """
    changes = [compare(*pair) for pair in pairwise(_smooth(frame) for frame in frames)]
    changed = [change for change in changes if change.area >= MIN_AREA]
    return Motion(
        pairs=len(changes),
        changed=len(changed),
        largest=max(change.area for change in changes),
        spread=median(change.spread for change in changed) if changed else 0.0,
    )


def compare(before: "Smooth", after: "Smooth") -> Change:
    """Find what differs between two smoothed frames beyond noise and exposure."""
    import cv2
    import numpy as np

    dark, bright = sorted((before, after), key=np.mean)
    difference = np.abs(bright - _exposed_like(bright, dark))
    spread = 1.4826 * float(np.median(difference))  # standard deviation, if it is normal noise
    least = min(max(MIN_DIFFERENCE, NOISE_FACTOR * spread), MAX_DIFFERENCE)
    mask = (difference > least).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    area = max(stats[1:, cv2.CC_STAT_AREA], default=0) / mask.size
    cells = cv2.resize(mask.astype(np.float32), GRID, interpolation=cv2.INTER_AREA)
    return Change(float(area), float((cells > 0).mean()))


def _smooth(frame: "Gray") -> "Smooth":
    """Bring a frame to the common width and take the noise out."""
    import cv2
    import numpy as np

    height = max(round(frame.shape[0] * WIDTH / frame.shape[1]), GRID[1])
    resized = cv2.resize(frame, (WIDTH, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(resized, (7, 7), 0), dtype=np.float32)


def _exposed_like(target: "Smooth", source: "Smooth") -> "Smooth":
    """Return `source` at gain and offset of the brighter `target`, with its clipped highlights.

    Fitted twice, the second time only where the first fit explains the picture, so that what moves
    does not count.
    """
    import numpy as np

    unclipped = target < CLIPPED
    calm = unclipped if unclipped.any() else np.ones(target.shape, dtype=bool)
    fitted = source
    for _ in range(2):
        x, y = source[calm], target[calm]
        variance = float(x.var())
        gain = float(((x - x.mean()) * (y - y.mean())).mean()) / variance if variance > 1 else 1.0
        fitted = np.clip(source * np.float32(gain) + np.float32(y.mean() - gain * x.mean()), 0, 255)
        residual = np.abs(target - fitted)
        calm &= residual <= np.median(residual[calm])
    return fitted
