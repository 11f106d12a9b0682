"""The composition root: from Settings to a running service. The only file that names the parts."""

import asyncio
import signal
import socket
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from typing import Final

import structlog
import uvicorn
from fastapi import FastAPI

from sidecar.core.asking import Asker
from sidecar.core.bell import Bell
from sidecar.core.families import check_family
from sidecar.core.feed import Feed
from sidecar.core.filters import Filters
from sidecar.core.intake import Intake
from sidecar.core.plugins import Plugins, load_plugins
from sidecar.core.prompting import build_default_rules
from sidecar.core.service import Service
from sidecar.core.slots import Slots
from sidecar.core.tracing import UNTRACED, TracedClips
from sidecar.core.verify import Verifier
from sidecar.doors.http import Faces, Lifespan, create_http_app
from sidecar.errors import ModelMismatch, SettingsError, StoreUnavailable, VlmError
from sidecar.observe.metrics import PrometheusMeter
from sidecar.outside.canary_clip import open_canary_clip
from sidecar.outside.clips import Clips
from sidecar.outside.clock import SystemClock
from sidecar.outside.fetch import GuardedFetcher
from sidecar.outside.frames import PyavSampler
from sidecar.outside.vst import VstClient
from sidecar.parts import (
    Closes,
    RealtimeParts,
    body_limits,
    build_chats,
    build_doors,
    build_realtime,
    build_review,
    build_routing,
    build_sinks,
    build_store,
    build_tracer,
    seed_prompts,
    with_inline,
)
from sidecar.ports import Door, Ledger, Part, PromptBook
from sidecar.settings import Settings
from sidecar.work.canary import Canary
from sidecar.work.dispatch import Dispatcher
from sidecar.work.outbox import Outbox
from sidecar.work.rtvi_watch import RtviWatch

LEVELS_EVERY_S: Final = 2.0
CONNECTION_GRACE_S: Final = 2

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class App:
    """Everything that runs, wired once by `build`.

    Attributes:
        owned: what `stop` closes, in this order.
    """

    settings: Settings
    plugins: Plugins
    service: Service
    verifier: Verifier
    dispatcher: Dispatcher
    outbox: Outbox
    doors: tuple[Door, ...]
    faces: Faces
    realtime: RealtimeParts
    canary: Canary
    ledger: Ledger
    prompts: PromptBook
    meter: PrometheusMeter
    owned: tuple[Closes, ...]

    async def prepare(self) -> None:
        """Load the alert types, and take over what an earlier process left undecided.

        Raises:
            SettingsError: the alert types cannot be read, or the primary arm's server serves a
                model of another family.
            StoreUnavailable: the ledger cannot be written.
        """
        await seed_prompts(self.prompts, self.settings)
        self.plugins.check(await self.prompts.list())
        await self._meet_model()
        recovered = await self.ledger.recover()
        if recovered:
            _log.info("recovered", undecided=recovered)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Verify and deliver while the context lasts; then stop in order, within the grace."""
        outbox = asyncio.create_task(self.outbox.run())
        levels = asyncio.create_task(self._observe_levels())
        dispatch = asyncio.create_task(self.dispatcher.run())
        doors = [asyncio.create_task(door.run()) for door in self.doors]
        looks = [asyncio.create_task(look.run()) for look in self._looks()]
        try:
            yield
        finally:
            await asyncio.gather(*map(_cancel, (*doors, *looks)))
            await _cancel(dispatch)
            await self.dispatcher.stop(self.settings.http.shutdown_grace_s)
            await _cancel(levels)
            await _cancel(outbox)

    async def close(self) -> None:
        """Release everything."""
        for part in self.owned:
            await part.close()

    def _looks(self) -> Iterator[Canary | RtviWatch]:
        """Yield what looks after the servers while the service runs."""
        if self.settings.canary.enabled:
            yield self.canary
        if self.realtime.watch:
            yield self.realtime.watch

    async def _meet_model(self) -> None:
        """Refuse to start with a model of the wrong family; a server that is away is no reason."""
        routing = self.verifier.routing
        arm = routing.arms[routing.primary]
        problem = await arm.backend.ping()
        if problem:
            _log.warning("model_server_away", arm=arm.name, detail=problem)
            return
        try:
            model = await arm.backend.model()
            check_family(model, arm.name, arm.adapter.profile, routing.families)
        except VlmError as error:
            _log.warning("model_server_away", arm=arm.name, detail=error.detail)
        except ModelMismatch as error:
            raise SettingsError(error.detail) from error

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
    tracer = build_tracer(settings.trace)
    plugins = load_plugins(settings.answers)
    routing = build_routing(settings, plugins, meter, clock, tracer)
    submitted, feed, slots = Bell(), Feed(), Slots(settings.verify.max_in_flight)

    def hear_of_others() -> None:
        submitted.ring()
        feed.miss()
        outbox.notify()

    store = build_store(settings.ledger, clock, hear_of_others)
    ledger, prompts = store.ledger, store.prompts
    fetcher, sampler = GuardedFetcher(settings.media), PyavSampler(settings.media)
    recorder = VstClient(settings.vst, clock) if settings.vst.base_url else None
    clips = Clips(with_inline(settings), fetcher, recorder)
    sinks = build_sinks(settings.sinks, clock, tracer)
    intake = Intake(settings.vst.ignore_event_media)
    asker = Asker(
        sampler,
        routing.families,
        settings.verify.min_frames_seen,
        # a user's parser owns the grammar of every answer
        ask_again=settings.verify.ask_again and plugins.parser is None,
    )
    verifier = Verifier(
        routing=routing,
        prompts=prompts,
        clips=clips if tracer is UNTRACED else TracedClips(clips, tracer),
        asker=asker,
        clock=clock,
        deadline_s=settings.verify.deadline_s,
        use_verdict=settings.verify.use_verdict,
        default_system=settings.prompts.default_system,
        default_rules=build_default_rules(settings.answers, plugins.functions),
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
        tracer=tracer,
    )
    primary = routing.arms[routing.primary]
    canary = Canary(
        primary, asker, open_canary_clip, lambda: slots.taken > 0, settings.canary, clock
    )
    realtime = build_realtime(settings, store.rules, meter.registry, clock)
    parts: dict[str, Part] = {
        "ledger": ledger,
        "media": clips,
        f"arm {routing.primary}": primary.backend,
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
        begin=dispatcher.begin,
        submitted=submitted,
        feed=feed,
        tracer=tracer,
    )
    doors = build_doors(settings, service, verifier, clock)
    parts.update(doors.by_name)
    faces = Faces(
        realtime=realtime.api,
        review=build_review(settings, routing, asker, service, meter.registry),
        chats=build_chats(settings, verifier, clips, clock),
        registry=meter.registry,
        parsers=plugins.functions,
        limits=body_limits(settings),
    )
    backends = [arm.backend for arm in routing.arms.values()]
    owned: tuple[Closes, ...] = (
        *doors.owned,
        *realtime.owned,
        *sinks,
        *backends,
        clips,
        sampler,
        tracer,
        *store.owned,
    )
    return App(
        settings=settings,
        plugins=plugins,
        service=service,
        verifier=verifier,
        dispatcher=dispatcher,
        outbox=outbox,
        doors=tuple(doors.by_name.values()),
        faces=faces,
        realtime=realtime,
        canary=canary,
        ledger=ledger,
        prompts=prompts,
        meter=meter,
        owned=owned,
    )


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
        http = create_http_app(
            app.service, app.faces, settings.http, settings.metrics, _lifespan(app)
        )
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
