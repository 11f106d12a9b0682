"""The JSON of a compared event: a line of the files that `sidecar ab` writes and reads.

Lines about one event may come one after the other, as answers do; `merge` joins them.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime

from pydantic import AliasGenerator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from sidecar.compared import ArmAnswer, ComparedEvent, Label, Role
from sidecar.errors import InvalidRequest, Issue
from sidecar.model import Outcome


class _Line(BaseModel):
    model_config = ConfigDict(
        alias_generator=AliasGenerator(alias=to_camel),
        populate_by_name=True,
        from_attributes=True,
        extra="ignore",
        protected_namespaces=(),
    )


class AnswerLine(_Line):
    """What one arm said: `sidecar.compared.ArmAnswer`."""

    arm: str = Field(min_length=1)
    model: str = ""
    adapter: str = ""
    role: Role = Role.REPLAY
    outcome: Outcome
    decided_at: AwareDatetime
    latency_ms: int = Field(ge=0)
    reason: str = ""
    is_published: bool = False
    confidence: float | None = Field(default=None, ge=0, le=1)
    prompt_tokens: int | None = Field(default=None, ge=0)
    completion_tokens: int | None = Field(default=None, ge=0)
    frames_asked: int | None = Field(default=None, ge=0)
    frames_seen: int | None = Field(default=None, ge=0)
    prompt_version: int = 0
    text: str = ""


class LabelLine(_Line):
    """What a person said: `sidecar.compared.Label`."""

    truth: bool | None
    labeller: str = ""
    labelled_at: AwareDatetime
    note: str = ""
    withdrawn_by: str = ""
    withdrawn_at: AwareDatetime | None = None


class ComparedLine(_Line):
    """An event with everything that was said about it: `sidecar.compared.ComparedEvent`."""

    key: str = Field(min_length=1)
    id: str = ""
    sensor_id: str = ""
    category: str = ""
    timestamp: AwareDatetime
    answers: list[AnswerLine] = []
    label: LabelLine | None = None

    def event(self) -> ComparedEvent:
        """Return the value that the line stands for."""
        return ComparedEvent(
            key=self.key,
            id=self.id or self.key,
            sensor_id=self.sensor_id,
            category=self.category,
            timestamp=self.timestamp,
            answers=tuple(ArmAnswer(key=self.key, **dict(answer)) for answer in self.answers),
            label=Label(key=self.key, **dict(self.label)) if self.label else None,
        )


def write_line(event: ComparedEvent) -> bytes:
    """Write an event as one line of JSON, the line's end included."""
    line = ComparedLine.model_validate(event)
    return line.model_dump_json(by_alias=True, exclude_defaults=True).encode() + b"\n"


def read_line(line: bytes, name: str) -> ComparedEvent:
    """Read a line.

    Args:
        line: JSON.
        name: of the line, for the error.

    Raises:
        InvalidRequest: says what is wrong with it, and where.
    """
    try:
        return ComparedLine.model_validate_json(line).event()
    except ValidationError as error:
        raise _wrong(error, name) from None


def merge(events: Iterable[ComparedEvent]) -> Iterator[ComparedEvent]:
    """Join what is about one event: the latest answer of each arm, and the latest label.

    Yields every event once, in the order in which they first came.
    """
    found: dict[str, ComparedEvent] = {}
    for event in events:
        known = found.get(event.key)
        found[event.key] = event if known is None else join(known, event)
    yield from found.values()


def join(known: ComparedEvent, news: ComparedEvent) -> ComparedEvent:
    """Lay what is new about an event over what is known."""
    answers = {answer.arm: answer for answer in known.answers}
    answers |= {answer.arm: answer for answer in news.answers}
    label = known.label if news.label is None else news.label
    return ComparedEvent(
        key=known.key,
        id=known.id,
        sensor_id=known.sensor_id,
        category=known.category,
        timestamp=known.timestamp,
        answers=tuple(answers.values()),
        label=label,
    )


class TruthLine(_Line):
    """A line of a file of labels: which event (`id` or `key`), and whether it happened."""

    id: str = ""
    key: str = ""
    truth: bool | None
    labeller: str = "import"
    labelled_at: datetime | None = None
    note: str = ""


def read_truth(line: bytes, name: str, now: datetime) -> tuple[str, Label]:
    """Read a label: the identity of its event, and what is said.

    Raises:
        InvalidRequest: says what is wrong with the line.
    """
    try:
        truth = TruthLine.model_validate_json(line)
    except ValidationError as error:
        raise _wrong(error, name) from None
    identity = truth.key or truth.id
    if not identity:
        message = f"{name}: a label needs the `id` or the `key` of its event."
        raise InvalidRequest((Issue("id", "missing", message),))
    return identity, Label(
        key=identity,
        truth=truth.truth,
        labeller=truth.labeller,
        labelled_at=truth.labelled_at or now,
        note=truth.note,
    )


def _wrong(error: ValidationError, name: str) -> InvalidRequest:
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"]))
    message = ": ".join(filter(None, (name, where, first["msg"])))
    return InvalidRequest((Issue(where, first["type"], message),))
