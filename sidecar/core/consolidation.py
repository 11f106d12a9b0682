"""Folding RT-VLM's chunks of one camera and alert type into events. Pure.

Rules and names are those of VSS's `incident_service.py` (services/alert, 3.3 line).
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from sidecar.settings import ConsolidationSettings

MAX_QUERIES: Final = 200
"""Of the chunks' `llm.queries` that an event keeps."""

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Folded:
    """Events, the latest first, and how often an event ended for which reason."""

    events: tuple[Document, ...]
    splits: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _Chunk:
    document: Document
    start: datetime
    end: datetime

    @property
    def info(self) -> Mapping[str, Any]:
        info = self.document.get("info")
        return info if isinstance(info, Mapping) else {}

    @property
    def identity(self) -> str:
        return str(self.document.get("Id") or self.document.get("_id") or "")

    @property
    def camera(self) -> tuple[str, str]:
        return str(self.document["sensorId"]), str(self.document["category"])


def consolidate(documents: Iterable[Document], bounds: ConsolidationSettings) -> Folded:
    """Fold confirmed chunks that follow each other; others are left out."""
    chunks = [chunk for chunk in map(_read, documents) if chunk is not None]
    chunks.sort(key=lambda chunk: (chunk.camera, chunk.start, chunk.identity))
    events: list[tuple[datetime, Document]] = []
    splits: Counter[str] = Counter()
    for _, of_camera in groupby(chunks, key=lambda chunk: chunk.camera):
        event: list[_Chunk] = []
        for chunk in of_camera:
            reason = _why_not(event, chunk, bounds) if event else ""
            if reason:
                splits[reason] += 1
                events.append((event[0].start, _build_event(event, bounds)))
                event = []
            event.append(chunk)
        events.append((event[0].start, _build_event(event, bounds)))
    events.sort(key=itemgetter(0), reverse=True)
    return Folded(tuple(event for _, event in events), splits)


def _read(document: Document) -> _Chunk | None:
    start = _time(document.get("timestamp"))
    if start is None or not document.get("sensorId") or not document.get("category"):
        return None
    chunk = _Chunk(document, start, _time(document.get("end")) or start)
    return chunk if chunk.info.get("verdict") == "confirmed" else None


def _why_not(event: Sequence[_Chunk], chunk: _Chunk, bounds: ConsolidationSettings) -> str:
    """Return why a chunk does not belong to an event any more; "" when it does."""
    longest = bounds.max_duration_s
    if longest is not None and chunk.end - event[0].start > timedelta(seconds=longest):
        return "outer"
    gap = chunk.start - event[-1].end
    return "gap" if gap > timedelta(seconds=bounds.max_gap_s) else ""


def _build_event(chunks: Sequence[_Chunk], bounds: ConsolidationSettings) -> Document:
    """Clone the representative chunk and widen it over all."""
    first, last = chunks[0], max(chunks, key=lambda chunk: chunk.end)
    shown = chunks[-1]
    if bounds.representative == "longest_reasoning":
        shown = max(chunks, key=lambda chunk: len(str(chunk.info.get("reasoning") or "")))
    event = deepcopy(dict(shown.document))
    start = first.document["timestamp"]
    event["Id"] = event["_id"] = _event_id(first)
    event["timestamp"] = start
    is_end = _time(last.document.get("end")) is not None
    event["end"] = last.document["end"] if is_end else last.document["timestamp"]
    event["chunk_ids"] = [chunk.identity for chunk in chunks if chunk.identity]
    event["info"] = {**shown.info, **_facts(chunks)}
    queries = [query for chunk in chunks for query in _queries(chunk)]
    if queries:
        event["info"]["mergedQueryCount"] = str(len(queries))
        event["llm"] = {**event["llm"]} if isinstance(event.get("llm"), Mapping) else {}
        event["llm"]["queries"] = queries[:MAX_QUERIES]
    return event


def _event_id(first: _Chunk) -> str:
    request = str(first.info.get("requestId", ""))
    key = "|".join((*first.camera, request, str(first.document["timestamp"])))
    return "evt-" + hashlib.sha1(key.encode(), usedforsecurity=False).hexdigest()


def _facts(chunks: Sequence[_Chunk]) -> Mapping[str, str]:
    facts = {"isConsolidated": "true", "chunkCount": str(len(chunks))}
    numbers = [int(index) for chunk in chunks if (index := _index(chunk)).isdecimal()]
    if numbers:
        facts["chunkIdxRange"] = f"{min(numbers)}-{max(numbers)}"
    return facts


def _index(chunk: _Chunk) -> str:
    return str(chunk.info.get("chunkIdx", ""))


def _queries(chunk: _Chunk) -> Sequence[Any]:
    llm = chunk.document.get("llm")
    queries = llm.get("queries") if isinstance(llm, Mapping) else None
    return queries if isinstance(queries, list) else []


def _time(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
