"""Where a verdict comes from, on the wire."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

from pydantic import BaseModel

from sidecar.compared import ComparedEvent, Label
from sidecar.contract.compared import AnswerLine, LabelLine
from sidecar.contract.info import info_of, read_list, read_number, read_stages, read_whole
from sidecar.contract.verdict import stamp
from sidecar.model import AlertConfig, Delivery, Journey, VerdictRecord


class PromptText(BaseModel):
    """One version of the prompt of an alert type, with its placeholders."""

    version: int
    user: str
    system: str


class AskedPrompt(BaseModel):
    """What was asked. `asked` is null for a version that is not known any more.

    `differs`: whether the texts in `current`, the version in force, are others.
    """

    alertType: str
    version: int | None
    asked: PromptText | None
    current: PromptText | None
    differs: bool


class StageResponse(BaseModel):
    """A stage and when it was reached, `afterMs` after the event was taken up.

    `accepted`, `taken_up`, `clip` (found), `shown` (frames made), `answered`, `decided`.
    """

    stage: str
    at: str
    afterMs: int


class DeliveryResponse(BaseModel):
    """A delivery that is still to be made (`waiting`) or was given up (`dead`)."""

    sink: str
    state: Literal["waiting", "dead"]
    attempts: int
    error: str


class ProvenanceResponse(BaseModel):
    """What is known of a verdict beside its document.

    `answers`: what the model that decided said, word by word; `answersDropped` more had no room.
    `arms`: what each arm said about the event. `deliveries`: those not made; others were delivered.
    `labels`: oldest first.
    """

    status: Literal["success"] = "success"
    id: str
    verdictKey: str
    kind: str
    sensorId: str
    category: str
    verdict: str
    reason: str
    detail: str
    arm: str
    model: str
    adapter: str
    rule: str
    notes: list[str]
    confidence: float | None
    latencyMs: int | None
    attempts: int | None
    framesAsked: int | None
    framesSeen: int | None
    videoSource: str
    prompt: AskedPrompt | None
    timeline: list[StageResponse]
    deliveries: list[DeliveryResponse]
    answers: list[dict[str, Any]]
    answersDropped: int
    arms: list[AnswerLine]
    labels: list[LabelLine]


def write_provenance(
    record: VerdictRecord,
    journey: Journey,
    compared: ComparedEvent,
    labels: Sequence[Label],
    asked: AlertConfig | None,
    current: AlertConfig | None,
) -> ProvenanceResponse:
    """Build the public form of what is known of a verdict.

    Args:
        record: the verdict.
        journey: when its event was accepted, and what is to be delivered.
        compared: what each arm said.
        labels: oldest first.
        asked: the version of the alert type that was asked about.
        current: the one in force.
    """
    info = info_of(record.document)

    def told(name: str) -> str:
        return str(info.get(name, ""))

    return ProvenanceResponse(
        id=record.id,
        verdictKey=record.key,
        kind=record.kind,
        sensorId=record.sensor_id,
        category=record.category,
        verdict=record.outcome,
        reason=record.reason,
        detail=told("sidecarDetail") or told("verificationResponseStatus"),
        arm=record.arm,
        model=told("sidecarModel"),
        adapter=told("sidecarAdapter"),
        rule=told("sidecarRule"),
        notes=[note for note in told("sidecarNotes").split(",") if note],
        confidence=read_number(info.get("sidecarConfidence")),
        latencyMs=read_whole(info.get("sidecarLatencyMs")),
        attempts=read_whole(info.get("sidecarAttempt")),
        framesAsked=read_whole(info.get("sidecarFramesAsked")),
        framesSeen=read_whole(info.get("sidecarFramesSeen")),
        videoSource=told("videoSource"),
        prompt=_prompt(told("sidecarPromptVersion"), asked, current),
        timeline=list(_timeline(record, journey.accepted_at)),
        deliveries=[_delivery(it) for it in journey.deliveries],
        answers=[dict(answer) for answer in read_list(info.get("sidecarAnswers"))],
        answersDropped=read_whole(info.get("sidecarAnswersDropped")) or 0,
        arms=[AnswerLine.model_validate(it) for it in compared.answers],
        labels=[LabelLine.model_validate(it) for it in labels],
    )


def _prompt(
    named: str, asked: AlertConfig | None, current: AlertConfig | None
) -> AskedPrompt | None:
    alert_type, _, version = named.rpartition("@")
    if not alert_type:
        return None
    before, now = _text(asked), _text(current)
    same = before and now and (before.user, before.system) == (now.user, now.system)
    return AskedPrompt(
        alertType=alert_type,
        version=read_whole(version),
        asked=before,
        current=now,
        differs=not same,
    )


def _text(config: AlertConfig | None) -> PromptText | None:
    if config is None:
        return None
    return PromptText(version=config.version, user=config.prompt, system=config.system_prompt)


def _timeline(record: VerdictRecord, accepted_at: datetime | None) -> Iterator[StageResponse]:
    """Yield what is known to have happened when; of an old verdict that is not much."""
    info = info_of(record.document)
    latency_ms = read_whole(info.get("sidecarLatencyMs")) or 0
    begun = record.decided_at - timedelta(milliseconds=latency_ms)
    if accepted_at is not None:
        waited = round((begun - accepted_at).total_seconds() * 1000)
        yield StageResponse(stage="accepted", at=stamp(accepted_at), afterMs=-max(waited, 0))
    yield StageResponse(stage="taken_up", at=stamp(begun), afterMs=0)
    for stage, after_ms in read_stages(info.get("sidecarStages")):
        at = begun + timedelta(milliseconds=after_ms)
        yield StageResponse(stage=stage, at=stamp(at), afterMs=after_ms)
    yield StageResponse(stage="decided", at=stamp(record.decided_at), afterMs=latency_ms)


def _delivery(delivery: Delivery) -> DeliveryResponse:
    return DeliveryResponse(
        sink=delivery.sink,
        state=delivery.state.value,
        attempts=delivery.attempts,
        error=delivery.last_error,
    )
