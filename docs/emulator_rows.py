"""Published rows about boards, and what the emulator predicts for each from given numbers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from sidecar.hw.facts import load_facts
from sidecar.hw.memory import weights_gib
from sidecar.testing.emulated_boards import (
    Emulated,
    Fit,
    Shape,
    alert_shape,
    build,
    load_emulator,
    video_shape,
)
from sidecar.testing.emulated_pipeline import (
    Run,
    StaticPolicy,
    run_pipeline,
    steady_cameras,
)
from sidecar.testing.emulator import Job, Speed, serve_closed

POINTS = Path(__file__).parent / "emulator_points.yaml"
KNOWN, FACTS = load_emulator(), load_facts()
ARCHITECTURE = FACTS.model("cosmos3-nano").architecture
KV_TOKENS = 389_344
"""Of the H100 that was measured; no row here is bound by it."""
SEQUENCES = 4
"""At the same time, on every board (sidecar/hw/facts.yaml)."""
RUN_S = 7200.0
"""Length of runs whose backlog grew, which is not published. With this one number and `OFFERED`
the means of both such rows of the Spark come out nearly right."""
OFFERED = 4.73
"""Events a minute and stream offered to them: what streams gave on boards that kept up."""
STABLE_S = 900.0
"""Length of runs that kept up, whose mean does not depend on it."""
GROWS_S = 20.0
"""A mean above this is that of a run whose backlog grew."""
ALERTS, GROWING = "alerts", "alerts, growing backlog"
"""Kinds of rows."""
RATES_WEIGH = 5.0
"""A rate over hours is known better than a mean of seconds, and small errors of it add up."""
Numbers = dict[str, float]
Published = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """A published number, and what it takes to predict it.

    Attributes:
        group: rows that are fitted together.
        kind: rows whose errors are stated together.
        why: it is only compared, or how it was read.
        weight: of its error in the fit.
        only: the number that nothing but this row tells.
    """

    name: str
    group: str
    kind: str
    unit: str
    published: float
    is_fitted: bool
    why: str
    predict: Callable[[Numbers], float]
    weight: float = 1.0
    only: str = ""

    @property
    def key(self) -> str:
        """What names it among all."""
        return f"{self.kind}: {self.name}"


def read_rows() -> list[Row]:
    """Read every published row."""
    points = yaml.safe_load(POINTS.read_text("utf-8"))
    readers = {
        "bench": _bench,
        "bench_captions": _captions,
        "chunks": _chunks,
        "gpu_share": _gpu_shares,
        "alerts": _alerts,
        "saturated": _saturated,
        "model_only": _model_only,
        "own": _own,
    }
    return [row for name, reader in readers.items() for row in reader(points[name])]


def emulated(
    numbers: Numbers, board: str, precision: str, stack: str = "rtvi-vlm", cv_streams: int = 0
) -> Emulated:
    """Build a board from numbers that are being tried."""
    return build(
        Fit(numbers=numbers),
        board,
        precision,
        KNOWN.stacks[stack],
        architecture=ARCHITECTURE,
        weights_gib=weights_gib(FACTS, "cosmos3-nano", precision),
        kv_tokens=KV_TOKENS,
        sequences=SEQUENCES,
        cv_streams=cv_streams,
    )


def alert_board(numbers: Numbers, row: Published) -> tuple[Speed, Job]:
    """Return the server of a run with alerts, and what an alert costs it."""
    it = emulated(numbers, row["board"], row["precision"], cv_streams=row["streams"])
    return it.speed, it.job(alert_shape())


def run_alerts(numbers: Numbers, row: Published, seconds: float) -> Run:
    """Verify alerts with VSS's documented policy for so long, and let the line empty."""
    flow = KNOWN.alert
    speed, job = alert_board(numbers, row)
    spread = numbers.get("spread.alerts", 0.0)
    arrivals = steady_cameras(row["streams"], row["per_minute"], seconds, spread)
    policy = StaticPolicy(
        round(flow.in_flight.value), flow.timeout_s.value, round(flow.tries.value)
    )
    beside_s = flow.beside_model_s.value
    return run_pipeline(speed, lambda _: job, policy, arrivals, beside_model_s=beside_s)


def closed_rate(speed: Speed, job: Job, clients: int) -> float:
    """Return answers a second of a closed loop once it is filled."""
    rounds = 3 if clients > SEQUENCES else 6
    ended = serve_closed(speed, job, clients, clients * (rounds + 1))
    return (len(ended) - clients) / (ended[-1].at - ended[clients - 1].at)


def saturated_rate(row: Published, numbers: Numbers) -> float:
    """Return the verifications a second when there is always more to do."""
    return closed_rate(*alert_board(numbers, row), round(KNOWN.alert.in_flight.value))


def _bench_rate(board: str, request: str, answer: int, clients: int, numbers: Numbers) -> float:
    """Return the rate of the published closed loop, whose video's tokens are fitted."""
    it = emulated(numbers, board, "bf16", "vllm")
    tokens = round(1000 * numbers[f"ktokens.{request}"])
    return closed_rate(it.speed, it.job(Shape(0.0, tokens, 196, 50, answer)), clients)


def _chunk_run(row: Published, numbers: Numbers) -> Run:
    it = emulated(numbers, row["board"], "fp8")
    job = it.job(video_shape(448, 448, 80, text_tokens=56, answer_tokens=row["answer"]))
    spread = {"together": 0.0, "apart": 1.0, "fitted": numbers.get("spread.chunks", 0.0)}
    arrivals = steady_cameras(row["streams"], 6.0, 300.0, spread[row.get("when", "fitted")])
    return run_pipeline(it.speed, lambda _: job, StaticPolicy(1000), arrivals)


def _chunk_seconds(row: Published, numbers: Numbers) -> float:
    seconds = [one.seconds for one in _chunk_run(row, numbers).verdicts(since=50.0)]
    return sum(seconds) / len(seconds)


def _gpu_share(row: Published, numbers: Numbers) -> float:
    run = _chunk_run(row, numbers)
    return run.gpu_s / run.seconds


def _alert_seconds(row: Published, numbers: Numbers) -> float:
    ended = run_alerts(numbers, row, RUN_S if row["mean_s"] > GROWS_S else STABLE_S).ended
    return sum(one.seconds for one in ended) / len(ended)


def _alone(row: Published, numbers: Numbers) -> float:
    it = emulated(numbers, row["board"], row["precision"], cv_streams=1)
    return 1 / closed_rate(it.speed, it.job(alert_shape()), 1)


def _own_rate(row: Published, numbers: Numbers) -> float:
    it = emulated(numbers, row["board"], row["precision"], "vllm")
    job = it.job(video_shape(448, 448, row["frames"], text_tokens=60))
    return closed_rate(it.speed, job, row["clients"])


def _bench(bench: Published) -> Iterator[Row]:
    for board, columns in bench["rows"].items():
        for clients, rates in columns.items():
            is_fitted = clients in bench["fit_clients"]
            for request, rate in zip(("1fps", "2fps"), rates, strict=True):
                yield Row(
                    name=f"{board}, BF16, {request} video, {clients} clients",
                    group="bench",
                    kind="closed loop",
                    unit="requests/s",
                    published=rate,
                    is_fitted=is_fitted,
                    why="" if is_fitted else bench["why"],
                    predict=partial(_bench_rate, board, request, 1, clients),
                )


def _captions(captions: Published) -> Iterator[Row]:
    for row in captions["rows"]:
        name = f"h100, BF16, {row['request']} video, {row['clients']} clients, 100 tokens"
        predict = partial(_bench_rate, captions["board"], row["request"], 100, row["clients"])
        yield _row(row, name, "closed loop", "requests/s", row["rate"], predict, group="captions")


def _chunks(chunks: Published) -> Iterator[Row]:
    for row in chunks["rows"]:
        when = f" {row['when']}" if "when" in row else ""
        name = f"{row['board']}, FP8, {row['streams']} streams{when}, {_tokens(row['answer'])}"
        predict = partial(_chunk_seconds, row)
        yield _row(row, name, "live chunks", "s", row["mean_s"], predict)


def _gpu_shares(shares: Published) -> Iterator[Row]:
    for row in shares["rows"]:
        name = f"{row['board']}, FP8, {row['streams']} streams, {_tokens(row['answer'])}"
        yield _row(row, name, "GPU's share", "", row["share"], partial(_gpu_share, row))


def _alerts(alerts: Published) -> Iterator[Row]:
    for row in alerts["rows"]:
        name = f"{row['board']}, {row['precision'].upper()}, {row['streams']} streams, end to end"
        kind = GROWING if row["mean_s"] > GROWS_S else ALERTS
        yield _row(row, name, kind, "s", row["mean_s"], partial(_alert_seconds, row))


def _saturated(saturated: Published) -> Iterator[Row]:
    for row in saturated["rows"]:
        name = f"{row['board']}, {row['precision'].upper()}, {row['streams']} streams, rate"
        rate = row["streams"] * row["per_minute"] / 60
        predict = partial(saturated_rate, row)
        yield _row(row, name, ALERTS, "1/s", rate, predict, weight=RATES_WEIGH)


def _model_only(alone: Published) -> Iterator[Row]:
    for row in alone["rows"]:
        name = f"{row['board']}, {row['precision'].upper()}, 1 stream, the model alone"
        yield _row(row, name, ALERTS, "s", row["mean_s"], partial(_alone, row))


def _own(own: Published) -> Iterator[Row]:
    for row in own["rows"]:
        name = f"{row['board']}, BF16, {row['frames']} frames, {row['clients']} clients, own run"
        predict = partial(_own_rate, row)
        yield _row(row, name, "closed loop", "requests/s", row["rate"], predict, group="own")


def _row(
    row: Published,
    name: str,
    kind: str,
    unit: str,
    published: float,
    predict: Callable[[Numbers], float],
    **more: Any,
) -> Row:
    board = row.get("board", "")
    group = board if board in {"dgx-spark", "agx-thor"} else "servers"
    facts = {"group": group, "is_fitted": row["use"] == "fit", "why": row.get("why", "")}
    facts["only"] = row.get("only", "")
    return Row(
        name=name, kind=kind, unit=unit, published=published, predict=predict, **{**facts, **more}
    )


def _tokens(count: int) -> str:
    return f"{count} token{'' if count == 1 else 's'}"
