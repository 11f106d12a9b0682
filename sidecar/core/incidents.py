"""Published incidents, one by one or folded into events."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sidecar.core.consolidation import consolidate
from sidecar.errors import IncidentQueryFailed, IncidentsUnavailable
from sidecar.model import IncidentPage, IncidentQuery
from sidecar.ports import Clock, IncidentSearch, RealtimeMeter
from sidecar.settings import ConsolidationSettings

SCAN_LIMIT: Final = 10_000
"""Chunks that are folded at once: what Elasticsearch gives in one page (max_result_window)."""


@dataclass(frozen=True, slots=True)
class Listed:
    """One page of incidents or events.

    Attributes:
        total: of all pages.
        is_truncated: whether there were more chunks than can be folded; the oldest are missing.
    """

    documents: tuple[Mapping[str, Any], ...]
    total: int
    is_truncated: bool = False


@dataclass(frozen=True, slots=True)
class Incidents:
    """Reads incidents.

    Attributes:
        index: where they are; None when no Elasticsearch is configured.
        bounds: of an event.
    """

    index: IncidentSearch | None
    bounds: ConsolidationSettings
    clock: Clock
    meter: RealtimeMeter

    async def list(self, query: IncidentQuery, *, offset: int, limit: int) -> Listed:
        """Return one page of the documents as they are, newest first.

        Raises:
            IncidentsUnavailable: there is no Elasticsearch.
            IncidentQueryFailed: it cannot be read.
        """
        page = await self._search(query, offset, limit)
        return Listed(page.documents, page.total)

    async def list_events(self, query: IncidentQuery, *, offset: int, limit: int) -> Listed:
        """Fold what RT-VLM confirmed into events, and return one page of those.

        Raises:
            IncidentsUnavailable: there is no Elasticsearch.
            IncidentQueryFailed: it cannot be read.
        """
        page = await self._search(replace(query, confirmed_chunks=True), 0, SCAN_LIMIT)
        started = self.clock.monotonic()
        folded = consolidate(page.documents, self.bounds)
        self.meter.consolidated(
            chunks=len(page.documents),
            events=len(folded.events),
            splits=folded.splits,
            seconds=self.clock.monotonic() - started,
        )
        return Listed(
            folded.events[offset : offset + limit],
            len(folded.events),
            page.total > len(page.documents),
        )

    async def _search(self, query: IncidentQuery, offset: int, limit: int) -> IncidentPage:
        if self.index is None:
            raise IncidentsUnavailable(
                "Elasticsearch is not available: set SIDECAR_SINKS__ELASTIC__HOSTS."
            )
        started = self.clock.monotonic()
        try:
            page = await self.index.search(query, offset=offset, limit=limit)
        except IncidentQueryFailed:
            self.meter.queried_incidents(self.clock.monotonic() - started, ok=False)
            raise
        self.meter.queried_incidents(self.clock.monotonic() - started, ok=True)
        return page
