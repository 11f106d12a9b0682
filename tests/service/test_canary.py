"""Readiness follows what the model's server does, not what its health path says."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiohttp import web
from ledger_samples import until

from sidecar.arms import build_routing
from sidecar.core.asking import Asker
from sidecar.core.plugins import load_plugins
from sidecar.core.routing import Switchboard
from sidecar.outside.canary_clip import open_canary_clip
from sidecar.outside.clock import SystemClock
from sidecar.outside.frames import PyavSampler
from sidecar.policy import Policy
from sidecar.settings import CanarySettings, Settings
from sidecar.testing.fakes import NullMeter
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer
from sidecar.testing.stub_servers import FLAVOURS, StubServer
from sidecar.work.canary import Canary

NEVER = "The canary has not succeeded yet."


class MoodyServer(StubServer):
    """A server whose health path always answers, and whose completions do what is asked.

    Attributes:
        mood: status to refuse completions with, or the text to answer; None answers as it is.
        asked: completions so far.
    """

    def __init__(self, flavour: str = "vllm-0.32") -> None:
        super().__init__(FLAVOURS[flavour])
        self.mood: int | str | None = None
        self.asked = 0
        self.port = 0

    async def start(self, port: int = 0) -> str:
        url = await super().start(port)
        self.port = int(url.split(":")[2].split("/")[0])
        return url

    async def _complete(self, request: web.Request) -> web.Response:
        self.asked += 1
        if isinstance(self.mood, int):
            return web.json_response({"error": {"message": "scripted"}}, status=self.mood)
        answer = await super()._complete(request)
        if self.mood is None:
            return answer
        choice = {"message": {"role": "assistant", "content": self.mood}, "finish_reason": "stop"}
        return web.json_response({"model": self._flavour.model, "choices": [choice]})


@dataclass
class Perch:
    """A canary and whether somebody else is busy."""

    canary: Canary
    is_busy: bool = False

    async def states(self, *moods: Callable[[], None]) -> list[bool]:
        """Set each mood, look, and tell whether the service is ready then."""
        ready = []
        for set_mood in moods:
            set_mood()
            await self.canary.look()
            ready.append(await self.canary.ping() == "")
        return ready


@asynccontextmanager
async def perched(
    url: str,
    arm: dict[str, Any] | None = None,
    name: str = "reason2",
    *,
    more: dict[str, Any] | None = None,
    policy: Policy | None = None,
    **canary: Any,
) -> AsyncGenerator[Perch]:
    """Give a canary on the arm `name` of a service with these settings."""
    arms = {"reason2": {"url": url, "reconnect_s": 0, "retries": 0, "timeout_s": 5, **(arm or {})}}
    settings = Settings(arms=arms | (more or {}), ab={"primary": name, "policy": policy})
    clock = SystemClock()
    plugins = load_plugins(settings.answers)
    routing = build_routing(settings, plugins, NullMeter(), clock)
    sampler = PyavSampler(settings.media)
    asker = Asker(sampler, routing.families, settings.verify.min_frames_seen, ask_again=True)
    perch: Perch

    def is_busy() -> bool:
        return perch.is_busy

    perch = Perch(
        Canary(
            Switchboard(routing), asker, open_canary_clip, is_busy, CanarySettings(**canary), clock
        )
    )
    try:
        yield perch
    finally:
        await sampler.close()
        for one in routing.arms.values():
            await one.backend.close()


@asynccontextmanager
async def moody(flavour: str = "vllm-0.32", **settings: Any) -> AsyncGenerator[tuple[Any, Perch]]:
    server = MoodyServer(flavour)
    adapter = "cosmos3-nano" if "cosmos3" in FLAVOURS[flavour].model.lower() else "reason2"
    try:
        url = await server.start()
        async with perched(url, {"adapter": adapter}, **settings) as perch:
            yield server, perch
    finally:
        await server.close()


@asynccontextmanager
async def going(canary: Canary) -> AsyncGenerator[None]:
    """Let a canary run until the context ends."""
    running = asyncio.create_task(canary.run())
    yield
    running.cancel()
    await asyncio.wait([running])


@pytest.mark.parametrize("flavour", sorted(FLAVOURS))
async def test_every_kind_of_server_becomes_ready(flavour: str) -> None:
    """Whatever its health path is, and however it takes clips."""
    async with moody(flavour) as (_, perch):
        before = await perch.canary.ping()
        await perch.canary.look()

        assert (NEVER, "") == (before, await perch.canary.ping())


async def test_an_arm_without_a_server_is_ready_at_once() -> None:
    """The baseline is asked too."""
    async with perched("http://127.0.0.1:9/v1", name="baseline") as perch:
        await perch.canary.look()

        assert "" == await perch.canary.ping()


async def test_a_health_path_alone_is_not_enough() -> None:
    """A server that answers it, and no completion, is not ready; the problem says why."""
    async with moody() as (server, perch):
        server.mood = 500
        await perch.canary.look()

        assert (await perch.canary.ping()).startswith(f"{NEVER} VlmServerError")


@pytest.mark.parametrize("text", ["yes", "no", "I see a square.", "?!", "<think>\nA square"])
async def test_any_answer_is_a_sign_of_life(text: str) -> None:
    """What the model says about the clip does not matter."""
    async with moody() as (server, perch):
        await perch.canary.look()  # the server is known by now
        server.mood = text
        states = await perch.states(lambda: None, lambda: None)

        assert [True, True] == states


async def test_readiness_falls_with_the_second_failure_and_recovers() -> None:
    """One failure is none yet, and one success is enough."""
    async with moody() as (server, perch):

        def works() -> None:
            server.mood = None

        def fails() -> None:
            server.mood = 500

        def is_silent() -> None:
            server.mood = " "

        assert [True, True, False, True, True, False, True] == await perch.states(
            works, fails, fails, works, is_silent, is_silent, works
        )


async def test_a_busy_server_is_not_a_broken_one() -> None:
    """Status 429 tells that it works, on something else."""
    async with moody() as (server, perch):

        def is_full() -> None:
            server.mood = 429

        assert [True, True, True] == await perch.states(lambda: None, is_full, is_full)


async def test_an_answer_about_too_few_frames_is_none() -> None:
    """A server that thins the clip would make every verdict fail."""
    blind = MockVlm(MockVlmOptions(answers=(ScriptedAnswer("yes", prompt_tokens=80),)))
    async with perched(await blind.start()) as perch:
        await perch.canary.look()

        assert "frames and saw" in await perch.canary.ping()
    await blind.close()


async def test_a_server_that_never_answers_is_given_up() -> None:
    """The canary has a limit of its own."""
    hanging = MockVlm(MockVlmOptions(answers=(ScriptedAnswer(hang=True),)))
    async with perched(await hanging.start(), timeout_s=0.2) as perch:
        await perch.canary.look()

        assert f"{NEVER} The model gave no answer within 0.2 s." == await perch.canary.ping()
    await hanging.close()


async def test_readiness_comes_and_goes_with_the_server() -> None:
    """A server that starts late, stops, and starts again: nobody has to restart the service."""
    server = MoodyServer()
    url = await server.start()
    port = server.port
    await server.close()
    seen = []
    often = {"interval_s": 0.05, "retry_s": 0.05}
    async with (
        perched(url, {"adapter": "cosmos3-nano"}, **often) as perch,
        going(perch.canary),
    ):
        for is_up in (False, True, False, True):
            if is_up:
                await server.start(port)
            elif seen:
                await server.close()
            while (await perch.canary.ping() == "") != is_up:
                await asyncio.sleep(0.02)
            seen.append(is_up)
    await server.close()

    assert [False, True, False, True] == seen


async def test_the_canary_waits_for_a_pause_but_not_for_ever() -> None:
    """Events come first; when the work never pauses, it looks all the same."""
    async with moody(interval_s=0.2, retry_s=0.05) as (server, perch):
        await perch.canary.look()
        perch.is_busy, asked = True, server.asked
        async with going(perch.canary):
            while server.asked == asked:  # the look at the start
                await asyncio.sleep(0.01)
            asked = server.asked
            await asyncio.sleep(0.3)
            during = server.asked - asked
            while server.asked == asked:
                await asyncio.sleep(0.01)

        assert 0 == during


async def test_a_fallback_that_answers_is_enough() -> None:
    """Events are answered by it, too; the leading arm's trouble is told when no arm answers."""
    server = MoodyServer()
    url = await server.start()
    away = {"adapter": "reason2", "url": "http://127.0.0.1:9/v1", "retries": 0, "reconnect_s": 0}
    policy = Policy.model_validate({"rules": [{"use": "away"}], "fallback": ["reason2"]})
    nano = {"adapter": "cosmos3-nano"}
    async with perched(url, nano, more={"away": away}, policy=policy) as perch:
        await perch.canary.look()
        stood_in = await perch.canary.ping()
        server.mood = 500
        await perch.canary.look()
        await perch.canary.look()
        nobody = await perch.canary.ping()
    await server.close()

    assert "" == stood_in
    assert "127.0.0.1:9" in nobody or "Cannot connect" in nobody


async def test_a_change_of_arms_is_looked_at_at_once() -> None:
    """Not only when the interval is over."""
    servers = {name: MoodyServer() for name in ("reason2", "second")}
    urls = {name: await server.start() for name, server in servers.items()}
    nano = {"adapter": "cosmos3-nano"}
    second = {**nano, "url": urls["second"], "retries": 0, "reconnect_s": 0}
    async with perched(urls["reason2"], nano, more={"second": second}, interval_s=3600) as perch:
        running = asyncio.create_task(perch.canary.run())
        await until(lambda: servers["reason2"].asked > 0)
        await until(lambda: perch.canary._has_succeeded)
        before = servers["second"].asked
        switchboard = perch.canary._switchboard
        policy = Policy.only("second")
        switchboard.install(replace(switchboard.current, policy=policy))
        await until(lambda: servers["second"].asked > 0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    for server in servers.values():
        await server.close()

    assert 0 == before
