"""Alert types on the wire."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError

from sidecar.contract.config import (
    AlertConfigRequest,
    AlertConfigUpdateRequest,
    apply_update,
    read_request,
    write_list,
    write_response,
)
from sidecar.model import AlertConfig, AnswerRules, AnswerShape

STORED = AlertConfig("collision", "Crash?", "S", "E", {"max_tokens": 10, "num_frames": 4}, "C")


def updated(**body: Any) -> AlertConfig:
    return apply_update(STORED, AlertConfigUpdateRequest.model_validate(body))


def test_request_needs_only_a_name_and_a_prompt() -> None:
    """What is left out is empty, and parameters that are null are not set."""
    body = {
        "alert_type": " fire ",
        "prompt": "Fire?",
        "vlm_params": {"max_tokens": 5, "model": None},
    }
    config = read_request(AlertConfigRequest.model_validate(body))

    assert config == AlertConfig("fire", "Fire?", vlm_params={"max_tokens": 5})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("alert_type", ""),
        ("alert_type", "  "),
        ("alert_type", "x" * 101),
        ("prompt", ""),
        ("prompt", "x" * 5001),
        ("system_prompt", "x" * 5001),
        ("enrichment_prompt", "x" * 5001),
        ("output_category", "x" * 201),
        ("vlm_params", {"top_k": 1}),
        ("unknown", 1),
    ],
)
def test_request_keeps_the_limits_of_vss(field: str, value: object) -> None:
    """Lengths are limited, and unknown fields and parameters are refused by name."""
    body = {"alert_type": "fire", "prompt": "Fire?", field: value}

    with pytest.raises(ValidationError, match=field):
        AlertConfigRequest.model_validate(body)


def test_update_changes_only_what_it_names() -> None:
    """An empty update changes nothing; null and an empty prompt leave things as they are."""
    assert updated() == STORED
    assert updated(system_prompt=None, prompt="") == STORED
    assert updated(prompt="New?", system_prompt="") == replace(
        STORED, prompt="New?", system_prompt=""
    )


def test_update_merges_parameters() -> None:
    """Named parameters change, null unsets one, the others stay."""
    config = updated(vlm_params={"max_tokens": 20, "num_frames": None, "temperature": 0.5})

    assert config == replace(STORED, vlm_params={"max_tokens": 20, "temperature": 0.5})


def test_response_shows_iso_times() -> None:
    """Times are ISO 8601 with a zone, empty when there is none yet; without `answer` as in VSS."""
    moment = datetime(2026, 1, 31, 8, tzinfo=UTC)
    response = write_response(replace(STORED, created_at=moment)).model_dump(exclude_none=True)

    assert response == {
        "alert_type": "collision",
        "prompt": "Crash?",
        "system_prompt": "S",
        "enrichment_prompt": "E",
        "vlm_params": {"max_tokens": 10, "num_frames": 4},
        "output_category": "C",
        "created_at": "2026-01-31T08:00:00+00:00",
        "updated_at": "",
    }


def test_list_is_counted() -> None:
    """The list says how many it holds."""
    answer = write_list([STORED, STORED]).model_dump()

    assert (answer["status"], answer["count"], len(answer["configs"])) == ("success", 2, 2)


def test_answer_rules_come_with_a_request_and_are_shown_again() -> None:
    """What was set can be read back and sent again."""
    answer = {"shape": "boxes", "response_format": "auto", "abstain": [0.4, 0.6]}
    body = {"alert_type": "fire", "prompt": "Fire?", "answer": answer}
    config = read_request(AlertConfigRequest.model_validate(body))

    assert config.rules == AnswerRules(AnswerShape.BOXES, abstain=(0.4, 0.6))
    assert write_response(config).answer == answer


def test_update_replaces_answer_rules_as_a_whole_or_keeps_them() -> None:
    """Absent and null keep them; rules that are there replace all, because they belong together."""
    rules = AnswerRules(needs_json=True, verdict_field="x", abstain=(0.1, 0.2))
    stored = replace(STORED, rules=rules)

    def answer_after(**body: Any) -> AnswerRules | None:
        return apply_update(stored, AlertConfigUpdateRequest.model_validate(body)).rules

    assert answer_after(prompt="New?") == rules
    assert answer_after(answer=None) == rules
    assert answer_after(answer={"shape": "points"}) == AnswerRules(AnswerShape.POINTS)


def test_japanese_passes_unchanged() -> None:
    """A prompt, a category and rules in Japanese come out as they went in."""
    body: dict[str, Any] = {
        "alert_type": "転倒",
        "prompt": "人が倒れていますか。「はい」か「いいえ」で答えてください。",
        "answer": {
            "json_parser": {"verdict_field": "判定", "verdict_mapping": {"はい": "YES"}},
            "perspectives": ["床が濡れているか"],
        },
    }
    config = read_request(AlertConfigRequest.model_validate(body))
    shown = write_response(config).model_dump(exclude_none=True)

    assert (config.alert_type, config.prompt) == (body["alert_type"], body["prompt"])
    assert body["answer"].items() <= shown["answer"].items()
