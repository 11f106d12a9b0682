"""Events that were recorded: submitted ones, published documents, and those with a known truth.

A line of a file is an event as it is submitted, a document as it was published, or an object with
`event` (either of the two) and `truth` (true, false, or null for "cannot be told").
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from sidecar.compared import Label
from sidecar.contract.body import parse_json_object
from sidecar.contract.published import original
from sidecar.core.intake import Intake, kind_of
from sidecar.errors import InvalidRequest, Issue, RequestError
from sidecar.model import VerdictRecord, VerifyEvent

MAX_DEPTH: Final = 64


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event to verify again, and what is known about it."""

    event: VerifyEvent
    label: Label | None = None


def read_events(lines: Iterable[bytes], name: str, now: datetime) -> Iterator[Recorded]:
    """Read a file of recorded events; empty lines are skipped.

    Args:
        lines: of the file.
        name: of the file, for errors.
        now: when labels that come with the events count as given.

    Raises:
        InvalidRequest: names the first line that is no event, and what is wrong with it.
    """
    intake = Intake()
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield _read(line, f"{name}:{number}", intake, now)


def of_record(record: VerdictRecord) -> Recorded:
    """Take the event out of a verdict of the ledger.

    Raises:
        InvalidRequest: it is no event that the pipeline takes.
    """
    raw = original(record.document)
    event = Intake().read(raw, record.kind)
    return Recorded(replace(event, key=record.key, id=record.id))


def _read(line: bytes, name: str, intake: Intake, now: datetime) -> Recorded:
    try:
        document = parse_json_object(line, MAX_DEPTH)
        inner = document.get("event")
        wrapper, document = (
            (document, inner) if isinstance(inner, dict) and "truth" in document else ({}, document)
        )
        raw = original(document)
        event = intake.read(raw, kind_of(raw))
    except RequestError as error:
        message = f"{name}: {error.detail}"
        raise InvalidRequest((Issue("", "event", message),)) from None
    given = document.get("info")
    key = given.get("sidecarVerdictKey") if isinstance(given, Mapping) else None
    if key:
        event = replace(event, key=str(key))
    return Recorded(event, _label(event.key, wrapper, name, now))


def _label(key: str, wrapper: Mapping[str, Any], name: str, now: datetime) -> Label | None:
    if not wrapper:
        return None
    truth = wrapper["truth"]
    if truth is not None and not isinstance(truth, bool):
        message = f"{name}: truth must be true, false or null, not {truth!r}."
        raise InvalidRequest((Issue("truth", "bool", message),))
    if truth is None and not wrapper.get("note"):
        return None
    labeller, note = str(wrapper.get("labeller", "import")), str(wrapper.get("note", ""))
    return Label(key=key, truth=truth, labeller=labeller, labelled_at=now, note=note)
