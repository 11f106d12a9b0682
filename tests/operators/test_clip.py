"""The clip of a verdict, as a player asks for it."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from harness import Running
from ledger_samples import a_record
from two_arms import two_arms

from operators.scene import CLIP, scene, seen
from sidecar.core.clip_loans import MOST, ClipLoans
from sidecar.core.intake import Intake
from sidecar.core.past_clips import PastClips
from sidecar.errors import MediaAway, NotFound, Overloaded
from sidecar.model import StoredEvent, VerdictRecord


async def play(service: Running, path: str, wanted: str = "") -> tuple[int, Any, bytes]:
    headers = {"Range": wanted} if wanted else {}
    url = f"{service.url}/api/v1/verdicts/{path}"
    async with service.client.get(url, headers=headers) as answer:
        return answer.status, answer.headers, await answer.read()


async def test_a_local_clip_is_played_whole_and_in_parts(tmp_path: Path) -> None:
    """As players ask for it; the type is that of its content."""
    async with scene(tmp_path) as service:
        await service.verdict_on(seen())
        whole = await play(service, "event-0/clip")
        part = await play(service, "event-0/clip", "bytes=4-11")
        beyond = await play(service, "event-0/clip", "bytes=99999999-")
    content = (tmp_path / "clips" / CLIP).read_bytes()

    assert (200, content) == (whole[0], whole[2])
    assert ("video/mp4", "bytes", "nosniff") == (
        whole[1]["Content-Type"],
        whole[1]["Accept-Ranges"],
        whole[1]["X-Content-Type-Options"],
    )
    assert (206, content[4:12]) == (part[0], part[2])
    assert f"bytes 4-11/{len(content)}" == part[1]["Content-Range"]
    assert 416 == beyond[0]


async def test_a_clip_behind_a_url_is_fetched_once_for_its_parts(tmp_path: Path) -> None:
    """A player asks for many; the server of the clip is asked once more than by the verdict."""
    fetched: list[str] = []

    async def send(request: web.Request) -> web.StreamResponse:
        fetched.append(request.path)
        return web.FileResponse(tmp_path / "clips" / CLIP)

    site = web.Application()
    site.router.add_get("/clip.mp4", send)
    runner = web.AppRunner(site)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}/clip.mp4"
    media = {"allowed_networks": ["127.0.0.0/8"]}
    async with scene(tmp_path, media=media) as service:
        await service.verdict_on(seen(info={"media_urls": [url], "media_type": "video"}))
        before = len(fetched)
        parts = await asyncio.gather(
            *(play(service, "event-0/clip", f"bytes={n}-{n + 9}") for n in range(6))
        )
    await runner.cleanup()

    assert {206} == {status for status, _, _ in parts}
    assert 1 == len(fetched) - before


UNPLAYABLE = {
    "gone.mp4": "does not exist",
    "notes.mp4": "notes.mp4",
    "empty.mp4": "empty",
    "../secret.mp4": "not below an allowed folder",
    "/etc/hostname": "not below an allowed folder",
    "link.mp4": "not below an allowed folder",
}


async def test_what_may_not_be_verified_is_not_shown(tmp_path: Path) -> None:
    """404 says why: what is gone, no clip, or outside of the allowed folders, links included."""
    async with scene(tmp_path) as service:
        clips = tmp_path / "clips"
        (clips / "notes.mp4").write_bytes(b"<script>alert(1)</script>" * 100)
        (clips / "empty.mp4").write_bytes(b"")
        (tmp_path / "secret.mp4").write_bytes((clips / CLIP).read_bytes())
        (clips / "link.mp4").symlink_to(tmp_path / "secret.mp4")
        answers = []
        for number, name in enumerate(UNPLAYABLE):
            await service.verdict_on(seen(number, clip=name))
            answers.append(await service.get(f"/api/v1/verdicts/event-{number}/clip"))

    assert {(404, "media_gone")} == {(status, body["error"]) for status, body in answers}
    for told, (_, body) in zip(UNPLAYABLE.values(), answers, strict=True):
        assert told in body["message"]


async def test_addresses_that_may_not_be_dialled_are_not(tmp_path: Path) -> None:
    """A model's server may have fetched the clip; a viewer does not get us to."""
    async with two_arms(tmp_path, media={}) as arms:
        await arms.info()
        status, body = await arms.service.get("/api/v1/verdicts/event-0/clip")

    assert (404, "media_gone") == (status, body["error"])
    assert "not public" in body["message"]


async def test_a_source_that_is_away_is_503(tmp_path: Path) -> None:
    """It may be there again in a moment."""
    async with two_arms(tmp_path) as arms:
        await arms.info()
        status, body = await arms.service.get("/api/v1/verdicts/event-0/clip")

    assert (503, "media_away") == (status, body["error"])


async def test_pictures_are_shown_one_by_one(tmp_path: Path) -> None:
    """By their number; behind the last one there is none."""
    import cv2

    from sidecar.testing.media import still_picture

    async with scene(tmp_path) as service:
        path = tmp_path / "clips" / "still.png"
        cv2.imwrite(str(path), still_picture())
        await service.verdict_on(seen(clip="still.png"))
        first = await play(service, "event-0/clip")
        second = await play(service, "event-0/clip?item=1")

    assert (200, "image/png") == (first[0], first[1]["Content-Type"])
    assert 404 == second[0]


class Ledger:
    """Knows verdicts about one clip."""

    async def lookup(self, identity: str) -> VerdictRecord | StoredEvent | None:
        if identity == "nobody":
            return None
        document = {**seen(), "info": {**seen()["info"], "sidecarVerdictKey": identity}}
        return a_record(identity, document=document)


class Prompts:
    """Has no alert types."""

    async def find(self, alert_type: str) -> None:
        del alert_type


class Source:
    """Opens clips, and knows how many are open."""

    def __init__(self) -> None:
        self.open_now = 0
        self.opened = 0
        self.failure: Exception | None = None

    def open(self, *_: object, **__: object) -> "Source":
        return self

    async def __aenter__(self) -> str:
        if self.failure:
            raise self.failure
        self.open_now += 1
        self.opened += 1
        return "clip"

    async def __aexit__(self, *_: object) -> None:
        self.open_now -= 1


def lending(source: Source, linger_s: float = 60.0) -> ClipLoans:
    clips = PastClips(Intake(), Prompts(), source)  # type: ignore[arg-type]
    return ClipLoans(Ledger(), clips, linger_s=linger_s, deadline_s=5)  # type: ignore[arg-type]


async def test_clips_that_nobody_views_make_room() -> None:
    """More than a few are never open; while all are viewed, the next viewer has to wait."""
    source = Source()
    loans = lending(source)
    for number in range(MOST + 2):
        async with loans.borrow(f"key-{number}"):
            pass
    kept = source.open_now
    viewers = [loans.borrow(f"viewed-{number}") for number in range(MOST)]
    for viewer in viewers:
        await viewer.__aenter__()
    with pytest.raises(Overloaded):
        await loans.borrow("one more").__aenter__()
    for viewer in viewers:
        await viewer.__aexit__(None, None, None)
    await loans.close()

    assert (MOST, 0) == (kept, source.open_now)


async def test_a_clip_is_given_back_after_a_while() -> None:
    """Not while somebody views it."""
    source = Source()
    loans = lending(source, linger_s=0.0)
    async with loans.borrow("key"):
        async with loans.borrow("key"):
            pass
        await asyncio.sleep(0)
        assert 1 == source.open_now
    async with asyncio.timeout(10):
        while source.open_now:
            await asyncio.sleep(0.01)
    await loans.close()

    assert 1 == source.opened


async def test_a_clip_that_cannot_be_opened_holds_no_place() -> None:
    """Its failure is not kept; the next viewer tries again."""
    source = Source()
    loans = lending(source)
    source.failure = MediaAway("away")
    for _ in range(MOST + 1):
        with pytest.raises(MediaAway):
            await loans.borrow("key").__aenter__()
    source.failure = None
    async with loans.borrow("key") as clip:
        assert "clip" == clip
    with pytest.raises(NotFound):
        await loans.borrow("nobody").__aenter__()
    await loans.close()
