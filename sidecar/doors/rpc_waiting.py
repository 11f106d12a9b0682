"""Callers that wait for verdicts: one follower of the ledger serves them all."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from sidecar.core.service import Service
from sidecar.errors import NotFound, StoreUnavailable
from sidecar.model import VerdictFilter, VerdictRecord

RETRY_S: Final = 1.0

_log = structlog.get_logger()


class Waiting:
    """Hands each verdict to those who wait for its key.

    Args:
        service: tells of verdicts.
        decided: called with each verdict of any event.
    """

    def __init__(
        self, service: Service, decided: Callable[[VerdictRecord], Awaitable[None]]
    ) -> None:
        self._service = service
        self._decided = decided
        self._waiting: dict[str, set[asyncio.Future[VerdictRecord]]] = defaultdict(set)

    async def run(self) -> None:
        """Follow the verdicts until cancelled; a ledger that is away for a while loses none."""
        seq: int | None = None
        while True:
            try:
                seq = await self._service.ledger.last_seq() if seq is None else seq
                async for record in self._service.follow(VerdictFilter(), seq):
                    if record is not None:
                        seq = record.seq
                        await self._hand_out(record)
            except StoreUnavailable as error:
                _log.error("verdicts_not_followed", detail=error.detail)
                await asyncio.sleep(RETRY_S)

    async def verdict_on(self, key: str) -> VerdictRecord:
        """Wait for the verdict on an accepted event.

        Raises:
            StoreUnavailable: the ledger cannot be read.
        """
        future: asyncio.Future[VerdictRecord] = asyncio.get_running_loop().create_future()
        self._waiting[key].add(future)
        try:
            # Decided before somebody waited for it: then nobody will hand it out.
            found = await self._find(key)
            return found if found is not None else await future
        finally:
            self._waiting[key].discard(future)
            if not self._waiting[key]:
                del self._waiting[key]

    async def _find(self, key: str) -> VerdictRecord | None:
        try:
            found = await self._service.find(key)
        except NotFound:
            return None
        return found if isinstance(found, VerdictRecord) else None

    async def _hand_out(self, record: VerdictRecord) -> None:
        for future in self._waiting.get(record.key, ()):
            if not future.done():
                future.set_result(record)
        await self._decided(record)
