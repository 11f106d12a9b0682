"""How long to wait before trying again."""

import random as _random
from collections.abc import Callable

# Past this exponent every sensible cap is long reached, and 2.0**n still is a float.
_MAX_DOUBLINGS = 63


def backoff(
    attempt: int,
    base_s: float,
    cap_s: float,
    random: Callable[[], float] = _random.random,
) -> float:
    """Return the seconds to wait before the next try: exponential, with full jitter.

    Full jitter spreads the tries of many clients over the whole interval, so that a server which
    comes back is not hit by all of them at once.

    Args:
        attempt: how many tries failed so far, starting at 1.
        base_s: upper bound of the first wait; it doubles with each attempt.
        cap_s: upper bound of every wait.
        random: gives a number in [0, 1).
    """
    doublings = min(attempt - 1, _MAX_DOUBLINGS)
    return random() * min(cap_s, base_s * 2.0**doublings)
