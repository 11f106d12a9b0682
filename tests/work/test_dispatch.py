"""Taking events up: bounded, once each, and to an end whatever happens."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import running

from sidecar.core.slots import Slots
from sidecar.model import EventKind
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer


def _incident(number: int) -> dict[str, Any]:
    return {
        "id": f"event-{number}",
        "sensorId": f"camera-{number}",
        "timestamp": "2026-01-31T08:00:00.000Z",
        "end": "2026-01-31T08:00:10.000Z",
        "category": "collision",
        "info": {"media_urls": ["http://127.0.0.1:9/clip.mp4"], "media_type": "video"},
    }


def _settings(url: str, max_in_flight: int = 3) -> dict[str, Any]:
    return {
        "ab": {"primary": "reason2"},
        "arms": {"reason2": {"url": url, "evidence": "url"}},
        "media": {"allowed_networks": ["127.0.0.0/8"]},
        "verify": {"max_in_flight": max_in_flight},
    }


def test_slots_are_never_given_twice() -> None:
    """What is free is granted, what is taken is not."""
    slots = Slots(3)

    assert [1, 2, 0] == [slots.take(1), slots.take(), slots.take(1)]
    slots.give_back(2)
    assert (1, 2) == (slots.taken, slots.take())


async def test_no_more_events_are_verified_at_a_time_than_allowed(tmp_path: Path) -> None:
    """A burst waits in the ledger, and all of it is decided."""
    vlm = MockVlm(MockVlmOptions(latency_ms=30))
    async with running(tmp_path, **_settings(await vlm.start())) as service:
        await service.verdict_on(_incident(25))  # by now the server's dialect is known
        vlm.reset()
        posts = (service.post("/api/v1/incidents", _incident(n)) for n in range(25))
        answers = await asyncio.gather(*posts)
        verdicts = [await service.decided(f"event-{n}") for n in range(25)]
    await vlm.close()

    assert {202} == {status for status, _ in answers}
    assert {"confirmed"} == {verdict["verdict"] for verdict in verdicts}
    assert (3, 25) == (vlm.stats["peak_in_flight"], vlm.stats["total_requests"])


async def test_an_event_that_kills_the_process_again_and_again_is_given_up(
    tmp_path: Path,
) -> None:
    """It ends as poisoned instead of stopping the service for ever."""
    vlm = MockVlm(MockVlmOptions(answers=(ScriptedAnswer(hang=True),)))
    settings = _settings(await vlm.start())
    for _ in range(3):  # claimed, then the process is gone
        async with running(tmp_path, **settings) as service:
            event = service.app.service.intake.read(_incident(0), EventKind.INCIDENT)
            await service.app.ledger.accept(event)
            service.app.service.submitted.ring()
            await vlm.wait_for_in_flight(1)
            await _forget_the_running(service.app)
    async with running(tmp_path, **settings) as service:
        verdict = await service.decided("event-0")
    await vlm.close()

    assert ("verification-failed", "poisoned") == (verdict["verdict"], verdict["reason"])
    assert "stopped the service 3 times" in (verdict["event"]["info"]["verificationResponseStatus"])


async def _forget_the_running(app: Any) -> None:
    """End the verifications without telling the ledger, as a kill does."""

    async def nothing(_key: str) -> None:
        return

    app.ledger.release = nothing
    await app.dispatcher.stop(0)


async def test_a_defect_of_ours_still_ends_the_event(tmp_path: Path) -> None:
    """An unforeseen exception becomes a visible terminal state."""
    vlm = MockVlm()
    async with running(tmp_path, **_settings(await vlm.start())) as service:
        arm = service.app.verifier.switchboard.current.arms["reason2"]
        object.__setattr__(arm, "adapter", _Broken(arm.adapter))
        await service.post("/api/v1/incidents", _incident(0))
        verdict = await service.decided("event-0")
    await vlm.close()

    assert ("verification-failed", "unexpected") == (verdict["verdict"], verdict["reason"])
    assert (
        "Video verification could not be completed, ZeroDivisionError: oops"
        == (verdict["event"]["info"]["verificationResponseStatus"])
    )


class _Broken:
    """An adapter with a defect."""

    def __init__(self, adapter: Any) -> None:
        self.profile = adapter.profile

    def build_request(self, _question: Any) -> Any:
        raise ZeroDivisionError("oops")


async def test_a_stored_event_that_cannot_be_read_ends_and_stops_nobody(tmp_path: Path) -> None:
    """As after an upgrade that asks for more: it ends as a failure, the next one is verified."""
    vlm = MockVlm()
    settings = _settings(await vlm.start())
    async with running(tmp_path, **settings) as service:
        event = service.app.service.intake.read(_incident(0), EventKind.INCIDENT)
        raw = {"id": "event-0", "category": 7, "info": ["no", "object"]}
        await service.app.ledger.accept(replace(event, raw=raw))
        await service.app.ledger.accept(
            service.app.service.intake.read(_incident(1), EventKind.INCIDENT)
        )
        service.app.service.submitted.ring()
        broken, sound = [await service.decided(f"event-{n}") for n in range(2)]
    await vlm.close()

    assert ("verification-failed", "unexpected", "7") == (
        broken["verdict"],
        broken["reason"],
        broken["category"],
    )
    assert "confirmed" == sound["verdict"]


async def test_a_verdict_that_cannot_be_stored_ends_as_a_failure(tmp_path: Path) -> None:
    """What the ledger cannot write is replaced by something that it can."""
    vlm = MockVlm(MockVlmOptions(answers=(ScriptedAnswer("Yes"),)))
    async with running(tmp_path, **_settings(await vlm.start())) as service:
        arm = service.app.verifier.switchboard.current.arms["reason2"]
        object.__setattr__(arm, "adapter", _Unstorable(arm.adapter))
        await service.post("/api/v1/incidents", _incident(0))
        verdict = await service.decided("event-0")
    await vlm.close()

    assert ("verification-failed", "unexpected") == (verdict["verdict"], verdict["reason"])


class _Unstorable:
    """An adapter whose findings hold what is no text."""

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter
        self.profile = adapter.profile

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def parse_reply(self, *arguments: Any) -> Any:
        finding = self._adapter.parse_reply(*arguments)
        return replace(finding, reasoning="half a pair: \ud800")


async def test_what_a_stop_interrupts_is_taken_up_at_the_next_start(tmp_path: Path) -> None:
    """The event keeps its attempt count and gets its verdict from the next process."""
    stuck = MockVlm(MockVlmOptions(answers=(ScriptedAnswer(hang=True),)))
    settings = {**_settings(await stuck.start()), "http": {"shutdown_grace_s": 0}}
    async with running(tmp_path, **settings) as service:
        await service.post("/api/v1/incidents", _incident(0))
        await stuck.wait_for_in_flight(1)
    await stuck.close()
    vlm = MockVlm()
    async with running(tmp_path, **_settings(await vlm.start())) as service:
        verdict = await service.decided("event-0")
    await vlm.close()

    assert ("confirmed", "1") == (
        verdict["verdict"],
        verdict["event"]["info"]["sidecarAttempt"],
    )
