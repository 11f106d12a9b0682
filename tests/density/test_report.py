"""The command, and the report that it leaves."""

import json
import re
from pathlib import Path

import pytest
from density.targets import SCENARIOS
from typer.testing import CliRunner

from sidecar.__main__ import cli
from sidecar.density.records import read_latencies
from sidecar.density.summary import Report

pytestmark = pytest.mark.density

LAPTOP = str(SCENARIOS / "laptop.json")
QUICK = ("--clips", "none", "--answers", "known", "--speed", "8")


def test_a_search_leaves_its_report(tmp_path: Path, model_process: str) -> None:
    """JSON, Markdown and a page with plots, and the samples of every run."""
    arguments = ["density", LAPTOP, "--direct", model_process, *QUICK, "--out", str(tmp_path)]
    done = CliRunner().invoke(cli, arguments)
    assert 0 == done.exit_code, done.output
    report = Report.model_validate_json((tmp_path / "report.json").read_bytes())
    [found] = report.found
    page = (tmp_path / "report.html").read_text("utf-8")
    samples = sorted(tmp_path.glob("*.jsonl.gz"))

    assert found.streams in {4, 3, 2, 1, 0}
    for run in found.runs:
        ended = run.accounting.verified + sum(run.accounting.failed.values())
        assert run.accounting.offered == ended
        assert 1.0 == run.agreement
        assert run.fairness.jain is not None
    assert len(found.runs) == len(samples) == len(list(tmp_path.glob("*.hlog")))
    assert sum(len(read_latencies(it)) for it in samples) == sum(
        it.accounting.verified for it in found.runs
    )
    for plot in ("latencies", "backlog", "moments-1", "sensors-1"):
        assert 1 == page.count(f'<svg id="plot-{plot}" role="img" aria-label="'), plot
    assert "direct: " in (tmp_path / "report.md").read_text("utf-8")


def test_the_page_needs_nothing_else(tmp_path: Path, model_process: str) -> None:
    """No script, no address but the names of XML."""
    arguments = ["density", LAPTOP, "--direct", model_process, *QUICK, "--streams", "4"]
    CliRunner().invoke(cli, [*arguments, "--policy", "static", "--out", str(tmp_path)])
    page = (tmp_path / "report.html").read_text("utf-8")

    assert {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"} == set(
        re.findall(r"https?://[^\"'\s<)]+", page)
    )
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert "static-4: 4 streams" in page


def test_a_promise_that_is_not_kept_is_the_exit_status(tmp_path: Path, model_process: str) -> None:
    """7, so that a pipeline can stop there; the report is left all the same."""
    hard = json.loads(Path(LAPTOP).read_text("utf-8"))
    hard["promises"] = [{"percent": 90, "within_s": 0.001}]
    path = tmp_path / "hard.json"
    path.write_text(json.dumps(hard), "utf-8")
    arguments = ["density", str(path), "--direct", model_process, *QUICK, "--streams", "4"]
    done = CliRunner().invoke(cli, [*arguments, "--out", str(tmp_path / "out"), "--json"])

    assert 7 == done.exit_code, done.output
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ((), "Say what to load"),
        (("--policy", "static", "--door", "http://127.0.0.1:1"), "needs --direct"),
        (("--door", "http://sidecar:9080"), "--serve-clips http://HOST:PORT"),
        (("--door", "http://127.0.0.1:1", "--clips", "inline"), "only gRPC doors and --direct"),
        (("--direct", "http://127.0.0.1:1/v1", "--clips", "file"), "needs --clips-dir"),
        (
            ("--direct", "http://127.0.0.1:1/v1", "--door", "http://127.0.0.1:1"),
            "together need --streams",
        ),
        (("--direct", "http://127.0.0.1:1/v1"), "does not list a model"),
    ],
)
def test_wrong_options_are_told(options: tuple[str, ...], told: str, tmp_path: Path) -> None:
    """With what to do instead."""
    done = CliRunner().invoke(cli, ["density", LAPTOP, *options, "--out", str(tmp_path)])

    assert told in str(getattr(done.exception, "detail", ""))


def test_scenarios_are_listed() -> None:
    """By name, with what they promise."""
    done = CliRunner().invoke(cli, ["density", "--list", "--json"])

    assert {"spark-14", "h100-50", "burst"} < set(json.loads(done.output))
