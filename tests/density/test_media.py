"""How clips get to where they are looked at, and the policy that stands before a server."""

import asyncio
import io
from pathlib import Path

import aiohttp
import av
import pytest
from density.targets import FakeTarget, offer

from sidecar.density.account import VERIFIED, Accounts, End, Ending
from sidecar.density.driver import OnEnd
from sidecar.density.events import NAME_FIELD, Attached, Event
from sidecar.density.judge import Observed, judge
from sidecar.density.media import FiledClips, InlineClips, ServedClips
from sidecar.density.policy import StaticPolicy
from sidecar.density.scenario import Clip, load_scenario
from sidecar.errors import SettingsError
from sidecar.outside.clock import SystemClock

TINY = Clip(seconds=2, width=64, height=64, fps=4, megabits=0.1)


def an_event(name: str, clip: Attached) -> Event:
    return Event(name, "camera-1", "collision", SystemClock().now(), 2, clip)


def _frames(data: bytes) -> int:
    with av.open(io.BytesIO(data), "r") as container:
        return sum(1 for _ in container.decode(video=0))


async def test_a_served_clip_is_there_until_its_event_has_ended() -> None:
    """A late reader gets 404 and not somebody else's clip."""
    media = ServedClips(TINY, "http://127.0.0.1:0")
    await media.open()
    media.expect(5)
    attached = await media.attach("one", 1)
    async with aiohttp.ClientSession() as client:
        async with client.get(attached.url) as answer:
            assert 8 == _frames(await answer.read())
        media.release("one")
        async with client.get(attached.url) as answer:
            assert 404 == answer.status
    await media.close()
    info = an_event("one", attached).as_incident()["info"]

    assert {"media_urls": [attached.url], "media_type": "video", NAME_FIELD: "one"}.items() <= (
        info.items()
    )


async def test_a_filed_clip_is_named_as_the_server_sees_it(tmp_path: Path) -> None:
    """And removed when its event has ended."""
    media = FiledClips(TINY, tmp_path / "clips", Path("/clips"))
    await media.open()
    media.expect(5)
    attached = await media.attach("one", 1)
    [file] = (tmp_path / "clips").iterdir()

    assert "/clips/one.mp4" == attached.path
    assert 8 == _frames(file.read_bytes())
    media.release("one")
    assert not list((tmp_path / "clips").iterdir())
    assert "/clips/one.mp4" == an_event("one", attached).as_incident()["info"]["video_path"]


async def test_no_run_shows_a_clip_of_an_earlier_one() -> None:
    """The same event of the next run has another clip, or a cache would know it."""
    media = InlineClips(TINY)
    media.expect(30)
    first = {(await media.attach("", number)).data for number in range(30)}
    media.expect(30)
    second = {(await media.attach("", number)).data for number in range(30)}

    assert 60 == len(first | second)


@pytest.mark.parametrize("url", ["ftp://x:1", "http://x", "x:9000"])
def test_a_wrong_place_to_serve_from_is_told(url: str) -> None:
    """With the form that it must have."""
    with pytest.raises(SettingsError, match="is not like http://HOST:PORT"):
        ServedClips(TINY, url)


async def test_the_static_policy_lets_four_through_in_their_order() -> None:
    """The fifth waits, and what takes too long is given up and makes room."""
    gates = {f"{number}": asyncio.Event() for number in range(6)}
    begun: list[str] = []

    async def answer(event: Event, _on_end: OnEnd) -> End:
        begun.append(event.name)
        await gates[event.name].wait()
        return VERIFIED

    policy = StaticPolicy(FakeTarget(answer), 4, timeout_s=30)
    await policy.open(lambda _name, _end: None)
    events = [an_event(name, Attached()) for name in gates]
    sent = [asyncio.create_task(policy.send(event, None)) for event in events]
    while len(begun) < 4:
        await asyncio.sleep(0)
    gates["2"].set()
    assert VERIFIED == await sent[2]
    while len(begun) < 5:
        await asyncio.sleep(0)

    assert ["0", "1", "2", "3", "4"] == begun
    for gate in gates.values():
        gate.set()
    assert [VERIFIED] * 6 == await asyncio.gather(*sent)


async def test_the_static_policy_gives_a_call_up() -> None:
    """As a failure that says so."""

    async def never(_event: Event, _on_end: OnEnd) -> End:
        await asyncio.Event().wait()
        return VERIFIED

    policy = StaticPolicy(FakeTarget(never), 4, timeout_s=0.01)
    await policy.open(lambda _name, _end: None)

    assert End(Ending.FAILED, "timeout") == await policy.send(an_event("a", Attached()), None)


def test_a_starved_camera_is_named() -> None:
    """Though the percentile of all cameras together is kept."""
    loaded = load_scenario("vss-alert-verification")
    accounts = Accounts("00000000")
    for number in range(2000):
        sample = accounts.take(offer(number, 60 + number / 4, sensor=number % 50))
        sample.sent_s = sample.offer.at_s
        late = 8.0 if sample.offer.sensor == 7 else 1.0
        accounts.end(sample.name, VERIFIED, sample.offer.at_s + late)
    run = judge(Observed(loaded, 50, 1, accounts, (60, 560)))

    assert ["fairness"] == run.binding
    assert ["sensor 7 (0 of 40)"] == run.fairness.starved
    assert 0.0 == run.fairness.lowest_share
