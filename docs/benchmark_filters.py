"""Measure reading and filtering events alone, without ledger and broker, on one core.

usage: benchmark_filters.py    (also as part of `benchmark.py ingest`)

The events are those of VSS's behaviour analytics: 50 updates of each incident, of which the filters
let the first one through. Rates are per second of CPU, which other programs do not disturb.
"""

import gc
import os
import statistics
import time
from collections.abc import Callable, Collection, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import orjson

from sidecar.contract.body import parse_json_object
from sidecar.contract.nvschema import from_protobuf, to_protobuf
from sidecar.core.filters import Filters
from sidecar.core.identity import iso_ms
from sidecar.core.intake import Intake
from sidecar.model import Accepted, EventKind, VerifyEvent
from sidecar.outside.clock import SystemClock
from sidecar.settings import EndTimeDeltaSettings, FilterSettings

RAW_EVENTS = 50_000
REPEATS = 3
CAMERAS = 50
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
MEDIA = "http://127.0.0.1:9/clip.mp4"

EVERY_CORE = os.sched_getaffinity(0)
ONE_CORE = {min(EVERY_CORE)}


def build_incident(number: int, updates: int = 1) -> dict[str, Any]:
    """Build an event of VSS's behaviour analytics; `updates` of them in a row share a cohort."""
    cohort, update = divmod(number, updates)
    begin = BEGIN + timedelta(milliseconds=cohort)
    return {
        "sensorId": f"camera-{cohort % CAMERAS}",
        "timestamp": iso_ms(begin),
        "end": iso_ms(begin + timedelta(seconds=10 + update / 10)),
        "objectIds": ["958741182", "958750871"],
        "place": {"name": "city=Montague/intersection=Lafayette_Agnew"},
        "analyticsModule": {
            "id": "Collision Detection Module",
            "description": "Potential collision detected between 2 vehicles",
        },
        "category": "collision",
        "isAnomaly": True,
        "info": {"primaryObjectId": "958750871", "media_urls": [MEDIA], "media_type": "video"},
    }


def encode_protobuf(incident: Mapping[str, Any]) -> bytes:
    """Write an incident as VSS does on brokers."""
    return to_protobuf(incident, EventKind.INCIDENT)


def main() -> None:
    """Print raw events per second of reading and filtering alone, without ledger and broker."""
    incidents = [build_incident(number, updates=50) for number in range(RAW_EVENTS)]
    texts = [orjson.dumps(incident) for incident in incidents]
    messages = [encode_protobuf(incident) for incident in incidents]
    read = partial(Intake().read, kind=EventKind.INCIDENT)
    events = [read(incident) for incident in incidents]
    print("\n| filters alone: from | raw events/s | let through |\n|---|---|---|")
    gc.freeze()  # a service does not hold all these events while it reads them
    with on_cores(ONE_CORE):
        _print_filtering("an event that was read", events, lambda event: event)
        _print_filtering("a JSON object", incidents, read)
        _print_filtering("JSON bytes", texts, lambda it: read(parse_json_object(it, 32)))
        _print_filtering("protobuf", messages, _read_protobuf)


def _print_filtering(
    name: str, raw: Sequence[Any], read: Callable[[Any], VerifyEvent], repeats: int = REPEATS
) -> None:
    rates, passed = [], 0
    for _ in range(repeats):
        begun = time.process_time()
        passed = _filter(raw, read)
        rates.append(len(raw) / (time.process_time() - begun))
    print(f"| {name} | {statistics.median(rates):,.0f} | {passed} of {len(raw)} |")


def _read_protobuf(value: bytes) -> VerifyEvent:
    return Intake().read(from_protobuf(value, EventKind.INCIDENT), EventKind.INCIDENT)


def _filter(raw: Sequence[Any], read: Callable[[Any], VerifyEvent]) -> int:
    """Do what the service does up to the ledger, which would take all that is let through."""
    settings = FilterSettings(end_time_delta=EndTimeDeltaSettings(enabled=True))
    filters, passed = Filters(settings, SystemClock()), 0
    for one in raw:
        event = read(one)
        rules = filters.rules_for(event)
        if filters.check(event, rules) is None:
            filters.learn(event, rules, Accepted(event.key, is_new=True))
            passed += 1
    return passed


@contextmanager
def on_cores(cores: Collection[int]) -> Generator[None]:
    """Keep this process, and what it starts meanwhile, on some cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


if __name__ == "__main__":
    main()
