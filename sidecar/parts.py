"""Which part fulfils which port, by the settings. With `app`, the only place that names them.

What comes with an extra (Kafka, Redis) is imported when the settings ask for it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Protocol

from sidecar.contract.nvschema import to_protobuf
from sidecar.core.layers import MeteredVlm, RetryingVlm
from sidecar.core.plugins import Plugins, load_object
from sidecar.core.routing import Arm, Routing
from sidecar.errors import SettingsError
from sidecar.model import SamplePlan, Sampling, VerdictRecord
from sidecar.outside.baseline import OpenCvBaseline
from sidecar.outside.ledger_sqlite import SqliteLedger
from sidecar.outside.prompts import SHIPPED_ALERT_TYPES, SqlitePromptBook, load_alert_types
from sidecar.outside.sinks.console import ConsoleSink
from sidecar.outside.sinks.elastic import ElasticSink
from sidecar.outside.sinks.webhook import WebhookSink
from sidecar.outside.sqlite import Database
from sidecar.outside.vlm_http import HttpVlm
from sidecar.ports import Clock, Ledger, Meter, PromptBook, Sink, VlmAdapter, VlmBackend
from sidecar.settings import ArmSettings, LedgerSettings, Settings, SinkSettings


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
        return Store(SqliteLedger(database, settings, clock), book, (database,))
    with _extra("redis", "ledger.redis.url"):
        from sidecar.outside.ledger_redis import RedisLedger
        from sidecar.outside.prompts_redis import RedisPromptBook
        from sidecar.outside.redis_store import RedisStore
    redis = settings.redis
    store = RedisStore(
        redis.url.get_secret_value(),
        namespace=redis.namespace,
        timeout_s=redis.timeout_s,
        wait_aof=redis.wait_aof,
        is_cluster=redis.is_cluster,
    )
    ledger = RedisLedger(store, settings, clock, lease_s=redis.lease_s, on_news=on_news)
    return Store(ledger, RedisPromptBook(store, clock), (ledger, store))


async def seed_prompts(prompts: PromptBook, settings: Settings) -> None:
    """Fill the prompt book from the user's alert types, or from the shipped ones.

    Raises:
        SettingsError: the file cannot be read.
    """
    configs = load_alert_types(settings.prompts.alert_type_config or SHIPPED_ALERT_TYPES)
    await prompts.seed(configs, override=settings.prompts.override_on_start)


def build_routing(settings: Settings, plugins: Plugins, meter: Meter, clock: Clock) -> Routing:
    """Make the arms.

    Raises:
        SettingsError: an arm is unknown or has no endpoint, or an adapter cannot be loaded.
    """
    if settings.ab.primary not in settings.arms:
        known = ", ".join(sorted(settings.arms))
        raise SettingsError(f"ab.primary: there is no arm {settings.ab.primary!r}; known: {known}.")
    arms = {
        name: _build_arm(name, arm, settings, plugins, meter, clock)
        for name, arm in settings.arms.items()
    }
    families = {
        name: load_object(adapter, f"adapters.{name}").profile
        for name, adapter in settings.adapters.items()
    }
    return Routing(arms, settings.ab.primary, families)


def _build_arm(
    name: str, arm: ArmSettings, settings: Settings, plugins: Plugins, meter: Meter, clock: Clock
) -> Arm:
    known = settings.adapters.get(arm.adapter or name, arm.adapter)
    if not known:
        choices = ", ".join(sorted(settings.adapters))
        raise SettingsError(f"arms.{name}.adapter: name one of {choices}, or package.module:ATTR.")
    adapter = plugins.around(load_object(known, f"arms.{name}.adapter"))
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
    metered = MeteredVlm(HttpVlm(name, arm), meter, name, clock)
    return RetryingVlm(metered, arm.retries, arm.reconnect_s, clock)


def _plan(arm: ArmSettings, plan: SamplePlan) -> SamplePlan:
    return replace(
        plan,
        form=arm.evidence or plan.form,
        fps=arm.fps or plan.fps,
        max_frames=arm.max_frames or plan.max_frames,
        max_pixels=arm.max_pixels or plan.max_pixels,
    )


def build_sinks(settings: SinkSettings, clock: Clock) -> list[Sink]:
    """Make the sinks that are switched on.

    Raises:
        SettingsError: one needs an extra that is not installed.
    """
    sinks: list[Sink] = []
    if settings.console.enabled:
        sinks.append(ConsoleSink(sys.stdout))
    if settings.webhook.url:
        sinks.append(WebhookSink(settings.webhook, clock))
    if settings.elastic.hosts:
        sinks.append(ElasticSink(settings.elastic))
    if settings.kafka.bootstrap_servers:
        with _extra("kafka", "sinks.kafka.bootstrap_servers"):
            from sidecar.outside.sinks.kafka import KafkaSink
        sinks.append(KafkaSink(settings.kafka, _encode))
    if settings.streams.url.get_secret_value():
        with _extra("redis", "sinks.streams.url"):
            from sidecar.outside.sinks.streams import StreamsSink
        sinks.append(StreamsSink(settings.streams, _encode))
    return sinks


@contextmanager
def _extra(name: str, setting: str) -> Iterator[None]:
    """Tell which extra is missing for a setting."""
    try:
        yield
    except ImportError as error:
        raise SettingsError(
            f"{setting}: needs what is not installed ({error.name}): "
            f"pip install 'vss-vlm-sidecar[{name}]'."
        ) from error


def _encode(record: VerdictRecord) -> bytes:
    return to_protobuf(record.document, record.kind)
