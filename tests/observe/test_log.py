"""Logs on standard error."""

import json
import logging
from contextlib import suppress
from pathlib import Path

import pytest
import structlog

from sidecar.observe.log import configure_logging
from sidecar.settings import LogSettings


@pytest.mark.parametrize("form", ["json", "console"])
def test_tracebacks_do_not_show_what_was_in_memory(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A defect is logged with its place, without prompts, pictures or URLs."""
    configure_logging(LogSettings.model_validate({"format": form}))
    prompt = "the text of a prompt"
    try:
        int(prompt[:3])
    except ValueError:
        structlog.get_logger().exception("defect")
    structlog.reset_defaults()
    written = capsys.readouterr().err

    assert "ValueError" in written
    assert prompt not in written


def test_json_logs_are_one_object_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A log collector can read every line."""
    configure_logging(LogSettings())
    structlog.get_logger().info("listening", url="http://x")
    structlog.reset_defaults()
    line = json.loads(capsys.readouterr().err)

    assert ("listening", "info", "http://x") == (line["event"], line["level"], line["url"])


def test_a_log_that_cannot_be_written_stops_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk behind standard error costs the line, not the event that it is about."""
    full = Path("/dev/full").open("w")  # noqa: SIM115 - closing it fails
    monkeypatch.setattr("sys.stderr", full)
    configure_logging(LogSettings())
    log = structlog.get_logger()
    log.info("listening", url="http://x")
    log.error("failed")
    structlog.reset_defaults()
    with suppress(OSError):
        full.close()


@pytest.mark.parametrize("form", ["json", "console"])
def test_secrets_stay_out_of_logs_whoever_writes_them(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fields, tracebacks and libraries' own lines lose credentials and query strings."""
    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    configure_logging(LogSettings.model_validate({"format": form}))
    try:
        int("https://user:hunter2@storage/clip.mp4?sig=hunter3")
    except ValueError:
        structlog.get_logger().exception("failed", places=["redis://:hunter4@redis:6379/0"])
    logging.getLogger("library").warning("no answer from %s", "http://h/a?token=hunter5")
    structlog.reset_defaults()
    root.handlers = before
    written = capsys.readouterr().err

    assert "hunter" not in written
    assert "https://***@storage/clip.mp4?..." in written
    assert "redis://***@redis:6379/0" in written
    assert "library: no answer from http://h/a?..." in written
