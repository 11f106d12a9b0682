"""Section «filters» of VSS's Alert Bridge, told a second time, as simply as can be.

Each filter has a cache of its own, as in VSS. Two rules are ours: an event that was accepted stays
known, and only an accepted one is remembered.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st
from ledger_samples import T0

from sidecar.core.identity import iso_ms
from sidecar.settings import FilterSettings

LISTED = "listed"


@dataclass
class Model:
    """VSS's filters over plain numbers; `now` and `end` in seconds."""

    settings: FilterSettings
    now: float = 0.0
    known: set[tuple[str, float]] = field(default_factory=set)
    ends: dict[str, tuple[float, float]] = field(default_factory=dict)
    seen: dict[str, float] = field(default_factory=dict)
    limited: dict[str, float] = field(default_factory=dict)
    verdicts: dict[str, tuple[float, str]] = field(default_factory=dict)

    def submit(self, cohort: str, document: str, update: "Update") -> str:
        """Return "new", "known" or the filter."""
        if self.settings.verify_only_finished_events and not update.complete:
            return "unfinished"
        if (cohort, update.end) in self.known:
            return "known"
        if limit := self._limit(cohort, update):
            return limit
        protect = self.settings.protect_confirmed
        decided_at, verdict = self.verdicts.get(document, (0.0, ""))
        if protect.enabled and verdict == "confirmed" and self.now < decided_at + protect.ttl_s:
            return "confirmed"
        self.known.add((cohort, update.end))
        self.ends[cohort] = (update.end, self.now + self.settings.end_time_delta.ttl_s)
        self.seen[cohort] = self.now + self.settings.dedup_ttl_s
        self.limited[cohort] = self.now + self.settings.rate_limit.ttl_s
        return "new"

    def _limit(self, cohort: str, update: "Update") -> str:
        has_end_in_key = bool(update.objects) and update.category == LISTED
        delta, rate = self.settings.end_time_delta, self.settings.rate_limit
        if delta.enabled and update.objects and cohort in self.ends:
            end, expires = self.ends[cohort]
            if self.now < expires and abs(update.end - end) < delta.threshold_s:
                return "end_time_delta"
        if not has_end_in_key and self.now < self.seen.get(cohort, 0):
            return "dedup"
        if rate.enabled and has_end_in_key and self.now < self.limited.get(cohort, 0):
            return "rate_limit"
        return ""

    def decide(self, document: str, verdict: str) -> None:
        self.verdicts[document] = (self.now, verdict)


@dataclass(frozen=True)
class Update:
    """One event of a history: how long after the one before it comes, and what it says."""

    after_s: float
    sensor: str
    category: str
    objects: tuple[str, ...]
    end: float
    complete: bool
    verdict: str

    def raw(self, sensor: str) -> dict[str, Any]:
        event: dict[str, Any] = {
            "sensorId": sensor,
            "timestamp": iso_ms(T0),
            "end": iso_ms(T0 + timedelta(seconds=self.end)),
            "category": self.category,
            "info": {"isComplete": "true" if self.complete else "false"},
        }
        return {**event, "objectIds": list(self.objects)} if self.objects else event


HISTORIES = st.lists(
    st.builds(
        Update,
        after_s=st.sampled_from([0.5, 1.0, 2.5, 4.5, 4.5, 5.0, 5.0, 100.0, 299.5, 300.0, 3600.0]),
        sensor=st.sampled_from(["a", "a", "a", "b"]),
        category=st.sampled_from([LISTED, "other"]),
        objects=st.sampled_from([("1",), ("1",), ("1",), ("1", "2"), ()]),
        end=st.sampled_from([0.0, 1.0, 4.5, 5.0, 9.0, 30.0]),
        complete=st.sampled_from([False, False, False, False, True]),
        verdict=st.sampled_from(["rejected", "rejected", "confirmed"]),
    ),
    min_size=10,
    max_size=40,
)

SETTINGS = st.builds(
    lambda dedup, delta, rate, protect, finished: FilterSettings.model_validate(
        {
            "dedup_ttl_s": dedup,
            "end_time_in_dedup_key_categories": [" Listed "],
            "verify_only_finished_events": finished,
            "end_time_delta": {"enabled": delta},
            "rate_limit": {"enabled": rate},
            "protect_confirmed": {"enabled": protect},
        }
    ),
    dedup=st.sampled_from([5.0, 300.0]),
    delta=st.booleans(),
    rate=st.booleans(),
    protect=st.booleans(),
    finished=st.sampled_from([False, False, False, True]),
)
