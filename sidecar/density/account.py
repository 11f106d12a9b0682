"""Who was offered, and how each ended: every event exactly once."""

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum

from sidecar.density.arrivals import Offer
from sidecar.density.names import is_true, name_event


class Ending(StrEnum):
    """How an event can end."""

    VERIFIED = "verified"
    FAILED = "failed"
    SHED = "shed"


@dataclass(frozen=True, slots=True)
class End:
    """The end of an event.

    Attributes:
        ending: which kind.
        reason: why there is no verdict; "" when there is.
        confirmed: what the verdict says; None when it says nothing that can be compared.
    """

    ending: Ending
    reason: str = ""
    confirmed: bool | None = None


VERIFIED = End(Ending.VERIFIED)


@dataclass(slots=True)
class Sample:
    """What became of one event. All times are seconds of the board from the run's start.

    Attributes:
        offer: when it was due, and from whom.
        name: its id everywhere.
        sent_s: when the driver began to send it; None when it did not.
        ended_s: when its end was seen; None while it is missing.
        end: how it ended.
    """

    offer: Offer
    name: str
    sent_s: float | None = None
    ended_s: float | None = None
    end: End | None = None

    @property
    def latency_s(self) -> float | None:
        """From the scheduled time to the end, however late the driver sent it."""
        return None if self.ended_s is None else self.ended_s - self.offer.at_s

    @property
    def is_verified(self) -> bool:
        """Whether it ended with a verdict."""
        return self.end is not None and self.end.ending is Ending.VERIFIED

    @property
    def agrees(self) -> bool | None:
        """Whether the verdict is the known one; None when that cannot be said."""
        if self.end is None or self.end.confirmed is None:
            return None
        return self.end.confirmed == is_true(self.name)

    def is_late(self, within_s: float) -> bool:
        """Tell whether it has no verdict within a time; a failure, a shed one and a missing too."""
        return not self.is_verified or self.latency_s is None or self.latency_s > within_s


@dataclass(slots=True)
class Accounts:
    """The book of one run.

    Args:
        run: names its events.

    Attributes:
        duplicates: ends of events that had ended, by name.
        strangers: ends of events that are not of this run.
    """

    run: str
    duplicates: Counter[str] = field(default_factory=Counter)
    strangers: int = 0
    _samples: dict[str, Sample] = field(default_factory=dict)
    _open: int = 0

    def name_of(self, offer: Offer) -> str:
        """Return the name that an event has, or will have."""
        return name_event(self.run, offer.number)

    def take(self, offer: Offer) -> Sample:
        """Enter an event that is offered; in the order of their times."""
        sample = Sample(offer, self.name_of(offer))
        self._samples[sample.name] = sample
        self._open += 1
        return sample

    def end(self, name: str, end: End, at_s: float) -> None:
        """Write down an end; one of an event that has ended changes nothing but is counted."""
        sample = self._samples.get(name)
        if sample is None:
            self.strangers += 1
        elif sample.end is not None:
            self.duplicates[name] += 1
        else:
            sample.end, sample.ended_s = end, at_s
            self._open -= 1

    @property
    def samples(self) -> list[Sample]:
        """All events, in the order of their times."""
        return list(self._samples.values())

    @property
    def open(self) -> int:
        """How many events have no end."""
        return self._open
