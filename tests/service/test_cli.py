"""The command line as a user calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sidecar import __version__
from sidecar.testing.media import write_motion, write_still

EVENT = {
    "id": "one",
    "sensorId": "gate-1",
    "timestamp": "2026-01-31T08:00:00Z",
    "end": "2026-01-31T08:00:02Z",
    "category": "motion",
}


def _run(
    *arguments: str, stdin: str = "", cwd: Path | None = None, **settings: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sidecar", *arguments],
        input=stdin,
        cwd=cwd,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def _verify(tmp_path: Path, event: dict[str, Any], *options: str) -> Any:
    file = tmp_path / "event.json"
    file.write_text(json.dumps(event))
    return _run("verify", str(file), *options, cwd=tmp_path)


def test_the_version_needs_no_command() -> None:
    """As every program prints it."""
    found = _run("--version")

    assert (0, __version__) == (found.returncode, found.stdout.strip())


def test_verify_prints_the_enriched_event_and_exits_0(tmp_path: Path) -> None:
    """A verdict is a success, whichever it is."""
    write_motion(tmp_path / "moving.mp4")
    write_still(tmp_path / "still.mp4")
    moving = _verify(tmp_path, EVENT, "--media", "moving.mp4")
    still = _verify(tmp_path, EVENT, "--media", "still.mp4", "--json")

    assert (0, 0) == (moving.returncode, still.returncode), moving.stderr + still.stderr
    assert "confirmed" == json.loads(moving.stdout)["info"]["verdict"]
    assert "rejected" == json.loads(still.stdout)["info"]["verdict"]
    assert 1 == still.stdout.count("\n")


def test_verify_exits_4_when_there_is_no_verdict(tmp_path: Path) -> None:
    """The document says why."""
    found = _verify(tmp_path, {**EVENT, "category": "collision"}, "--media", __file__)

    assert 4 == found.returncode, found.stderr
    assert "verification-failed" == json.loads(found.stdout)["info"]["verdict"]


def test_verify_leaves_nothing_behind(tmp_path: Path) -> None:
    """No ledger appears where the user stands."""
    write_still(tmp_path / "still.mp4")
    _verify(tmp_path, EVENT, "--media", "still.mp4")

    assert {"still.mp4", "event.json"} == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("event", "options", "status", "text"),
    [
        ("{", (), 2, "not valid JSON"),
        ("{}", (), 2, "Field required"),
        (json.dumps(EVENT), ("--arm", "nobody"), 3, "there is no arm 'nobody'"),
    ],
)
def test_verify_says_in_one_sentence_what_is_wrong(
    tmp_path: Path, event: str, options: tuple[str, ...], status: int, text: str
) -> None:
    """No traceback for a mistake of the caller."""
    found = _run("verify", "-", *options, stdin=event, cwd=tmp_path)

    assert status == found.returncode
    assert text in " ".join(found.stderr.split())
    assert "Traceback" not in found.stderr


def test_check_tells_where_each_setting_comes_from(tmp_path: Path) -> None:
    """Environment over file over default."""
    file = tmp_path / "sidecar.yaml"
    file.write_text("http: {port: 9180}\nverify: {max_in_flight: 3}\n")
    found = _run(
        "--settings", str(file), "check", "--json", cwd=tmp_path, SIDECAR_HTTP__PORT="9280"
    )
    shown = {it["name"]: (it["value"], it["origin"]) for it in json.loads(found.stdout)["settings"]}

    assert 0 == found.returncode, found.stderr
    assert (9280, "environment") == shown["http.port"]
    assert (3, "file") == shown["verify.max_in_flight"]
    assert (9081, "default") == shown["metrics.port"]


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    """Errors make the exit status 2; warnings alone do not."""
    wrong = _run("check", "--json", cwd=tmp_path, SIDECAR_AB__PRIMARY="nobody")
    exposed = _run("check", "--json", cwd=tmp_path, SIDECAR_HTTP__HOST="0.0.0.0")
    trusting = _run(
        *("check", "--json"),
        cwd=tmp_path,
        SIDECAR_HTTP__HOST="0.0.0.0",
        SIDECAR_SECURITY__TRUSTED_NETWORKS="172.18.0.0/16",
    )
    silent = _run(
        "check",
        "--json",
        cwd=tmp_path,
        SIDECAR_AB__PRIMARY="reason2",
        SIDECAR_ARMS__REASON2__URL="http://127.0.0.1:9/v1",
    )

    assert (2, "ab.primary") == (wrong.returncode, _problems(wrong)[0]["setting"])
    assert (2, "http.host") == (exposed.returncode, _problems(exposed)[0]["setting"])
    assert (0, ["security.trusted_networks", "http.tls"]) == (
        trusting.returncode,
        [problem["setting"] for problem in _problems(trusting)],
    )
    assert (0, "arms.reason2") == (silent.returncode, _problems(silent)[0]["setting"])


def _problems(found: subprocess.CompletedProcess[str]) -> list[dict[str, str]]:
    return list(json.loads(found.stdout)["problems"])


def test_secrets_are_not_printed(tmp_path: Path) -> None:
    """Neither as text nor as JSON."""
    secret = "hunter2hunter2"
    for form in ((), ("--json",)):
        found = _run("check", *form, cwd=tmp_path, SIDECAR_SINKS__WEBHOOK__SECRET=secret)

        assert 0 == found.returncode
        assert secret not in found.stdout


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("SIDECAR_HTTB__PORT", "Unknown environment variable SIDECAR_HTTB__PORT"),
        ("SIDECAR_HTTP__PROT", "http.prot (SIDECAR_HTTP__PROT)"),
        ("SIDECAR_HTTP__PORT", "http.port (SIDECAR_HTTP__PORT)"),
    ],
)
def test_a_wrong_variable_stops_every_command(tmp_path: Path, variable: str, text: str) -> None:
    """A typing error is not silently a default."""
    found = _run("serve", cwd=tmp_path, **{variable: "many"})

    assert 3 == found.returncode
    assert text in " ".join(found.stderr.split())


@pytest.mark.parametrize(
    ("answer", "verdict", "failure"),
    [
        ("Yes.", "confirmed", None),
        ("no", "rejected", None),
        ("", "verification-failed", "empty_answer"),
        ("I see a street.", "verification-failed", "unparsable_answer"),
        (
            json.dumps(
                {"choices": [{"message": {"content": None, "reasoning": "yes"}}]},
            ),
            "confirmed",
            None,
        ),
        (
            json.dumps(
                {"choices": [{"message": {"content": "<think>a"}, "finish_reason": "length"}]}
            ),
            "verification-failed",
            "truncated_answer",
        ),
    ],
)
@pytest.mark.parametrize("adapter", ["reason2", "cosmos3-nano"])
def test_parse_prints_the_finding(
    adapter: str, answer: str, verdict: str, failure: str | None
) -> None:
    """Raw answers and whole completions, verdicts and failures."""
    found = _run("parse", "--adapter", adapter, stdin=answer)
    finding = json.loads(found.stdout)

    assert 0 == found.returncode
    assert (verdict, failure) == (finding["verdict"], finding["failure"])
    assert {"verdict", "reasoning", "description", "confidence", "failure"} <= finding.keys()


def test_a_second_service_on_one_ledger_does_not_start(tmp_path: Path) -> None:
    """Two writers would decide twice; a sentence says which file it is."""
    environment = {
        **os.environ,
        "SIDECAR_HTTP__PORT": "0",
        "SIDECAR_METRICS__ENABLED": "false",
    }
    command = [sys.executable, "-m", "sidecar", "serve"]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True
    ) as first:
        assert first.stderr
        assert "listening" in first.stderr.readline()
        second = _run(
            "serve", cwd=tmp_path, SIDECAR_HTTP__PORT="0", SIDECAR_METRICS__ENABLED="false"
        )
        first.terminate()

    assert 3 == second.returncode
    assert "Another sidecar works with" in " ".join(second.stderr.split())
