"""What is kept of a run beside its summary: every sample, and latencies as an HdrHistogram log."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogWriter

from sidecar.density.account import Sample
from sidecar.density.judge import Observed
from sidecar.errors import SettingsError

_LONGEST_US: Final = 3_600_000_000
_DIGITS: Final = 3
_INTERVAL_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Kept:
    """Where the records of a run are."""

    samples: Path
    histogram: Path


def keep_run(folder: Path, target: str, observed: Observed) -> Kept:
    """Write down a run.

    `*.jsonl.gz` has a line for each event that was offered, in the order of their times;
    `*.hlog` the latencies of verified events in microseconds of the board, by intervals of 10 s.

    Args:
        folder: is there.
        target: what was asked.
        observed: the run.
    """
    stem = f"{target}-{observed.streams}-streams-seed-{observed.seed}"
    place = 0
    while (samples := folder / f"{stem}{f'-{place}' if place else ''}.jsonl.gz").exists():
        place += 1
    kept = Kept(samples, samples.with_suffix("").with_suffix(".hlog"))
    with gzip.open(kept.samples, "wb") as file:
        for sample in observed.accounts.samples:
            file.write(orjson.dumps(_line(sample), option=orjson.OPT_APPEND_NEWLINE))
    with kept.histogram.open("w", encoding="ascii") as file:
        _write_log(file, observed)
    return kept


def read_latencies(path: Path) -> dict[int, float]:
    """Read the latency of each verified event of a run, by its number.

    Raises:
        SettingsError: the file is none of ours.
    """
    found = {}
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                it = orjson.loads(line)
                if it["ending"] == "verified":
                    found[int(it["number"])] = float(it["latency_s"])
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(f"{path} holds no samples of a density run: {error}") from None
    return found


def _line(sample: Sample) -> dict[str, Any]:
    end = sample.end
    return {
        "number": sample.offer.number,
        "id": sample.name,
        "sensor": sample.offer.sensor,
        "noisy": sample.offer.is_noisy,
        "due_s": sample.offer.at_s,
        "sent_s": sample.sent_s,
        "ended_s": sample.ended_s,
        "latency_s": sample.latency_s,
        "ending": end.ending.value if end else "missing",
        "reason": end.reason if end else "",
        "confirmed": end.confirmed if end else None,
    }


def _write_log(file: Any, observed: Observed) -> None:
    log = HistogramLogWriter(file)
    log.output_log_format_version()
    log.output_comment(
        "[latency from the scheduled time to the verdict, in microseconds of the board]"
    )
    log.output_legend()
    for start_s, histogram in _intervals(observed.accounts.samples):
        histogram.set_start_time_stamp(start_s * 1000)
        histogram.set_end_time_stamp((start_s + _INTERVAL_S) * 1000)
        log.output_interval_histogram(histogram)


def _intervals(samples: list[Sample]) -> Iterator[tuple[float, HdrHistogram]]:
    """Yield a histogram for each interval in which verified events were due."""
    by_interval: dict[int, HdrHistogram] = {}
    for sample in samples:
        if sample.is_verified and sample.latency_s is not None:
            interval = int(sample.offer.at_s // _INTERVAL_S)
            histogram = by_interval.setdefault(interval, HdrHistogram(1, _LONGEST_US, _DIGITS))
            histogram.record_value(max(round(sample.latency_s * 1e6), 1))
    for interval, histogram in sorted(by_interval.items()):
        yield interval * _INTERVAL_S, histogram
