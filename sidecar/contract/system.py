"""How the service does at the moment, on the wire."""

from typing import Literal

from pydantic import BaseModel


class PartResponse(BaseModel):
    """A part of the service. `problem` is "" when it works.

    `required`: the service is ready only when it does.
    """

    name: str
    problem: str
    required: bool


class LineResponse(BaseModel):
    """A sensor, and how many of its events wait."""

    sensorId: str
    waiting: int


class QueueResponse(BaseModel):
    """Events on their way. `undecided`: accepted and without a verdict, of all replicas.

    Of these `queued` stand in line here, the longest lines in `sensors`, and `inFlight` are worked
    on here, in `places`.
    """

    undecided: int
    queued: int
    sensors: list[LineResponse]
    inFlight: int
    places: int


class DecidedResponse(BaseModel):
    """Verdicts of this process since its start. `failed`: by reason.

    `deadlineMisses` and `shed` are two of these: too late, and refused because it would have been.
    """

    total: int
    confirmed: int
    rejected: int
    described: int
    failed: dict[str, int]
    deadlineMisses: int
    shed: int


class LatencyResponse(BaseModel):
    """Of the latest `count` times, in ms; null without any."""

    count: int
    p50Ms: int | None
    p95Ms: int | None


class FactResponse(BaseModel):
    """What was found out about a server, and what it means."""

    name: str
    value: str
    meaning: str


class SystemEndpointResponse(BaseModel):
    """A server. `state`: `closed` gets requests, `open` gets none, `trial` gets one at a time.

    At most `limit` requests are answered at the same time now, and `waiting` wait for that.
    `failures` are those in a row, `problem` is the latest. `dialect` is empty until it was asked.
    """

    url: str
    state: Literal["closed", "open", "trial"]
    inFlight: int
    limit: int
    waiting: int
    failures: int
    problem: str
    latency: LatencyResponse
    dialect: list[FactResponse]


class SystemArmResponse(BaseModel):
    """An arm. `latency` is that of findings, decoding included; that of endpoints, of answers."""

    name: str
    adapter: str
    model: str
    problem: str
    answers: bool
    lead: bool
    shadow: bool
    latency: LatencyResponse
    endpoints: list[SystemEndpointResponse]


class SinkResponse(BaseModel):
    """A sink. `waiting`: deliveries to be made, save those that wait for another of their event."""

    name: str
    waiting: int
    problem: str


class SettingFindingResponse(BaseModel):
    """What `sidecar check` finds."""

    severity: str
    setting: str
    text: str


class DensityResponse(BaseModel):
    """What the last run of `sidecar density` found; `problem` is "" unless nothing is known.

    `streams`: the most that kept the promise, null when that was not looked for; plan with
    `planning`. `failedAt`: the fewest that broke it, by what is in `binding`. `offered`, `passed`
    and `p95S` are those of its last load.
    """

    scenario: str
    at: str | None
    target: str
    streams: int | None
    planning: int | None
    failedAt: int | None
    binding: list[str]
    offered: int | None
    passed: bool | None
    p95S: float | None
    problem: str


class SystemResponse(BaseModel):
    """The service at the moment.

    `findings` is null when nobody looked at the settings, `density` when no report is named.
    """

    status: Literal["success"] = "success"
    version: str
    now: str
    startedAt: str
    uptimeS: float
    ready: bool
    parts: list[PartResponse]
    queue: QueueResponse
    decided: DecidedResponse
    arms: list[SystemArmResponse]
    sinks: list[SinkResponse]
    deadLetters: int
    findings: list[SettingFindingResponse] | None
    density: DensityResponse | None = None
