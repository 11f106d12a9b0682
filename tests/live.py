"""Realtime rules as the service wires them, for tests."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry

from sidecar.core.realtime import RealtimeRules
from sidecar.model import RealtimeRule
from sidecar.observe.realtime_metrics import PrometheusRealtimeMeter
from sidecar.outside.clock import SystemClock
from sidecar.outside.rtvi import RtviClient
from sidecar.outside.rules import SqliteRuleBook
from sidecar.outside.sqlite import Database
from sidecar.settings import RealtimeSettings

FIELDS = {
    "live_stream_url": "rtsp://camera/1",
    "alert_type": "fire",
    "prompt": "Is there a fire?",
    "chunk_duration": 30,
}


@dataclass(frozen=True)
class Live:
    """The rules over a file and a server of RT-VLM."""

    rules: RealtimeRules
    book: SqliteRuleBook
    registry: CollectorRegistry
    settings: RealtimeSettings

    @classmethod
    @asynccontextmanager
    async def at(cls, folder: Path, url: str, **changes: Any) -> AsyncGenerator["Live"]:
        quick = {"captions_ack_s": 0.3, "readiness_wait_s": 0.05, "timeout_s": 2.0}
        settings = RealtimeSettings(base_url=url, **(quick | changes))
        database, registry = Database(folder / "ledger.db"), CollectorRegistry()
        book, client = SqliteRuleBook(database), RtviClient(settings)
        meter = PrometheusRealtimeMeter(registry)
        rules = RealtimeRules(book, client if url else None, settings, SystemClock(), meter)
        try:
            yield cls(rules, book, registry, settings)
        finally:
            await rules.close()
            await client.close()
            await database.close()

    async def create(self, **changes: Any) -> RealtimeRule:
        return await self.rules.create(FIELDS | changes)

    async def statuses(self) -> list[str]:
        return [rule.status.value for rule in await self.book.list()]

    def metric(self, name: str, **labels: str) -> float | None:
        return self.registry.get_sample_value(f"alert_bridge_{name}", labels)
