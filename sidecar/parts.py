"""Which part fulfils which port, by the settings. With `app`, the only place that names them.

What comes with an extra (Kafka, Redis) is imported when the settings ask for it.
"""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Final, Protocol

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sidecar.contract.chat import ChatMode
from sidecar.contract.nvschema import to_protobuf
from sidecar.core.always_on import AlwaysOn
from sidecar.core.asking import Asker
from sidecar.core.captions import Captioner
from sidecar.core.chat import Chats
from sidecar.core.incidents import Incidents
from sidecar.core.layers import MeteredVlm, RetryingVlm
from sidecar.core.looking import Looker
from sidecar.core.plugins import Plugins, load_object
from sidecar.core.realtime import RealtimeRules
from sidecar.core.review import Reviewer
from sidecar.core.routing import Arm, Routing
from sidecar.core.service import Service
from sidecar.core.slots import Slots
from sidecar.core.tracing import UNTRACED, TracedSink, TracedVlm
from sidecar.core.verify import Verifier
from sidecar.doors.body_limit import Limit
from sidecar.doors.openai import PATH as CHAT_PATH
from sidecar.doors.realtime import Realtime
from sidecar.doors.records import RecordIntake, decode_record
from sidecar.doors.review import Review, upload_limits
from sidecar.errors import SettingsError
from sidecar.model import SamplePlan, Sampling, VerdictRecord
from sidecar.observe.realtime_metrics import PrometheusRealtimeMeter
from sidecar.observe.review_metrics import PrometheusReviewMeter
from sidecar.outside.always_on import load_always_on
from sidecar.outside.baseline import OpenCvBaseline
from sidecar.outside.chat_media import ChatMedia
from sidecar.outside.clips import Clips
from sidecar.outside.files import FolderFileStore
from sidecar.outside.incidents import ElasticIncidents
from sidecar.outside.inline_media import InlineMediaFolder
from sidecar.outside.ledger_sqlite import SqliteLedger
from sidecar.outside.prompts import SHIPPED_ALERT_TYPES, SqlitePromptBook, load_alert_types
from sidecar.outside.review_media import LocalReviewMedia
from sidecar.outside.rtvi import RtviClient
from sidecar.outside.rules import SqliteRuleBook
from sidecar.outside.sinks.console import ConsoleSink
from sidecar.outside.sinks.elastic import ElasticSink
from sidecar.outside.sinks.webhook import WebhookSink
from sidecar.outside.sqlite import Database
from sidecar.outside.vlm_http import HttpVlm
from sidecar.ports import (
    Clock,
    DeadLetters,
    Door,
    Ledger,
    Meter,
    PromptBook,
    RuleBook,
    Sink,
    Tracer,
    VlmAdapter,
    VlmBackend,
)
from sidecar.settings import (
    ArmSettings,
    LedgerSettings,
    MediaSettings,
    Settings,
    SinkSettings,
    TraceSettings,
    describe_settings,
    variable_of,
)
from sidecar.work.rtvi_watch import RtviWatch

_EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "ledger.redis.url": ("redis", "redis"),
    "sinks.kafka.bootstrap_servers": ("kafka", "confluent_kafka"),
    "sinks.streams.url": ("redis", "redis"),
    "grpc.enabled": ("grpc", "grpc"),
    "trace.endpoint": ("otel", "opentelemetry.sdk"),
    "kafka.bootstrap_servers": ("kafka", "confluent_kafka"),
    "streams.url": ("redis", "redis"),
}
"""Which extra a setting needs when it is on, and the module that tells whether it is there."""


class Closes(Protocol):
    """What holds something until it is closed."""

    async def close(self) -> None:
        """Release it."""


@dataclass(frozen=True, slots=True)
class Store:
    """The durable memory.

    Attributes:
        owned: what to close at the end, in this order.
    """

    ledger: Ledger
    prompts: PromptBook
    rules: RuleBook
    owned: tuple[Closes, ...]


def build_store(
    settings: LedgerSettings,
    clock: Clock,
    on_news: Callable[[], None] | None = None,
    *,
    exclusive: bool = True,
) -> Store:
    """Open the ledger and the prompt book: a file, or Redis for several replicas.

    Args:
        settings: where.
        clock: of the service.
        on_news: called when other replicas may have left something to do or to read.
        exclusive: whether this process is the only one that writes the file.

    Raises:
        SettingsError: Redis is asked for and its extra is not installed.
        StoreUnavailable: the file cannot be opened.
    """
    if not settings.redis.url.get_secret_value():
        database = Database(settings.path, exclusive=exclusive)
        book = SqlitePromptBook(database, clock)
        rules = SqliteRuleBook(database)
        return Store(SqliteLedger(database, settings, clock), book, rules, (database,))
    with _extra("ledger.redis.url"):
        from sidecar.outside.ledger_redis import RedisLedger
        from sidecar.outside.prompts_redis import RedisPromptBook
        from sidecar.outside.redis_store import RedisStore
        from sidecar.outside.rules_redis import RedisRuleBook
    redis = settings.redis
    store = RedisStore(
        redis.url.get_secret_value(),
        namespace=redis.namespace,
        timeout_s=redis.timeout_s,
        wait_aof=redis.wait_aof,
        is_cluster=redis.is_cluster,
    )
    ledger = RedisLedger(store, settings, clock, lease_s=redis.lease_s, on_news=on_news)
    return Store(ledger, RedisPromptBook(store, clock), RedisRuleBook(store), (ledger, store))


@dataclass(frozen=True, slots=True)
class RealtimeParts:
    """Realtime rules: their routes, what looks after them, and what to close at the end."""

    api: Realtime
    watch: RtviWatch | None
    owned: tuple[Closes, ...]


def build_realtime(
    settings: Settings, rules: RuleBook, registry: CollectorRegistry, clock: Clock
) -> RealtimeParts:
    """Make the realtime API; without RT-VLM's URL its routes answer that it is not configured.

    Raises:
        SettingsError: the file of always-on rules cannot be used.
    """
    realtime, elastic = settings.realtime, settings.sinks.elastic
    meter = PrometheusRealtimeMeter(registry)
    rtvi = RtviClient(realtime) if realtime.base_url else None
    index = ElasticIncidents(elastic) if elastic.hosts else None
    keeper = RealtimeRules(rules, rtvi, realtime, clock, meter)
    api = Realtime(
        rules=keeper,
        always_on=AlwaysOn(keeper, load_always_on(realtime), clock),
        incidents=Incidents(index, realtime.consolidation, clock, meter),
        clock=clock,
    )
    watch = RtviWatch(keeper, realtime.health_every_s) if rtvi else None
    owned = tuple(part for part in (keeper, rtvi, index) if part is not None)
    return RealtimeParts(api, watch, owned)


async def seed_prompts(prompts: PromptBook, settings: Settings) -> None:
    """Fill the prompt book from the user's alert types, or from the shipped ones.

    Raises:
        SettingsError: the file cannot be read.
    """
    configs = load_alert_types(settings.prompts.alert_type_config or SHIPPED_ALERT_TYPES)
    await prompts.seed(configs, override=settings.prompts.override_on_start)


def build_tracer(settings: TraceSettings) -> Tracer:
    """Make what traces; without an endpoint it does nothing.

    Raises:
        SettingsError: its extra is not installed.
    """
    if not settings.endpoint:
        return UNTRACED
    with _extra("trace.endpoint"):
        from sidecar.observe.trace import OtelTracer
    return OtelTracer(settings)


def build_routing(
    settings: Settings,
    plugins: Plugins,
    meter: Meter,
    clock: Clock,
    tracer: Tracer = UNTRACED,
) -> Routing:
    """Make the arms.

    Raises:
        SettingsError: an arm is unknown or has no endpoint, or an adapter cannot be loaded.
    """
    if settings.ab.primary not in settings.arms:
        known = ", ".join(sorted(settings.arms))
        raise SettingsError(f"ab.primary: there is no arm {settings.ab.primary!r}; known: {known}.")
    arms = {
        name: _build_arm(name, arm, settings, plugins, partial(_over_http, meter, clock, tracer))
        for name, arm in settings.arms.items()
    }
    families = {
        name: load_object(adapter, f"adapters.{name}").profile
        for name, adapter in settings.adapters.items()
    }
    return Routing(arms, settings.ab.primary, families)


def _build_arm(
    name: str,
    arm: ArmSettings,
    settings: Settings,
    plugins: Plugins,
    over_http: Callable[[str, ArmSettings, VlmAdapter], VlmBackend],
) -> Arm:
    known = settings.adapters.get(arm.adapter or name, arm.adapter)
    if not known:
        choices = ", ".join(sorted(settings.adapters))
        raise SettingsError(f"arms.{name}.adapter: name one of {choices}, or package.module:ATTR.")
    adapter = plugins.around(load_object(known, f"arms.{name}.adapter"))
    return Arm(
        name=name,
        adapter=adapter,
        backend=over_http(name, arm, adapter),
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


def _over_http(
    meter: Meter, clock: Clock, tracer: Tracer, name: str, arm: ArmSettings, adapter: VlmAdapter
) -> VlmBackend:
    if not adapter.profile.is_vlm:
        return MeteredVlm(OpenCvBaseline(), meter, name, clock)
    if not arm.url:
        raise SettingsError(f"arms.{name}.url: give the endpoint, such as http://host:8000/v1.")
    traced = TracedVlm(HttpVlm(name, arm, tracer.carrier), tracer, name)
    metered = MeteredVlm(traced, meter, name, clock)
    return RetryingVlm(metered, arm.retries, arm.reconnect_s, clock)


def _plan(arm: ArmSettings, plan: SamplePlan) -> SamplePlan:
    return replace(
        plan,
        form=arm.evidence or plan.form,
        fps=arm.fps or plan.fps,
        max_frames=arm.max_frames or plan.max_frames,
        max_pixels=arm.max_pixels or plan.max_pixels,
    )


def build_sinks(settings: SinkSettings, clock: Clock, tracer: Tracer = UNTRACED) -> list[Sink]:
    """Make the sinks that are switched on.

    Raises:
        SettingsError: one needs an extra that is not installed.
    """
    sinks: list[Sink] = []
    if settings.console.enabled:
        sinks.append(ConsoleSink(sys.stdout))
    if settings.webhook.url:
        sinks.append(WebhookSink(settings.webhook, clock, tracer.carrier))
    if settings.elastic.hosts:
        sinks.append(ElasticSink(settings.elastic))
    if settings.kafka.bootstrap_servers:
        with _extra("sinks.kafka.bootstrap_servers"):
            from sidecar.outside.sinks.kafka import KafkaSink
        sinks.append(KafkaSink(settings.kafka, _encode, tracer.carrier))
    if settings.streams.url.get_secret_value():
        with _extra("sinks.streams.url"):
            from sidecar.outside.sinks.streams import StreamsSink
        sinks.append(StreamsSink(settings.streams, _encode, tracer.carrier))
    return [TracedSink(sink, tracer) for sink in sinks] if tracer is not UNTRACED else sinks


@dataclass(frozen=True, slots=True)
class Doors:
    """The doors that read for themselves, by name.

    Attributes:
        owned: what to close at the end, in this order.
    """

    by_name: Mapping[str, Door]
    owned: tuple[Closes, ...]


def inline_folder(settings: Settings) -> Path | None:
    """Return where frames and clips are kept that come with their event; None: nowhere.

    Replicas need a folder that all of them share, which only the settings can name.
    """
    is_shared = bool(settings.ledger.redis.url.get_secret_value())
    beside = None if is_shared else settings.ledger.path.parent / "inline"
    return settings.media.inline_dir or beside


def with_inline(settings: Settings) -> MediaSettings:
    """Let events name the media that came with them."""
    folder = inline_folder(settings)
    roots = (*settings.media.allowed_roots, *([folder] if folder and settings.grpc.enabled else []))
    return settings.media.model_copy(update={"allowed_roots": roots})


def build_doors(settings: Settings, service: Service, verifier: Verifier, clock: Clock) -> Doors:
    """Make the doors that read for themselves, as the settings name them.

    Raises:
        SettingsError: one needs an extra that is not installed, or an option is wrong.
    """
    http = settings.http
    decode = partial(decode_record, max_bytes=http.max_body_bytes, max_depth=http.max_json_depth)
    doors: dict[str, Door] = {}
    held: list[Closes] = []

    def intake(source: str, dead_letters: DeadLetters) -> RecordIntake:
        held.append(dead_letters)
        return RecordIntake(source, decode, service, dead_letters, service.meter, service.tracer)

    if settings.grpc.enabled:
        with _extra("grpc.enabled"):
            from sidecar.doors.rpc import RpcDoor
        folder = inline_folder(settings)
        media = InlineMediaFolder(folder, settings.media) if folder else None
        doors["door grpc"] = RpcDoor(
            settings.grpc, service, verifier.routing, verifier.verify, media
        )

    if settings.kafka.bootstrap_servers:
        with _extra("kafka.bootstrap_servers"):
            from sidecar.doors.kafka import KafkaDoor
            from sidecar.outside.dead_letters_kafka import KafkaDeadLetters
        taken = intake("kafka", KafkaDeadLetters(settings.kafka))
        doors["door kafka"] = KafkaDoor(settings.kafka, taken, clock)
    if settings.streams.url.get_secret_value():
        with _extra("streams.url"):
            from sidecar.doors.streams import StreamsDoor
            from sidecar.outside.dead_letters_streams import StreamsDeadLetters, connect_redis
        taken = intake("streams", StreamsDeadLetters(settings.streams))
        doors["door streams"] = StreamsDoor(
            connect_redis(settings.streams), settings.streams, taken, clock
        )
    return Doors(doors, (*doors.values(), *held))


def missing_extras(settings: Settings) -> Iterator[SettingsError]:
    """Yield an error for each setting in force that needs an extra which is not installed."""
    in_force = {it.name: it.value for it in describe_settings(settings)}
    for setting, (extra, module) in _EXTRAS.items():
        value = in_force[setting]
        is_on = value.get_secret_value() if isinstance(value, SecretStr) else value
        if is_on and find_spec(module) is None:
            yield _not_installed(setting, extra, module)


@contextmanager
def _extra(setting: str) -> Iterator[None]:
    """Tell which extra is missing for a setting."""
    extra, module = _EXTRAS[setting]
    try:
        yield
    except ImportError as error:
        raise _not_installed(setting, extra, error.name or module) from error


def _not_installed(setting: str, extra: str, module: str) -> SettingsError:
    return SettingsError(
        f"{setting}: needs {module}, which is not installed: pip install 'vss-vlm-sidecar[{extra}]'"
    )


def _encode(record: VerdictRecord) -> bytes:
    return to_protobuf(record.document, record.kind)


def build_review(
    settings: Settings,
    routing: Routing,
    asker: Asker,
    service: Service,
    registry: CollectorRegistry,
) -> Review:
    """Make what the Event Reviewer API asks."""
    review, clock = settings.review, service.clock
    media = LocalReviewMedia(review, settings.media)
    files = FolderFileStore(review, settings.media, media)
    looker = Looker(routing, asker, clock, review, PrometheusReviewMeter(registry))

    async def is_ready() -> bool:
        return not any(it.problem and it.required for it in await service.health())

    return Review(
        reviewer=Reviewer(media, looker, clock, review),
        captioner=Captioner(files, looker, clock, review),
        files=files,
        model=looker.model,
        is_ready=is_ready,
        clock=clock,
    )


def build_chats(settings: Settings, verifier: Verifier, clips: Clips, clock: Clock) -> Chats:
    """Make what the OpenAI face asks."""
    return Chats(
        routing=verifier.routing,
        asker=verifier.asker,
        media=ChatMedia(clips, settings.media.max_bytes),
        clock=clock,
        slots=Slots(settings.openai.max_in_flight),
        deadline_s=settings.verify.deadline_s,
        default_mode=ChatMode(settings.openai.mode),
        text_for_failure=settings.openai.no_verdict == "text",
    )


def body_limits(settings: Settings) -> Mapping[str, Limit]:
    """Return how large bodies may be, by path, where the usual limit is too small."""
    chat = Limit(settings.openai.max_body_bytes, variable_of("openai.max_body_bytes"))
    return {**upload_limits(settings.media.max_bytes), CHAT_PATH: chat}
