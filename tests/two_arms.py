"""Two models behind one service, for tests of how arms are chosen and compared."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import Running, running

from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

R2, NANO = "reason2", "cosmos3-nano"
MODELS = {R2: "nvidia/cosmos-reason2-8b", NANO: "nvidia/cosmos3-nano-reasoner"}
CLIP = "http://127.0.0.1:9/clip.mp4"
YES, NO = ScriptedAnswer("Yes."), ScriptedAnswer("No.")
DEAD = "http://127.0.0.1:9/v1"


def incident(number: int = 0, **fields: Any) -> dict[str, Any]:
    """A small incident about a clip that nobody has to fetch."""
    return {
        "id": f"event-{number}",
        "sensorId": f"camera-{number}",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:10.000Z",
        "category": "collision",
        "info": {"media_urls": [CLIP], "media_type": "video"},
        **fields,
    }


@dataclass(frozen=True)
class Arms:
    """A service, and the models of its arms."""

    service: Running
    models: Mapping[str, MockVlm]

    async def choose(self, **body: Any) -> tuple[int, Any]:
        """Put arms in force."""
        return await self.service.put("/api/v1/arms", body)

    async def info(self, number: int = 0, **fields: Any) -> dict[str, Any]:
        """Submit an incident and return `info` of its verdict."""
        return dict((await self.service.verdict_on(incident(number, **fields)))["info"])

    async def gate(self, arm: str, state: str) -> None:
        """Close the gate of a model, which answers nothing then, or open it again."""
        root = str(self.service.app.settings.arms[arm].url).removesuffix("/v1")
        async with self.service.client.post(f"{root}/stub/gate/{state}"):
            pass

    async def answers(self, number: int = 0) -> list[dict[str, Any]]:
        """Return what arms said about an event, as far as it is known."""
        status, body = await self.service.get(f"/api/v1/verdicts/event-{number}/answers")
        assert status == 200, body
        return list(body["answers"])


@asynccontextmanager
async def models(
    answers: Mapping[str, tuple[ScriptedAnswer, ...]], **options: Any
) -> AsyncGenerator[tuple[dict[str, MockVlm], dict[str, Any]]]:
    """Run a server for each arm, and give the settings of the arms."""
    servers = {
        arm: MockVlm(MockVlmOptions(model_id=MODELS[arm], answers=given, keep=0, **options))
        for arm, given in answers.items()
    }
    settings = {}
    try:
        for arm, server in servers.items():
            settings[arm] = arm_settings(await server.start())
        yield servers, settings
    finally:
        for server in servers.values():
            await server.close()


def arm_settings(url: str, **more: Any) -> dict[str, Any]:
    """Return the settings of an arm that fetches nothing and gives up at once."""
    return {"url": url, "evidence": "url", "retries": 0, "reconnect_s": 0, **more}


@asynccontextmanager
async def two_arms(
    folder: Path,
    *,
    reason2: tuple[ScriptedAnswer, ...] = (YES,),
    nano: tuple[ScriptedAnswer, ...] = (NO,),
    dead: tuple[str, ...] = (),
    more: Mapping[str, Any] | None = None,
    **sections: Mapping[str, Any],
) -> AsyncGenerator[Arms]:
    """Run a service with two models, of which the `dead` ones are away; `more` is for each arm."""
    async with models({R2: reason2, NANO: nano}) as (servers, alive):
        arms = alive | {name: arm_settings(DEAD) for name in dead}
        settings: dict[str, Any] = {
            "arms": {name: {**arm, **(more or {})} for name, arm in arms.items()},
            "ab": {"primary": R2},
            "media": {"allowed_networks": ["127.0.0.0/8"]},
            "verify": {"ask_again": False},
            **sections,
        }
        async with running(folder, **settings) as service:
            yield Arms(service, servers)
