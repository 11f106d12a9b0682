"""Small real implementations of ports, for tests."""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

from sidecar.audit import AuditEntry
from sidecar.model import ArmAnswer, DeadLetter, Drop, LeftOut, OutboxEntry
from sidecar.policy import ArmChoice, Promotion


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

    def frames_left_out(self, reason: str) -> None:
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

    def observe(self, *, backlog: int, queued: int, in_flight: int, places: int) -> None:
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


class NullArmsMeter:
    """A meter of arms that counts nothing."""

    def answered(self, answers: Sequence[ArmAnswer]) -> None:
        """Ignore it."""

    def compared(self, published: ArmAnswer, shadow: ArmAnswer) -> None:
        """Ignore it."""

    def left_out(self, arm: str, reason: LeftOut) -> None:
        """Ignore it."""

    def shadow_spared(self, arm: str, reason: str) -> None:
        """Ignore it."""

    def lost(self, events: int) -> None:
        """Ignore it."""

    def labelled(self, labels: int) -> None:
        """Ignore it."""

    def chosen(self, version: int) -> None:
        """Ignore it."""

    def promoted(self, promotion: Promotion | None) -> None:
        """Ignore it."""

    def endpoint(
        self,
        arm: str,
        place: str,
        *,
        in_flight: int,
        waiting: int,
        limit: int,
        is_left_out: bool,
    ) -> None:
        """Ignore it."""


class MemoryArmLog:
    """Choices of arms in memory.

    Attributes:
        choices: oldest first.
    """

    def __init__(self) -> None:
        self.choices: list[ArmChoice] = []

    async def latest(self) -> ArmChoice | None:
        """Return the newest choice."""
        return self.choices[-1] if self.choices else None

    async def find(self, version: int) -> ArmChoice | None:
        """Return a choice, or None."""
        return next((it for it in self.choices if it.version == version), None)

    async def list(self, *, limit: int, before: int | None = None) -> Sequence[ArmChoice]:
        """List choices, newest first."""
        older = [it for it in self.choices if before is None or it.version < before]
        return older[::-1][:limit]

    async def append(self, choice: ArmChoice, entry: AuditEntry | None = None) -> bool:
        """Keep a choice if its version follows."""
        del entry
        if choice.version != len(self.choices) + 1:
            return False
        self.choices.append(choice)
        return True

    async def ping(self) -> str:
        """Nothing can be wrong."""
        return ""

    async def close(self) -> None:
        """Do nothing."""
