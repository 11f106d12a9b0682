"""Deciding whether an answer counts, and asking a second time."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from harness import running

from sidecar.core.asking import require_sure
from sidecar.errors import UnsureAnswer
from sidecar.model import Finding
from sidecar.testing.media import write_motion
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer
from sidecar.testing.stub_servers import FLAVOURS, StubServer

BAND = (0.4, 0.6)
INCIDENT = {
    "id": "one",
    "sensorId": "camera-1",
    "timestamp": "2026-01-31T08:00:00.000Z",
    "end": "2026-01-31T08:00:10.000Z",
    "category": "gate",
    "info": {"video_path": "clip.mp4"},
}


@pytest.mark.parametrize(
    ("confirmed", "confidence"), [(True, 0.4), (True, 0.55), (False, 0.5), (False, 0.6)]
)
def test_a_probability_in_the_band_is_no_verdict(confirmed: bool, confidence: float) -> None:
    """The band is about «confirmed», whichever way the answer leans; its ends belong to it."""
    with pytest.raises(UnsureAnswer, match=r"probability 0\.\d\d, and .* from 0\.4 to 0\.6"):
        require_sure(Finding(confirmed, confidence=confidence), BAND)


@pytest.mark.parametrize(
    "finding",
    [
        Finding(True, confidence=0.61),
        Finding(False, confidence=0.61),
        Finding(True, confidence=None),
        Finding(None, confidence=0.5),
    ],
)
def test_a_sure_verdict_passes(finding: Finding) -> None:
    """So does one whose probability nobody knows, and a description."""
    require_sure(finding, BAND)


def _settings(folder: Path, url: str, answer: dict[str, Any], **arm: Any) -> dict[str, Any]:
    write_motion(folder / "clip.mp4", seconds=6)
    alert_type = {"alert_type": "gate", "prompts": {"user": "Does anybody pass?"}, "answer": answer}
    (folder / "types.json").write_bytes(orjson.dumps({"alerts": [alert_type]}))
    return {
        "ab": {"primary": "mine"},
        "arms": {"mine": {"url": url, "adapter": "generic", **arm}},
        "media": {"allowed_roots": [folder]},
        "prompts": {"alert_type_config": folder / "types.json"},
    }


async def _info(folder: Path, script: MockVlm, answer: dict[str, Any]) -> dict[str, str]:
    async with running(folder, **_settings(folder, await script.start(), answer)) as service:
        info = (await service.verdict_on(INCIDENT))["info"]
    await script.close()
    return dict(info)


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ("I am sorry, I cannot determine that.", "refused_answer"),
        ("Yes. No.", "contradictory_answer"),
        ("the the the " * 200, "degenerate_answer"),
    ],
)
async def test_a_model_that_does_not_know_is_not_pressed(
    said: str, reason: str, tmp_path: Path
) -> None:
    """One answer, and the reason why it is no verdict."""
    vlm = MockVlm(MockVlmOptions(answers=(ScriptedAnswer(said),)))
    info = await _info(tmp_path, vlm, {})

    assert ("verification-failed", reason) == (info["verdict"], info["sidecarReason"])
    assert [reason] == [answer["reason"] for answer in orjson.loads(info["sidecarAnswers"])]
    assert "asked_again" not in info.get("sidecarNotes", "")


async def test_a_word_is_not_pressed_out_of_a_question_for_something_else(tmp_path: Path) -> None:
    """Yes and no do not answer "what": the description that came instead is no verdict."""
    server = StubServer(FLAVOURS["vllm-0.32"])
    settings = _settings(tmp_path, await server.start(), {})
    types = {"alerts": [{"alert_type": "gate", "prompts": {"user": "Describe what happens."}}]}
    (tmp_path / "types.json").write_bytes(orjson.dumps(types))
    async with running(tmp_path, **settings) as service:
        info = (await service.verdict_on(INCIDENT))["info"]
    await server.close()

    assert ("verification-failed", "unparsable_answer") == (info["verdict"], info["sidecarReason"])
    assert 1 == len(orjson.loads(info["sidecarAnswers"]))


async def test_labels_of_an_alert_type_are_not_asked_for_as_yes_and_no(tmp_path: Path) -> None:
    """Also by an arm whose answers are otherwise constrained."""
    said = '{"prediction_answer": "unsafe"}'
    server = StubServer(replace(FLAVOURS["vllm-0.32"], plain_answer=said))
    labels = {"verdict_mapping": {"unsafe": "YES", "safe": "NO"}}
    answer = {"response_format": "json", "json_parser": labels}
    settings = _settings(tmp_path, await server.start(), answer)
    settings["arms"]["mine"]["answer"] = "choice"
    async with running(tmp_path, **settings) as service:
        info = (await service.verdict_on(INCIDENT))["info"]
    await server.close()

    assert "confirmed" == info["verdict"]
    assert [said] == [it["text"] for it in orjson.loads(info["sidecarAnswers"])]


async def test_times_read_off_a_slowed_down_clip_are_the_clips_own(tmp_path: Path) -> None:
    """A server that keeps 2 of 4 frames a second is shown the clip at half its speed."""
    said = '[{"start": "00:02.00", "end": "00:08.00", "caption": "A man passes."}]'
    server = StubServer(replace(FLAVOURS["vllm-0.32"], plain_answer=said))
    settings = _settings(tmp_path, await server.start(), {"shape": "timeline"}, fps=4)
    async with running(tmp_path, **settings) as service:
        info = (await service.verdict_on(INCIDENT))["info"]
    await server.close()
    (event,) = orjson.loads(info["sidecarEvents"])

    assert "" == info["verdict"]
    assert "times_stretched" in info["sidecarNotes"]
    assert (1.0, 4.0, "A man passes.") == (event["start"], event["end"], event["caption"])


async def test_a_band_without_probabilities_is_noted(tmp_path: Path) -> None:
    """The verdict stands, and says that its confidence is not known."""
    vlm = MockVlm(MockVlmOptions(answers=(ScriptedAnswer("yes"),)))
    info = await _info(tmp_path, vlm, {"abstain": [0.4, 0.6]})

    assert "confirmed" == info["verdict"]
    assert "no_confidence" in info["sidecarNotes"]


async def test_the_recorded_prompt_of_a_japanese_alert_type_reaches_the_model(
    tmp_path: Path,
) -> None:
    """Japanese in, Japanese out, the same contract."""
    vlm = MockVlm(MockVlmOptions(answers=(ScriptedAnswer("はい、人が門を通っています。"),)))
    settings = _settings(tmp_path, await vlm.start(), {})
    types = {"alerts": [{"alert_type": "門", "prompts": {"user": "{sensorId}に人がいますか。"}}]}
    (tmp_path / "types.json").write_bytes(orjson.dumps(types))
    event = {**INCIDENT, "category": "門", "sensorId": "正門"}
    async with running(tmp_path, **settings) as service:
        info = (await service.verdict_on(event))["info"]
    asked = vlm.requests[-1]["messages"][-1]["content"][-1]["text"]
    await vlm.close()

    assert '"正門"に人がいますか。' == asked
    assert ("confirmed", "人が門を通っています。") == (info["verdict"], info["description"])


async def test_a_thought_without_an_end_is_no_verdict(tmp_path: Path) -> None:
    """The server's parser took all of it for reasoning, and the model had been asked to think."""
    said = "Yes, a man is there. Let me look at what he does."
    server = StubServer(replace(FLAVOURS["vllm-0.32-parser"], plain_answer=said))
    settings = _settings(tmp_path, await server.start(), {}, reasoning=True)
    async with running(tmp_path, **settings) as service:
        info = (await service.verdict_on(INCIDENT))["info"]
    await server.close()
    first, second = orjson.loads(info["sidecarAnswers"])

    assert (said, "unparsable_answer") == (first["reasoning"], first["reason"])
    assert ("yes", "") == (second["text"], second["reason"])
    assert "asked_again" in info["sidecarNotes"]
