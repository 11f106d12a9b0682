"""Small real implementations of ports, for tests."""

from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from sidecar.model import DeadLetter, Drop, OutboxEntry


class FrozenClock:
    """A clock that moves only when told to."""

    def __init__(self, now: datetime = datetime(2026, 1, 31, 8, tzinfo=UTC)) -> None:
        self._now = now
        self._monotonic = 0.0

    def now(self) -> datetime:
        """Return the time that was set."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that it was moved on."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Move on."""
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds


class NullMeter:
    """A meter that counts nothing."""

    def accepted(self, *, is_new: bool) -> None:
        """Ignore it."""

    def dropped(self, by: Drop) -> None:
        """Ignore it."""

    def received(self, source: str, lag_s: float | None) -> None:
        """Ignore it."""

    def put_aside(self, source: str, reason: str) -> None:
        """Ignore it."""

    def lost(self, source: str, records: int) -> None:
        """Ignore it."""

    def decided(self, outcome: str, metric: str, latency_s: float) -> None:
        """Ignore it."""

    def called_vlm(self, arm: str, seconds: float, *, ok: bool) -> None:
        """Ignore it."""

    def delivered(self, sink: str, *, ok: bool) -> None:
        """Ignore it."""

    def begun(self, waited_s: float) -> None:
        """Ignore it."""

    def observe(self, *, backlog: int, queued: int, in_flight: int) -> None:
        """Ignore it."""


class RecordMeter(NullMeter):
    """A meter that counts what happens to a broker's records.

    Attributes:
        counts: how many were `received`, `stored`, `known`, `put_aside` and `lost`, and how many
            each filter dropped.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def accepted(self, *, is_new: bool) -> None:
        """Count it."""
        self.counts["stored" if is_new else "known"] += 1

    def dropped(self, by: Drop) -> None:
        """Count it."""
        self.counts[by.value] += 1

    def received(self, source: str, lag_s: float | None) -> None:
        """Count it."""
        del source, lag_s
        self.counts["received"] += 1

    def put_aside(self, source: str, reason: str) -> None:
        """Count it."""
        del source, reason
        self.counts["put_aside"] += 1

    def lost(self, source: str, records: int) -> None:
        """Count them."""
        del source
        self.counts["lost"] += records


class MemoryDeadLetters:
    """Dead letters in memory.

    Attributes:
        trouble: while it is not "", nothing can be stored.
        taken: the letters, in order.
    """

    def __init__(self, trouble: str = "") -> None:
        self.trouble = trouble
        self.taken: list[DeadLetter] = []

    async def put(self, letter: DeadLetter) -> None:
        """Keep a letter."""
        if self.trouble:
            raise ConnectionError(self.trouble)
        self.taken.append(letter)

    async def ping(self) -> str:
        """Return what is wrong."""
        return self.trouble

    async def close(self) -> None:
        """Do nothing."""


class MemorySink:
    """A sink that keeps what it gets.

    Args:
        name: in the outbox.
        failures: raised by the first deliveries, one each; then all succeed.

    Attributes:
        taken: the entries that it took, in order.
        refused: the entries whose delivery failed, in order.
    """

    def __init__(self, name: str = "memory", failures: Iterable[Exception] = ()) -> None:
        self._name = name
        self._failures = list(failures)
        self.taken: list[OutboxEntry] = []
        self.refused: list[OutboxEntry] = []

    @property
    def name(self) -> str:
        """The name in the outbox."""
        return self._name

    @property
    def most_at_once(self) -> int:
        """How many verdicts may be on their way at the same time."""
        return 8

    async def publish(self, entry: OutboxEntry) -> None:
        """Fail as scripted, then take the entry."""
        if self._failures:
            self.refused.append(entry)
            raise self._failures.pop(0)
        self.taken.append(entry)

    async def ping(self) -> str:
        """Return "" once the scripted failures are over."""
        return "scripted failure" if self._failures else ""

    async def close(self) -> None:
        """Do nothing."""
