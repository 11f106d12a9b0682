"""Turn the raw results of `run_h100.py` into a page, with each prediction beside its outcome.

usage: results.py RESULTS.jsonl... > docs/results/h100.md
"""

import json
import sys
from pathlib import Path
from typing import Any, Final

COLUMNS: Final = (
    ("load", "load"),
    ("clips/s", "per_s"),
    ("p50 s", "p50_s"),
    ("p95 s", "p95_s"),
    ("p99 s", "p99_s"),
    ("backlog/s", "backlog_per_s"),
    ("GPU busy %", "gpu_busy_percent"),
    ("of BF16 datasheet", "of_bf16"),
    ("of BF16 measured", "of_measured_bf16"),
    ("server CPU s/clip", "cpu_per_clip"),
    ("predicted", "prediction"),
    ("held", "held"),
)


def read(paths: list[Path]) -> list[dict[str, Any]]:
    """Return the rows of all files, the last of each name, in the order of their first."""
    rows: dict[str, dict[str, Any]] = {}
    for path in paths:
        for row in map(json.loads, path.read_text().splitlines()):
            rows[row["name"]] = row
    return list(rows.values())


def offered(row: dict[str, Any]) -> str:
    """Say in words what a load offered."""
    if row["load"] == "closed":
        return f"{row['media']}, {row['concurrency']} in flight"
    if row["load"] == "periodic":
        return f"{row['media']}, {row['streams']} streams, one clip each {row['period']} s"
    streams = f" ({row['alert_streams']} streams)" if "alert_streams" in row else ""
    return f"{row['media']}, Poisson, {row['rate']:.2f}/s{streams}"


def cell(value: Any) -> str:
    """Write one figure with the digits that mean something."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "**no**"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def line(row: dict[str, Any]) -> list[str]:
    """Return the cells of one load's row."""
    kept = {"load", "prediction", "held", "cpu_per_clip"}
    found = {name: row.get(name) for _, name in COLUMNS if name not in kept}
    bounds = (f"{name} {low} to {high}" for name, (low, high) in row["predicted"].items())
    answered = row["good"] or 1
    found |= {
        "load": f"{row['name'].split('/')[1]}: {offered(row)}",
        "prediction": f"{', '.join(bounds)}: {row['why']}",
        "held": all(row["as_predicted"].values()),
        "cpu_per_clip": sum(row["cpu_s"].values()) / answered,
    }
    failed = row["requests"] - row["good"]
    if failed:
        found["load"] += f" (**{failed} of {row['requests']} not answered**)"
    return [cell(found[name]) for _, name in COLUMNS]


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return a Markdown table of the loads on one server."""
    head = [title for title, _ in COLUMNS]
    lines = [head, ["---"] * len(head), *map(line, rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def page(rows: list[dict[str, Any]]) -> str:
    """Return the page: the machine, its ceiling, a table a server, and what failed."""
    named = {row["name"]: row for row in rows}
    out = ["# One GPU, measured", ""]
    if machine := named.get("machine"):
        facts = ", ".join(f"{k} {v}" for k, v in machine.items() if k != "name")
        out += [
            f"Machine: {facts}. Dummy weights: the computation is real, the answers are noise.",
            "",
        ]
    if ceiling := named.get("ceiling"):
        rates = (
            f"{ceiling[k] / 1e12:.0f} TFLOP/s in {k.upper()}"
            for k in ("bf16", "fp8")
            if k in ceiling
        )
        out += [f"A matrix product of 8192 x 8192 reached {' and '.join(rates)}.", ""]
    servers = dict.fromkeys(name.split("/")[0] for name in named if "/" in name)
    for server in servers:
        loads = [r for n, r in named.items() if n.startswith(f"{server}/") and "error" not in r]
        if loads:
            out += [f"## {server}", "", *table(loads), ""]
    failures = [f"- `{row['name']}`: {row['error'][-300:]}" for row in rows if "error" in row]
    if failures:
        out += ["## What did not run", "", *failures, ""]
    return "\n".join(out)


if __name__ == "__main__":
    if not sys.argv[1:]:
        sys.exit(__doc__)
    print(page(read([Path(name) for name in sys.argv[1:]])))
