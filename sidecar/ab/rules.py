"""What an arm has to show before it is promoted. Pure, and without the statistics' libraries."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sidecar.errors import SettingsError


@dataclass(frozen=True, slots=True)
class GateRules:
    """What a candidate has to show.

    Attributes:
        margin: how much less often it may be right, such as 0.02 for two points.
        alpha: chance of promoting one that is worse by the margin or more.
        min_labelled: labelled events that both arms were asked about, at least.
        max_p95_ratio: its 95th percentile of latency over the reference's, at most.
        unparsable_allowance: how much more often its answers may be no verdict.
        acts: False only recommends.
        shares: of the events, step by step.
        step_events: events that the candidate answers at one share before it gets the next.
    """

    margin: float = 0.02
    alpha: float = 0.05
    min_labelled: int = 300
    max_p95_ratio: float = 1.2
    unparsable_allowance: float = 0.005
    acts: bool = False
    shares: tuple[float, ...] = (0.01, 0.1, 0.5, 1.0)
    step_events: int = 50

    def __post_init__(self) -> None:
        """Refuse rules that promote anything or nothing.

        Raises:
            SettingsError: names the rule that is wrong.
        """
        wrong = {
            "margin must lie between 0 and 1": not 0 < self.margin < 1,
            "alpha must lie between 0 and 0.5": not 0 < self.alpha < 0.5,  # noqa: PLR2004
            "max_p95_ratio must be positive": not self.max_p95_ratio > 0,
            "unparsable_allowance must lie between 0 and 1": not 0 <= self.unparsable_allowance < 1,
            "shares must grow from above 0 up to 1 at most": not _grows(self.shares),
            "min_labelled and step_events must not be negative": min(
                self.min_labelled, self.step_events
            )
            < 0,
        }
        problems = [words for words, is_wrong in wrong.items() if is_wrong]
        if problems:
            raise SettingsError("ab.gate: " + "; ".join(problems) + ".")


def _grows(shares: Sequence[float]) -> bool:
    return (
        bool(shares)
        and all(low < high for low, high in pairwise((0.0, *shares)))
        and shares[-1] <= 1
    )
