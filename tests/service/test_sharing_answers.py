"""Events that ask the same at the same time share one look, where that is switched on."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import Running, running

from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer


def _incident(name: str, **changes: Any) -> dict[str, Any]:
    """Return an incident that differs from the others in its name and object alone."""
    return {
        "id": name,
        "sensorId": "gate",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:10.000Z",
        "category": "collision",
        "info": {
            "media_urls": ["http://127.0.0.1:9/clip.mp4"],
            "media_type": "video",
            "primaryObjectId": name,
        },
        "objectIds": [name],
        **changes,
    }


def _settings(url: str, arm: Any = None, **verify: Any) -> dict[str, Any]:
    return {
        "ab": {"primary": "reason2"},
        "arms": {"reason2": {"url": url, "evidence": "url", "retries": 0, **(arm or {})}},
        "media": {"allowed_networks": ["127.0.0.0/8"]},
        "verify": {"share_answers": True, "ask_again": False, **verify},
    }


class Model:
    """A model's server that counts how often it is shown the clip.

    Args:
        failures: so many looks at the clip fail first.
    """

    def __init__(self, failures: int = 0) -> None:
        self.looks = -1  # the first one is of a rehearsal, in which the server is got to know
        self._failures = failures
        self.server = MockVlm(MockVlmOptions(choose=self._choose))

    def _choose(self, body: Mapping[str, Any]) -> ScriptedAnswer:
        if "clip.mp4" not in str(body):
            return ScriptedAnswer()
        self.looks += 1
        is_failure = 0 < self.looks <= self._failures
        return ScriptedAnswer("broken", status=500) if is_failure else ScriptedAnswer()

    async def decide(
        self, service: Running, incidents: list[Any], *, sharing: int = 0
    ) -> list[dict[str, Any]]:
        """Submit incidents of which so many wait for another, and return their verdicts."""
        await service.verdict_on(_incident("rehearsal", sensorId="another place"))
        root = self.url.removesuffix("/v1")
        await service.client.post(f"{root}/stub/gate/close")
        for incident in incidents:
            await service.post("/api/v1/incidents", incident)
        await self.server.wait_for_in_flight(len(incidents) - sharing)
        same = service.app.verifier.same
        while same is not None and same.waiting < sharing:
            await asyncio.sleep(0.005)
        await service.client.post(f"{root}/stub/gate/open")
        return [await service.decided(incident["id"]) for incident in incidents]

    async def start(self) -> str:
        self.url = await self.server.start()
        return self.url


@asynccontextmanager
async def _model(failures: int = 0) -> AsyncGenerator[Model]:
    model = Model(failures)
    await model.start()
    try:
        yield model
    finally:
        await model.server.close()


async def test_one_is_looked_at_and_the_others_say_so(tmp_path: Path) -> None:
    """Each has a verdict of its own, under its own key."""
    names = [f"event-{number}" for number in range(5)]
    async with _model() as model, running(tmp_path, **_settings(model.url)) as service:
        verdicts = await model.decide(service, [_incident(name) for name in names], sharing=4)

    shared = [_shared_with(one) for one in verdicts]
    (leader,) = (one["verdictKey"] for one in verdicts if not _shared_with(one))
    assert 1 == model.looks
    assert {"confirmed"} == {one["verdict"] for one in verdicts}
    assert 5 == len({one["verdictKey"] for one in verdicts})
    assert {"", leader} == set(shared)
    assert names == [one["event"]["objectIds"][0] for one in verdicts]


@pytest.mark.parametrize(
    "change",
    [
        {"sensorId": "another"},
        {"category": "smoke"},
        {"end": "2026-01-31T08:00:11.000Z"},
        {"timestamp": "2026-01-31T08:00:01.000Z"},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_differs_is_looked_at(change: dict[str, Any], tmp_path: Path) -> None:
    """A window that only overlaps shows other frames."""
    config = {"alert_type": "smoke", "prompt": "Is there smoke? Answer yes or no."}
    async with _model() as model, running(tmp_path, **_settings(model.url)) as service:
        await service.post("/api/v1/verification/config", config)
        await model.decide(service, [_incident("a"), _incident("b", **change)])

    assert 2 == model.looks


@pytest.mark.parametrize(
    ("arm", "verify"), [({"temperature": 0.7}, {}), ({}, {"share_answers": False})]
)
async def test_answers_that_may_differ_are_not_shared(
    arm: dict[str, Any], verify: dict[str, Any], tmp_path: Path
) -> None:
    """With a temperature above 0 each look is a draw of its own; and off is off."""
    async with (
        _model() as model,
        running(tmp_path, **_settings(model.url, arm, **verify)) as service,
    ):
        await model.decide(service, [_incident("a"), _incident("b")])

    assert 2 == model.looks


async def test_a_failure_is_nobody_elses(tmp_path: Path) -> None:
    """Whoever waited for it looks for itself, once for all of them."""
    incidents = [_incident(f"event-{number}") for number in range(4)]
    async with _model(failures=1) as model, running(tmp_path, **_settings(model.url)) as service:
        verdicts = await model.decide(service, incidents, sharing=3)

    assert 2 == model.looks
    assert ["confirmed"] * 3 + ["verification-failed"] == sorted(it["verdict"] for it in verdicts)
    assert 2 == sum(_shared_with(one) != "" for one in verdicts)


def _shared_with(verdict: dict[str, Any]) -> str:
    return str(verdict["event"]["info"].get("sidecarSharedWith", ""))
