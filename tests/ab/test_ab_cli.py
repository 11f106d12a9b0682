"""`sidecar ab` as a user calls it: from recorded events to a report."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ab.samples import Habit, simulate

from sidecar.contract.compared import write_line
from sidecar.testing.media import write_motion, write_still

pytestmark = pytest.mark.timeout(240)  # each test starts several processes

PROMPT = "Event {id}: does something move? Answer yes or no."


def _run(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sidecar", "ab", *arguments],
        cwd=cwd,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


@pytest.fixture
def events(tmp_path: Path) -> Path:
    """Write clips, alert types and 24 events with their truth."""
    write_motion(tmp_path / "moving.mp4", seconds=1)
    write_still(tmp_path / "still.mp4", seconds=1)
    lines = []
    for number in range(24):
        event = {
            "id": f"event-{number}",
            "sensorId": f"gate-{number % 2}",
            "category": "motion",
            "timestamp": f"2026-01-31T08:{number:02}:00Z",
            "end": f"2026-01-31T08:{number:02}:02Z",
            "info": {"video_path": "still.mp4" if number % 2 else "moving.mp4"},
        }
        lines.append(json.dumps({"event": event, "truth": number % 2 == 0}))
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    alerts = [{"alert_type": "motion", "prompts": {"user": PROMPT}}]
    (tmp_path / "types.json").write_text(json.dumps({"version": "1.0", "alerts": alerts}))
    return tmp_path / "events.jsonl"


@contextmanager
def _model(folder: Path, *options: str, **rates: Any) -> Iterator[dict[str, str]]:
    """Run a mock model with known rates; gives the settings of an arm `mock`."""
    truth = {f"event-{number}": number % 2 == 0 for number in range(24)}
    file = folder / "personality.json"
    file.write_text(json.dumps({"truth": truth, "sensitivity": 1, "specificity": 1, **rates}))
    command = [sys.executable, "-m", "sidecar", "mock-vlm", "--port", "0", "--json"]
    with subprocess.Popen(
        [*command, "--personality", str(file), *options], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        yield {"SIDECAR_ARMS__MOCK__URL": url, "SIDECAR_ARMS__MOCK__ADAPTER": "generic"}
        process.terminate()


def _compared(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_from_recorded_events_to_a_report(events: Path) -> None:
    """Two arms, every answer with its truth, a page with frames, JSON that says the same."""
    folder = events.parent
    clips = ("--clips", str(folder))
    with _model(folder, specificity=0) as arm:
        replayed = _run(
            *("replay", "events.jsonl", "--arms", "baseline,mock", "--json"),
            *("--alert-types", "types.json", *clips),
            cwd=folder,
            **arm,
        )
    reported = _run(
        *("report", "compared.jsonl", "--out", "report.html", "--json"),
        *("--events", "events.jsonl", *clips),
        cwd=folder,
    )
    assert (0, 0) == (replayed.returncode, reported.returncode), replayed.stderr + reported.stderr
    summary = json.loads(reported.stdout)
    arms = {it["name"]: it for it in summary["arms"]}
    page = (folder / "report.html").read_text()

    assert {"asked": 48, "known": 0, "events": 24, "out": "compared.jsonl"} == json.loads(
        replayed.stdout
    )
    assert (24, 24) == (summary["events"], summary["labelled"])
    assert (1.0, 1.0) == (
        arms["baseline"]["accuracy"]["value"],
        arms["mock"]["sensitivity"]["value"],
    )
    assert 0.0 == arms["mock"]["specificity"]["value"]
    assert "data:image/jpeg;base64," in page
    assert "mock says where baseline says" in page


def test_a_replay_that_is_interrupted_goes_on(events: Path) -> None:
    """Ctrl-C keeps what was answered; the same command asks the rest and no more."""
    folder = events.parent
    options = ("--alert-types", "types.json", "--clips", str(folder), "--json")
    command = ("replay", "events.jsonl", "--arms", "mock", "--in-flight", "1", *options)
    with _model(folder, "--latency-ms", "200") as arm:
        process = subprocess.Popen(
            [sys.executable, "-m", "sidecar", "ab", *command],
            cwd=folder,
            env={**os.environ, **arm},
            stderr=subprocess.PIPE,
            text=True,
        )
        out = folder / "compared.jsonl"
        while not out.exists() or out.read_bytes().count(b"\n") < 2:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
        before = len(_compared(out))
        again = _run(*command, cwd=folder, **arm)
    found = json.loads(again.stdout)

    assert 130 == process.returncode
    assert "keeps what was answered" in " ".join(told.split())
    assert 2 <= before < 24
    assert (24 - before, before, 24) == (found["asked"], found["known"], found["events"])
    assert 24 == len(_compared(out))


def test_the_ledger_can_be_replayed(events: Path) -> None:
    """Events that a service decided, with the prompts that it has; nothing is published again."""
    folder = events.parent
    first = json.loads(events.read_text().splitlines()[0])["event"]
    (folder / "one.json").write_text(json.dumps({**first, "end": first["timestamp"]}))
    script = (
        "import asyncio, json, sys\n"
        "from pathlib import Path\n"
        "from harness import running\n"
        "async def main(folder):\n"
        "    async with running(folder, media={'allowed_roots': str(folder)}) as service:\n"
        "        await service.verdict_on(json.loads((folder / 'one.json').read_text()))\n"
        "asyncio.run(main(Path(sys.argv[1])))\n"
    )
    tests = str(Path(__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", script, str(folder)],
        env={**os.environ, "PYTHONPATH": tests},
        check=True,
        timeout=60,
    )
    found = _run(
        *("replay", "ledger", "--arms", "baseline", "--clips", str(folder), "--json"),
        cwd=folder,
        SIDECAR_LEDGER__PATH=str(folder / "ledger.db"),
    )
    (line,) = _compared(folder / "compared.jsonl")

    assert 0 == found.returncode, found.stderr
    assert ("event-0", "confirmed") == (line["id"], line["answers"][0]["outcome"])


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("replay", "events.jsonl", "--arms", ""), "name each arm once"),
        (("replay", "events.jsonl", "--arms", "baseline,baseline"), "name each arm once"),
        (("replay", "events.jsonl", "--arms", "nobody"), "There is no arm 'nobody'"),
        (("replay", "events.jsonl", "--arms", "reason2"), "Arm reason2 cannot be asked"),
        (("replay", "nothing.jsonl", "--arms", "baseline"), "Cannot read nothing.jsonl"),
        (("replay", "types.json", "--arms", "baseline"), "types.json:1: "),
        (("replay", "ledger", "--arms", "baseline"), "There is no ledger at"),
        (("report", "nothing.jsonl"), "Cannot read nothing.jsonl"),
        (("report", "types.json"), "types.json:1: key: Field required"),
        (("report", "small.jsonl", "--reference", "nobody"), "'nobody' answered none"),
        (("report", "small.jsonl", "--gpus", "reason2"), "must look like reason2=1"),
        (("report", "small.jsonl", "--labels", "types.json"), "types.json:1: "),
        (("report", "small.jsonl", "--out", "no/such/folder.html"), "Cannot write"),
        (("export", "vantage", "small.jsonl", "--arm", "nobody"), "holds no answer of arm"),
        (("score", "types.json"), "needs `answer` or `conversations`"),
        (("import", "vantage", "."), "There is no test_annotation"),
    ],
)
def test_what_is_wrong_is_one_sentence(events: Path, arguments: tuple[str, ...], text: str) -> None:
    """And no traceback; nothing is asked or written."""
    folder = events.parent
    small = simulate({"a": Habit(), "b": Habit()}, 30)
    (folder / "small.jsonl").write_bytes(b"".join(map(write_line, small)))
    found = _run(*arguments, cwd=folder, SIDECAR_ARMS__REASON2__URL="http://127.0.0.1:9/v1")

    assert found.returncode in {2, 3}, found.stdout
    assert text in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr
    assert not (folder / "compared.jsonl").exists()


def test_labels_of_a_file_count_and_strangers_are_told(tmp_path: Path) -> None:
    """By id or key; labels about other events are counted."""
    events = simulate({"a": Habit(), "b": Habit()}, 40, labelled=0.0)
    (tmp_path / "compared.jsonl").write_bytes(b"".join(map(write_line, events)))
    labels = [{"id": it.id, "truth": True} for it in events[:20]]
    labels += [{"key": events[30].key, "truth": None}, {"id": "stranger", "truth": False}]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    found = _run("report", "compared.jsonl", "--labels", "labels.jsonl", "--json", cwd=tmp_path)

    assert 20 == json.loads(found.stdout)["labelled"]
    assert "1 labels are about events that are not there" in found.stderr


def test_markdown_is_printed_for_a_pull_request(tmp_path: Path) -> None:
    """And plain sentences without the option."""
    events = simulate({"a": Habit(), "b": Habit()}, 40)
    (tmp_path / "compared.jsonl").write_bytes(b"".join(map(write_line, events)))
    markdown = _run("report", "compared.jsonl", "--markdown", cwd=tmp_path).stdout
    plain = _run("report", "compared.jsonl", cwd=tmp_path).stdout

    assert "\n| a | 4" in markdown or "\n| a | 3" in markdown
    assert plain.startswith("b beside a\n- Of 40 labelled events")


def test_answers_are_scored_by_both_rules(tmp_path: Path) -> None:
    """The first word says yes, the model concludes no."""
    thought = "<think>At first glance yes, but it is closed.</think>\n\nno"
    rows = [
        {"answer": thought, "truth": "no"},
        {"conversations": [{"from": "assistant", "value": "Yes."}], "truth": True},
    ]
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = json.loads(_run("score", "answers.jsonl", "--json", cwd=tmp_path).stdout)

    assert 0.5 == found["accuracy (first word)"]["value"]
    assert 1.0 == found["accuracy (reason2)"]["value"]


def test_heavy_libraries_are_loaded_by_the_commands_that_need_them(tmp_path: Path) -> None:
    """Neither the command line nor the routes wait for statistics and plots."""
    heavy = "{'scipy', 'statsmodels', 'pandas', 'matplotlib', 'jinja2'}"
    modules = "sys, sidecar.__main__, sidecar.doors.comparisons"
    script = f"import {modules}; print({heavy} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )

    assert "set()" == found.stdout.strip()
