"""Which compared events to look at. Pure."""

from dataclasses import dataclass
from datetime import datetime

from sidecar.compared import ComparedEvent


@dataclass(frozen=True, slots=True)
class Window:
    """A choice of compared events; None and "" mean any.

    Attributes:
        since, until: both inclusive; compared with the event's timestamp.
    """

    since: datetime | None = None
    until: datetime | None = None
    sensor_id: str = ""
    category: str = ""

    def has(self, event: ComparedEvent) -> bool:
        """Tell whether an event is chosen."""
        return (
            (self.since is None or event.timestamp >= self.since)
            and (self.until is None or event.timestamp <= self.until)
            and self.sensor_id in {"", event.sensor_id}
            and self.category in {"", event.category}
        )
