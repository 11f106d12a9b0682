"""The 2.4 bridge's Redis streams: alerts in, reviewed alerts out, field by field."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from bridge_samples import DEAD, ENHANCED, GROUP, INCIDENTS, INPUT, LEAST, alert, documents, entry
from harness import Running
from pydantic import ValidationError
from redis.asyncio import Redis
from redis_process import RedisProcess
from review_samples import CV_METADATA, FULL, reviewing

from sidecar.check import find_problems
from sidecar.errors import SettingsError
from sidecar.outside.alert_defaults import load_alert_defaults
from sidecar.settings import Settings
from sidecar.testing.fake_elastic import FakeElastic
from sidecar.testing.mock_vlm import MockVlm, ScriptedAnswer

THOUGHT = "<think>\nHe climbs over the gate.\n</think>\n\nYes"


@asynccontextmanager
async def bridging(
    folder: Path, server: RedisProcess, *answers: str | ScriptedAnswer, **sections: Any
) -> AsyncGenerator[tuple[Running, MockVlm, Redis]]:
    """Run a service on the bridge's streams."""
    bridge = {"url": server.url, **sections.pop("bridge", {})}
    async with (
        reviewing(folder, *answers, bridge=bridge, **sections) as (service, vlm),
        Redis.from_url(server.url) as redis,
    ):
        yield service, vlm, redis


async def test_the_full_sample_comes_out_reviewed(folder: Path, server: RedisProcess) -> None:
    """The enhanced document has every field of the bridge's schema, with its value, and no other.

    It is the engine's answer, with null for what is not known and times of frames in milliseconds.
    """
    async with bridging(folder, server, ScriptedAnswer(THOUGHT)) as (_, _, redis):
        await redis.xadd(INPUT, entry(FULL))
        (document,) = await documents(redis, ENHANCED, 1)

    result = document.pop("result")
    assert {
        **{key: FULL[key] for key in FULL if key != "vss_params"},
        "cv_metadata_path": str(folder / CV_METADATA),
        "alert": {**FULL["alert"], "status": "REVIEWED"},
    } == document
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", result.pop("reviewed_at"))
    question = FULL["vss_params"]["vlm_params"]["prompt"]
    assert {
        "status": "SUCCESS",
        "error_string": "",
        "verification_result": True,
        "confidence": None,
        "review_method": "VSS",
        "reviewed_by": "nvidia/cosmos-reason2-8b",
        "notes": "Alert auto-reviewed by VSS; confidence above threshold.",
        "debug": {
            "input_prompt": question,
            "selected_frames_ts": [0, 700, 1500, 2200, 3000, 3700, 4500, 5200],
        },
        "input_prompt": question,
        "description": "Yes",
        "reasoning": "He climbs over the gate.",
    } == result


async def test_an_entry_is_a_time_between_two_json_texts(
    folder: Path, server: RedisProcess
) -> None:
    """`data`, `timestamp` and `metadata`, in this order, as readers of 2.4 expect."""
    async with bridging(folder, server) as (_, _, redis):
        await redis.xadd(INPUT, entry(alert("a")))
        await documents(redis, ENHANCED, 1)
        ((_, fields),) = await redis.xrange(ENHANCED)

    assert [b"data", b"timestamp", b"metadata"] == list(fields)
    assert re.fullmatch(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", fields[b"timestamp"])
    assert "alert" == json.loads(fields[b"metadata"])["message_type"]


async def test_what_an_alert_leaves_out_is_vss_default(folder: Path, server: RedisProcess) -> None:
    """8 frames, 512 tokens, temperature 0.2; no verdict is asked for; case does not matter."""
    async with bridging(folder, server, "A box lies there.", arm={"evidence": "frames"}) as (
        _,
        vlm,
        redis,
    ):
        await redis.xadd(INPUT, entry(LEAST))
        (document,) = await documents(redis, ENHANCED, 1)
        (asked,) = vlm.requests

    system, user = asked["messages"]
    assert 8 == sum(part["type"] == "image_url" for part in user["content"])
    assert "You are a helpful assistant. Answer the user's question." == system["content"]
    assert (512, 0.2, 1.0, 10) == tuple(
        asked[name] for name in ("max_tokens", "temperature", "top_p", "seed")
    )
    assert {"severity": "HIGH", "status": "REVIEWED"} == {
        name: document["alert"][name] for name in ("severity", "status")
    }
    assert {
        "version": "1.0",
        "stream_name": None,
        "cv_metadata_path": "",
        "start_time": 0.0,
        "end_time": 0.0,
        "confidence": 0.92,
        "meta_labels": [],
    }.items() <= document.items()
    assert (None, None, "A box lies there.", "No reasoning available") == tuple(
        document["result"][name]
        for name in ("verification_result", "debug", "description", "reasoning")
    )


async def test_a_file_of_defaults_takes_the_place_of_vss_own(
    folder: Path, server: RedisProcess
) -> None:
    """As ALERT_AGENT_DEFAULTS_FILE does; nulls in it leave it to the service."""
    path = folder / "alert_request_defaults.yaml"
    path.write_text(
        "schema: {version: '2.0.0'}\n"
        "vss_params: {num_frames_per_chunk: 3, do_verification: true,"
        " vlm_params: {prompt: null, max_tokens: 7}}\n"
        "request_defaults: {confidence: 0.5, stream_name: null}\n"
        "constraints: {}\n"
    )
    async with bridging(
        folder,
        server,
        "No",
        arm={"evidence": "frames"},
        bridge={"request_defaults": path},
    ) as (_, vlm, redis):
        await redis.xadd(INPUT, entry(LEAST))
        (document,) = await documents(redis, ENHANCED, 1)
        (asked,) = vlm.requests

    assert (7, 0.0) == (asked["max_tokens"], asked["temperature"])
    assert 3 == sum(part["type"] == "image_url" for part in asked["messages"][1]["content"])
    assert (0.5, False) == (document["confidence"], document["result"]["verification_result"])


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("vss_params: [", "cannot be read"),
        ("[]", "no section vss_params"),
        ("vss_params: {num_frames_per_chunk: 1000}", "vss_params.num_frames_per_chunk"),
        ("vss_params: {}\nrequest_defaults: {confidence: 2}", "confidence"),
    ],
)
async def test_a_file_of_defaults_that_cannot_be_used_stops_the_start(
    folder: Path, text: str, named: str
) -> None:
    """The error names the setting, the file and what is wrong in it."""
    path = folder / "defaults.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"bridge\.request_defaults") as caught:
        load_alert_defaults(path)

    assert named in caught.value.detail


@pytest.mark.parametrize(
    ("change", "answer", "code", "error"),
    [
        ({"video_path": "none.mp4"}, "yes", "INVALID_REQUEST", "does not exist"),
        ({"video_path": "/etc/passwd"}, "yes", "INVALID_REQUEST", "not a file below an allowed"),
        ({}, ScriptedAnswer(status=500), "INTERNAL_ERROR", "VLM service internal error"),
        ({}, ScriptedAnswer(status=429), "SERVICE_UNAVAILABLE", "could not be completed"),
        ({}, "I cannot tell from this.", "INTERNAL_ERROR", "VLM response failed validation"),
        (
            {"vss_params": {"vlm_params": {}}},
            "yes",
            "INVALID_REQUEST",
            "no prompt is configured for its type 'object_detection'",
        ),
    ],
)
async def test_a_review_that_fails_comes_out_as_a_failure(
    folder: Path,
    server: RedisProcess,
    change: dict[str, Any],
    answer: str | ScriptedAnswer,
    code: str,
    error: str,
) -> None:
    """The alert's status stays as it was; `notes` has the code of the bridge's vocabulary."""
    async with bridging(folder, server, answer, arm={"retries": 0}) as (service, _, redis):
        await redis.xadd(INPUT, entry(alert("a", **change)))
        (document,) = await documents(redis, ENHANCED, 1)
        verdict = await service.decided("a")

    result = document["result"]
    assert "REVIEW_PENDING" == document["alert"]["status"]
    assert {
        "status": "FAILURE",
        "verification_result": False,
        "confidence": 0.0,
        "review_method": "VSS",
        "reviewed_by": "VSS",
        "notes": f"Error: {code}",
    }.items() <= result.items()
    assert error in result["error_string"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", result["reviewed_at"])
    assert "verification-failed" == verdict["verdict"]


async def test_success_and_failure_have_the_same_fields(folder: Path, server: RedisProcess) -> None:
    """A reader needs one parser."""
    async with bridging(folder, server) as (_, _, redis):
        await redis.xadd(INPUT, entry(alert("a")))
        await redis.xadd(INPUT, entry(alert("b", video_path="none.mp4")))
        one, two = await documents(redis, ENHANCED, 2)

    assert one.keys() == two.keys()
    assert one["result"].keys() == two["result"].keys()


async def test_an_alert_without_a_prompt_is_asked_about_as_its_type_is(
    folder: Path, server: RedisProcess
) -> None:
    """The prompts of the alert type, with the alert's values filled in as data."""
    config = {
        "alert_type": "box_dropped",
        "prompt": "At {sensor_id}: did a box fall?",
        "system_prompt": "Be brief.",
    }
    async with bridging(folder, server) as (service, vlm, redis):
        await service.post("/api/v1/verification/config", config)
        await redis.xadd(INPUT, entry({**LEAST, "vss_params": None}))
        await documents(redis, ENHANCED, 1)
        (asked,) = vlm.requests

    system, user = asked["messages"]
    assert "Be brief." == system["content"]
    assert 'At "camera-1": did a box fall?' == user["content"][-1]["text"]


async def test_entries_that_are_no_alerts_are_put_aside_with_their_cause(
    folder: Path, server: RedisProcess
) -> None:
    """They are acknowledged, keep their fields, and do not stop the others."""
    wrong: list[dict[str, str]] = [
        {"data": "{", "timestamp": "t", "metadata": "{}"},
        {"other": "field"},
        entry({"id": "x"}),
        entry({**LEAST, "alert": {**LEAST["alert"], "severity": "INFORMAL"}}),
        entry({**LEAST, "@timestamp": "yesterday"}),
        entry({**LEAST, "start_time": 5, "end_time": 5}),
        entry({**LEAST, "vss_params": {"chunk_duration": 5, "chunk_overlap_duration": 5}}),
    ]
    causes = [
        "not valid JSON",
        "no value",
        "@timestamp: Field required; sensor_id: Field required",
        "alert.severity: Input should be",
        "@timestamp: Not a time",
        "`end_time` must be greater",
        "chunk_overlap_duration must be less",
    ]
    async with bridging(folder, server) as (_, _, redis):
        for fields in wrong:
            await redis.xadd(INPUT, dict(fields))
        await redis.xadd(INPUT, entry(alert("fine")))
        (document,) = await documents(redis, ENHANCED, 1)
        async with asyncio.timeout(10):
            while await redis.xlen(DEAD) < len(wrong):
                await asyncio.sleep(0.02)
            while (await redis.xpending(INPUT, GROUP))["pending"]:
                await asyncio.sleep(0.02)
        letters = sorted(
            (fields for _, fields in await redis.xrange(DEAD)),
            key=lambda fields: int(fields[b"origin"].split(b"@")[1].replace(b"-", b"")),
        )

    assert "fine" == document["id"]
    for fields, letter, cause in zip(wrong, letters, causes, strict=True):
        assert cause in letter[b"cause"].decode()
        assert {name.encode(): value.encode() for name, value in fields.items()}.items() <= (
            letter.items()
        )


async def test_the_same_alert_is_reviewed_once(folder: Path, server: RedisProcess) -> None:
    """A repeated entry changes nothing; another question under the same id is another review."""
    other = alert("a", vss_params={"vlm_params": {"prompt": "Is it dark?"}})
    async with bridging(folder, server) as (_, vlm, redis):
        for body in (alert("a"), alert("a"), other):
            await redis.xadd(INPUT, entry(body))
        found = await documents(redis, ENHANCED, 2)
        async with asyncio.timeout(10):
            while (await redis.xpending(INPUT, GROUP))["pending"]:
                await asyncio.sleep(0.02)
        asked = len(vlm.requests)

    assert ["Did a worker drop any boxes?", "Is it dark?"] == sorted(
        document["result"]["input_prompt"] for document in found
    )
    assert 2 == asked


async def test_alerts_that_were_there_before_the_group_are_read(
    folder: Path, server: RedisProcess
) -> None:
    """As in 2.4, a new group begins at the beginning."""
    async with Redis.from_url(server.url) as redis:
        await redis.xadd(INPUT, entry(alert("early")))
    async with bridging(folder, server) as (_, _, redis):
        (document,) = await documents(redis, ENHANCED, 1)

    assert "early" == document["id"]


async def test_each_document_goes_where_its_layout_is_known(
    folder: Path, server: RedisProcess
) -> None:
    """Reviews go to the enhanced stream, incidents to theirs.

    Elasticsearch, whose readers know NvSchema, gets the incident alone.
    """
    incident = {
        "id": "i",
        "sensorId": "camera-1",
        "category": "collision",
        "timestamp": "2026-01-31T08:00:00Z",
        "end": "2026-01-31T08:00:10Z",
        "info": {"video_path": str(folder / FULL["video_path"])},
    }
    media = {"allowed_roots": [folder]}
    async with (
        FakeElastic() as elastic,
        bridging(folder, server, sinks={"elastic": {"hosts": [elastic.url]}}, media=media) as (
            service,
            _,
            redis,
        ),
    ):
        await redis.xadd(INPUT, entry(alert("a")))
        (reviewed,) = await documents(redis, ENHANCED, 1)
        await service.post("/api/v1/incidents", incident)
        (verified,) = await documents(redis, INCIDENTS, 1)
        async with asyncio.timeout(10):
            while not elastic.documents:
                await asyncio.sleep(0.02)
        (indexed,) = elastic.documents.values()
        enhanced = await redis.xlen(ENHANCED)

    assert ("a", "i", 1) == (reviewed["id"], verified["id"], enhanced)
    assert "confirmed" == verified["info"]["verdict"]
    assert "i" == indexed.source["id"]


async def test_the_old_answers_come_out_in_compat_mode(folder: Path, server: RedisProcess) -> None:
    """As in 2.4, a model that fails is a success that is false."""
    review = {"compat": "2.4"}
    failing = ScriptedAnswer(status=500)
    async with bridging(folder, server, failing, arm={"retries": 0}, review=review) as (
        _,
        _,
        redis,
    ):
        await redis.xadd(INPUT, entry(alert("a")))
        (document,) = await documents(redis, ENHANCED, 1)

    assert ("REVIEWED", "SUCCESS", False, "") == (
        document["alert"]["status"],
        *(document["result"][name] for name in ("status", "verification_result", "description")),
    )


async def test_a_long_clip_is_reviewed_in_chunks(folder: Path, server: RedisProcess) -> None:
    """Each chunk has its line; the overlap that VSS assumes gives way to a shorter chunk."""
    params = {
        "chunk_duration": 3,
        "do_verification": True,
        "vlm_params": {"prompt": "Is there a box?"},
    }
    async with bridging(folder, server, "No", "Yes") as (_, _, redis):
        await redis.xadd(INPUT, entry(alert("a", vss_params=params)))
        (document,) = await documents(redis, ENHANCED, 1)

    result = document["result"]
    first, *lines = result["description"].splitlines()
    assert (True, "Detailed description per chunk:") == (result["verification_result"], first)
    assert ["0-3 sec", "3-6 sec"] == [line.partition(":")[0] for line in lines]


@pytest.mark.parametrize("name", ["enhanced_stream", "incidents_stream", "dead_letter_stream"])
def test_what_goes_out_cannot_come_in_again(name: str) -> None:
    """Streams of one name stop the start: each review would be the next alert."""
    with pytest.raises(ValidationError, match="different names"):
        Settings(bridge={name: INPUT})


async def test_check_tells_of_defaults_that_cannot_be_used(tmp_path: Path) -> None:
    """Before the service is started with them."""
    settings = Settings(bridge={"request_defaults": tmp_path / "none.yaml"})
    problems = await find_problems(settings)

    assert [("error", "bridge.request_defaults")] == [
        (it.severity, it.setting) for it in problems if it.setting.startswith("bridge")
    ]


def test_the_names_are_those_of_vss() -> None:
    """Nobody has to configure what 2.4's files say."""
    bridge = Settings().bridge

    assert (INPUT, ENHANCED, INCIDENTS, GROUP) == (
        bridge.input_stream,
        bridge.enhanced_stream,
        bridge.incidents_stream,
        bridge.group,
    )
