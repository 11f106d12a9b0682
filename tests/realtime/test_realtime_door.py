"""VSS's realtime API over HTTP, with RT-VLM on a real socket."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvicorn
from fastapi import FastAPI
from live import FIELDS, Live
from prometheus_client import CollectorRegistry

from sidecar.core.always_on import AlwaysOn
from sidecar.core.incidents import Incidents
from sidecar.doors.http import REFUSALS
from sidecar.doors.realtime import Realtime, realtime_router
from sidecar.doors.refusals import translate_errors
from sidecar.errors import SettingsError
from sidecar.observe.realtime_metrics import PrometheusRealtimeMeter
from sidecar.outside.always_on import load_always_on
from sidecar.outside.clock import SystemClock
from sidecar.outside.incidents import ElasticIncidents
from sidecar.settings import ConsolidationSettings, ElasticSinkSettings, RealtimeSettings
from sidecar.testing.fake_elastic import FakeElastic, Stored
from sidecar.testing.fake_rtvi import FakeRtvi

CAMERA = "c0413489-6ca1-422e-a09c-08224169ff6a"
STREAMING = {
    "source": "vst",
    "alert_type": "camera_status_change",
    "created_at": "2026-04-22T17:38:38Z",
    "event": {
        "camera_id": CAMERA,
        "camera_name": "warehouse",
        "camera_url": f"rtsp://localhost:8554/live/{CAMERA}",
        "camera_vod_url": f"rtsp://localhost:8554/vod/{CAMERA}",
        "change": "camera_streaming",
        "metadata": {"codec": "H264"},
    },
}
REMOVED = {"source": "vst", "event": {"camera_id": CAMERA, "change": "camera_remove"}}
RULES = """
always_on_rules:
  - rule_id: ppe
    description: Hard hats
    alert_type: Worker PPE Violation
    always_on_params:
      prompt: Is a worker without a hard hat?
      system_prompt: Answer yes or no.
      model: cosmos
      chunk_duration: 60
  - rule_id: collision
    alert_type: collision
    always_on_params: {prompt: "Do vehicles collide?", system_prompt: "", model: cosmos}
"""
UNKNOWN = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True)
class Api:
    """The routes, and what stands behind them."""

    url: str
    client: aiohttp.ClientSession
    live: Live

    async def call(self, method: str, path: str = "", body: Any = None) -> tuple[int, Any]:
        url = f"{self.url}/api/v1/realtime{path}"
        async with self.client.request(method, url, json=body) as answer:
            return answer.status, await answer.json()


@asynccontextmanager
async def api(
    folder: Path, rtvi: str, *, rules: str = "", elastic: str = "", **changes: Any
) -> AsyncGenerator[Api]:
    path = folder / "realtime-config.yaml"
    path.write_text(rules)
    settings = RealtimeSettings(always_on=bool(rules), always_on_rules=path)
    clock, meter = SystemClock(), PrometheusRealtimeMeter(CollectorRegistry())
    index = ElasticIncidents(ElasticSinkSettings(hosts=(elastic,))) if elastic else None
    async with Live.at(folder, rtvi, **changes) as live:
        always_on = AlwaysOn(live.rules, load_always_on(settings), clock)
        incidents = Incidents(index, ConsolidationSettings(), clock, meter)
        app = FastAPI()
        realtime = Realtime(live.rules, always_on, incidents, clock)
        app.include_router(realtime_router(realtime, REFUSALS, max_json_depth=32))
        translate_errors(app, clock)
        async with serving(app) as url, aiohttp.ClientSession() as client:
            yield Api(url, client, live)
    if index:
        await index.close()


@asynccontextmanager
async def serving(app: FastAPI) -> AsyncGenerator[str]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, lifespan="off"))
    server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await task


async def test_a_rule_lives_from_post_to_delete(tmp_path: Path, rtvi: FakeRtvi) -> None:
    """Created, listed, read and deleted with VSS's bodies; credentials are never shown."""
    async with api(tmp_path, rtvi.url) as service:
        body = {**FIELDS, "sensor_id": "camera-1", "username": "me", "password": "secret"}
        created, answer = await service.call("POST", "", body)
        path = f"/{answer['id']}"
        _, listed = await service.call("GET")
        _, read = await service.call("GET", path)
        _, deleted = await service.call("DELETE", path)
        gone, refusal = await service.call("GET", path)

    assert (201, "success", "Realtime alert rule created") == (
        created,
        answer["status"],
        answer["message"],
    )
    assert (1, 1, [read["rule"]]) == (listed["count"], listed["total"], listed["rules"])
    assert {"id": answer["id"], "status": "active", **FIELDS}.items() <= read["rule"].items()
    assert not {"username", "password"} & set(read["rule"])
    assert {**answer, "message": "Realtime alert rule deleted"}.items() >= deleted.items()
    assert (404, "not_found") == (gone, refusal["error"])


@pytest.mark.parametrize(
    "changes", [{"live_stream_url": "http://camera"}, {"prompt": " "}, {"chunk_duration": 0}]
)
async def test_a_wrong_rule_is_refused(
    tmp_path: Path, rtvi: FakeRtvi, changes: dict[str, Any]
) -> None:
    """Before anything is asked of RT-VLM."""
    async with api(tmp_path, rtvi.url) as service:
        status, answer = await service.call("POST", "", FIELDS | changes)

    assert (422, "validation_failed", []) == (status, answer["error"], rtvi.calls)


async def test_refusals_have_vss_codes(tmp_path: Path, rtvi: FakeRtvi) -> None:
    """Each failure has the status and the word of VSS."""
    rtvi.unreadable.add("rtsp://dark/1")
    async with api(tmp_path, rtvi.url) as service:
        seen = [
            await service.call("POST", "", FIELDS | {"live_stream_url": "rtsp://dark/1"}),
            await service.call("GET", "/no-uuid"),
            await service.call("DELETE", f"/{UNKNOWN}"),
            await service.call("GET", "/incidents"),
            await service.call("GET", "/incidents?consolidate=true"),
            await service.call("GET", "/incidents?start_time=yesterday"),
        ]

    assert [
        (502, "rtvi_stream_not_readable"),
        (422, "validation_failed"),
        (404, "not_found"),
        (503, "elasticsearch_unavailable"),
        (400, "validation_failed"),
        (422, "validation_failed"),
    ] == [(status, answer["error"]) for status, answer in seen]


async def test_without_rtvi_the_routes_say_so(tmp_path: Path) -> None:
    """As VSS answers when nothing is there: the list is empty, the rest is refused."""
    async with api(tmp_path, "") as service:
        created, refusal = await service.call("POST", "", FIELDS)
        _, listed = await service.call("GET")
        replayed, off = await service.call("POST", "/replay")
        event = await service.call("POST", "/always-on", STREAMING)

    assert (502, "rtvi_vlm_unavailable") == (created, refusal["error"])
    assert [] == listed["rules"]
    assert (501, 32) == (replayed, len(off["correlation_id"]))
    disabled = {"reason": "ALWAYS_ON_DISABLED", "status": "HTTP/1.1 503 Service Unavailable"}
    assert (503, disabled) == event


async def test_a_replay_tells_how_each_rule_fared(tmp_path: Path, rtvi: FakeRtvi) -> None:
    """One works again, the camera of the other cannot be read any more."""
    async with api(tmp_path, rtvi.url) as service:
        for number in (1, 2):
            url = f"rtsp://camera/{number}"
            await service.call("POST", "", FIELDS | {"live_stream_url": url})
        rtvi.lose_all()
        rtvi.unreadable.add("rtsp://camera/2")
        status, answer = await service.call("POST", "/replay")

    assert 200 == status
    assert (1, 1, 2) == (answer["replayed"], answer["failed"], answer["total"])
    assert ["success", "error"] == [detail["result"] for detail in answer["details"]]
    assert "readiness" in answer["details"][1]["error"]


async def test_a_camera_starts_and_stops_its_rules(tmp_path: Path, rtvi: FakeRtvi) -> None:
    """Every rule of the file once per camera, on one stream, until the camera is removed."""
    async with api(tmp_path, rtvi.url, rules=RULES) as service:
        began, first = await service.call("POST", "/always-on", STREAMING)
        _, second = await service.call("POST", "/always-on", STREAMING)
        streams, captions = dict(rtvi.streams), list(rtvi.captions.values())
        ended, last = await service.call("POST", "/always-on", REMOVED)
        _, again = await service.call("POST", "/always-on", REMOVED)

    assert (200, "STREAM_ADD_SUCCESS", "HTTP/1.1 200 OK") == (
        began,
        first["reason"],
        first["status"],
    )
    assert [("ppe", 201, "success"), ("collision", 201, "success")] == [
        (detail["rule_id"], detail["status"], detail["result"]) for detail in first["details"]
    ]
    assert {"reason": "STREAM_ADD_ALREADY_ACTIVE", "status": "HTTP/1.1 200 OK"} == second
    assert (CAMERA, "warehouse") == (
        streams[CAMERA]["id"],
        streams[CAMERA]["sensor_name"],
    )
    assert {("Worker PPE Violation", 60), ("collision", 30)} == {
        (body["alert_category"], body["chunk_duration"]) for body in captions
    }
    assert (200, "STREAM_REMOVE_SUCCESS", 2) == (ended, last["reason"], len(last["details"]))
    assert ("STREAM_REMOVE_SUCCESS", []) == (again["reason"], again["details"])
    assert ({}, {}) == (rtvi.streams, rtvi.captions)


async def test_a_camera_event_fills_the_gaps_of_an_earlier_one(
    tmp_path: Path, rtvi: FakeRtvi
) -> None:
    """What runs is left alone, also after a restart; what failed is tried again."""
    async with api(tmp_path, rtvi.url, rules=RULES) as service:
        rtvi.refusals["/generate_captions"] = 503
        failed, nothing = await service.call("POST", "/always-on", STREAMING)
        rtvi.refusals.clear()
        await service.call("POST", "/always-on", STREAMING)
        rules = await service.live.book.list()
        await service.live.rules.delete(rules[1].id)
    async with api(tmp_path, rtvi.url, rules=RULES) as service:
        _, filled = await service.call("POST", "/always-on", STREAMING)

    assert (502, "STREAM_ADD_FAILED") == (failed, nothing["reason"])
    assert {"rtvi_vlm_unavailable"} == {it["error"]["error"] for it in nothing["details"]}
    assert ["already_active", "success"] == [it["result"] for it in filled["details"]]
    assert 2 == len(rtvi.captions)


@pytest.mark.parametrize(
    "event",
    [
        {},
        {"event": {"camera_id": CAMERA, "change": "camera_streaming"}},
        {"event": {"camera_id": "", "change": "camera_remove"}},
        {"event": {"camera_id": CAMERA, "change": "camera_moved"}},
    ],
)
async def test_a_wrong_camera_event_is_refused_as_vss_does(
    tmp_path: Path, rtvi: FakeRtvi, event: dict[str, Any]
) -> None:
    """With the body that its sender understands."""
    async with api(tmp_path, rtvi.url, rules=RULES) as service:
        status, answer = await service.call("POST", "/always-on", event)

    assert (422, "INVALID_PAYLOAD") == (status, answer["reason"])


async def test_incidents_are_listed_and_consolidated(tmp_path: Path, rtvi: FakeRtvi) -> None:
    """The same window as documents and as events."""
    window = "start_time=2026-01-31T07:00:00Z&end_time=2026-01-31T09:00:00Z"
    chunk = {
        "sensorId": "camera-1",
        "category": "fire",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:30.000Z",
        "info": {"chunkIdx": "1", "verdict": "confirmed"},
    }
    async with FakeElastic() as elastic:
        for name in "ab":
            elastic.documents["mdx-vlm-incidents-2026-01-31", name] = Stored(chunk, 1)
        async with api(tmp_path, rtvi.url, elastic=elastic.url) as service:
            _, raw = await service.call("GET", f"/incidents?{window}&limit=1")
            _, events = await service.call("GET", f"/incidents?{window}&consolidate=true")

    assert (1, 2, False) == (raw["count"], raw["total"], raw["truncated"])
    assert (1, "2") == (events["total"], events["incidents"][0]["info"]["chunkCount"])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("always_on_rules: []", "always_on_rules"),
        (RULES.replace("ppe", "collision"), "rule_id must be unique"),
        (RULES.replace("model: cosmos\n", "modle: cosmos\n"), "modle"),
        ("[", "cannot be read"),
    ],
)
def test_a_wrong_file_of_rules_stops_the_start(tmp_path: Path, text: str, problem: str) -> None:
    """The error names the file and what is wrong."""
    path = tmp_path / "rules.yaml"
    path.write_text(text)

    with pytest.raises(SettingsError, match=rf"rules\.yaml.*{problem}"):
        load_always_on(RealtimeSettings(always_on=True, always_on_rules=path))


def test_always_on_without_a_file_stops_the_start() -> None:
    """The error names the setting."""
    with pytest.raises(SettingsError, match="SIDECAR_REALTIME__ALWAYS_ON_RULES"):
        load_always_on(RealtimeSettings(always_on=True))
