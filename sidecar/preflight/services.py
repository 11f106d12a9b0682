"""Whether everything outside that the settings name is there and does what is asked of it."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final

import aiohttp
from pydantic import SecretStr

from sidecar.app import App, build
from sidecar.ports import Part
from sidecar.preflight.result import Result, Status
from sidecar.settings import KafkaSettings, Settings

ARMS: Final = "arms"
"""Name of the part that stands for the models' servers."""
_RETRY_S: Final = 2.0
_ASK_S: Final = 5.0
_SKEW_WARNING_S: Final = 2.0
"""A Date header counts whole seconds, so less says nothing."""
_SKEW_ERROR_S: Final = 30.0
"""Clips are cut by time: three windows of 10 s beside the event, nothing of it is seen."""


@asynccontextmanager
async def _apart(settings: Settings) -> AsyncIterator[App]:
    """Wire the service beside a running one: another ledger, and no doors."""
    with tempfile.TemporaryDirectory() as folder:
        ledger = settings.ledger.model_copy(
            update={
                "path": Path(folder) / "ledger.db",
                "redis": settings.ledger.redis.model_copy(update={"url": SecretStr("")}),
            }
        )
        quiet = settings.model_copy(
            update={
                "ledger": ledger,
                "kafka": settings.kafka.model_copy(update={"bootstrap_servers": ""}),
                "streams": settings.streams.model_copy(update={"url": SecretStr("")}),
                "bridge": settings.bridge.model_copy(update={"url": SecretStr("")}),
                "websocket": settings.websocket.model_copy(update={"enabled": False}),
                "grpc": settings.grpc.model_copy(update={"enabled": False}),
            }
        )
        app = build(quiet)
        try:
            yield app
        finally:
            await app.close()


async def check_services(settings: Settings, wait_s: float) -> list[Result]:
    """Ask everything outside; what is not there within `wait_s` is an error, at 0 a warning.

    Raises:
        SettingsError: the service could not be wired.
    """
    give_up = time.monotonic() + wait_s
    away = Status.ERROR if wait_s else Status.WARNING
    async with _apart(settings) as app:
        named = dict(_parts(app))
        problems = await asyncio.gather(*(_wait_for(part, give_up) for part in named.values()))
        results = [
            Result(name, away if problem else Status.OK, problem or "It answers.")
            for name, problem in zip(named, problems, strict=True)
        ]
        is_up = not dict(zip(named, problems, strict=True))[ARMS]
        if settings.canary.enabled and is_up:
            results.append(await _look(app))
    return [*results, *await _stores(settings, away), *await _clocks(settings)]


def _parts(app: App) -> Iterator[tuple[str, Part]]:
    for name, part in {**app.service.parts, **app.service.sinks}.items():
        if name not in ("ledger", "canary"):
            yield name, part


async def _wait_for(part: Part, give_up: float) -> str:
    """Return the last problem of a part, "" as soon as it has none."""
    while problem := await part.ping():
        if time.monotonic() + _RETRY_S > give_up:
            break
        await asyncio.sleep(_RETRY_S)
    return problem


async def _look(app: App) -> Result:
    """Let the model verify the built-in clip: a server that says it is ready may still fail."""
    await app.canary.look()
    problem = await app.canary.ping()
    if problem:
        text = f"The server says that it is ready and cannot verify a clip: {problem}"
        return Result("canary", Status.ERROR, text)
    return Result("canary", Status.OK, "The model verified the built-in clip.")


async def _stores(settings: Settings, away: Status) -> list[Result]:
    """Ask the brokers that the settings name; a ledger in Redis is asked by `sidecar.check`."""
    results = []
    if settings.kafka.bootstrap_servers:
        results.append(await asyncio.to_thread(check_kafka, settings.kafka, away))
    urls = {"redis streams": settings.streams.url, "bridge": settings.bridge.url}
    for name, url in urls.items():
        if url.get_secret_value():
            results.append(_answered(name, await _redis(url.get_secret_value()), away))
    return results


def _answered(name: str, problem: str, away: Status) -> Result:
    return Result(name, away if problem else Status.OK, problem or "It answers.")


async def _redis(url: str) -> str:
    from redis.asyncio import Redis
    from redis.exceptions import RedisError

    async with Redis.from_url(url, socket_timeout=_ASK_S, socket_connect_timeout=_ASK_S) as redis:
        try:
            await redis.ping()
        except (RedisError, OSError) as error:
            return f"Redis does not answer: {error}. Start it, or correct its URL."
    return ""


def check_kafka(settings: KafkaSettings, away: Status) -> Result:
    """Look for a broker, for the topics, and whether the addresses that it tells can be reached."""
    from confluent_kafka import KafkaException
    from confluent_kafka.admin import AdminClient

    options = {name: it.get_secret_value() for name, it in settings.options.items()}
    admin = AdminClient(
        {**options, "bootstrap.servers": settings.bootstrap_servers, "log_level": 0}
    )
    try:
        found = admin.list_topics(timeout=_ASK_S)
    except KafkaException as error:
        text = f"No broker answers at {settings.bootstrap_servers}: {error.args[0].str()}."
        return Result("kafka", away, text)
    missing = {settings.incidents_topic, settings.alerts_topic} - set(found.topics)
    if missing:
        text = f"There is no topic {', '.join(sorted(missing))}: create it, or correct its name."
        return Result("kafka", away, text)
    for broker in found.brokers.values():
        if problem := _unreachable(str(broker.host), broker.port):
            return Result("kafka", away, problem)
    return Result("kafka", Status.OK, f"{len(found.brokers)} brokers, topics are there.")


def _unreachable(host: str, port: int) -> str:
    import socket

    try:
        socket.create_connection((host, port), _ASK_S).close()
    except OSError as error:
        return (
            f"The broker tells clients to connect to {host}:{port}, which fails: {error}. "
            "Correct its advertised listeners."
        )
    return ""


async def _clocks(settings: Settings) -> list[Result]:
    """Compare this machine's clock with those whose times meet ours: VST's, and the sink's."""
    urls = {
        "VST": settings.vst.base_url,
        "Elasticsearch": next(iter(settings.sinks.elastic.hosts), ""),
    }
    skews = {name: await _skew_of(url) for name, url in urls.items() if url}
    return list(judge_clocks({name: it for name, it in skews.items() if it is not None}))


async def _skew_of(url: str) -> float | None:
    """Return how many seconds a server's clock is ahead of ours; None when it does not tell."""
    timeout = aiohttp.ClientTimeout(total=_ASK_S)
    with suppress(aiohttp.ClientError, TimeoutError, OSError, ValueError):
        async with aiohttp.ClientSession(timeout=timeout) as client, client.get(url) as answer:
            told = answer.headers.get("Date")
            if told:
                return (parsedate_to_datetime(told) - datetime.now(UTC)).total_seconds()
    return None


def judge_clocks(skews: Mapping[str, float]) -> Iterator[Result]:
    """Say whether clocks that are apart by so many seconds still show the same events."""
    for name, skew_s in skews.items():
        apart_s = abs(skew_s)
        shown = f"{name}'s clock is {apart_s:.0f} s {'ahead' if skew_s > 0 else 'behind'}"
        if apart_s > _SKEW_ERROR_S:
            text = (
                f"{shown}, so clips show another time than their event's. Synchronise them (NTP)."
            )
            yield Result("clock", Status.ERROR, text)
        elif apart_s > _SKEW_WARNING_S:
            yield Result("clock", Status.WARNING, f"{shown}. Synchronise them (NTP).")
        else:
            yield Result("clock", Status.OK, f"{name}'s clock agrees.")


def worst(results: Sequence[Result]) -> Status:
    """Return the worst status."""
    order = (Status.ERROR, Status.WARNING, Status.OK)
    return next((it for it in order if any(result.status is it for result in results)), Status.OK)
