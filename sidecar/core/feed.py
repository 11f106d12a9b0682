"""Fresh verdicts, shared by everybody who follows them."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from sidecar.core.bell import Bell, Ring
from sidecar.model import VerdictFilter, VerdictRecord

KEPT: Final = 1024


class Feed:
    """Keeps the latest verdicts, so that followers who are up to date need not ask the ledger.

    For one event loop. Verdicts are added in the order of their `seq`; where other replicas
    commit verdicts too, what is kept here is only ever the end without a gap.
    """

    def __init__(self) -> None:
        self._bell = Bell()
        self._latest: deque[VerdictRecord] = deque(maxlen=KEPT)

    def add(self, record: VerdictRecord) -> None:
        """Add a committed verdict and wake the followers."""
        if record.seq != self.last_seq + 1:
            self._latest.clear()
        self._latest.append(record)
        self._bell.ring()

    def miss(self) -> None:
        """Send the followers to the ledger: it has verdicts that did not pass here."""
        self._latest.clear()
        self._bell.ring()

    def listen(self) -> Ring:
        """Return the ring of the next verdict."""
        return self._bell.listen()

    @property
    def last_seq(self) -> int:
        """The `seq` of the newest verdict here; 0 when there is none."""
        return self._latest[-1].seq if self._latest else 0

    def since(self, wanted: VerdictFilter, after: int) -> Sequence[VerdictRecord] | None:
        """Return the verdicts behind `after`, oldest first; None when not all are kept."""
        if not self._latest or self._latest[0].seq > after + 1:
            return None
        # Their `seq` has no gap, so what lies behind is counted from the end.
        behind = range(after - self.last_seq, 0)
        return [it for it in map(self._latest.__getitem__, behind) if is_wanted(it, wanted)]


def is_wanted(record: VerdictRecord, wanted: VerdictFilter) -> bool:
    """Tell whether a verdict passes a filter, by the rules of `Ledger.query`."""
    return (
        wanted.sensor_id in ("", record.sensor_id)
        and wanted.category in ("", record.category)
        and wanted.outcome in (None, record.outcome)
        and (wanted.since is None or record.timestamp >= wanted.since)
        and (wanted.until is None or record.timestamp <= wanted.until)
    )
