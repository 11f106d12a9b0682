"""The key `answer` of alert types, through the API."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from harness import Running, running

PATH = "/api/v1/verification/config"
VSS_KEYS = {
    *("alert_type", "prompt", "system_prompt", "enrichment_prompt"),
    *("vlm_params", "output_category", "created_at", "updated_at"),
}


@pytest.fixture
async def service(tmp_path: Path) -> AsyncGenerator[Running]:
    async with running(tmp_path) as service:
        yield service


async def put(service: Running, name: str, body: dict[str, Any]) -> tuple[int, Any]:
    async with service.client.put(f"{service.url}{PATH}/{name}", json=body) as answer:
        return answer.status, await answer.json()


async def test_alert_type_without_answer_has_exactly_the_shape_of_vss(service: Running) -> None:
    """A client of VSS finds no key that it does not know."""
    status, created = await service.post(PATH, {"alert_type": "smoke", "prompt": "?"})
    _, read = await service.get(f"{PATH}/smoke")
    _, listed = await service.get(PATH)

    assert (201, VSS_KEYS) == (status, created.keys())
    assert [VSS_KEYS] * 11 == [read.keys(), *(config.keys() for config in listed["configs"][1:])]


async def test_answer_is_set_kept_and_replaced(service: Running) -> None:
    """What was set is shown from then on, whatever else is edited."""
    answer = {"shape": "timeline", "response_format": "json", "perspectives": ["通路"]}
    body = {"alert_type": "転倒", "prompt": "人が倒れていますか。", "answer": answer}
    _, created = await service.post(PATH, body)
    _, edited = await put(service, "転倒", {"prompt": "倒れましたか。"})
    _, replaced = await put(service, "転倒", {"answer": {"abstain": [0.4, 0.6]}})

    assert [answer, answer] == [created["answer"], edited["answer"]]
    assert ("人が倒れていますか。", "倒れましたか。") == (created["prompt"], edited["prompt"])
    assert {"shape": "verdict", "response_format": "auto", "abstain": [0.4, 0.6]} == (
        replaced["answer"]
    )


@pytest.mark.parametrize(
    ("answer", "field", "message"),
    [
        ({"abstain": [0.6, 0.4]}, "body.answer.abstain", "the first number must be below"),
        ({"abstain": [0.4, 1.4]}, "body.answer.abstain.1", "less than or equal to 1"),
        ({"response_format": "xml"}, "body.answer.response_format", "'xml' is not known"),
    ],
)
async def test_wrong_answer_is_refused(
    service: Running, answer: dict[str, Any], field: str, message: str
) -> None:
    """Creating and changing say what is wrong where, and change nothing."""
    body = {"alert_type": "smoke", "prompt": "?", "answer": answer}
    refused = [await service.post(PATH, body), await put(service, "fire", {"answer": answer})]
    _, fire = await service.get(f"{PATH}/fire")

    assert [(422, field)] * 2 == [(code, it["details"][0]["field"]) for code, it in refused]
    assert all(message in it["details"][0]["message"] for _, it in refused)
    assert "answer" not in fire
