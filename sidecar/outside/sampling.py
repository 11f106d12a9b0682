"""Which frames of a clip to show, and how large. Pure arithmetic."""

import math
from bisect import bisect_right
from collections.abc import Sequence
from fractions import Fraction
from typing import Final, TypeVar

from sidecar.model import SamplePlan

MIN_FRAMES: Final = 4
"""The least that the video loader of Qwen3-VL, on which the Cosmos models build, samples."""
_EPSILON_S: Final = 1e-6

Size = tuple[int, int]
"""Width and height in pixels."""
T = TypeVar("T")


def sample_times(duration_s: float, plan: SamplePlan) -> list[float]:
    """Spread times evenly over a clip, in seconds from its first frame.

    The rate is `plan.fps`, less where `plan.max_frames` would not reach to the end, more where
    fewer than four frames would be shown.
    """
    rate = min(plan.fps, plan.max_frames / duration_s)
    count = math.ceil(duration_s * rate - _EPSILON_S)
    least = min(MIN_FRAMES, plan.max_frames)
    if count < least:
        count, rate = least, least / duration_s
    return [i / rate for i in range(count)]


def shown_at(ticks: Sequence[int], time_base: Fraction, times_s: Sequence[float]) -> list[int]:
    """Find the frames that a viewer sees at given times.

    Args:
        ticks: presentation times of all frames, ascending.
        time_base: seconds in one tick.
        times_s: seconds from the first frame, ascending.

    Returns:
        Their ticks, each once; at least four where the clip has as many.
    """
    moments = (ticks[0] + (t + _EPSILON_S) / time_base for t in times_s)
    chosen = list(dict.fromkeys(ticks[bisect_right(ticks, m) - 1] for m in moments))
    least = min(MIN_FRAMES, len(times_s))
    return chosen if len(chosen) >= least else list(thin_out(ticks, least))


def thin_out(items: Sequence[T], most: int | None) -> Sequence[T]:
    """Take at most so many of a series, evenly spaced: the first and, of several, the last."""
    if most is None or len(items) <= most:
        return items
    steps = max(most - 1, 1)
    return [items[i * (len(items) - 1) // steps] for i in range(most)]


def fit_size(width: int, height: int, count: int, plan: SamplePlan) -> Size:
    """Choose the size of each of `count` frames.

    Returns:
        The largest width and height that are multiples of `plan.align`, keep the aspect to the
        nearest multiple, do not exceed the source, and together stay within `plan.max_pixels`.
        Never less than one multiple each way, whatever the budget.
    """
    align = plan.align
    long, short = max(width, height), min(width, height)
    budget = plan.max_pixels // count
    for units in range(max(long // align, 1), 0, -1):
        ideal = round(units * short / long)
        fitting = min(max(ideal, 1), max(short // align, 1))
        within = units * fitting * align * align <= budget
        if within and (ideal <= fitting or units == 1):
            break
    else:
        units = fitting = 1
    large, small = units * align, fitting * align
    return (large, small) if width >= height else (small, large)
