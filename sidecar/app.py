"""The composition root: from Settings to a running service. The only file that names the parts."""

import asyncio
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Final, Protocol

import structlog
import uvicorn
from fastapi import FastAPI

from sidecar.core.bell import Bell
from sidecar.core.feed import Feed
from sidecar.core.intake import Intake
from sidecar.core.layers import MeteredVlm, RetryingVlm
from sidecar.core.plugins import PluggedParser, load_object
from sidecar.core.routing import Arm, Routing
from sidecar.core.service import Service
from sidecar.core.slots import Slots
from sidecar.core.verify import Verifier
from sidecar.doors.http import Lifespan, create_http_app
from sidecar.errors import SettingsError, StoreUnavailable
from sidecar.model import SamplePlan, Sampling
from sidecar.observe.metrics import PrometheusMeter
from sidecar.outside.baseline import OpenCvBaseline
from sidecar.outside.clips import Clips
from sidecar.outside.clock import SystemClock
from sidecar.outside.fetch import GuardedFetcher
from sidecar.outside.frames import PyavSampler
from sidecar.outside.ledger_sqlite import SqliteLedger
from sidecar.outside.prompts import SHIPPED_ALERT_TYPES, SqlitePromptBook, load_alert_types
from sidecar.outside.sinks.console import ConsoleSink
from sidecar.outside.sinks.webhook import WebhookSink
from sidecar.outside.sqlite import Database
from sidecar.outside.vlm_http import HttpVlm
from sidecar.outside.vst import VstClient
from sidecar.ports import Clock, Meter, Sink, VlmAdapter, VlmBackend
from sidecar.settings import ArmSettings, Settings, SinkSettings
from sidecar.work.dispatch import Dispatcher
from sidecar.work.outbox import Outbox

LEVELS_EVERY_S: Final = 2.0
CONNECTION_GRACE_S: Final = 2

_log = structlog.get_logger()


class Closes(Protocol):
    """What holds something until it is closed."""

    async def close(self) -> None:
        """Release it."""


@dataclass(frozen=True, slots=True)
class App:
    """Everything that runs, wired once by `build`.

    Attributes:
        owned: what `stop` closes, in this order.
    """

    settings: Settings
    service: Service
    verifier: Verifier
    dispatcher: Dispatcher
    outbox: Outbox
    ledger: SqliteLedger
    prompts: SqlitePromptBook
    meter: PrometheusMeter
    owned: tuple[Closes, ...]

    async def prepare(self) -> None:
        """Load the alert types and take over what an earlier process left undecided.

        Raises:
            SettingsError: the alert types cannot be read.
            StoreUnavailable: the ledger cannot be written.
        """
        await seed_prompts(self.prompts, self.settings)
        recovered = await self.ledger.recover()
        if recovered:
            _log.info("recovered", undecided=recovered)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Verify and deliver while the context lasts; then stop in order, within the grace."""
        outbox = asyncio.create_task(self.outbox.run())
        levels = asyncio.create_task(self._observe_levels())
        dispatch = asyncio.create_task(self.dispatcher.run())
        try:
            yield
        finally:
            await _cancel(dispatch)
            await self.dispatcher.stop(self.settings.http.shutdown_grace_s)
            await _cancel(levels)
            await _cancel(outbox)

    async def close(self) -> None:
        """Release everything."""
        for part in self.owned:
            await part.close()

    async def _observe_levels(self) -> None:
        while True:
            with suppress(StoreUnavailable):
                backlog = await self.ledger.backlog()
                self.meter.observe(backlog=backlog, in_flight=self.service.slots.taken)
            await asyncio.sleep(LEVELS_EVERY_S)


def build(settings: Settings) -> App:
    """Wire the service.

    Raises:
        SettingsError: a setting names something that does not exist or cannot work.
        StoreUnavailable: the ledger cannot be opened.
    """
    clock, meter = SystemClock(), PrometheusMeter()
    routing = build_routing(settings, meter, clock)
    database = Database(settings.ledger.path)
    ledger = SqliteLedger(database, settings.ledger, clock)
    prompts = SqlitePromptBook(database, clock)
    fetcher, sampler = GuardedFetcher(settings.media), PyavSampler(settings.media)
    recorder = VstClient(settings.vst, clock) if settings.vst.base_url else None
    clips = Clips(settings.media, fetcher, recorder)
    sinks = build_sinks(settings.sinks, clock)
    submitted, feed, slots = Bell(), Feed(), Slots(settings.verify.max_in_flight)
    intake = Intake(settings.vst.ignore_event_media)
    verifier = Verifier(
        routing=routing,
        prompts=prompts,
        clips=clips,
        sampler=sampler,
        clock=clock,
        deadline_s=settings.verify.deadline_s,
        min_frames_seen=settings.verify.min_frames_seen,
        use_verdict=settings.verify.use_verdict,
        default_system=settings.prompts.default_system,
    )
    outbox = Outbox(ledger, sinks, settings.sinks, clock, meter)
    dispatcher = Dispatcher(
        ledger,
        intake,
        verifier,
        meter,
        sinks=[sink.name for sink in sinks],
        slots=slots,
        submitted=submitted,
        feed=feed,
        to_deliver=outbox.notify,
        max_attempts=settings.ledger.max_attempts,
    )
    primary = routing.arms[routing.primary].backend
    service = Service(
        intake=intake,
        ledger=ledger,
        prompts=prompts,
        parts={"ledger": ledger, "media": clips, f"arm {routing.primary}": primary},
        sinks={f"sink {sink.name}": sink for sink in sinks},
        clock=clock,
        meter=meter,
        slots=slots,
        begin=dispatcher.begin,
        submitted=submitted,
        feed=feed,
    )
    backends = [arm.backend for arm in routing.arms.values()]
    owned: tuple[Closes, ...] = (*sinks, *backends, clips, sampler, database)
    return App(settings, service, verifier, dispatcher, outbox, ledger, prompts, meter, owned)


def build_routing(settings: Settings, meter: Meter, clock: Clock) -> Routing:
    """Make the arms.

    Raises:
        SettingsError: an arm is unknown or has no endpoint, or an adapter cannot be loaded.
    """
    if settings.ab.primary not in settings.arms:
        known = ", ".join(sorted(settings.arms))
        raise SettingsError(f"ab.primary: there is no arm {settings.ab.primary!r}; known: {known}.")
    arms = {
        name: _build_arm(name, arm, settings, meter, clock) for name, arm in settings.arms.items()
    }
    families = {
        name: load_object(adapter, f"adapters.{name}").profile
        for name, adapter in settings.adapters.items()
    }
    return Routing(arms, settings.ab.primary, families)


def _build_arm(name: str, arm: ArmSettings, settings: Settings, meter: Meter, clock: Clock) -> Arm:
    known = settings.adapters.get(arm.adapter or name, arm.adapter)
    if not known:
        choices = ", ".join(sorted(settings.adapters))
        raise SettingsError(f"arms.{name}.adapter: name one of {choices}, or package.module:ATTR.")
    adapter: VlmAdapter = load_object(known, f"arms.{name}.adapter")
    if arm.response_parser:
        parser = load_object(arm.response_parser, f"arms.{name}.response_parser")()
        adapter = PluggedParser(adapter, parser)
    return Arm(
        name=name,
        adapter=adapter,
        backend=_build_backend(name, arm, adapter, meter, clock),
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


def _build_backend(
    name: str, arm: ArmSettings, adapter: VlmAdapter, meter: Meter, clock: Clock
) -> VlmBackend:
    if not adapter.profile.is_vlm:
        return MeteredVlm(OpenCvBaseline(), meter, name, clock)
    if not arm.url:
        raise SettingsError(f"arms.{name}.url: give the endpoint, such as http://host:8000/v1.")
    return RetryingVlm(MeteredVlm(HttpVlm(name, arm), meter, name, clock), arm.retries, clock)


def _plan(arm: ArmSettings, plan: SamplePlan) -> SamplePlan:
    return replace(
        plan,
        form=arm.evidence or plan.form,
        fps=arm.fps or plan.fps,
        max_frames=arm.max_frames or plan.max_frames,
        max_pixels=arm.max_pixels or plan.max_pixels,
    )


def build_sinks(settings: SinkSettings, clock: Clock) -> list[Sink]:
    """Make the sinks that are switched on."""
    sinks: list[Sink] = []
    if settings.console.enabled:
        sinks.append(ConsoleSink(sys.stdout))
    if settings.webhook.url:
        sinks.append(WebhookSink(settings.webhook, clock))
    return sinks


async def seed_prompts(prompts: SqlitePromptBook, settings: Settings) -> None:
    """Fill the prompt book from the user's alert types, or from the shipped ones.

    Raises:
        SettingsError: the file cannot be read.
    """
    configs = load_alert_types(settings.prompts.alert_type_config or SHIPPED_ALERT_TYPES)
    await prompts.seed(configs, override=settings.prompts.override_on_start)


async def serve(settings: Settings) -> None:
    """Run until a signal says stop.

    Raises:
        SettingsError: the service cannot start as configured.
    """
    listening = _listen(settings.http.host, settings.http.port)
    app = build(settings)
    try:
        await app.prepare()
        if settings.metrics.enabled:
            _serve_metrics(app)
        http = create_http_app(app.service, settings.http, settings.metrics, _lifespan(app))
        config = uvicorn.Config(
            http,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=CONNECTION_GRACE_S,
            server_header=False,
            proxy_headers=False,
        )
        host, port = listening.getsockname()[:2]
        _log.info("listening", url=f"http://{host}:{port}", arm=settings.ab.primary)
        await _Server(config).serve(sockets=[listening])
    finally:
        await app.close()


class _Server(uvicorn.Server):
    """A server that ends with exit status 0 when it was told to stop."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop at a signal; unlike uvicorn's own, do not raise it again afterwards."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield


def _lifespan(app: App) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with app.running():
            yield

    return lifespan


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"http.port: cannot listen on {host}:{port}: {error.strerror}. "
            "Stop what holds it, or set SIDECAR_HTTP__PORT."
        ) from error


def _serve_metrics(app: App) -> None:
    settings = app.settings.metrics
    try:
        app.meter.serve(settings)
    except OSError as error:
        raise SettingsError(
            f"metrics.port: cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
            "Stop what holds it, set SIDECAR_METRICS__PORT, or SIDECAR_METRICS__ENABLED=false."
        ) from error


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
