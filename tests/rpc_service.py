"""A whole service with its gRPC door, for tests."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from storing_service import Storing, storing

from sidecar.app import App, build
from sidecar.client import AsyncVerifierClient
from sidecar.core.arms import Arms
from sidecar.core.routing import Routing, Switchboard
from sidecar.doors.rpc import RpcDoor
from sidecar.model import Verdict, VerifyEvent
from sidecar.outside.clock import SystemClock
from sidecar.outside.inline_media import InlineMediaFolder
from sidecar.policy import Policy
from sidecar.settings import MediaSettings, RpcSettings, Settings
from sidecar.testing.fakes import MemoryArmLog, NullArmsMeter
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer

QUICK = {"enabled": True, "port": 0, "health_every_s": 0.05, "shutdown_grace_s": 0.1}


def arms_of(routing: Routing) -> Arms:
    """Return what a door asks about these arms."""
    return Arms(Switchboard(routing), MemoryArmLog(), SystemClock(), NullArmsMeter())


NO_ARMS = arms_of(Routing({}, Policy.only("none"), {}))


@dataclass(frozen=True)
class Rpc:
    """A service whose gRPC door listens at `target`."""

    app: App
    door: RpcDoor
    folder: Path

    @property
    def target(self) -> str:
        return f"localhost:{self.door.port}"

    def kept(self) -> list[str]:
        """List the inline media that are kept."""
        return sorted(path.name for path in (self.folder / "inline").glob("*"))


@asynccontextmanager
async def rpc_service(
    folder: Path, grpc: Mapping[str, Any] | None = None, **sections: Mapping[str, Any]
) -> AsyncGenerator[Rpc]:
    """Run a service with these settings until the context ends."""
    inline = folder / "inline"
    media = dict(sections.pop("media", {}))
    media["allowed_roots"] = (*media.get("allowed_roots", ()), inline)
    settings = Settings(
        **{
            "ledger": {"path": folder / "ledger.db"},
            "metrics": {"enabled": False},
            "canary": {"enabled": False},
            "media": media,
            **sections,
        }
    )
    app = build(settings)
    kept = InlineMediaFolder(inline, settings.media)
    door = RpcDoor(
        RpcSettings(**(QUICK | dict(grpc or {}))),
        app.service,
        app.ab.arms,
        app.decider.verify,
        kept,
    )
    try:
        await app.prepare()
        async with app.running(), serving(door):
            yield Rpc(app, door, folder)
    finally:
        await app.close()


@asynccontextmanager
async def serving(door: RpcDoor) -> AsyncGenerator[None]:
    """Run a door until the context ends."""
    running = asyncio.create_task(door.run())
    try:
        async with asyncio.timeout(10):
            while await door.ping():
                assert not running.done(), running.exception()
                await asyncio.sleep(0.01)
        yield
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


@asynccontextmanager
async def calling(
    rpc: Rpc, credentials: grpc.ChannelCredentials | None = None, timeout_s: float = 20.0
) -> AsyncGenerator[AsyncVerifierClient]:
    """Call a service."""
    client = AsyncVerifierClient(rpc.target, credentials=credentials, timeout_s=timeout_s)
    async with client:
        yield client


@asynccontextmanager
async def storing_rpc(
    folder: Path, *, max_backlog: int = 100_000, inline: bool = True
) -> AsyncGenerator[tuple[Storing, RpcDoor]]:
    """Run a door to a service that stores events and verifies none."""
    async with storing(folder, max_backlog=max_backlog) as store:
        media = InlineMediaFolder(folder / "inline", MediaSettings()) if inline else None
        door = RpcDoor(RpcSettings(**QUICK), store.service, NO_ARMS, _never, media)
        async with serving(door):
            yield store, door


async def _never(event: VerifyEvent) -> Verdict:
    raise AssertionError(event)


def open_channel(door: RpcDoor) -> grpc.aio.Channel:
    """Open a plain channel to a door."""
    return grpc.aio.insecure_channel(f"localhost:{door.port}")


def incident(number: int = 0, **fields: Any) -> dict[str, Any]:
    """Return a small incident of its own cohort."""
    return {
        "id": f"incident-{number}",
        "sensorId": f"camera-{number % 7}",
        "timestamp": f"2026-01-31T08:00:{number % 60:02d}.{number % 1000:03d}Z",
        "end": "2026-02-01T00:00:00.000Z",
        "category": "motion",
        "objectIds": [str(number)],
        **fields,
    }


@asynccontextmanager
async def mock_vlm(
    *answers: ScriptedAnswer, port: int = 0
) -> AsyncGenerator[tuple[MockVlm, dict[str, Any]]]:
    """Run a model's server, and give the settings of the arm that asks it."""
    vlm = MockVlm(MockVlmOptions(answers=answers or (ScriptedAnswer(),)))
    url = await vlm.start(port=port)
    try:
        yield vlm, model_arm(url)
    finally:
        await vlm.close()


def model_arm(url: str) -> dict[str, Any]:
    """Return the settings of a service whose primary arm asks a server."""
    arm = {"adapter": "generic", "url": url, "retries": 0, "reconnect_s": 0}
    return {"arms": {"generic": arm}, "ab": {"primary": "generic"}}
