"""Events that were not looked at for want of time, once more."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from sidecar.core.service import Service
from sidecar.errors import ROWS, DeadlineExpired, InvalidRequest, RequestError, ShedByLoad
from sidecar.model import Outcome, VerdictFilter, VerdictRecord, VerifyEvent

SHED: Final = (ROWS[ShedByLoad].reason, ROWS[DeadlineExpired].reason)
"""Reasons of verdicts on events that more time would have helped."""
_BATCH: Final = 200


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of verdicts without a look.

    Attributes:
        accepted: their events were taken in again.
        known: that was done before.
        lost: they do not hold the event any more.
        refused: why not all were seen; "" when they were.
    """

    accepted: int = 0
    known: int = 0
    lost: int = 0
    refused: str = ""


async def replay_shed(
    service: Service, wanted: VerdictFilter, *, limit: int, reasons: Collection[str] = SHED
) -> Replay:
    """Take events in again that ended without a look, oldest first.

    Each gets a verdict of its own, under a key that follows from the first one's: doing it twice
    takes nothing in twice, and the first verdict stays where it is. An event whose second verdict
    is no better may be taken in a third time.

    Args:
        service: takes them in; deadlines and fair shares are those of events that come now.
        wanted: which ones; their outcome is given by their reasons.
        limit: take in so many at most.
        reasons: of the verdicts, out of `SHED`.

    Raises:
        StoreUnavailable: the ledger cannot be read or written; what was taken in stays so.
    """
    wanted, done, after = replace(wanted, outcome=Outcome.FAILED), Replay(), 0
    while True:
        records = await service.ledger.since(wanted, after=after, limit=_BATCH)
        shed = [record for record in records if record.reason in reasons]
        done = await _take_in(service, shed, limit, done)
        if done.refused or len(records) < _BATCH:
            return done
        after = records[-1].seq


async def _take_in(
    service: Service, records: Sequence[VerdictRecord], limit: int, done: Replay
) -> Replay:
    events: list[VerifyEvent] = []
    lost = 0
    for record in records:
        try:
            events.append(service.intake.again(record))
        except InvalidRequest:
            lost += 1
    done = replace(done, lost=done.lost + lost)
    while events:
        room = limit - done.accepted
        if room <= 0:
            return replace(done, refused=f"{limit} were taken in, and there are more.")
        now, events = events[:room], events[room:]
        answers = await service.accept_again(now)
        taken = [answer for answer in answers if not isinstance(answer, RequestError)]
        new = sum(answer.is_new for answer in taken)
        done = replace(done, accepted=done.accepted + new, known=done.known + len(taken) - new)
        if len(taken) < len(answers):
            refusal = next(answer for answer in answers if isinstance(answer, RequestError))
            return replace(done, refused=refusal.detail)
    return done
