"""The routes that tell what arms said, over any store of comparisons."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread

import pytest
import uvicorn
from ab.samples import BEGIN, Habit, simulate
from fastapi import FastAPI
from fastapi.testclient import TestClient

from sidecar.ab.extra import explain_extra
from sidecar.ab.reporting import Wanted, make_report
from sidecar.ab.rules import GateRules
from sidecar.ab.summary import Summary
from sidecar.ab.window import Window
from sidecar.compared import ComparedEvent
from sidecar.contract.compared import read_line
from sidecar.doors.comparisons import comparisons_router
from sidecar.errors import ExtraMissing, SettingsError
from sidecar.settings import Settings

EVENTS = simulate({"old": Habit(), "new": Habit(0.95, 0.9)}, 300, seed=1)


async def read(window: Window) -> AsyncIterator[ComparedEvent]:
    """Be a store that holds `EVENTS`."""
    for event in EVENTS:
        if window.has(event):
            yield event


@pytest.fixture
def app() -> FastAPI:
    app = FastAPI()
    app.include_router(comparisons_router(read, GateRules()))
    return app


@pytest.fixture
def http(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app) as client:
        yield client


def test_the_summary_is_that_of_the_chosen_events(http: TestClient) -> None:
    """By time, sensor and alert type; the answer repeats what was asked for."""
    asked = {"sensor": "camera-1", "alertType": "fall", "reference": "old"}
    asked |= {"from": BEGIN.isoformat(), "to": (BEGIN + timedelta(hours=2)).isoformat()}
    answer = http.get("/api/v1/ab/summary", params=asked)
    found = Summary.model_validate(answer.json())
    chosen = [
        it
        for it in EVENTS
        if it.sensor_id == "camera-1"
        and it.category == "fall"
        and it.timestamp <= BEGIN + timedelta(hours=2)
    ]

    assert 200 == answer.status_code
    assert (len(chosen), "old") == (found.events, found.pairs[0].reference)
    assert {"sensor": "camera-1", "alertType": "fall"}.items() <= answer.json().items()
    assert answer.json()["from"] == BEGIN.isoformat()


def test_compared_events_come_line_by_line(http: TestClient) -> None:
    """The same JSON that `sidecar ab replay` writes."""
    answer = http.get("/api/v1/ab/comparisons", params={"sensor": "camera-2"})
    found = [read_line(line.encode(), "answer") for line in answer.text.splitlines()]

    assert "application/x-ndjson" == answer.headers["content-type"]
    assert [it for it in EVENTS if it.sensor_id == "camera-2"] == found


def test_an_empty_window_is_no_error(http: TestClient) -> None:
    """There is nothing to compare, and that is the answer."""
    found = http.get("/api/v1/ab/summary", params={"sensor": "nobody"}).json()

    assert (0, [], []) == (found["events"], found["arms"], found["pairs"])
    assert "" == http.get("/api/v1/ab/comparisons", params={"sensor": "nobody"}).text


@pytest.mark.parametrize("asked", [{"from": "yesterday"}, {"to": "2026-01-31T08:00:00"}])
def test_times_need_a_zone(http: TestClient, asked: dict[str, str]) -> None:
    """As everywhere in the API."""
    assert 422 == http.get("/api/v1/ab/summary", params=asked).status_code


def test_without_the_extra_the_summary_says_how_to_get_it() -> None:
    """Compared events are listed all the same."""
    app = FastAPI()
    app.include_router(
        comparisons_router(read, GateRules(), lambda: "pip install 'vss-vlm-sidecar[ab]'")
    )
    with TestClient(app) as http:
        with pytest.raises(ExtraMissing, match=r"vss-vlm-sidecar\[ab\]"):
            http.get("/api/v1/ab/summary")
        assert 300 == len(http.get("/api/v1/ab/comparisons").text.splitlines())


def test_what_is_installed_is_not_missed() -> None:
    """The tests have the extra."""
    assert "" == explain_extra()


@contextmanager
def _served(app: FastAPI) -> Iterator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None))
    thread = Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            thread.join(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


async def test_a_report_can_be_made_of_a_running_sidecar(app: FastAPI) -> None:
    """With the same numbers as of a file, over the same window."""
    window = Window(category="fall")
    with _served(app) as url:
        made = await make_report(Settings(), Wanted(url, window=window), page=False)

    assert sum(it.category == "fall" for it in EVENTS) == made.summary.events
    assert ("fall", "old") == (made.summary.alertType, made.summary.pairs[0].reference)


async def test_a_sidecar_that_is_not_there_is_a_sentence() -> None:
    """As is one that has no such route."""
    with pytest.raises(SettingsError, match=r"Cannot read http://127\.0\.0\.1:9/"):
        await make_report(Settings(), Wanted("http://127.0.0.1:9"), page=False)
    with _served(FastAPI()) as url, pytest.raises(SettingsError, match="answers 404"):
        await make_report(Settings(), Wanted(url), page=False)
