"""The published document."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from payloads import BEHAVIOR, COLLISION, WITH_MEDIA

from sidecar.contract.enrich import enrich, record_of
from sidecar.core.intake import Intake
from sidecar.errors import (
    MediaTruncated,
    NoPrompt,
    UnparsableAnswer,
    UnsureAnswer,
    VerificationError,
    VlmTimeout,
)
from sidecar.model import (
    Answer,
    ArmAnswer,
    Box,
    Clip,
    EventKind,
    Evidence,
    EvidenceForm,
    Finding,
    Interval,
    LeftOut,
    MediaType,
    Note,
    Outcome,
    Point,
    Prompt,
    Role,
    Verdict,
)

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


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ({"id": "m", "description": "before"}, {"id": "m", "description": "It was seen."}),
        (None, {"description": "It was seen."}),
    ],
)
def test_the_verdict_may_describe_the_event(module: object, expected: object) -> None:
    """VSS's `output_verdict_description` takes the place of the analytics module's own."""
    prompt = Prompt("collision", "?", descriptions={"confirmed": "It was seen."})
    raw = {key: value for key, value in COLLISION.items() if key != "analyticsModule"}
    described = _verdict({**raw, **({"analyticsModule": module} if module else {})}, prompt=prompt)
    rejected = replace(described, finding=Finding(False))

    assert expected == enrich(described)["analyticsModule"]
    assert module == enrich(rejected).get("analyticsModule")


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

    extra = enrich(_verdict(finding=Finding(True, extra={"note": "r" * length})))["info"]["note"]

    assert reasoning == extra
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


def test_notes_say_what_to_know_about_a_verdict() -> None:
    """Joined by commas; the key is absent when there is nothing to know."""
    noted = enrich(_verdict(notes=(Note.FRAMES_UNKNOWN, Note.ASKED_AGAIN)))["info"]

    assert "frames_unknown,asked_again" == noted["sidecarNotes"]
    assert "sidecarNotes" not in enrich(_verdict())["info"]


def test_what_several_arms_said_is_told_in_the_order_of_being_asked() -> None:
    """With those that were left out; one arm alone needs no list."""
    first = ArmAnswer("k", "reason2", "m", "a", Role.PRIMARY, Outcome.FAILED, WHEN, 40, "vlm_busy")
    second = replace(first, arm="nano", role=Role.FALLBACK, outcome=Outcome.CONFIRMED, reason="")
    second = replace(second, confidence=0.87654, is_published=True)
    info = enrich(
        _verdict(heard=(first, second), left_out=(("super", LeftOut.DOWN),), rule="night")
    )["info"]
    shown = {"verdict": "confirmed", "reason": "", "confidence": 0.8765, "latencyMs": 40}
    failed = {"verdict": "verification-failed", "reason": "vlm_busy", "latencyMs": 40}

    assert "night" == info["sidecarRule"]
    assert [
        {"arm": "reason2", "role": "primary", "confidence": None, **failed},
        {"arm": "nano", "role": "fallback", **shown},
        {"arm": "super", "leftOut": "down"},
    ] == orjson.loads(info["sidecarArms"])
    assert not {"sidecarArms", "sidecarRule"} & enrich(_verdict(heard=(first,)))["info"].keys()


def test_every_answer_is_recorded() -> None:
    """Both attempts, in order, also when neither is a verdict."""
    answers = (
        Answer("わかりません", "考え中", "stop", 900, 5, "refused_answer"),
        Answer("x" * 3000),
    )
    verdict = _verdict(finding=None, error=UnparsableAnswer("?"), answers=answers)
    written = orjson.loads(enrich(verdict)["info"]["sidecarAnswers"])

    assert {
        "text": "わかりません",
        "reasoning": "考え中",
        "finishReason": "stop",
        "promptTokens": 900,
        "completionTokens": 5,
        "reason": "refused_answer",
    } == written[0]
    assert (2000, True, None) == (
        len(written[1]["text"]),
        written[1]["text"].endswith(" [cut]"),
        written[1]["promptTokens"],
    )


def test_the_answer_that_counts_is_kept_when_there_is_no_room_for_all() -> None:
    """Control characters blow up in JSON; earlier answers give way and are counted."""
    answers = (Answer("\x00" * 1000), Answer("\x01" * 1000))
    info = enrich(_verdict(answers=answers))["info"]

    assert ["\x01" * 1000] == [a["text"] for a in orjson.loads(info["sidecarAnswers"])]
    assert "1" == info["sidecarAnswersDropped"]


TIMELINE = (Interval(0.1, 5.70049, "人が入る"), Interval(5.7, 61.0, "leaves"))


@pytest.mark.parametrize(
    ("raw", "start", "expected"),
    [
        (WITH_MEDIA, None, ("2025-01-15T14:30:00.100Z", "2025-01-15T14:31:01.000Z")),
        (COLLISION, WHEN, ("2026-01-31T08:00:00.100Z", "2026-01-31T08:01:01.000Z")),
    ],
)
def test_timeline_has_seconds_and_times(
    raw: dict[str, Any], start: datetime | None, expected: tuple[str, str]
) -> None:
    """Seconds from the clip's start, and the moments when the clip's or the event's is known."""
    finding = Finding(True, timeline=TIMELINE)
    clip = Clip(MediaType.VIDEO, start=start)
    events = orjson.loads(
        enrich(_verdict(raw, finding=finding, clip=clip))["info"]["sidecarEvents"]
    )

    assert {
        "start": 0.1,
        "end": 5.7,
        "startTime": expected[0],
        "endTime": expected[0].replace("00.100Z", "05.700Z"),
        "caption": "人が入る",
    } == events[0]
    assert expected[1] == events[1]["endTime"]


@pytest.mark.parametrize("end_s", [6.0, 1e15])
def test_times_that_nobody_knows_are_left_out(end_s: float) -> None:
    """A recorder's clip need not begin with the event; and no calendar has every time."""
    raw = COLLISION if end_s == 6.0 else WITH_MEDIA
    finding = Finding(True, timeline=(Interval(5.0, end_s),))
    info = enrich(_verdict(raw, finding=finding))["info"]

    assert [{"start": 5.0, "end": end_s, "caption": ""}] == orjson.loads(info["sidecarEvents"])


def test_boxes_and_points_are_shares_and_pixels() -> None:
    """Pixels of the clip's own frames, where their size is known."""
    finding = Finding(
        None,
        boxes=(Box(0.1, 0.2, 0.55556, 1.0, "人", is_clipped=True),),
        points=(Point(0.5, 0.25, "car"),),
    )
    evidence = Evidence(EvidenceForm.VIDEO, MediaType.VIDEO, source_width=1920, source_height=1080)
    info = enrich(_verdict(finding=finding, evidence=evidence))["info"]
    plain = enrich(_verdict(finding=finding))["info"]

    assert [
        {
            "label": "人",
            "box": [0.1, 0.2, 0.5556, 1.0],
            "pixels": [192, 216, 1067, 1080],
            "clipped": True,
        }
    ] == orjson.loads(info["sidecarBoxes"])
    assert [{"label": "car", "point": [0.5, 0.25], "pixels": [960, 270]}] == orjson.loads(
        info["sidecarPoints"]
    )
    assert [{"label": "car", "point": [0.5, 0.25]}] == orjson.loads(plain["sidecarPoints"])


def test_long_lists_are_shortened_to_valid_json() -> None:
    """VSS's readers take 10,000 characters; what is left out is counted."""
    finding = Finding(True, timeline=tuple(Interval(n, n + 1, "c" * 90) for n in range(500)))
    info = enrich(_verdict(finding=finding))["info"]
    kept = len(orjson.loads(info["sidecarEvents"]))

    assert 9_700 < len(info["sidecarEvents"]) <= 10_000
    assert 500 == kept + int(info["sidecarEventsDropped"])


def test_an_empty_list_is_written() -> None:
    """Nothing happened is an answer too."""
    info = enrich(_verdict(finding=Finding(None, timeline=())))["info"]

    assert ("[]", "") == (info["sidecarEvents"], info["verdict"])
    assert not {"sidecarBoxes", "sidecarPoints", "sidecarEventsDropped"} & info.keys()


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (MediaTruncated("The file ends early. Record it again."), True),
        (VlmTimeout("ReadTimeout: 60 s"), False),
        (NoPrompt("No prompt is configured."), False),
    ],
)
def test_the_own_words_of_an_error_are_added_where_vss_has_others(
    error: VerificationError, detail: bool
) -> None:
    """VSS's status text stays what dashboards match; the sentence that helps is never lost."""
    info = enrich(_verdict(finding=None, error=error))["info"]

    assert (error.detail if detail else None) == info.get("sidecarDetail")
    assert error.detail in info["verificationResponseStatus"] + info.get("sidecarDetail", "")


def test_unsure_is_unverified_for_us_and_failed_for_vss() -> None:
    """VSS's README calls verification-failed «unverified»; the reason tells the difference."""
    error = UnsureAnswer("Unverified: the model holds the event for true with probability 0.52.")
    info = enrich(_verdict(finding=None, error=error))["info"]

    assert {
        "verdict": "verification-failed",
        "sidecarReason": "unverified",
        "verificationResponseStatus": error.detail,
        "errorSource": "vlm_api",
    }.items() <= info.items()


def test_japanese_is_not_escaped() -> None:
    """A Japanese answer is readable in the published document."""
    finding = Finding(True, "通路に人が倒れています。", "転倒", timeline=TIMELINE)
    info = enrich(_verdict(finding=finding, answers=(Answer("はい"),)))["info"]

    assert ("通路に人が倒れています。", "転倒") == (info["reasoning"], info["description"])
    assert "人が入る" in info["sidecarEvents"]
    assert "はい" in info["sidecarAnswers"]
