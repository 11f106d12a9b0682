"""Which events are not verified, because nothing has changed since the last one was.

VSS sends an event again and again while it goes on, each time with a later `end`. These updates
share a cohort (`core.identity.cohort_key`, VSS's dedup key), and the latest one that was accepted
is the cohort's mark. An update is compared with the mark in VSS's order: end-time delta, dedup,
rate limit, and at last whether its document was confirmed (services/alert, dedup_state.py).

Where this differs from VSS, on purpose:

- The ledger keeps the marks, so they survive a restart and are shared by replicas. An event becomes
  the mark in the transaction that stores it. One that is dropped leaves no mark, so what it is
  compared with is always something that was verified.
- VSS verifies the very same event again once `dedup_ttl_s` is over. Here an event with the same
  cohort and the same end stays known for as long as the ledger exists, so that nothing is decided
  twice. Updates with another end are verified again after `dedup_ttl_s`, as in VSS. With VSS's
  shipped settings nobody sees the difference: there the end-time delta drops such repetitions.
- For the categories whose dedup key contains the end, that makes dedup nothing but this knowledge.
- Confirmed means that the latest verdict on a document is. VSS's marker also outlives a later
  rejection of an update that was on its way at the same time.
"""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sidecar.core.identity import is_complete, text
from sidecar.model import (
    NO_RULES,
    Accepted,
    Drop,
    Dropped,
    FilterRules,
    Limit,
    Mark,
    Origin,
    VerifyEvent,
)
from sidecar.ports import Clock
from sidecar.settings import FilterSettings

MAX_MARKS: Final = 50_000
"""Cohorts that are remembered in memory, at about 500 bytes each; the ledger knows the others."""

_BECAUSE: Final = {
    Drop.UNFINISHED: "`info.isComplete` is not true",
    Drop.END_TIME_DELTA: "the same event with nearly the same end was accepted {ago}",
    Drop.DEDUP: "the same event was accepted {ago}",
    Drop.RATE_LIMIT: "the same event was accepted {ago}",
    Drop.CONFIRMED: "it was confirmed {ago}",
}


class Filters:
    """Chooses the rules of an event, and answers clear repetitions without asking the ledger.

    Args:
        settings: which filters there are.
        clock: the same as the ledger's.
        max_marks: how many cohorts to remember; those accepted longest ago are forgotten first.
    """

    def __init__(
        self, settings: FilterSettings, clock: Clock, *, max_marks: int = MAX_MARKS
    ) -> None:
        self._clock = clock
        self._max_marks = max_marks
        self._marks: OrderedDict[str, Mark] = OrderedDict()
        self._only_finished = settings.verify_only_finished_events
        self._categories = frozenset(
            category.strip().lower() for category in settings.end_time_in_dedup_key_categories
        )
        protect_s = settings.protect_confirmed.ttl_s if settings.protect_confirmed.enabled else 0.0
        delta, rate = settings.end_time_delta, settings.rate_limit
        by_end = [Limit(Drop.END_TIME_DELTA, delta.ttl_s, delta.threshold_s)] * delta.enabled
        dedup = Limit(Drop.DEDUP, settings.dedup_ttl_s)
        by_rate = [Limit(Drop.RATE_LIMIT, rate.ttl_s)] * rate.enabled
        self._plain = FilterRules((dedup,), protect_s)
        self._with_objects = FilterRules((*by_end, dedup), protect_s)
        self._listed = FilterRules((*by_end, *by_rate), protect_s)

    def rules_for(self, event: VerifyEvent) -> FilterRules:
        """Choose what an event has to be compared with."""
        if event.origin is not Origin.PIPELINE:
            return NO_RULES
        if not event.raw.get("objectIds"):
            return self._plain
        category = text(event.raw.get("category")).strip().lower()
        return self._listed if category in self._categories else self._with_objects

    def check(self, event: VerifyEvent, rules: FilterRules) -> Dropped | None:
        """Tell why an event is dropped; None leaves it to the ledger.

        What has the end of the mark may be known to the ledger, which has the last word then.
        """
        if rules is NO_RULES:
            return None
        if self._only_finished and not is_complete(event.raw):
            return Dropped(Drop.UNFINISHED)
        mark = self._marks.get(event.cohort)
        if mark is None or mark.end == event.end:
            return None
        limit = first_broken(rules.limits, event.end, mark, self._clock.now())
        return Dropped(limit.drop, mark) if limit else None

    def learn(self, event: VerifyEvent, rules: FilterRules, accepted: Accepted) -> None:
        """Remember what the ledger answered."""
        if not rules.limits:
            return
        mark = accepted.dropped.mark if accepted.dropped else None
        if accepted.is_new:
            mark = Mark(event.end, self._clock.now())
        if mark is None:
            return
        self._marks[event.cohort] = mark
        self._marks.move_to_end(event.cohort)
        if len(self._marks) > self._max_marks:
            self._marks.popitem(last=False)

    def explain(self, dropped: Dropped) -> str:
        """Name the filter and say what it found, such as `filter dedup: the same event ...`."""
        since = dropped.mark.set_at if dropped.mark else dropped.confirmed_at
        seconds = max((self._clock.now() - since).total_seconds(), 0.0) if since else 0.0
        return f"filter {dropped.by}: " + _BECAUSE[dropped.by].format(ago=f"{seconds:.0f} s ago")


def first_broken(limits: Sequence[Limit], end: datetime, mark: Mark, now: datetime) -> Limit | None:
    """Return the first limit that an event with this `end` breaks.

    Time counts in both directions, so that a clock that was set back drops nothing for longer than
    the limit says.
    """
    age_s = abs((now - mark.set_at).total_seconds())
    moved_s = abs((end - mark.end).total_seconds())
    for limit in limits:
        if age_s < limit.within_s and (limit.closer_s is None or moved_s < limit.closer_s):
            return limit
    return None
