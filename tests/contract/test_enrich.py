"""The published document."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from payloads import BEHAVIOR, COLLISION, WITH_MEDIA

from sidecar.contract.enrich import enrich, record_of
from sidecar.core.intake import Intake
from sidecar.errors import UnparsableAnswer, VlmTimeout
from sidecar.model import Clip, EventKind, Finding, MediaType, Prompt, Verdict

WHEN = datetime(2026, 1, 31, 8, tzinfo=UTC)


def _verdict(
    raw: dict[str, Any] = COLLISION, kind: EventKind = EventKind.INCIDENT, **change: Any
) -> Verdict:
    verdict = Verdict(
        event=Intake().read(raw, kind),
        arm="reason2",
        adapter="cosmos-reason2",
        decided_at=WHEN,
        latency_ms=812,
        finding=Finding(True, "two cars touch", "A crash.", 0.9),
        model="nvidia/Cosmos-Reason2-8B",
        prompt=Prompt("collision", "?", version=3),
        clip=Clip(MediaType.VIDEO, source="http://vst/clip.mp4"),
        frames_asked=21,
        frames_seen=20,
    )
    return replace(verdict, **change)


def test_a_confirmed_incident_has_every_field_of_vss_and_ours() -> None:
    """The whole document, field by field."""
    verdict = _verdict()

    assert {
        **COLLISION,
        "Id": verdict.event.fingerprint,
        "type": "mdx-vlm-incidents",
        "info": {
            **COLLISION["info"],
            "reasoning": "two cars touch",
            "verdict": "confirmed",
            "description": "A crash.",
            "verificationResponseCode": "200",
            "verificationResponseStatus": "OK",
            "videoSource": "http://vst/clip.mp4",
            "sidecarArm": "reason2",
            "sidecarModel": "nvidia/Cosmos-Reason2-8B",
            "sidecarAdapter": "cosmos-reason2",
            "sidecarPromptVersion": "collision@3",
            "sidecarConfidence": "0.9000",
            "sidecarFramesAsked": "21",
            "sidecarFramesSeen": "20",
            "sidecarLatencyMs": "812",
            "sidecarAttempt": "1",
            "sidecarVerdictKey": verdict.event.key,
        },
    } == enrich(verdict)


def test_a_failure_has_no_reasoning_and_names_its_source() -> None:
    """VSS leaves reasoning and description out when there was no verdict."""
    info = enrich(_verdict(finding=None, error=VlmTimeout("ReadTimeout: 60 s")))["info"]

    assert {
        "verdict": "verification-failed",
        "verificationResponseCode": "504",
        "verificationResponseStatus": "VLM request timed out, ReadTimeout: 60 s",
        "errorSource": "vlm_api",
        "videoSource": "http://vst/clip.mp4",
        "sidecarReason": "vlm_timeout",
    }.items() <= info.items()
    assert not {"reasoning", "description"} & info.keys()


def test_every_info_value_is_a_string() -> None:
    """Lists and objects as compact JSON, null as "", as VSS writes them."""
    raw = {**COLLISION, "info": {"a": ["x", {"b": 1}], "n": None, "s": "t"}}
    info = enrich(_verdict(raw))["info"]

    assert {"a": '["x",{"b":1}]', "n": "", "s": "t"}.items() <= info.items()
    assert all(isinstance(value, str) for value in info.values())


@pytest.mark.parametrize("length", [10_000, 10_001, 50_000])
def test_long_reasoning_is_cut_with_a_mark(length: int) -> None:
    """VSS's analytics API refuses strings over 10,000 characters."""
    reasoning = enrich(_verdict(finding=Finding(True, "r" * length)))["info"]["reasoning"]

    assert min(length, 10_000) == len(reasoning)
    assert (length > 10_000) == reasoning.endswith(" [cut]")


def test_the_submitted_event_is_not_changed() -> None:
    """Data flows one way."""
    raw = {**COLLISION, "info": {"a": ["x"]}}
    enrich(_verdict(raw))

    assert {"a": ["x"]} == raw["info"]
    assert "Id" not in raw


def test_an_alert_is_flattened_as_vss_does() -> None:
    """Readers find sensor, category and objects where incidents have them."""
    document = enrich(_verdict({**BEHAVIOR, "object": {"id": "o1"}}, EventKind.ALERT))

    assert {
        "type": "mdx-vlm-alerts",
        "sensorId": "cam_highway_01",
        "category": "Alert Module",
        "objectIds": ["o1"],
        "notification_type": "alert",
        "_normalized_added_fields": ["category", "notification_type", "objectIds", "sensorId"],
    }.items() <= document.items()


def test_output_category_replaces_the_category_but_not_the_id() -> None:
    """The fingerprint is made of the original category."""
    verdict = _verdict(prompt=Prompt("collision", "?", output_category="Traffic accident"))
    document = enrich(verdict)

    assert ("Traffic accident", verdict.event.fingerprint) == (
        document["category"],
        document["Id"],
    )


def test_free_text_about_direct_media_has_no_verdict_key() -> None:
    """VSS's use_verdict=false: the whole answer is the reasoning."""
    info = enrich(
        _verdict(WITH_MEDIA, freestyle=True, finding=Finding(None, description="A dock."))
    )["info"]

    assert {
        "reasoning": "A dock.",
        "videoSource": "",
        "verificationResponseCode": "200",
    }.items() <= (info.items())
    assert not {"verdict", "description", "errorSource"} & info.keys()


def test_direct_pictures_are_counted() -> None:
    """How many were named and how many were looked at; keys of the event win."""
    urls = [f"http://a/{n}.png" for n in range(7)]
    raw = {**WITH_MEDIA, "info": {"media_urls": urls, "images_total": "mine"}}
    clip = Clip(MediaType.IMAGE, urls=tuple(urls[:5]), total=7)
    info = enrich(_verdict(raw, clip=clip))["info"]

    assert {"media_type": "images", "images_processed": "5", "images_total": "mine"}.items() <= (
        info.items()
    )


def test_a_plugged_parser_writes_its_dict_and_no_reasoning() -> None:
    """VSS's pluggable path: vlm_response instead of reasoning and description."""
    finding = Finding(False, None, None, extra={"vlm_response": '{"verdict":"no"}'})
    info = enrich(_verdict(finding=finding))["info"]

    assert {"verdict": "rejected", "vlm_response": '{"verdict":"no"}'}.items() <= info.items()
    assert not {"reasoning", "description"} & info.keys()


def test_the_record_carries_what_queries_need() -> None:
    """Outcome and reason are columns, not only text in the document."""
    record = record_of(_verdict(finding=None, error=UnparsableAnswer("?")))

    assert ("verification-failed", "unparsable_answer", "Lafayette_Agnew") == (
        record.outcome.value,
        record.reason,
        record.sensor_id,
    )
