"""`POST /api/v1/alerts` takes 2.4's alerts beside 3.x's, told apart by their fields."""

import re
from pathlib import Path
from typing import Any

import pytest
from bridge_samples import LEAST, alert
from payloads import BEHAVIOR
from review_samples import FULL, reviewing

from sidecar.contract.bridge import is_bridge_alert, read_alert
from sidecar.core.intake import Intake, kind_of
from sidecar.model import EventKind, Origin
from sidecar.testing.fake_vst import FakeVst
from sidecar.testing.mock_vlm import ScriptedAnswer

PATH = "/api/v1/alerts"


async def test_an_alert_is_accepted_as_in_vss_and_reviewed(folder: Path) -> None:
    """202 with VSS's body; the reviewed document is found under the alert's id."""
    async with reviewing(folder, "Yes") as (service, _):
        status, answer = await service.post(PATH, FULL)
        verdict = await service.decided(FULL["id"])

    assert (202, "accepted", FULL["id"], "Alert queued for processing") == (
        status,
        answer["status"],
        answer["id"],
        answer["message"],
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", answer["timestamp"])
    assert ("alert", "confirmed", "camera-001", "RESTRICTED_ACCESS") == (
        verdict["kind"],
        verdict["verdict"],
        verdict["sensorId"],
        verdict["category"],
    )
    assert True is verdict["event"]["result"]["verification_result"]


async def test_without_a_verdict_asked_for_none_is_told(folder: Path) -> None:
    """A description is neither confirmed nor rejected."""
    async with reviewing(folder, "A box lies there.") as (service, _):
        await service.post(PATH, LEAST)
        verdict = await service.decided("alert-1")

    assert ("decided", "") == (verdict["status"], verdict["verdict"])


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"alert": {}, "sensor_id": "c"}, {"id", "@timestamp", "video_path", "event"}),
        ({**LEAST, "id": ""}, {"id"}),
        ({**LEAST, "alert": {**LEAST["alert"], "status": "NEW"}}, {"alert.status"}),
        ({**LEAST, "confidence": 1.5}, {"confidence"}),
        ({**LEAST, "vss_params": []}, {"vss_params"}),
        ({**LEAST, "vss_params": {"vlm_params": {"temperature": 3}}}, {"temperature"}),
        ({**LEAST, "meta_labels": [{"key": "k"}]}, {"meta_labels.0.value"}),
    ],
)
async def test_a_wrong_alert_is_refused_in_vss_shape(
    folder: Path, body: dict[str, Any], fields: set[str]
) -> None:
    """400 `validation_failed` with an error for every wrong field, and nothing is accepted."""
    async with reviewing(folder) as (service, _):
        status, answer = await service.post(PATH, body)
        _, listed = await service.get("/api/v1/verdicts")

    found = {
        name.removeprefix("vss_params.vlm_params.") for name in answer["details"]["field_errors"]
    }
    assert (400, "error", "validation_failed") == (status, answer["status"], answer["error"])
    assert fields <= found
    assert {"status", "error", "message", "details", "timestamp"} == answer.keys()
    assert 0 == listed["count"]


async def test_what_is_no_json_is_refused_as_before(folder: Path) -> None:
    """Its shape cannot be told, so the answer is that of 3.x, which is 2.4's as well."""
    async with reviewing(folder) as (service, _):
        status, answer = await service.post_bytes(PATH, b"{")

    assert (422, "validation_failed") == (status, answer["error"])
    assert answer["message"].startswith("Request validation failed with 1 error(s).")


@pytest.mark.parametrize("field", ["alert", "vss_params", "sensor_id", "video_path"])
async def test_a_behavior_with_a_field_of_that_name_is_one_of_3_x(folder: Path, field: str) -> None:
    """Unknown fields are legal there; `sensor` tells what it is."""
    body = {**BEHAVIOR, field: {"any": "thing"}}
    async with reviewing(folder) as (service, _):
        status, answer = await service.post(PATH, body)
        verdict = await service.decided(answer["id"])

    assert 202 == status
    assert {"any": "thing"} == verdict["event"][field]
    assert "info" in verdict["event"]


def test_neither_of_both_is_taken_for_3_x() -> None:
    """The errors about an empty object are those of nv.Behavior."""
    assert not is_bridge_alert({})
    assert not is_bridge_alert({"@timestamp": "2026-01-31T08:00:00Z", "id": "x"})


def test_what_is_stored_is_what_came() -> None:
    """Defaults are filled in when the alert is reviewed, so its raw event is the request itself."""
    event = Intake().read(LEAST, EventKind.ALERT)

    assert (LEAST, Origin.REVIEW) == (event.raw, event.origin)
    assert EventKind.ALERT is kind_of(LEAST)


def test_null_counts_as_left_out() -> None:
    """As in 2.4, everywhere."""
    nothing = {"stream_name": None, "vss_params": {"debug": None, "vlm_params": {"seed": None}}}
    found = read_alert({**LEAST, **nothing})

    assert (10, False) == (found.vss_params.vlm_params.seed, found.vss_params.debug)


@pytest.mark.parametrize(
    ("given", "overlap"),
    [
        ({"chunk_duration": 5}, 0),
        ({"chunk_overlap_duration": 90}, 0),
        ({"chunk_duration": 20}, 10),
        ({"chunk_duration": 0}, 10),
    ],
)
def test_defaults_make_no_valid_alert_invalid(given: dict[str, int], overlap: int) -> None:
    """An overlap that does not fit the chunk is given up when one of both was not asked for."""
    found = read_alert({**LEAST, "vss_params": given})

    assert overlap == found.vss_params.chunk_overlap_duration


async def test_vst_says_where_the_clip_of_an_id_lies(folder: Path) -> None:
    """`vst_id` wins over `video_path`; a VST that does not tell makes a failure."""
    async with FakeVst() as vst:
        vst.files["clip-7"] = FULL["video_path"]
        async with reviewing(folder, "Yes", vst={"base_url": vst.url}) as (service, _):
            await service.post(PATH, alert("known", vst_id="clip-7", video_path="elsewhere.mp4"))
            await service.post(PATH, alert("unknown", vst_id="clip-8"))
            known, unknown = await service.decided("known"), await service.decided("unknown")

    assert ("confirmed", FULL["video_path"]) == (known["verdict"], known["event"]["video_path"])
    assert "vst_not_found" == unknown["reason"]
    assert "Error: INVALID_REQUEST" == unknown["event"]["result"]["notes"]


async def test_an_alert_that_stops_the_service_is_given_up(folder: Path) -> None:
    """Its document is a failure as any other."""
    hanging = ScriptedAnswer(hang=True)
    async with reviewing(folder, hanging, ledger={"path": folder / "l.db", "max_attempts": 1}) as (
        service,
        vlm,
    ):
        event = service.app.service.intake.read(alert("a"), EventKind.ALERT)
        await service.app.ledger.accept(event, claim=True)
        await service.app.ledger.recover()
        service.app.service.submitted.ring()
        verdict = await service.decided("a")

    assert 0 == vlm.stats["total_requests"]
    assert "poisoned" == verdict["reason"]
    assert ("FAILURE", "Error: INTERNAL_ERROR") == (
        verdict["event"]["result"]["status"],
        verdict["event"]["result"]["notes"],
    )


async def test_the_documentation_shows_an_alert_that_is_accepted(folder: Path) -> None:
    """The body of the curl command in docs/bridge.md, as it stands there."""
    page = (Path(__file__).parents[2] / "docs" / "bridge.md").read_text("utf-8")
    body = page.split("/api/v1/alerts ", 1)[1].split("-d '", 1)[1].split("'", 1)[0]
    async with reviewing(folder) as (service, _):
        status, answer = await service.post_bytes(PATH, body.encode())

    assert (202, "a-1") == (status, answer["id"])
