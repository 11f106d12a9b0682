"""Print what the promotion gate needs and how often it errs, by simulation.

    .venv/bin/python docs/simulate_gate.py

For arms that differ on a share of the events: how often a candidate that is worse by exactly the
margin is promoted within 8,000 labels, looked at every 20; how many labels equal arms need in half
and in four of five runs; how many one test at the end needs for the same power.
"""

import math
import sys
from typing import Final

import numpy as np
import numpy.typing as npt

from sidecar.ab.rules import GateRules
from sidecar.ab.sequential import log_evidence
from sidecar.ab.statistics import events_needed

RULES: Final = GateRules()
EVERY, RUNS, EVENTS = 20, 2000, 8000
LONG: Final = 24_000


def main() -> int:
    """Return the exit status: 0 when wrong promotions stay below the promised rate."""
    print(
        "| arms differ on | wrong promotions | labels, half | labels, 4 of 5 | one test, 4 of 5 |"
    )
    print("|---|---|---|---|---|")
    worst = 0.0
    for share in (0.02, 0.05, 0.10, 0.20, 0.30):
        wrong = np.isfinite(_promoted_at(share, -RULES.margin, EVENTS, RUNS)).mean()
        needed = _promoted_at(share, 0.0, LONG, RUNS // 4)
        half, most = np.quantile(needed, (0.5, 0.8), method="higher")
        fixed = events_needed(RULES.margin, 10**9, round(share * 10**9))
        worst = max(worst, float(wrong))
        print(f"| {share:.0%} | {wrong:.1%} | {half:,.0f} | {most:,.0f} | {fixed:,} |")
    return int(worst >= RULES.alpha)


def _promoted_at(
    share: float, difference: float, events: int, runs: int
) -> npt.NDArray[np.float64]:
    """Return after how many labels each run is promoted; infinity: not at all."""
    odds = [(share - difference) / 2, 1 - share, (share + difference) / 2]
    steps = np.random.default_rng(1).multinomial(EVERY, odds, size=(runs, events // EVERY))
    worse, equal, better = np.moveaxis(steps.cumsum(axis=1), -1, 0)
    shown = log_evidence(worse, equal, better, -RULES.margin) >= -math.log(RULES.alpha)
    labels = EVERY * np.arange(1, events // EVERY + 1)
    return np.where(shown & (labels >= RULES.min_labelled), labels, np.inf).min(axis=1)


if __name__ == "__main__":
    sys.exit(main())
