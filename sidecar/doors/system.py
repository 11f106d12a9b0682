"""The route that tells how the service does."""

from typing import Final

from fastapi import APIRouter

from sidecar import __version__
from sidecar.contract.system import (
    DecidedResponse,
    DensityResponse,
    FactResponse,
    LatencyResponse,
    LineResponse,
    PartResponse,
    QueueResponse,
    SettingFindingResponse,
    SinkResponse,
    SystemArmResponse,
    SystemEndpointResponse,
    SystemResponse,
)
from sidecar.contract.verdict import stamp
from sidecar.core.arms import ArmState
from sidecar.core.dialect_text import describe_dialect
from sidecar.core.state import DensityRun, Reporter, ServiceState
from sidecar.core.tally import Percentiles, percentiles_of
from sidecar.core.vitals import EndpointVitals
from sidecar.errors import DeadlineExpired, ShedByLoad, row_of
from sidecar.model import Outcome

_LATE: Final = row_of(DeadlineExpired()).reason
_SHED: Final = row_of(ShedByLoad()).reason
_SINK: Final = "sink "


def add_system_route(router: APIRouter, reporter: Reporter) -> None:
    """Add the route to those below `/api/v1`."""

    @router.get("/system", tags=["system"])
    async def read_system() -> SystemResponse:
        """Tell how the service does: queue, arms and their servers, sinks, findings of `check`."""
        return _write(await reporter.look())


def _write(state: ServiceState) -> SystemResponse:
    problems = {it.part: it.problem for it in state.health}
    sinks = {*state.outbox.waiting, *_sinks(problems)}
    return SystemResponse(
        version=__version__,
        now=stamp(state.now),
        startedAt=stamp(state.started_at),
        uptimeS=round(state.uptime_s, 1),
        ready=not any(it.problem and it.required for it in state.health),
        parts=[
            PartResponse(name=it.part, problem=it.problem, required=it.required)
            for it in state.health
        ],
        queue=QueueResponse(
            undecided=state.undecided,
            queued=state.queued,
            sensors=[LineResponse(sensorId=name, waiting=count) for name, count in state.lines],
            inFlight=state.in_flight,
            places=state.places,
        ),
        decided=_decided(state),
        arms=[_arm(arm, state.latencies[arm.name]) for arm in state.arms],
        sinks=[
            SinkResponse(
                name=name,
                waiting=state.outbox.waiting.get(name, 0),
                problem=problems.get(_SINK + name, "It is not configured any more."),
            )
            for name in sorted(sinks)
        ],
        deadLetters=state.outbox.dead,
        findings=None
        if state.findings is None
        else [
            SettingFindingResponse(severity=it.severity, setting=it.setting, text=it.text)
            for it in state.findings
        ],
        density=None if state.density is None else _density(state.density),
    )


def _density(run: DensityRun) -> DensityResponse:
    return DensityResponse(
        scenario=run.scenario,
        at=None if run.at is None else stamp(run.at),
        target=run.target,
        streams=run.streams,
        planning=run.planning,
        failedAt=run.failed_at,
        binding=list(run.binding),
        offered=run.offered,
        passed=run.passed,
        p95S=run.p95_s,
        problem=run.problem,
    )


def _sinks(parts: dict[str, str]) -> set[str]:
    return {name.removeprefix(_SINK) for name in parts if name.startswith(_SINK)}


def _decided(state: ServiceState) -> DecidedResponse:
    return DecidedResponse(
        total=sum(state.outcomes.values()),
        confirmed=state.outcomes.get(Outcome.CONFIRMED, 0),
        rejected=state.outcomes.get(Outcome.REJECTED, 0),
        described=state.outcomes.get(Outcome.NONE, 0),
        failed=dict(state.reasons),
        deadlineMisses=state.reasons.get(_LATE, 0),
        shed=state.reasons.get(_SHED, 0),
    )


def _arm(arm: ArmState, latency: Percentiles) -> SystemArmResponse:
    return SystemArmResponse(
        name=arm.name,
        adapter=arm.adapter,
        model=arm.model,
        problem=arm.problem,
        answers=arm.answers,
        lead=arm.is_lead,
        shadow=arm.is_shadow,
        latency=_latency(latency),
        endpoints=[_endpoint(it) for it in arm.endpoints],
    )


def _endpoint(vitals: EndpointVitals) -> SystemEndpointResponse:
    facts = describe_dialect(vitals.dialect) if vitals.dialect else ()
    return SystemEndpointResponse(
        url=vitals.place,
        state=vitals.breaker.value,
        inFlight=vitals.in_flight,
        limit=vitals.limit,
        waiting=vitals.waiting,
        failures=vitals.failures,
        problem=vitals.trouble,
        latency=_latency(percentiles_of(vitals.latest_s)),
        dialect=[FactResponse(name=it.name, value=it.value, meaning=it.meaning) for it in facts],
    )


def _latency(found: Percentiles) -> LatencyResponse:
    return LatencyResponse(count=found.count, p50Ms=_ms(found.p50_s), p95Ms=_ms(found.p95_s))


def _ms(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
