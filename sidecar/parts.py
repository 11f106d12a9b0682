"""Which part fulfils which port, by the settings. With `app`, the only place that names them.

What comes with an extra (Kafka, Redis) is imported when the settings ask for it.
"""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Protocol

from prometheus_client import CollectorRegistry
from pydantic import SecretStr

from sidecar.contract.chat import ChatMode
from sidecar.contract.nvschema import to_protobuf
from sidecar.core.always_on import AlwaysOn
from sidecar.core.api_keys import KeyRing
from sidecar.core.arms import Arms
from sidecar.core.asking import Asker
from sidecar.core.bridge import BridgeVerifier
from sidecar.core.captions import Captioner
from sidecar.core.chat import Chats
from sidecar.core.gate import Gate, RateLimits, is_open
from sidecar.core.incidents import Incidents
from sidecar.core.looking import Looker
from sidecar.core.realtime import RealtimeRules
from sidecar.core.review import Reviewer
from sidecar.core.routing import Deliveries, Switchboard
from sidecar.core.service import Service
from sidecar.core.sessions import Sessions
from sidecar.core.slots import Slots
from sidecar.core.state import ReadsDensity
from sidecar.core.tracing import UNTRACED, TracedSink
from sidecar.core.verify import Verifier, VerifierByOrigin, Verifies
from sidecar.doors.access import HttpAccess
from sidecar.doors.body_limit import Limit
from sidecar.doors.openai import PATH as CHAT_PATH
from sidecar.doors.realtime import Realtime
from sidecar.doors.records import Decode, RecordIntake, decode_alert, decode_record
from sidecar.doors.review import Review, upload_limits
from sidecar.doors.ws import WebSocketDoor
from sidecar.errors import SettingsError
from sidecar.model import VerdictRecord
from sidecar.observe.access_metrics import PrometheusAccessMeter
from sidecar.observe.audience_metrics import PrometheusAudienceMeter
from sidecar.observe.realtime_metrics import PrometheusRealtimeMeter
from sidecar.observe.review_metrics import PrometheusReviewMeter
from sidecar.outside.alert_defaults import load_alert_defaults
from sidecar.outside.always_on import load_always_on
from sidecar.outside.arm_log import SqliteArmLog
from sidecar.outside.audit import SqliteAuditTrail
from sidecar.outside.chat_media import ChatMedia
from sidecar.outside.clips import Clips
from sidecar.outside.comparisons import SqliteComparisons
from sidecar.outside.density_report import DensityReport
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
from sidecar.ports import (
    ArmLog,
    AuditTrail,
    Clock,
    Comparisons,
    DeadLetters,
    Door,
    FileLookup,
    Ledger,
    PromptBook,
    RuleBook,
    Sink,
    Tracer,
)
from sidecar.settings import (
    BridgeSettings,
    LedgerSettings,
    MediaSettings,
    Settings,
    SinkSettings,
    StreamsSinkSettings,
    TraceSettings,
    describe_settings,
    variable_of,
)
from sidecar.work.rtvi_watch import RtviWatch

_EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "ledger.redis.url": ("redis", "redis"),
    "sinks.kafka.bootstrap_servers": ("kafka", "confluent_kafka"),
    "sinks.streams.url": ("redis", "redis"),
    "ab.gate.candidate": ("ab", "statsmodels"),
    "grpc.enabled": ("grpc", "grpc"),
    "trace.endpoint": ("otel", "opentelemetry.sdk"),
    "kafka.bootstrap_servers": ("kafka", "confluent_kafka"),
    "streams.url": ("redis", "redis"),
    "bridge.url": ("redis", "redis"),
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
    audit: AuditTrail
    arm_log: ArmLog
    comparisons: Comparisons
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
        return Store(
            SqliteLedger(database, settings, clock),
            SqlitePromptBook(database, clock),
            SqliteRuleBook(database),
            SqliteAuditTrail(database),
            SqliteArmLog(database),
            SqliteComparisons(database, clock),
            (database,),
        )
    with _extra("ledger.redis.url"):
        from sidecar.outside.arm_log_redis import RedisArmLog
        from sidecar.outside.audit_redis import RedisAuditTrail
        from sidecar.outside.comparisons_redis import RedisComparisons
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
    return Store(
        ledger,
        RedisPromptBook(store, clock),
        RedisRuleBook(store),
        RedisAuditTrail(store),
        RedisArmLog(store),
        RedisComparisons(store, clock),
        (ledger, store),
    )


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


def alert_types_of(settings: Settings) -> Path:
    """Return the file of alert types that is in force: the user's, or the shipped one."""
    return settings.prompts.alert_type_config or SHIPPED_ALERT_TYPES


async def seed_prompts(prompts: PromptBook, settings: Settings) -> None:
    """Fill the prompt book from the user's alert types, or from the shipped ones.

    Raises:
        SettingsError: the file cannot be read.
    """
    configs = load_alert_types(alert_types_of(settings))
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


BRIDGE: Final = "bridge"
_TAKE_ANYTHING: Final = frozenset({"console", "webhook"})


def build_sinks(
    settings: SinkSettings, bridge: BridgeSettings, clock: Clock, tracer: Tracer = UNTRACED
) -> list[Sink]:
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
        sinks.append(StreamsSink(settings.streams, _encode, headers=tracer.carrier))
    if bridge.url.get_secret_value():
        with _extra("bridge.url"):
            from sidecar.outside.sinks.streams import StreamsSink
        streams = StreamsSinkSettings(
            url=bridge.url,
            alerts_stream=bridge.enhanced_stream,
            incidents_stream=bridge.incidents_stream or bridge.enhanced_stream,
            envelope="data",
            max_length=bridge.max_length,
            remember_s=bridge.remember_s,
            timeout_s=bridge.timeout_s,
        )
        sinks.append(
            StreamsSink(streams, _encode, name=BRIDGE, setting="bridge.url", headers=tracer.carrier)
        )
    return [TracedSink(sink, tracer) for sink in sinks] if tracer is not UNTRACED else sinks


def plan_deliveries(sinks: Sequence[Sink], bridge: BridgeSettings) -> Deliveries:
    """Say which sinks get which documents."""
    names = [sink.name for sink in sinks]
    to_bridge = (BRIDGE,) if BRIDGE in names else ()
    return Deliveries(
        anything=tuple(name for name in names if name in _TAKE_ANYTHING),
        nvschema=tuple(name for name in names if name not in {BRIDGE, *_TAKE_ANYTHING}),
        reviews=to_bridge,
        incidents=to_bridge if bridge.incidents_stream else (),
    )


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


def build_doors(
    settings: Settings, service: Service, verifier: Verifies, arms: Arms, gate: Gate, clock: Clock
) -> Doors:
    """Make the doors that read for themselves, as the settings name them.

    Args:
        settings: which ones.
        service: takes what they read.
        verifier: decides what is not kept.
        arms: changes which of them answer.
        gate: lets callers of gRPC in.
        clock: of the service.

    Raises:
        SettingsError: one needs an extra that is not installed, or an option is wrong.
    """
    http = settings.http
    limits: Mapping[str, Any] = {
        "max_bytes": http.max_body_bytes,
        "max_depth": http.max_json_depth,
    }
    decode = partial(decode_record, **limits)
    doors: dict[str, Door] = {}
    held: list[Closes] = []

    def intake(source: str, dead_letters: DeadLetters, decode: Decode = decode) -> RecordIntake:
        held.append(dead_letters)
        return RecordIntake(source, decode, service, dead_letters, service.meter, service.tracer)

    if settings.grpc.enabled:
        with _extra("grpc.enabled"):
            from sidecar.doors.rpc import RpcDoor
            from sidecar.doors.rpc_access import AccessInterceptor
            from sidecar.doors.rpc_traced import Traced
        folder = inline_folder(settings)
        media = InlineMediaFolder(folder, settings.media) if folder else None
        certified = settings.grpc.tls.client_ca is not None
        doors["door grpc"] = RpcDoor(
            settings.grpc,
            service,
            arms,
            verifier.verify,
            media,
            [
                AccessInterceptor(gate, has_certificates=certified),
                *([] if service.tracer is UNTRACED else [Traced(service.tracer)]),
            ],
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
    bridge = settings.bridge
    if bridge.url.get_secret_value():
        with _extra("bridge.url"):
            from sidecar.doors.streams import StreamsDoor
            from sidecar.outside.dead_letters_streams import StreamsDeadLetters, connect_redis
        taken = intake(BRIDGE, StreamsDeadLetters(bridge), partial(decode_alert, **limits))
        doors["door bridge"] = StreamsDoor(connect_redis(bridge), bridge, taken, clock)
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


def build_reviewer(
    settings: Settings,
    switchboard: Switchboard,
    asker: Asker,
    clock: Clock,
    registry: CollectorRegistry,
) -> Reviewer:
    """Make what reviews alerts of VSS 2.4, whoever asks for it."""
    review = settings.review
    looker = Looker(switchboard, asker, clock, review, PrometheusReviewMeter(registry))
    return Reviewer(LocalReviewMedia(review, settings.media), looker, clock, review)


def build_review(settings: Settings, reviewer: Reviewer, service: Service) -> Review:
    """Make what the Event Reviewer API asks."""
    review, clock = settings.review, service.clock
    media = LocalReviewMedia(review, settings.media)
    files = FolderFileStore(review, settings.media, media)

    async def is_ready() -> bool:
        return not any(it.problem and it.required for it in await service.health())

    return Review(
        reviewer=reviewer,
        captioner=Captioner(files, reviewer.looker, clock, review),
        files=files,
        model=reviewer.looker.model,
        is_ready=is_ready,
        clock=clock,
    )


def build_bridge(
    settings: Settings,
    reviewer: Reviewer,
    verifier: Verifier,
    recorder: FileLookup | None,
) -> VerifierByOrigin:
    """Make what decides events, alerts of VSS 2.4 included.

    Raises:
        SettingsError: the file of defaults cannot be used.
    """
    reviews = BridgeVerifier(
        reviewer=reviewer,
        switchboard=verifier.switchboard,
        prompts=verifier.prompts,
        recorder=recorder,
        clock=verifier.clock,
        defaults=load_alert_defaults(settings.bridge.request_defaults),
    )
    return VerifierByOrigin(verifier, reviews)


def build_websocket(
    settings: Settings, service: Service, registry: CollectorRegistry
) -> WebSocketDoor:
    """Make what shows verdicts over WebSocket."""
    meter = PrometheusAudienceMeter(registry)
    return WebSocketDoor(service, settings.websocket, settings.bridge, meter)


def density_reader(settings: Settings) -> ReadsDensity | None:
    """Return what reads the report of the last density run; None when none is named."""
    report = settings.density.report
    return DensityReport(report).read if report else None


def build_chats(settings: Settings, verifier: Verifier, clips: Clips, clock: Clock) -> Chats:
    """Make what the OpenAI face asks."""
    return Chats(
        switchboard=verifier.switchboard,
        asker=verifier.asker,
        media=ChatMedia(clips, settings.media.max_bytes),
        clock=clock,
        slots=Slots(settings.openai.max_in_flight),
        deadline_s=settings.verify.deadline_s,
        default_mode=ChatMode(settings.openai.mode),
        text_for_failure=settings.openai.no_verdict == "text",
    )


@dataclass(frozen=True, slots=True)
class Access:
    """Who may call, at each door."""

    http: HttpAccess
    rpc: Gate


def build_access(settings: Settings, registry: CollectorRegistry, clock: Clock) -> Access:
    """Make what lets callers in; a key has one rate for all doors.

    Raises:
        SettingsError: the file of keys cannot be used, or a key is there twice.
    """
    security = settings.security
    keys, limits = KeyRing(security), RateLimits(clock)
    meter = PrometheusAccessMeter(registry)

    def gate(door: str, host: str) -> Gate:
        trusted, free = security.trusted_networks, is_open(security, host)
        return Gate(door, keys, limits, meter, trusted=trusted, is_open=free)

    http = settings.http
    return Access(
        HttpAccess(
            gate("http", http.host),
            security.cors_origins,
            http.max_requests,
            Sessions(clock, security.session_s),
        ),
        gate("grpc", settings.grpc.host),
    )


def body_limits(settings: Settings) -> Mapping[str, Limit]:
    """Return how large bodies may be, by path, where the usual limit is too small."""
    chat = Limit(settings.openai.max_body_bytes, variable_of("openai.max_body_bytes"))
    return {**upload_limits(settings.media.max_bytes), CHAT_PATH: chat}
