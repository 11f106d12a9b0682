"""The arms, as the settings name them, and what chooses and compares them."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from prometheus_client import CollectorRegistry

from sidecar.ab.extra import require_extra
from sidecar.ab.promoting import Promoting
from sidecar.ab.rules import GateRules
from sidecar.ab.window import Window
from sidecar.compared import ComparedEvent, ComparedFilter
from sidecar.core.arms import Arms
from sidecar.core.canaries import Shadowing
from sidecar.core.comparing import Comparing
from sidecar.core.endpoints import Endpoints
from sidecar.core.intake import Intake, kind_of
from sidecar.core.layers import MeteredVlm, RetryingVlm
from sidecar.core.limits import AdaptiveLimit
from sidecar.core.plugins import Plugins, load_object
from sidecar.core.routing import Arm, Routing
from sidecar.core.tracing import UNTRACED, TracedVlm
from sidecar.core.verify import Verifier
from sidecar.core.vitals import EndpointVitals, Vitals
from sidecar.doors.arms import ArmsFace
from sidecar.doors.comparisons import ReadsComparisons
from sidecar.errors import SettingsError
from sidecar.model import SamplePlan, Sampling
from sidecar.observe.ab_metrics import PrometheusArmsMeter
from sidecar.outside.baseline import OpenCvBaseline
from sidecar.outside.policy_file import load_policy
from sidecar.outside.vlm_http import HttpVlm
from sidecar.parts import Store
from sidecar.ports import ArmsMeter, Clock, Comparisons, Meter, Tracer, VlmAdapter, VlmBackend
from sidecar.redaction import redact
from sidecar.settings import ArmSettings, GateSettings, Settings
from sidecar.work.aside import Aside


def build_routing(
    settings: Settings,
    plugins: Plugins,
    meter: Meter,
    clock: Clock,
    tracer: Tracer = UNTRACED,
) -> Routing:
    """Make the arms, and put the settings' policy in force.

    Raises:
        SettingsError: an arm is unknown or has no endpoint, or an adapter cannot be loaded.
    """
    policy = load_policy(settings.ab, settings.arms)
    arms = {
        name: _build_arm(name, arm, settings, plugins, partial(_over_http, tracer), meter, clock)
        for name, arm in settings.arms.items()
    }
    families = {
        name: load_object(adapter, f"adapters.{name}").profile
        for name, adapter in settings.adapters.items()
    }
    return Routing(arms, policy, families)


def _build_arm(
    name: str,
    arm: ArmSettings,
    settings: Settings,
    plugins: Plugins,
    connect: Callable[[str, ArmSettings], VlmBackend],
    meter: Meter,
    clock: Clock,
) -> Arm:
    known = settings.adapters.get(arm.adapter or name, arm.adapter)
    if not known:
        choices = ", ".join(sorted(settings.adapters))
        raise SettingsError(f"arms.{name}.adapter: name one of {choices}, or package.module:ATTR.")
    adapter = plugins.around(load_object(known, f"arms.{name}.adapter"))
    servers, vitals = _build_servers(name, arm, adapter, connect)
    metered = [MeteredVlm(server, meter, name, clock) for server in servers]
    verify = settings.verify
    most = arm.max_in_flight or verify.max_in_flight
    limits = [AdaptiveLimit(most, is_fixed=not verify.adaptive) for _ in servers]
    endpoints = Endpoints(name, metered, vitals, clock, limits)
    return Arm(
        name=name,
        adapter=adapter,
        backend=RetryingVlm(endpoints, arm.retries, arm.reconnect_s, clock),
        impatient=RetryingVlm(endpoints, arm.retries, 0.0, clock),
        vitals=vitals,
        plan=_plan(arm, adapter.profile.plan),
        sampling=Sampling(
            temperature=arm.temperature,
            top_p=arm.top_p,
            max_tokens=arm.max_tokens,
            seed=arm.seed,
            answer=arm.answer,
            reasoning=arm.reasoning,
        ),
        timeout_s=arm.timeout_s * (arm.retries + 1),
    )


def _over_http(tracer: Tracer, name: str, arm: ArmSettings) -> VlmBackend:
    server = HttpVlm(name, arm, tracer.carrier)
    return server if tracer is UNTRACED else TracedVlm(server, tracer, name)


def _build_servers(
    name: str,
    arm: ArmSettings,
    adapter: VlmAdapter,
    connect: Callable[[str, ArmSettings], VlmBackend],
) -> tuple[Sequence[VlmBackend], Vitals]:
    if not adapter.profile.is_vlm:
        return [OpenCvBaseline()], Vitals([EndpointVitals("in this process")])
    urls = arm.urls or ((arm.url,) if arm.url else ())
    if not urls:
        raise SettingsError(f"arms.{name}.url: give the endpoint, such as http://host:8000/v1.")
    if len(set(urls)) < len(urls):
        raise SettingsError(f"arms.{name}.urls: an endpoint stands there twice; remove one.")
    servers = [connect(name, arm.model_copy(update={"url": url})) for url in urls]
    return servers, Vitals([EndpointVitals(redact(url)) for url in urls])


def _plan(arm: ArmSettings, plan: SamplePlan) -> SamplePlan:
    return replace(
        plan,
        form=arm.evidence or plan.form,
        fps=arm.fps or plan.fps,
        max_frames=arm.max_frames or plan.max_frames,
        max_pixels=arm.max_pixels or plan.max_pixels,
    )


@dataclass(frozen=True, slots=True)
class AbParts:
    """What chooses arms and compares them: its routes, and what works behind them."""

    arms: Arms
    aside: Aside
    meter: ArmsMeter
    face: ArmsFace
    comparing: Comparing
    comparisons: ReadsComparisons
    promoting: Promoting


def build_ab(
    settings: Settings,
    verifier: Verifier,
    intake: Intake,
    store: Store,
    is_busy: Callable[[], bool],
    clock: Clock,
    registry: CollectorRegistry,
) -> AbParts:
    """Make what chooses arms and compares them.

    Args:
        settings: what to keep.
        verifier: has the switchboard, and lets shadows look.
        intake: reads events that are to be explained.
        store: where choices, answers and labels are.
        is_busy: tells whether events wait for a place.
        clock: of the service.
        registry: of the metrics.

    Raises:
        SettingsError: a rule of the promotion gate cannot work, or its libraries are missing.
    """
    switchboard = verifier.switchboard
    meter = PrometheusArmsMeter(registry, switchboard.current.arms)
    arms = Arms(switchboard, store.arm_log, clock, meter)
    aside = Aside(verifier, store.comparisons, settings.ab, is_busy, clock, meter)
    comparing = Comparing(store.ledger, store.comparisons, clock, meter)
    depth = settings.http.max_json_depth
    face = ArmsFace(arms, lambda raw: intake.read(raw, kind_of(raw)), verifier.facts, depth)

    def chosen(window: Window) -> AsyncIterator[ComparedEvent]:
        wanted = ComparedFilter(window.sensor_id, window.category, window.since, window.until)
        return comparing.every(wanted)

    promoting = build_promoting(settings.ab.gate, arms, store.comparisons, clock)
    return AbParts(arms, aside, meter, face, comparing, chosen, promoting)


def build_promoting(
    gate: GateSettings, arms: Arms, comparisons: Comparisons, clock: Clock
) -> Promoting:
    """Make what promotes arms.

    Raises:
        SettingsError: a rule of the gate cannot work, or its libraries are not installed.
    """
    if gate.candidate:
        require_extra()
    shadowing = Shadowing(gate.shadow_share, gate.shadow_limit)
    return Promoting(arms, comparisons, clock, gate_rules(gate), shadowing)


def gate_rules(gate: GateSettings) -> GateRules:
    """Return what an arm has to show.

    Raises:
        SettingsError: a rule cannot work.
    """
    return GateRules(
        margin=gate.margin,
        alpha=gate.alpha,
        min_labelled=gate.min_labelled,
        max_p95_ratio=gate.max_p95_ratio,
        unparsable_allowance=gate.unparsable_allowance,
        acts=gate.acts,
        shares=gate.shares,
        step_events=gate.step_events,
    )
