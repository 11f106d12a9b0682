"""Every row of VSS's failure table, through the whole service, field by field."""

import json
import re
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from harness import Running, running
from payloads import COLLISION, ON_DEMAND

from sidecar.testing.fake_vst import CLIP, FILE, SENSORS, FakeVst, Scripted
from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

CAUSE = r"\w+: .{1,150}"
"""The root cause as VSS writes it: the type, then up to 150 characters of text."""


@dataclass(frozen=True)
class World:
    """How the outside misbehaves.

    Attributes:
        vst: what an endpoint of the recorder does instead of its work.
        vst_down: nobody listens where the recorder should be.
        answer: of the model.
        vlm_down: nobody listens where the model should be.
        arm: further settings of the arm.
        parser: class that reads the answers.
    """

    vst: Mapping[str, Scripted] = field(default_factory=dict)
    vst_down: bool = False
    answer: ScriptedAnswer = field(default_factory=ScriptedAnswer)
    vlm_down: bool = False
    arm: Mapping[str, Any] = field(default_factory=dict)
    parser: str = ""


class RaisingParser:
    """A user's parser with a defect."""

    def parse(self, raw: str) -> dict[str, Any]:
        raise KeyError(raw)


class ListParser:
    """A user's parser that returns something else than a dict."""

    def parse(self, raw: str) -> list[str]:
        return [raw]


def _parser(name: str) -> World:
    return World(parser=f"service.test_failure_table.{name}")


NO_ANSWER = ScriptedAnswer(hang=True)
SHORT = {"timeout_s": 1.0}
DOWN = "http://127.0.0.1:9"
UNREACHABLE_TEXT = "Video URL could not be validated or was unreachable"

# id, world, code, status (a regular expression), errorSource, VSS's metric reason
RECORDER_ROWS = [
    (
        "vst 404",
        World(vst={CLIP: Scripted(404)}),
        "404",
        "No video recording found for the requested time",
        "media_download",
        "vst_not_found",
    ),
    *(
        (
            f"vst {status}",
            World(vst={CLIP: Scripted(status)}),
            str(status),
            "VST service overloaded",
            "media_download",
            "vst_overloaded",
        )
        for status in (429, 503)
    ),
    (
        "vst timeout",
        World(vst={CLIP: Scripted(delay_s=5)}),
        "504",
        "VST request timed out",
        "media_download",
        "vst_timeout",
    ),
    (
        "vst 500",
        World(vst={CLIP: Scripted(500)}),
        "500",
        "VST service unavailable",
        "media_download",
        "vst_unavailable",
    ),
    (
        "vst down",
        World(vst_down=True),
        "503",
        "VST service unavailable",
        "media_download",
        "vst_unavailable",
    ),
    (
        "vst 403",
        World(vst={CLIP: Scripted(403)}),
        "403",
        r"VST request error \(HTTP 403\)",
        "media_download",
        "vst_client_error",
    ),
    (
        "vst without url",
        World(vst={CLIP: Scripted(200, "{}")}),
        "502",
        "VST returned response without video URL",
        "media_download",
        "vst_server_error",
    ),
    (
        "vst other",
        World(vst={SENSORS: Scripted(200, "not json")}),
        "500",
        "VST error: could not retrieve video",
        "media_download",
        "vst_unknown",
    ),
    (
        "clip gone",
        World(vst={FILE: Scripted(404)}),
        "400",
        UNREACHABLE_TEXT,
        "media_download",
        "url_validation",
    ),
    (
        "clip unusable",
        World(vst={FILE: Scripted(200, "<html>")}),
        "400",
        UNREACHABLE_TEXT,
        "media_download",
        "url_validation",
    ),
    (
        "vlm timeout",
        World(answer=NO_ANSWER, arm=SHORT),
        "504",
        f"VLM request timed out, {CAUSE}",
        "vlm_api",
        "vlm_timeout",
    ),
    (
        "vlm down",
        World(vlm_down=True),
        "503",
        f"Failed to connect to VLM service, {CAUSE}",
        "vlm_api",
        "vlm_connection_error",
    ),
    (
        "vlm 500",
        World(answer=ScriptedAnswer("boom", status=500)),
        "500",
        f"VLM service internal error, {CAUSE}",
        "vlm_api",
        "vlm_server_error",
    ),
    (
        "vlm 422",
        World(answer=ScriptedAnswer("too many images", status=422)),
        "422",
        f"Invalid VLM request payload, {CAUSE}",
        "vlm_api",
        "vlm_invalid_payload",
    ),
    (
        "vlm 400",
        World(answer=ScriptedAnswer("no", status=400)),
        "500",
        f"Video verification could not be completed, {CAUSE}",
        "vlm_api",
        "unknown",
    ),
    (
        "empty answer",
        World(answer=ScriptedAnswer("")),
        "500",
        "VLM returned an empty response, the model produced no output for this video[.].*",
        "vlm_schema",
        "vlm_parse_failure",
    ),
    (
        "unparseable answer",
        World(answer=ScriptedAnswer("A street with a car.")),
        "500",
        "VLM response failed validation, .*Raw response: 'A street with a car.'",
        "vlm_schema",
        "vlm_parse_failure",
    ),
    (
        "parser raised",
        _parser("RaisingParser"),
        "500",
        "Pluggable parser failed: KeyError: 'yes'",
        "pluggable_parser",
        "vlm_parse_failure",
    ),
    (
        "parser returned a list",
        _parser("ListParser"),
        "500",
        r"Pluggable parser failed: TypeError: parse\(\) must return a dict, not list",
        "pluggable_parser",
        "vlm_parse_failure",
    ),
]

DIRECT_ROWS = [
    ("vlm timeout", World(answer=NO_ANSWER, arm=SHORT), "504", "VLM service timeout", "vlm_api"),
    ("vlm down", World(vlm_down=True), "503", "Failed to connect to VLM service", "vlm_api"),
    (
        "vlm 500",
        World(answer=ScriptedAnswer("boom", status=500)),
        "500",
        "VLM service internal error",
        "vlm_api",
    ),
    (
        "vlm 422",
        World(answer=ScriptedAnswer("no", status=422)),
        "422",
        "VLM request invalid",
        "vlm_api",
    ),
    (
        "vlm 400",
        World(answer=ScriptedAnswer("no", status=400)),
        "400",
        "VLM bad request",
        "vlm_api",
    ),
    (
        "unparseable answer",
        World(answer=ScriptedAnswer("A street.")),
        "500",
        "VLM response parsing failed: .+",
        "vlm_schema",
    ),
    ("gone", World(vst={FILE: Scripted(404)}), "502", ".*404.*", "media_download"),
]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_motion(tmp_path / "clip.mp4")


async def _service(
    world: World, tmp_path: Path, clip: Path, vst: FakeVst
) -> AsyncGenerator[Running]:
    vlm = MockVlm(MockVlmOptions("nvidia/cosmos-reason2-8b", answers=(world.answer,)))
    url = await vlm.start()
    await vst.start()
    arm = {
        "url": f"{DOWN}/v1" if world.vlm_down else url,
        "model": "nvidia/cosmos-reason2-8b",
        "retries": 0,
        "reconnect_s": 0,
        **world.arm,
    }
    async with running(
        tmp_path,
        ab={"primary": "reason2"},
        arms={"reason2": arm},
        answers={"response_parser": world.parser},
        vst={"base_url": DOWN if world.vst_down else vst.url, "timeout_s": 1.0},
        media={"allowed_networks": ["127.0.0.0/8"], "allowed_roots": [clip.parent]},
    ) as service:
        yield service
    await vst.close()
    await vlm.close()


async def _published(
    world: World, tmp_path: Path, clip: Path, path: str, event: Mapping[str, Any]
) -> tuple[dict[str, str], Running]:
    vst = FakeVst(clip, {"Lafayette_Agnew": "stream-1"}, dict(world.vst))
    services = _service(world, tmp_path, clip, vst)
    service = await anext(services)
    body = json.dumps(event).replace("http://media", vst.url).encode()
    status, answer = await service.post_bytes(path, body)
    assert status == 202, answer
    verdict = await service.decided(answer.get("correlationId") or answer["id"])
    document = dict(verdict["event"])
    await anext(services, None)
    return document["info"], service


def _check_failure(info: Mapping[str, str], code: str, status: str, source: str) -> None:
    assert {
        "verdict": "verification-failed",
        "verificationResponseCode": code,
        "errorSource": source,
    }.items() <= info.items(), info
    assert re.fullmatch(status, info["verificationResponseStatus"], re.DOTALL), info
    assert "videoSource" in info
    assert not {"reasoning", "description"} & info.keys()
    assert all(isinstance(value, str) for value in info.values())


@pytest.mark.parametrize(
    ("world", "code", "status", "source", "metric"),
    [pytest.param(*row[1:], id=row[0]) for row in RECORDER_ROWS],
)
async def test_a_pipeline_event_fails_as_in_vss(
    world: World, code: str, status: str, source: str, metric: str, tmp_path: Path, clip: Path
) -> None:
    """Code, status text, source and metric of each cause; the event's own info is kept."""
    info, service = await _published(world, tmp_path, clip, "/api/v1/incidents", COLLISION)

    _check_failure(info, code, status, source)
    assert COLLISION["info"].items() <= info.items()
    assert 1.0 == service.app.meter.registry.get_sample_value(
        "alert_bridge_verification_failures_total", {"reason": metric}
    )


@pytest.mark.parametrize(
    ("world", "code", "status", "source"),
    [pytest.param(*row[1:], id=row[0]) for row in DIRECT_ROWS],
)
async def test_on_demand_media_fail_as_in_vss(
    world: World, code: str, status: str, source: str, tmp_path: Path, clip: Path
) -> None:
    """Direct media have wordings of their own."""
    urls = ["http://media/vst/storage/temp_files/clip.mp4"]
    event = {**ON_DEMAND, "info": {"media_type": "video", "media_urls": urls}}
    info, _ = await _published(world, tmp_path, clip, "/api/v1/verification/ondemand", event)

    _check_failure(info, code, status, source)


@pytest.mark.parametrize("urls", [None, [], "", "[]", {"a": 1}])
async def test_on_demand_without_media_fails_as_in_vss(
    urls: object, tmp_path: Path, clip: Path
) -> None:
    """400 in the result, not in the answer to the request."""
    event = {**ON_DEMAND, "info": {"media_type": "video", "media_urls": urls}}
    info, _ = await _published(World(), tmp_path, clip, "/api/v1/verification/ondemand", event)

    text = "media_urls is required and must be a non-empty list"
    _check_failure(info, "400", text, "media_download")


async def test_a_bad_answer_about_a_local_file_is_worded_as_in_vss(
    tmp_path: Path, clip: Path
) -> None:
    """Local file mode has one wording for every bad answer."""
    world = World(answer=ScriptedAnswer("A street."))
    event = {**COLLISION, "info": {"video_path": str(clip)}}
    info, _ = await _published(world, tmp_path, clip, "/api/v1/incidents", event)

    _check_failure(info, "500", "Incorrect VLM response schema", "vlm_schema")


async def test_a_good_answer_is_written_as_in_vss(tmp_path: Path, clip: Path) -> None:
    """The success row: verdict, reasoning, description, code, status, source; no errorSource."""
    world = World(answer=ScriptedAnswer("<think>Two cars touch.</think>\n\nYes"))
    info, _ = await _published(world, tmp_path, clip, "/api/v1/incidents", COLLISION)

    assert {
        "verdict": "confirmed",
        "reasoning": "Two cars touch.",
        "description": "",
        "verificationResponseCode": "200",
        "verificationResponseStatus": "OK",
    }.items() <= info.items()
    assert info["videoSource"].endswith(".mp4")
    assert "errorSource" not in info


async def test_free_text_about_direct_media_is_written_as_in_vss(
    tmp_path: Path, clip: Path
) -> None:
    """use_verdict=false, VSS's shipped default: the whole answer, and no verdict key."""
    vlm = MockVlm(MockVlmOptions(answers=(ScriptedAnswer("A dock, quiet."),)))
    vst = FakeVst(clip)
    await vst.start()
    url = f"{vst.url}/vst/storage/temp_files/clip.mp4"
    async with running(
        tmp_path,
        ab={"primary": "reason2"},
        arms={"reason2": {"url": await vlm.start()}},
        verify={"use_verdict": False},
        media={"allowed_networks": ["127.0.0.0/8"]},
    ) as service:
        info = {"media_type": "video", "media_urls": [url]}
        await service.post("/api/v1/verification/ondemand", {**ON_DEMAND, "info": info})
        verdict = await service.decided("incident-123")
    await vst.close()
    await vlm.close()
    found = verdict["event"]["info"]

    assert ("A dock, quiet.", "200", "OK", "") == (
        found["reasoning"],
        found["verificationResponseCode"],
        found["verificationResponseStatus"],
        found["videoSource"],
    )
    assert not {"verdict", "description", "errorSource"} & found.keys()
