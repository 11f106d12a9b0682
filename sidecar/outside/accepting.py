"""How a SQLite ledger accepts events: many in one transaction."""

from collections.abc import Iterable, Sequence
from sqlite3 import Connection
from typing import Final

from sidecar.errors import Overloaded
from sidecar.model import Accepted, Offer, VerdictRecord, VerifyEvent
from sidecar.outside.ledger_rows import overloaded, to_record
from sidecar.outside.marks import find_drop, select_cohort

Identity = tuple[str, int, int]
"""A row of `identities`: name, seq, position."""

_SELECT_LEVELS: Final = """
    SELECT events, (SELECT coalesce(max(position), 0) FROM events) FROM backlog
"""
_INSERT_EVENT: Final = """
    INSERT INTO events (position, key, kind, origin, raw, accepted_at, claimed, attempts)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""


class Acceptor:
    """Accepts events; of the thread that writes.

    A position is never given twice, though SQLite would when the event that had the highest is
    gone.

    Args:
        max_backlog: undecided events beyond which new ones are refused.
    """

    def __init__(self, max_backlog: int) -> None:
        self._max_backlog = max_backlog
        self._position = 0

    def accept(
        self, rows: Sequence[tuple[Offer, bytes]], now: int, db: Connection
    ) -> list[Accepted | Overloaded]:
        """Answer offers, each beside its event as JSON, inside the transaction of `db`."""
        waiting, last = db.execute(_SELECT_LEVELS).fetchone()
        self._position = max(self._position, last)
        answers: list[Accepted | Overloaded] = []
        names: list[Identity] = []
        for offer, raw in rows:
            known = _find(offer, now, names, db)
            if known is not None:
                answers.append(known)
            elif waiting >= self._max_backlog:
                answers.append(overloaded(waiting, self._max_backlog))
            else:
                self._position += 1
                answers.append(_insert(offer, raw, now, self._position, db))
                names += names_of(offer.event, seq=0, position=self._position)
                waiting += 1
        remember(db, names)
        return answers


def names_of(
    event: VerifyEvent | VerdictRecord, *, seq: int, position: int = 0
) -> Iterable[Identity]:
    """Return the names by which an event is found."""
    names = {event.key, event.id, event.fingerprint}
    return [(name, seq, position) for name in names if name]


def remember(db: Connection, names: Iterable[Identity]) -> None:
    """Let events be found by their names."""
    db.executemany("INSERT OR IGNORE INTO identities VALUES (?, ?, ?)", names)


def read_verdict(db: Connection, seq: int) -> VerdictRecord | None:
    """Return a verdict; None when there is none, such as for 0."""
    row = db.execute("SELECT * FROM verdicts WHERE seq = ?", (seq,)).fetchone() if seq else None
    return None if row is None else to_record(row)


def _find(offer: Offer, now: int, names: list[Identity], db: Connection) -> Accepted | None:
    """Answer an offer whose key is known or that a rule drops; None when it is to be stored."""
    event = offer.event
    cohort = select_cohort(db, event, offer.rules)
    known = next((row for row in cohort if row["key"] == event.key), None)
    if known is None:
        dropped = find_drop(db, event, offer.rules, cohort, now)
        return Accepted(event.key, is_new=False, dropped=dropped) if dropped else None
    names += names_of(event, seq=known["seq"], position=known["position"])
    return Accepted(event.key, is_new=False, verdict=read_verdict(db, known["seq"]))


def _insert(offer: Offer, raw: bytes, now: int, position: int, db: Connection) -> Accepted:
    event = offer.event
    facts = (position, event.key, event.kind, event.origin, raw, now, offer.claim, int(offer.claim))
    db.execute(_INSERT_EVENT, facts)
    return Accepted(event.key, is_new=True)
