"""The composition root: from Settings to a running service. The only file that names the parts."""

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, Generator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI

from sidecar.ab.extra import explain_extra
from sidecar.arms import AbParts, build_ab, build_routing
from sidecar.core.asking import Asker
from sidecar.core.bell import Bell
from sidecar.core.families import check_family
from sidecar.core.feed import Feed
from sidecar.core.filters import Filters
from sidecar.core.gate import find_exposures
from sidecar.core.intake import Intake
from sidecar.core.places import Places
from sidecar.core.plugins import Plugins, load_plugins
from sidecar.core.prompting import build_default_rules
from sidecar.core.routing import ArmsInForce, Routing, Switchboard
from sidecar.core.same_question import SameQuestions
from sidecar.core.scheduling import Scheduler, cost_of
from sidecar.core.service import Service
from sidecar.core.state import FindsProblems, Reporter
from sidecar.core.tally import Tally
from sidecar.core.tracing import UNTRACED, TracedClips
from sidecar.core.verify import Verifier, Verifies
from sidecar.core.vitals import Breaker
from sidecar.doors.http import Faces, Lifespan, create_http_app
from sidecar.doors.http_tls import build_context
from sidecar.errors import (
    ArmNotUsable,
    InvalidRequest,
    ModelMismatch,
    SettingsError,
    StoreUnavailable,
    VlmError,
)
from sidecar.model import VerifyEvent
from sidecar.observe.metrics import PrometheusMeter
from sidecar.operators import afterwards, build_frame_store, build_operators
from sidecar.outside.canary_clip import open_canary_clip
from sidecar.outside.clips import Clips
from sidecar.outside.clock import SystemClock
from sidecar.outside.decoders import build_sampler
from sidecar.outside.fetch import GuardedFetcher
from sidecar.outside.prompts import load_descriptions
from sidecar.outside.vst import VstClient
from sidecar.parts import (
    Closes,
    RealtimeParts,
    alert_types_of,
    body_limits,
    build_access,
    build_bridge,
    build_chats,
    build_doors,
    build_realtime,
    build_review,
    build_reviewer,
    build_sinks,
    build_store,
    build_tracer,
    build_websocket,
    density_reader,
    plan_deliveries,
    seed_prompts,
    with_inline,
)
from sidecar.ports import Door, Ledger, Part, PromptBook
from sidecar.settings import SecuritySettings, Settings
from sidecar.work.arms_watch import ArmsWatch
from sidecar.work.canary import Canary
from sidecar.work.crew import Crew
from sidecar.work.dispatch import Dispatcher
from sidecar.work.gallery import Gallery
from sidecar.work.outbox import Outbox
from sidecar.work.promotion import PromotionWatch
from sidecar.work.rtvi_watch import RtviWatch

LEVELS_EVERY_S: Final = 2.0
CONNECTION_GRACE_S: Final = 2
STALLED_MS: Final = 60_000
"""A connection whose other end takes nothing for so long is cut off, where the system can do it;
else who never reads would keep a socket and what was written to it for as long as it likes."""
CLIENT_FRAME_BYTES: Final = 65_536
"""Clients of the WebSocket send a few words."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class App:
    """Everything that runs, wired once by `build`.

    Attributes:
        crew: what must not end while the service runs.
        verifier: decides what the alert types ask about.
        decider: decides everything.
        owned: what `stop` closes, in this order.
    """

    settings: Settings
    plugins: Plugins
    service: Service
    verifier: Verifier
    ab: AbParts
    decider: Verifies
    dispatcher: Dispatcher
    outbox: Outbox
    doors: Mapping[str, Door]
    faces: Faces
    realtime: RealtimeParts
    canary: Canary
    gallery: Gallery
    ledger: Ledger
    prompts: PromptBook
    meter: PrometheusMeter
    crew: Crew
    owned: tuple[Closes, ...]

    async def prepare(self) -> None:
        """Load the alert types, and take over what an earlier process left undecided.

        Raises:
            SettingsError: the alert types cannot be read, the primary arm's server serves a model
                of another family, or the arm to promote cannot be.
            StoreUnavailable: the ledger cannot be written.
        """
        await seed_prompts(self.prompts, self.settings)
        self.plugins.check(await self.prompts.list())
        await self.ab.arms.restore()
        if candidate := self.settings.ab.gate.candidate:
            await self._promote(candidate)
        await self._meet_models()
        recovered = await self.ledger.recover()
        if recovered:
            _log.info("recovered", undecided=recovered)
        for risk in await self.ledger.risks():
            _log.warning("ledger_risk", detail=risk)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Verify and deliver while the context lasts; then stop in order, within the grace."""
        self.crew.start("outbox", self.outbox.run())
        self.crew.start("levels", self._observe_levels())
        self.crew.start("dispatcher", self.dispatcher.run())
        self.crew.start("aside", self.ab.aside.run())
        self.crew.start("gallery", self.gallery.run())
        looks = {type(look).__name__: look for look in self._looks()}
        sources = {**self.doors, **looks}
        for name, source in sources.items():
            self.crew.start(name, source.run())
        try:
            yield
        finally:
            await self.crew.stop(*sources)
            await self.crew.stop("dispatcher")
            await self.dispatcher.stop(self.settings.http.shutdown_grace_s)
            await self.crew.stop("aside")
            await self.ab.aside.stop()
            await self.crew.stop()

    async def close(self) -> None:
        """Release everything."""
        for part in self.owned:
            await part.close()

    def _looks(self) -> Iterator[ArmsWatch | Canary | PromotionWatch | RtviWatch]:
        """Yield what looks after the arms and servers while the service runs."""
        yield ArmsWatch(self.ab.arms)
        if not explain_extra():
            gate = self.settings.ab.gate
            yield PromotionWatch(self.ab.promoting, self.ab.meter, gate.every_s)
        if self.settings.canary.enabled:
            yield self.canary
        if self.realtime.watch:
            yield self.realtime.watch

    async def _promote(self, candidate: str) -> None:
        """Begin what the settings want promoted."""
        try:
            await self.ab.promoting.start_by_settings(candidate)
        except (InvalidRequest, ArmNotUsable) as error:
            raise SettingsError(f"ab.gate.candidate: {error.detail}") from error

    async def _meet_models(self) -> None:
        """Refuse to start with a model of the wrong family; a server that is away is no reason."""
        routing = self.verifier.switchboard.current
        await asyncio.gather(*(_meet(routing, name) for name in routing.policy.named))

    async def _observe_levels(self) -> None:
        while True:
            with suppress(StoreUnavailable):
                backlog = await self.ledger.backlog()
                self.meter.observe(
                    backlog=backlog,
                    queued=self.dispatcher.queued,
                    in_flight=self.service.slots.taken,
                    places=self.service.slots.total,
                )
            self._observe_endpoints()
            await asyncio.sleep(LEVELS_EVERY_S)

    def _observe_endpoints(self) -> None:
        for arm in self.ab.arms.switchboard.current.arms.values():
            for it in arm.vitals.endpoints:
                is_left_out = it.breaker is Breaker.OPEN
                self.ab.meter.endpoint(
                    arm.name,
                    it.place,
                    in_flight=it.in_flight,
                    waiting=it.waiting,
                    limit=it.limit,
                    is_left_out=is_left_out,
                )


async def _meet(routing: Routing, name: str) -> None:
    arm = routing.arms[name]
    problem = await arm.backend.ping()
    if problem:
        _log.warning("model_server_away", arm=name, detail=problem)
        return
    try:
        check_family(await arm.backend.model(), name, arm.adapter.profile, routing.families)
    except VlmError as error:
        _log.warning("model_server_away", arm=name, detail=error.detail)
    except ModelMismatch as error:
        raise SettingsError(error.detail) from error


def build(settings: Settings, find_problems: FindsProblems | None = None) -> App:
    """Wire the service.

    Args:
        settings: of everything.
        find_problems: looks at the settings for operators; None when nobody does.

    Raises:
        SettingsError: a setting names something that does not exist or cannot work.
        StoreUnavailable: the ledger cannot be opened.
    """
    clock, meter = SystemClock(), PrometheusMeter()
    tracer = build_tracer(settings.trace)
    plugins = load_plugins(settings.answers)
    routing = build_routing(settings, plugins, meter, clock, tracer)
    switchboard = Switchboard(routing)
    submitted, feed = Bell(), Feed()
    slots = Places(switchboard, settings.verify.max_in_flight, lambda: sampler.waiting)

    def hear_of_others() -> None:
        dispatcher.look_again()
        feed.miss()
        outbox.notify()

    def announce(event: VerifyEvent) -> None:
        websocket.announce(event)

    store = build_store(settings.ledger, clock, hear_of_others)
    ledger, prompts = store.ledger, store.prompts
    fetcher, sampler = GuardedFetcher(settings.media), build_sampler(settings.media)
    recorder = VstClient(settings.vst, clock) if settings.vst.base_url else None
    clips = Clips(with_inline(settings), fetcher, recorder)
    sinks = build_sinks(settings.sinks, settings.bridge, clock, tracer)
    intake = Intake(settings.vst.ignore_event_media)
    asker = Asker(
        sampler,
        routing.families,
        settings.verify.min_frames_seen,
        # a user's parser owns the grammar of every answer
        ask_again=settings.verify.ask_again and plugins.parser is None,
    )
    verifier = Verifier(
        switchboard=switchboard,
        prompts=prompts,
        clips=clips if tracer is UNTRACED else TracedClips(clips, tracer),
        asker=asker,
        clock=clock,
        deadline_s=settings.verify.deadline_s,
        use_verdict=settings.verify.use_verdict,
        same=SameQuestions() if settings.verify.share_answers else None,
        default_system=settings.prompts.default_system,
        default_rules=build_default_rules(settings.answers, plugins.functions),
        descriptions=load_descriptions(alert_types_of(settings)),
    )
    ab = build_ab(
        settings, verifier, intake, store, lambda: dispatcher.has_line, clock, meter.registry
    )
    reviewer = build_reviewer(settings, switchboard, asker, clock, meter.registry)
    decider = build_bridge(settings, reviewer, verifier, recorder)
    frames = build_frame_store(settings, clock)
    gallery, tally = Gallery(frames, clock, meter), Tally()
    outbox = Outbox(ledger, sinks, settings.sinks, clock, meter)
    scheduler = Scheduler(
        settings.scheduling,
        clock,
        slots,
        lambda event: cost_of(event, switchboard.current.lead.plan),
    )
    dispatcher = Dispatcher(
        ledger,
        intake,
        decider,
        meter,
        scheduler,
        clock,
        sinks_of=plan_deliveries(sinks, settings.bridge).sinks_of,
        slots=slots,
        submitted=submitted,
        feed=feed,
        to_deliver=outbox.notify,
        aside=afterwards(ab.aside.take, gallery.take, tally.take),
        max_attempts=settings.ledger.max_attempts,
        tracer=tracer,
    )
    canary = Canary(
        switchboard, asker, open_canary_clip, lambda: slots.taken > 0, settings.canary, clock
    )
    realtime = build_realtime(settings, store.rules, meter.registry, clock)
    parts: dict[str, Part] = {
        "ledger": ledger,
        "media": clips,
        "arms": ArmsInForce(switchboard),
    }
    if settings.canary.enabled:
        parts["canary"] = canary
    optional: dict[str, Part] = {f"sink {sink.name}": sink for sink in sinks}
    if settings.realtime.base_url:
        optional["rt-vlm"] = realtime.api.rules
    service = Service(
        intake=intake,
        filters=Filters(settings.filters, clock),
        ledger=ledger,
        prompts=prompts,
        parts=parts,
        sinks=optional,
        clock=clock,
        meter=meter,
        slots=slots,
        has_line=lambda: dispatcher.has_line,
        begin=dispatcher.begin,
        submitted=submitted,
        feed=feed,
        announce=announce,
        tracer=tracer,
    )
    websocket = build_websocket(settings, service, meter.registry)
    access = build_access(settings, meter.registry, clock)
    doors = build_doors(settings, service, decider, ab.arms, access.rpc, clock)
    reading: dict[str, Door] = {**doors.by_name}
    if settings.websocket.enabled:
        reading["door websocket"] = websocket
    parts.update(reading)
    faces = Faces(
        realtime=realtime.api,
        review=build_review(settings, reviewer, service),
        websocket=websocket,
        chats=build_chats(settings, verifier, clips, clock),
        registry=meter.registry,
        parsers=plugins.functions,
        limits=body_limits(settings),
        audit=store.audit,
        arms=ab.face,
        comparing=ab.comparing,
        comparisons=ab.comparisons,
        operators=build_operators(
            settings,
            service,
            ab.comparing,
            verifier,
            frames,
            parsers=plugins.functions,
            to_deliver=outbox.notify,
            reporter=Reporter(
                service, ab.arms, tally, dispatcher, find_problems, density_reader(settings)
            ),
        ),
        promoting=ab.promoting,
        access=access.http,
    )
    backends = [arm.backend for arm in routing.arms.values()]
    owned: tuple[Closes, ...] = (
        *doors.owned,
        faces.operators.loans,
        *realtime.owned,
        *sinks,
        *backends,
        clips,
        sampler,
        frames,
        tracer,
        *store.owned,
    )
    return App(
        settings=settings,
        plugins=plugins,
        service=service,
        verifier=verifier,
        ab=ab,
        decider=decider,
        dispatcher=dispatcher,
        outbox=outbox,
        doors=reading,
        faces=faces,
        realtime=realtime,
        canary=canary,
        gallery=gallery,
        ledger=ledger,
        prompts=prompts,
        meter=meter,
        crew=Crew(),
        owned=owned,
    )


async def serve(settings: Settings, find_problems: FindsProblems | None = None) -> bool:
    """Run until a signal says stop.

    Args:
        settings: of everything.
        find_problems: looks at the settings for operators.

    Returns:
        False when a defect ended it.

    Raises:
        SettingsError: the service cannot start as configured.
    """
    for exposure in find_exposures(settings):
        raise exposure
    listening = _listen(settings.http.host, settings.http.port)
    app = build(settings, find_problems)
    try:
        await app.prepare()
        if settings.metrics.enabled:
            _serve_metrics(app)
        http = create_http_app(
            app.service, app.faces, settings.http, settings.metrics, _lifespan(app)
        )
        config = _serving(http, settings)
        host, port = listening.getsockname()[:2]
        scheme = "https" if config.is_ssl else "http"
        arm = app.verifier.switchboard.current.policy.lead
        _log.info("listening", url=f"{scheme}://{host}:{port}", arm=arm)
        _tell_who_may_call(settings.security)
        server = _Server(config)
        app.crew.on_broken = server.leave
        await server.serve(sockets=[listening])
    finally:
        await app.close()
    return not app.crew.broken


def _serving(http: FastAPI, settings: Settings) -> uvicorn.Config:
    """Say how the HTTP door is served.

    Raises:
        SettingsError: its certificate cannot be used.
    """
    tls = settings.http.tls
    context = build_context(tls) if tls.cert else None
    return uvicorn.Config(
        http,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=CONNECTION_GRACE_S,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=settings.http.max_connections,
        ws_max_size=CLIENT_FRAME_BYTES,
        ws_ping_interval=settings.websocket.ping_s,
        ws_ping_timeout=settings.websocket.ping_timeout_s,
        ws_per_message_deflate=False,  # it would compress each frame again for every client
        ssl_context_factory=(lambda *_: context) if context else None,
    )


class _Server(uvicorn.Server):
    """A server that ends with exit status 0 when it was told to stop."""

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        """Stop at a signal; unlike uvicorn's own, do not raise it again afterwards."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    def leave(self) -> None:
        """Stop as after a signal."""
        self.should_exit = True


def _lifespan(app: App) -> Lifespan:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None]:
        async with app.running():
            yield

    return lifespan


def _listen(host: str, port: int) -> socket.socket:
    try:
        listening = socket.create_server((host, port), backlog=2048)
    except OSError as error:
        raise SettingsError(
            f"http.port: cannot listen on {host}:{port}: {error.strerror}. "
            "Stop what holds it, or set SIDECAR_HTTP__PORT."
        ) from error
    if option := getattr(socket, "TCP_USER_TIMEOUT", None):
        listening.setsockopt(socket.IPPROTO_TCP, option, STALLED_MS)  # connections inherit it
    return listening


def _tell_who_may_call(security: SecuritySettings) -> None:
    if security.trusted_networks:
        networks = [str(network) for network in security.trusted_networks]
        _log.warning("callers_without_key", networks=networks, may="everything")


def _serve_metrics(app: App) -> None:
    settings = app.settings.metrics
    try:
        app.meter.serve(settings)
    except OSError as error:
        raise SettingsError(
            f"metrics.port: cannot listen on {settings.host}:{settings.port}: {error.strerror}. "
            "Stop what holds it, set SIDECAR_METRICS__PORT, or SIDECAR_METRICS__ENABLED=false."
        ) from error
