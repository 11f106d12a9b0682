"""How verdicts describe their events, by VSS's `alert_type_config.json`."""

import json
from pathlib import Path

import pytest
from harness import running
from payloads import COLLISION

from sidecar.errors import SettingsError
from sidecar.outside.prompts import load_descriptions
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

ALERT_TYPE = {
    "alert_type": "Collision",
    "output_category": "Traffic",
    "output_verdict_description": {"Confirmed": "Vehicles touch.", "rejected": "No contact."},
    "prompts": {"user": "Do two vehicles collide?"},
}


async def test_the_published_document_is_described_by_its_verdict(tmp_path: Path) -> None:
    """By the category that the event came with, whatever is published in its place."""
    file = tmp_path / "alert_type_config.json"
    file.write_text(json.dumps({"version": "1.0", "alerts": [ALERT_TYPE]}))
    vlm = MockVlm(MockVlmOptions(answers=(ScriptedAnswer("Yes"), ScriptedAnswer("No"))))
    async with running(
        tmp_path,
        ab={"primary": "reason2"},
        arms={"reason2": {"url": await vlm.start(), "evidence": "url"}},
        media={"allowed_networks": "127.0.0.0/8"},
        prompts={"alert_type_config": file},
        verify={"max_in_flight": 1},
    ) as service:
        media = {"media_urls": ["http://127.0.0.1:9/clip.mp4"], "media_type": "video"}
        for camera in ("probed", "first", "second"):
            event = {**COLLISION, "sensorId": camera, "id": camera, "info": media}
            document = await service.verdict_on(event)
            told = {"confirmed": "Vehicles touch.", "rejected": "No contact."}

            assert "Traffic" == document["category"]
            assert {
                **COLLISION["analyticsModule"],
                "description": told[document["info"]["verdict"]],
            } == (document["analyticsModule"])
    await vlm.close()


def test_a_description_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """The error names the alert type and the verdict."""
    file = tmp_path / "alert_type_config.json"
    wrong = {**ALERT_TYPE, "output_verdict_description": {"confirmed": 1}}
    file.write_text(json.dumps({"alerts": [wrong]}))

    with pytest.raises(SettingsError) as caught:
        load_descriptions(file)

    assert 'alert "Collision", output_verdict_description.confirmed' in caught.value.detail
