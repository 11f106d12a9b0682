"""Files, models, health and captions of the engine, over the same media path."""

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import aiohttp
import orjson
from harness import Running
from review_samples import CLIP, reviewing

from sidecar.testing.media import write_image
from sidecar.testing.mock_vlm import ScriptedAnswer

MODEL = "nvidia/cosmos-reason2-8b"


async def _upload(
    service: Running, file: Path | None = None, prefix: str = "", **fields: str
) -> tuple[int, Any]:
    form = aiohttp.FormData()
    for name, value in {"purpose": "vision", "media_type": "video", **fields}.items():
        form.add_field(name, value)
    if file is not None:
        form.add_field("file", file.read_bytes(), filename=file.name)
    async with service.client.post(f"{service.url}{prefix}/files", data=form) as answer:
        return answer.status, await answer.json()


async def _delete(service: Running, path: str) -> tuple[int, Any]:
    async with service.client.delete(service.url + path) as answer:
        return answer.status, await answer.json()


async def test_a_file_is_stored_listed_read_and_deleted(folder: Path) -> None:
    """Its life, on the paths without and with a version, past a restart of the service."""
    clip = folder / CLIP
    async with reviewing(folder) as (service, _):
        status, uploaded = await _upload(service, clip, camera_id="camera_1")
        path = f"/files/{uploaded['id']}"
    async with reviewing(folder) as (service, _):
        _, listed = await service.get("/v1/files?purpose=vision")
        _, found = await service.get(path)
        async with service.client.get(f"{service.url}{path}/content") as answer:
            content = await answer.read()
        deleted = await _delete(service, path)
        gone = [await service.get(path), await _delete(service, path)]
        _, empty = await service.get("/files?purpose=vision")

    assert 200 == status
    assert {
        "id": uploaded["id"],
        "bytes": clip.stat().st_size,
        "filename": "video.mp4",
        "media_type": "video",
        "purpose": "vision",
        "camera_id": "camera_1",
    } == uploaded
    assert {"data": [uploaded], "object": "list"} == listed
    assert uploaded == found
    assert clip.read_bytes() == content
    assert (200, {"id": uploaded["id"], "object": "file", "deleted": True}) == deleted
    message = f"No such resource {uploaded['id']}"
    assert [(400, {"code": "BadParameter", "message": message})] * 2 == gone
    assert [] == empty["data"]


async def test_a_file_may_be_named_where_it_lies(folder: Path) -> None:
    """It is not copied, and its deletion leaves it there; other folders stay closed."""
    async with reviewing(folder) as (service, _):
        status, named = await _upload(service, filename=CLIP)
        outside = await _upload(service, filename="/etc/passwd")
        await _delete(service, f"/files/{named['id']}")

    assert (200, "video.mp4") == (status, named["filename"])
    assert "camera_id" not in named
    assert (400, "InvalidFile") == (outside[0], outside[1]["code"])
    assert (folder / CLIP).is_file()


async def test_what_is_no_such_file_is_refused(folder: Path) -> None:
    """A file that is no medium, both or neither way to give it, and fields beyond 2.4's."""
    text = folder / "text.mp4"
    text.write_text("no video")
    odd = folder / "a;b.mp4"
    odd.write_bytes((folder / CLIP).read_bytes())
    async with reviewing(folder) as (service, _):
        answers = [
            await _upload(service, text),
            await _upload(service, folder / CLIP, media_type="image"),
            await _upload(service, folder / CLIP, filename=CLIP),
            await _upload(service),
            await _upload(service, folder / CLIP, camera_id="gate"),
            await _upload(service, folder / CLIP, purpose="audio"),
            await _upload(service, odd),
            await service.get("/files/abc"),
        ]
        _, listed = await service.get("/files")

    codes = [(status, body["code"]) for status, body in answers]
    assert [(400, "InvalidFile")] * 2 + [(422, "InvalidParameters")] * 6 == codes
    assert "text.mp4" in answers[0][1]["message"]
    assert [] == listed["data"]
    assert not list((folder / "files").glob(".new-*"))


async def test_a_full_store_is_busy(folder: Path) -> None:
    """Beyond its limit an upload is refused with 503 until something is deleted."""
    size = (folder / CLIP).stat().st_size
    async with reviewing(folder, review={"max_files_bytes": size + 10}) as (service, _):
        _, first = await _upload(service, folder / CLIP)
        full = await _upload(service, folder / CLIP)
        await _delete(service, f"/files/{first['id']}")
        again = await _upload(service, folder / CLIP)

    assert (503, "ServerBusy") == (full[0], full[1]["code"])
    assert 200 == again[0]


async def test_an_upload_that_is_too_large_is_refused(folder: Path) -> None:
    """413, and nothing of it stays."""
    large = folder / "large.mp4"
    large.write_bytes(bytes(200_000))
    async with reviewing(folder, media={"max_bytes": 2048}) as (service, _):
        status, body = await _upload(service, large)

    assert (413, True) == (status, "SIDECAR_" in body["message"])
    assert not (folder / "files").exists()


async def test_models_and_health_answer_as_the_engine_does(folder: Path) -> None:
    """One model in OpenAI's list with the engine's `api_type`, and health without a body."""
    async with reviewing(folder) as (service, _):
        _, models = await service.get("/models")
        health = []
        for path in ("/health/live", "/health/ready"):
            async with service.client.get(service.url + path) as answer:
                health.append((answer.status, await answer.read()))

    (model,) = models["data"]
    assert model.pop("created") > 0
    assert {"id": MODEL, "object": "model", "owned_by": "NVIDIA", "api_type": "internal"} == model
    assert [(200, b""), (200, b"")] == health


def _captions(file_id: str | list[str], **fields: object) -> dict[str, object]:
    return {"id": file_id, "model": MODEL, "prompt": "Describe.", **fields}


async def test_a_file_is_captioned_chunk_by_chunk(folder: Path) -> None:
    """Each chunk has its times, text and reasoning; the part asked for is told back."""
    answers = ("<think>dark</think>A square comes.", "It goes.")
    media_info = {"type": "offset", "start_offset": 1, "end_offset": 5}
    async with reviewing(folder, *answers, review={"max_in_flight": 1}) as (service, _):
        _, file = await _upload(service, folder / CLIP)
        request = _captions(file["id"], chunk_duration=2, media_info=media_info)
        status, body = await service.post("/generate_vlm_captions", request)

    assert 200 == status, body
    assert {"id", "created", "model", "media_info", "usage", "chunk_responses"} == set(body)
    assert (MODEL, media_info) == (body["model"], body["media_info"])
    assert 2 == body["usage"]["total_chunks_processed"]
    assert [
        ("1.0", "3.0", "A square comes.", "dark"),
        ("3.0", "5.0", "It goes.", ""),
    ] == [tuple(chunk.values()) for chunk in body["chunk_responses"]]


async def test_captions_can_be_streamed(folder: Path) -> None:
    """One event for each chunk, the usage on request, and `[DONE]`."""
    options = {"stream": True, "stream_options": {"include_usage": True}, "chunk_duration": 3}
    async with reviewing(folder, "A square.") as (service, _):
        _, file = await _upload(service, folder / CLIP)
        request = _captions(file["id"], **options)
        async with service.client.post(
            f"{service.url}/v1/generate_vlm_captions", json=request
        ) as answer:
            kind, lines = answer.content_type, (await answer.text()).split("\n\n")

    assert ("text/event-stream", "data: [DONE]", "") == (kind, *lines[-2:])
    first, second, usage = (orjson.loads(line.removeprefix("data: ")) for line in lines[:-2])
    assert [["A square."], ["A square."], []] == [
        [chunk["content"] for chunk in event["chunk_responses"]] for event in (first, second, usage)
    ]
    assert [False, False, True] == ["usage" in event for event in (first, second, usage)]


async def test_pictures_are_captioned_together(folder: Path) -> None:
    """Several ids are pictures of one question; a clip among them is refused."""
    async with reviewing(folder, "Two pictures.") as (service, vlm):
        ids = []
        for name in ("one.jpg", "two.jpg"):
            _, file = await _upload(service, write_image(folder / name), media_type="image")
            ids.append(file["id"])
        _, clip = await _upload(service, folder / CLIP)
        status, body = await service.post("/generate_vlm_captions", _captions(ids))
        mixed = await service.post("/generate_vlm_captions", _captions([*ids, clip["id"]]))
        (asked,) = vlm.requests

    assert (200, "Two pictures.") == (status, body["chunk_responses"][0]["content"])
    content = asked["messages"][-1]["content"]
    assert ["image_url", "image_url", "text"] == [part["type"] for part in content]
    assert (400, "BadParameter") == (mixed[0], mixed[1]["code"])


async def test_captions_that_cannot_be_made_are_refused(folder: Path) -> None:
    """Another model, a file that is not there, what files do not have, and a model that fails."""
    broken = ScriptedAnswer("boom", status=500)
    async with reviewing(folder, broken, arm={"retries": 0}) as (service, _):
        _, file = await _upload(service, folder / CLIP)
        late = {"type": "offset", "start_offset": 60}
        requests = [
            _captions(file["id"], model="vila"),
            _captions(str(uuid4())),
            _captions(file["id"], tools=[{"type": "alert"}]),
            _captions(file["id"], media_info=late),
            _captions(file["id"], enable_audio=True),
            _captions(file["id"]),
        ]
        answers = [await service.post("/generate_vlm_captions", it) for it in requests]

    assert [
        (400, "BadParameters"),
        (400, "BadParameter"),
        (400, "BadParameter"),
        (400, "BadParameter"),
        (422, "InvalidParameters"),
        (500, "InternalServerError"),
    ] == [(status, body["code"]) for status, body in answers]
    assert "No such model 'vila'" == answers[0][1]["message"]


async def test_a_file_in_use_is_not_deleted(folder: Path) -> None:
    """409 while its captions are made."""
    async with reviewing(folder, ScriptedAnswer("x", delay_ms=500)) as (service, vlm):
        _, file = await _upload(service, folder / CLIP)
        making = asyncio.create_task(service.post("/generate_vlm_captions", _captions(file["id"])))
        await vlm.wait_for_in_flight(1)
        refused = await _delete(service, f"/files/{file['id']}")
        made = await making
        deleted = await _delete(service, f"/files/{file['id']}")

    assert (409, "ResourceInUse") == (refused[0], refused[1]["code"])
    assert [200, 200] == [made[0], deleted[0]]
