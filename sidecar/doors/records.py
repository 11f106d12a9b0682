"""What every broker door does with a record, whatever the broker: store it, or put it aside."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from sidecar.contract.body import parse_json_object
from sidecar.contract.bridge import read_alert
from sidecar.contract.nvschema import from_protobuf
from sidecar.core.backoff import backoff
from sidecar.core.service import Service, Submission
from sidecar.core.tracing import UNTRACED
from sidecar.errors import (
    Ack,
    BodyTooLarge,
    InvalidRequest,
    Issue,
    RequestError,
    UnexpectedFailure,
    row_of,
)
from sidecar.model import DeadLetter, EventKind, Record
from sidecar.ports import DeadLetters, Meter, Tracer

_PAUSE_S: Final = 0.2
_LONGEST_PAUSE_S: Final = 2.0
_POISON: Final = "undeliverable"
_UNEXPECTED: Final = row_of(UnexpectedFailure()).reason

_log = structlog.get_logger()

Decode = Callable[[EventKind, bytes], Mapping[str, Any]]
"""From a record's value to the event's JSON object; raises RequestError."""


class _Together:
    """Submits what several records bring in the same moment with one wait for the disk."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._gathered: list[tuple[Mapping[str, Any], EventKind]] = []
        self._answers: list[asyncio.Future[Submission]] = []
        self._submitting: set[asyncio.Task[None]] = set()

    async def submit(self, raw: Mapping[str, Any], kind: EventKind) -> Submission:
        """Do what `Service.submit` does."""
        if self._service.tracer is not UNTRACED:  # each event belongs to a trace of its own
            return await self._service.submit(raw, kind)
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Submission] = loop.create_future()
        self._gathered.append((raw, kind))
        self._answers.append(answer)
        if len(self._answers) == 1:
            loop.call_soon(self._begin)
        return await answer

    def _begin(self) -> None:
        events, self._gathered = self._gathered, []
        answers, self._answers = self._answers, []
        task = asyncio.create_task(self._submit(events, answers))
        self._submitting.add(task)
        task.add_done_callback(self._submitting.discard)

    async def _submit(
        self,
        events: Sequence[tuple[Mapping[str, Any], EventKind]],
        answers: Sequence[asyncio.Future[Submission]],
    ) -> None:
        told: Sequence[Submission | Exception]
        try:
            told = await self._service.submit_all(events)
        except Exception as error:  # noqa: BLE001 - whoever waits for an answer handles it
            told = [error] * len(events)
        for answer, it in zip(answers, told, strict=True):
            if answer.done():  # whoever waited went away
                continue
            if isinstance(it, Exception):
                answer.set_exception(it)
            else:
                answer.set_result(it)


class RecordIntake:
    """Sees each record to a safe place: the ledger, or the dead letters.

    Args:
        source: name of the broker in metrics, such as `kafka`.
        decode: reads a value, such as `decode_record` with its limits.
        service: takes the events.
        dead_letters: takes what can never be an event.
        meter: counts records.
        tracer: lets each record belong to its sender's trace.
    """

    def __init__(
        self,
        source: str,
        decode: Decode,
        service: Service,
        dead_letters: DeadLetters,
        meter: Meter,
        tracer: Tracer = UNTRACED,
    ) -> None:
        self._source = source
        self._decode = decode
        self._events = _Together(service)
        self._dead_letters = dead_letters
        self._meter = meter
        self._tracer = tracer
        self._obstacle = ""
        self._problem = ""

    @property
    def obstacle(self) -> str:
        """Why the latest record had to wait; "" when none has."""
        return self._obstacle

    @property
    def problem(self) -> str:
        """Why a dead letter waits; "" when none does."""
        return self._problem

    async def take(self, record: Record) -> None:
        """Return when the record is safe. Waits as long as there is no room for it."""
        self._meter.received(self._source, record.lag_s)
        self._tracer.adopt(self._source, _carrier(record))
        try:
            await self._submit(record)
        except RequestError as error:
            await self._put_aside(record, row_of(error).reason, _cause(error))
        except Exception as error:  # noqa: BLE001 - a record that meets a defect must not stop all
            _log.exception("record_failed", origin=record.origin)
            cause = f"A defect of the sidecar: {type(error).__name__}: {error}."
            await self._put_aside(record, _UNEXPECTED, cause)

    async def give_up(self, record: Record, cause: str) -> None:
        """Put a record aside that cannot even be tried."""
        await self._put_aside(record, _POISON, cause)

    def lose(self, place: str, records: int, cause: str) -> None:
        """Report records that the broker dropped before anybody could store them."""
        self._meter.lost(self._source, records)
        _log.error("records_lost", source=self._source, place=place, records=records, detail=cause)

    async def _submit(self, record: Record) -> None:
        raw = self._decode(record.kind, record.value)
        attempt = 0
        while True:
            try:
                await self._events.submit(raw, record.kind)
            except RequestError as error:
                if row_of(error).ack is not Ack.RETRY:
                    raise
                self._obstacle = error.detail
            else:
                return
            attempt += 1
            await asyncio.sleep(backoff(attempt, _PAUSE_S, _LONGEST_PAUSE_S))

    async def _put_aside(self, record: Record, reason: str, cause: str) -> None:
        _log.error("record_refused", origin=record.origin, reason=reason, detail=cause)
        attempt = 0
        while True:
            try:
                await self._dead_letters.put(DeadLetter(record, reason, cause))
            except ConnectionError as error:
                self._problem = str(error)
            else:
                self._problem = ""
                self._meter.put_aside(self._source, reason)
                return
            attempt += 1
            _log.error("dead_letter_waits", origin=record.origin, detail=self._problem)
            await asyncio.sleep(backoff(attempt, _PAUSE_S, _LONGEST_PAUSE_S))


def _carrier(record: Record) -> Mapping[str, str]:
    return {name: value.decode(errors="replace") for name, value in record.extra}


def _cause(error: RequestError) -> str:
    """Name the wrong fields, where that is what is wrong."""
    if isinstance(error, InvalidRequest):
        return "; ".join(f"{issue.field}: {issue.message}" for issue in error.issues)
    return error.detail


def decode_record(
    kind: EventKind, value: bytes, *, max_bytes: int, max_depth: int
) -> Mapping[str, Any]:
    """Read a record's value: JSON when it is a JSON object, else NvSchema protobuf, as in VSS.

    Args:
        kind: what it must hold.
        value: as it came.
        max_bytes: a longer value is refused.
        max_depth: levels of nesting that JSON may have.

    Raises:
        BodyTooLarge: it is too long.
        InvalidRequest: it is neither.
    """
    _check_length(value, max_bytes)
    if value.lstrip().startswith(b"{"):  # no NvSchema message begins like this
        return parse_json_object(value, max_depth)
    return from_protobuf(value, kind)


def decode_alert(
    kind: EventKind, value: bytes, *, max_bytes: int, max_depth: int
) -> Mapping[str, Any]:
    """Read the value of a record of VSS 2.4's bridge: the JSON of an alert, and nothing else.

    Raises:
        BodyTooLarge: it is too long.
        InvalidRequest: it is no such alert.
    """
    del kind
    _check_length(value, max_bytes)
    raw = parse_json_object(value, max_depth)
    read_alert(raw)
    return raw


def _check_length(value: bytes, max_bytes: int) -> None:
    if not value:
        raise InvalidRequest((Issue("value", "missing", "The record has no value."),))
    if len(value) > max_bytes:
        raise BodyTooLarge(f"The record has {len(value)} bytes; {max_bytes} are allowed.")
