"""Fit the emulator of boards to published rows, and write docs/emulator.md with each residual.

usage: fit_emulator.py            write the page and the stated errors for the numbers in force
       fit_emulator.py --refit    fit anew first, and once more without each row (ten minutes)
       fit_emulator.py --check    fail when the page or a stated error is not what comes out
"""

import argparse
import json
import math
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emulator_page import render_page
from emulator_rows import ALERTS, GROWING, KNOWN, Numbers, Row, read_rows
from scipy.optimize import least_squares

from sidecar.testing.emulated_boards import Fit

ROOT = Path(__file__).parents[1]
FIT = ROOT / "sidecar" / "testing" / "emulator_fit.json"
PAGE = ROOT / "docs" / "emulator.md"
MOST = 0.95
"""No board reaches more of its peak."""

# Number: first guess, least, most. A stage takes the numbers of those before it as they are.
STAGES: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "bench": {
        "ktokens.1fps": (1.8, 0.5, 10.0),
        "ktokens.2fps": (3.7, 0.5, 20.0),
        "request": (0.06, 0.001, 1.0),
        "prepare": (0.01, 0.0005, 0.2),
        "h100.bf16": (0.6, 0.1, MOST),
        "h200.bf16": (0.6, 0.1, MOST),
        "b200.bf16": (0.6, 0.1, MOST),
        "h100-nvl.bf16": (0.4, 0.1, MOST),
        "rtx-pro-6000.bf16": (0.7, 0.1, MOST),
        "h20.bf16": (0.9, 0.1, MOST),
    },
    "captions": {"h100.bandwidth": (0.7, 0.2, MOST)},
    "servers": {
        "h100.fp8": (0.55, 0.1, MOST),
        "h100.decode": (0.0007, 0.00001, 0.01),
        "rtx-pro-6000.fp8": (0.65, 0.1, MOST),
        "rtx-pro-6000.decode": (0.00015, 0.00001, 0.01),
        "rtx-pro-6000.bandwidth": (0.7, 0.2, MOST),
        "spread.alerts": (0.003, 0.001, 1.0),
        "spread.chunks": (0.2, 0.001, 1.0),
    },
    "dgx-spark": {
        "dgx-spark.bf16": (0.45, 0.05, MOST),
        "dgx-spark.fp8": (0.2, 0.05, MOST),
        "dgx-spark.nvfp4": (0.12, 0.05, MOST),
        "dgx-spark.prepare": (0.01, 0.0005, 1.0),
        "dgx-spark.bandwidth": (0.8, 0.2, MOST),
        "cv_weight": (0.3, 0.01, 0.9),
    },
    "agx-thor": {
        "agx-thor.fp8": (0.15, 0.02, MOST),
        "agx-thor.prepare": (0.1, 0.0005, 1.0),
        "agx-thor.decode": (0.003, 0.00001, 0.05),
        "agx-thor.bandwidth": (0.9, 0.2, MOST),
    },
}
# Efficiency that no row tells, and the one of the same board that it is derived from: what a
# precision gains over another in operations a second is taken from the Spark.
ASSUMED = {
    "agx-thor.bf16": "agx-thor.fp8",
    "agx-thor.nvfp4": "agx-thor.fp8",
    "rtx-pro-6000.nvfp4": "rtx-pro-6000.fp8",
}


def fit_stage(
    stage: str, fixed: Numbers, chosen: Sequence[Row], start: Numbers | None = None
) -> Numbers:
    """Find the numbers of a stage that make the relative errors of rows least.

    Args:
        stage: its numbers and their bounds.
        fixed: numbers of the stages before.
        chosen: the rows.
        start: where to begin, and then only a few steps.
    """
    bounds = STAGES[stage]
    low = [math.log(least) for _, least, _ in bounds.values()]
    high = [math.log(most) for _, _, most in bounds.values()]
    guesses = [math.log((start or {}).get(name, it[0])) for name, it in bounds.items()]
    inside = zip(guesses, low, high, strict=True)
    first = [min(max(guess, least + 1e-6), most - 1e-6) for guess, least, most in inside]

    def named(values: Any) -> Numbers:
        pairs = zip(bounds, values, strict=True)
        return {name: float(f"{math.exp(value):.5g}") for name, value in pairs}

    known: dict[tuple[object, ...], float] = {}

    def predicted(row: Row, numbers: Numbers) -> float:
        """Predict a row, once for all numbers that it does not depend on."""
        own = tuple(number for name, number in numbers.items() if _concerns(name, row))
        if (row.key, own) not in known:
            known[row.key, own] = row.predict(numbers)
        return known[row.key, own]

    def residuals(values: Any) -> list[float]:
        pairs = zip(bounds, values, strict=True)
        numbers = {**fixed, **{name: math.exp(value) for name, value in pairs}}
        return [it.weight * math.log(predicted(it, numbers) / it.published) for it in chosen]

    found = least_squares(
        residuals,
        first,
        bounds=(low, high),
        diff_step=0.01,
        loss="soft_l1",
        f_scale=0.2,
        xtol=1e-4,
        ftol=1e-4,
        max_nfev=6 if start else 25,
    )
    return named(found.x)


def fit_all(rows: Sequence[Row]) -> tuple[Numbers, dict[str, float]]:
    """Fit every stage; return the numbers, and each row's prediction by a fit without it."""
    numbers: Numbers = {}
    left_out: dict[str, float] = {}
    for stage in STAGES:
        chosen = [it for it in rows if it.group == stage and it.is_fitted]
        found = fit_stage(stage, numbers, chosen)
        print(stage, found, file=sys.stderr, flush=True)
        for row in chosen if len(chosen) > 1 else ():
            if row.only:
                continue
            rest = [it for it in chosen if it is not row]
            other = {**numbers, **fit_stage(stage, numbers, rest, start=found)}
            left_out[row.key] = float(f"{row.predict(other):.4g}")
            print(f"  {row.name}: {left_out[row.key]}", file=sys.stderr, flush=True)
        numbers |= found
    return {**numbers, **_assume(numbers)}, left_out


def state_errors(
    rows: Sequence[Row], predicted: Mapping[str, float], fit: Fit
) -> dict[str, dict[str, float]]:
    """Return typical and largest relative errors of each kind of row.

    `fitted` rows entered the fit, `left_out` are the same predicted by fits without them, and
    `checked` never entered it.
    """
    groups: dict[str, dict[str, list[float]]] = {}
    for row in rows:
        kind = groups.setdefault(row.kind, {"fitted": [], "left_out": [], "checked": []})
        error = abs(predicted[row.key] / row.published - 1)
        kind["fitted" if row.is_fitted else "checked"].append(error)
        if row.key in fit.left_out:
            kind["left_out"].append(abs(fit.left_out[row.key] / row.published - 1))
    return {
        kind: {
            f"{name}_{what}": round(value, 4)
            for name, errors in parts.items()
            if errors
            for what, value in (("median", statistics.median(errors)), ("largest", max(errors)))
        }
        for kind, parts in groups.items()
    }


def _concerns(name: str, row: Row) -> bool:
    """Tell whether a row depends on a number: not on those of other boards and precisions."""
    board, _, what = name.rpartition(".")
    if board == "spread":
        return (what == "alerts") == (row.kind in {ALERTS, GROWING})
    if board == "ktokens":
        return what in row.name
    is_other_precision = what in {"bf16", "fp8", "nvfp4"} and f" {what.upper()}," not in row.name
    return not (board and row.name.split(",")[0] != board) and not is_other_precision


def _assume(numbers: Numbers) -> Numbers:
    reached = {
        it: numbers[f"dgx-spark.{it}"] * KNOWN.boards["dgx-spark"].peak_tflops[it].value
        for it in ("bf16", "fp8", "nvfp4")
    }
    found: Numbers = {}
    for name, known in ASSUMED.items():
        board, wanted = name.split(".")
        given = known.split(".")[1]
        peaks = KNOWN.boards[board].peak_tflops
        gain = reached[wanted] / reached[given] * peaks[given].value / peaks[wanted].value
        found[name] = float(f"{min(MOST, numbers[known] * gain):.5g}")
    return found


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--refit", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    rows = read_rows()
    if options.refit:
        numbers, left_out = fit_all(rows)
        fit = Fit(numbers=numbers, assumed=tuple(ASSUMED), left_out=left_out)
    else:
        fit = Fit.model_validate_json(FIT.read_bytes())
    predicted = {row.key: row.predict(dict(fit.numbers)) for row in rows}
    fit = fit.model_copy(update={"error": state_errors(rows, predicted, fit)})
    written = {
        FIT: json.dumps(fit.model_dump(), indent=2) + "\n",
        PAGE: render_page(rows, predicted, fit, STAGES),
    }
    stale = [path for path, text in written.items() if _read(path) != text]
    if options.check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is out of date: run docs/fit_emulator.py.")
        sys.exit(bool(stale))
    for path, text in written.items():
        path.write_text(text, "utf-8")


def _read(path: Path) -> str:
    return path.read_text("utf-8") if path.exists() else ""


if __name__ == "__main__":
    main()
