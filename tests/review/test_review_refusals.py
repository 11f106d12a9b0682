"""How the Event Reviewer API refuses: always `{"code", "message"}`, with 2.4's codes."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import orjson
from fastapi import FastAPI, Request, Response
from review_samples import FULL, full, reviewing, short

from sidecar.doors.body_limit import BodyLimit
from sidecar.doors.review import FORM_BYTES, review_router, upload_limits
from sidecar.errors import BodyTooLarge
from sidecar.model import Footage
from sidecar.testing.media import write_audio_only, write_truncated


async def test_a_wrong_field_is_named_as_2_4_names_it(folder: Path) -> None:
    """The message starts with the place, and shows what was sent for some kinds of mistakes."""
    async with reviewing(folder) as (service, _):
        answers = [
            await service.post("/reviewAlert", {**FULL, "id": "abc"}),
            await service.post("/reviewAlert", {**FULL, "video_path": "a;b.mp4"}),
            await service.post("/reviewAlert", {**FULL, "severity": "HIGH"}),
            await service.post("/reviewAlert", full(chunk_duration=3601)),
            await service.post_bytes("/reviewAlert", b'{"version": '),
            await service.post_bytes("/reviewAlert", b'{"\\ud800": 1}'),
            await service.post_bytes("/reviewAlert", b"1" * 5000),
            await service.post_bytes("/reviewAlert", b'{"a":' * 5000),
        ]

    assert {"InvalidParameters"} == {body["code"] for _, body in answers}
    assert {422, 400} == {status for status, _ in answers}
    assert [422] * 6 == [status for status, _ in answers[:6]]
    messages = [body["message"] for _, body in answers]
    assert messages[0].startswith("('body', 'id'): Input should be a valid UUID, invalid ")
    assert messages[0].endswith('(input: "abc")')
    assert messages[1].endswith('(input: "a;b.mp4")')
    assert "('body', 'severity'): Extra inputs are not permitted" == messages[2]
    assert messages[3].startswith("('body', 'vss_params', 'chunk_duration'): ")
    assert messages[4].startswith("('body', ")


LIMITS: list[tuple[str, object]] = [
    ("version", "1.1"),
    ("@timestamp", "2024-05-30 01:41:25Z"),
    ("@timestamp", "2024-05-30T01:41:25.000000Z"),
    ("sensor_id", "x" * 1025),
    ("video_path", "x" * 1025),
    ("cv_metadata_path", "a|b"),
    ("confidence", 1.1),
    ("confidence", None),
    ("start_time", -1.0),
    ("end_time", 315_360_001.0),
    ("alert", {**FULL["alert"], "severity": "SEVERE"}),
    ("alert", {**FULL["alert"], "status": "ACTIVE"}),
    ("alert", {**FULL["alert"], "type": "x" * 1025}),
    ("event", {"type": "x"}),
    ("event", {**FULL["event"], "confidence": 2}),
    ("meta_labels", [{"key": "a"}]),
    ("meta_labels", [{"key": "a", "value": "b"}] * 1025),
    ("timestamp", "2024-05-30T01:41:25Z"),
    ("vss_params.chunk_overlap_duration", -1),
    ("vss_params.num_frames_per_chunk", 257),
    ("vss_params.vlm_input_width", 4097),
    ("vss_params.enable_cot", True),
    ("vss_params.vlm_params.prompt", "x" * 5001),
    ("vss_params.vlm_params.system_prompt", ""),
    ("vss_params.vlm_params.response_format", {"type": "xml"}),
    ("vss_params.vlm_params.max_tokens", 10_241),
    ("vss_params.vlm_params.temperature", 1.1),
    ("vss_params.vlm_params.top_p", 1.1),
    ("vss_params.vlm_params.top_k", 0.5),
    ("vss_params.vlm_params.seed", 0),
]
"""Fields and values just beyond what 2.4 takes."""


async def test_each_limit_of_2_4_holds(folder: Path) -> None:
    """A value beyond a limit is refused at its place before the clip is looked for."""
    async with reviewing(folder) as (service, vlm):
        answers = [
            await service.post("/reviewAlert", _changed(path, value)) for path, value in LIMITS
        ]
        asked = vlm.requests

    assert [(422, "InvalidParameters")] * len(LIMITS) == [
        (status, body["code"]) for status, body in answers
    ]
    for (path, _), (_, body) in zip(LIMITS, answers, strict=True):
        assert path.split(".")[-1] in body["message"]
    assert [] == asked


def _changed(path: str, value: object) -> dict[str, Any]:
    request = full()
    *parents, name = path.split(".")
    node = request
    for parent in parents:
        node = node[parent]
    node[name] = value
    return request


async def test_a_clip_that_cannot_be_used_is_a_failed_request(folder: Path) -> None:
    """Missing, outside, not decodable or cut off: 400, and the message says which."""
    (folder / "text.mp4").write_text("no video")
    write_audio_only(folder / "sound.mp4")
    write_truncated(folder / "cut.mp4", index_first=False)
    paths = ["gone.mp4", "/etc/passwd", "../x.mp4", "text.mp4", "sound.mp4", "cut.mp4"]
    async with reviewing(folder) as (service, _):
        answers = [
            await service.post("/reviewAlert", {**short(), "video_path": path}) for path in paths
        ]

    assert [(400, "FailedRequest")] * len(paths) == [
        (status, body["code"]) for status, body in answers
    ]
    assert [str(folder / "gone.mp4") in answers[0][1]["message"]] == [True]
    assert len({body["message"].partition("mp4")[2] for _, body in answers}) >= 4


async def test_parameters_that_contradict_each_other_are_refused(folder: Path) -> None:
    """The overlap has to be shorter than a chunk, and a side is at least 16 pixels."""
    wrong = [
        {"chunk_duration": 10, "chunk_overlap_duration": 10},
        {"vlm_input_width": 15, "vlm_input_height": 392},
        {"vlm_input_width": 756, "vlm_input_height": 1},
    ]
    async with reviewing(folder) as (service, _):
        answers = [await service.post("/reviewAlert", full(**params)) for params in wrong]
        fine = await service.post("/reviewAlert", full(chunk_duration=0))

    assert [(400, "BadParameter")] * 3 == [(status, body["code"]) for status, body in answers]
    assert 200 == fine[0]


async def test_an_overlay_needs_its_metadata_file(folder: Path) -> None:
    """A missing file and one that is no CV metadata are told apart."""
    (folder / "wrong.json").write_text('{"objects": 1}')
    requests = [
        {**full(cv_metadata_overlay=True), "cv_metadata_path": path}
        for path in ("cv.json", "", "/etc/passwd", "wrong.json")
    ]
    async with reviewing(folder) as (service, _):
        answers = [await service.post("/reviewAlert", request) for request in requests]

    assert [(400, "InvalidParameterValue")] * 4 == [
        (status, body["code"]) for status, body in answers
    ]
    assert f"CV metadata file {folder / 'cv.json'} does not exist" == answers[0][1]["message"]
    assert "CV metadata file /etc/passwd does not exist" == answers[2][1]["message"]
    assert "wrong.json is not CV metadata" in answers[3][1]["message"]


async def test_too_many_reviews_at_a_time_are_refused(folder: Path) -> None:
    """Beyond the limit the answer is 503 ServerBusy, and afterwards there is room again."""
    review = {"max_in_flight": 1, "max_waiting": 0}
    async with reviewing(folder, review=review) as (service, vlm):
        async with service.client.post(vlm_gate(service, "close")):
            pass
        first = asyncio.create_task(service.post("/reviewAlert", short()))
        await vlm.wait_for_in_flight(1)
        busy = await service.post("/reviewAlert", short())
        async with service.client.post(vlm_gate(service, "open")):
            pass
        done = await first
        again = await service.post("/reviewAlert", short())

    assert (503, "ServerBusy") == (busy[0], busy[1]["code"])
    assert [200, 200] == [done[0], again[0]]


def vlm_gate(service: Any, state: str) -> str:
    url: str = service.app.settings.arms["reason2"].url
    return f"{url.removesuffix('/v1')}/stub/gate/{state}"


async def test_a_body_that_is_too_large_is_refused(folder: Path) -> None:
    """413 with the setting that would allow it."""
    async with reviewing(folder, http={"max_body_bytes": 2048}) as (service, _):
        status, body = await service.post("/reviewAlert", {**short(), "sensor_id": "x" * 4000})

    assert 413 == status
    assert "SIDECAR_HTTP__MAX_BODY_BYTES" in body["message"]


class _BrokenMedia:
    """Media that fail in a way nobody thought of."""

    def absolute(self, path: str) -> str:
        return path

    async def find(self, path: str) -> NoReturn:
        raise ZeroDivisionError(path)

    async def overlays(self, path: str, footage: Footage) -> NoReturn:
        del footage
        raise ZeroDivisionError(path)


async def test_a_defect_tells_nothing_but_that_it_is_one(folder: Path) -> None:
    """500 with 2.4's words, and nothing of what went wrong inside."""
    async with reviewing(folder) as (service, _):
        whole = service.app.faces.review
        broken = replace(whole, reviewer=replace(whole.reviewer, media=_BrokenMedia()))
        api = FastAPI()
        api.include_router(review_router(broken))
        status, sent = await _post(api, "/reviewAlert", orjson.dumps(short()))

    body = {"code": "InternalServerError", "message": "An internal server error occured"}
    assert (500, body) == (status, orjson.loads(sent))


async def test_uploads_may_be_as_large_as_files() -> None:
    """Their paths have a limit of their own, beyond which they are refused like any body."""
    api = FastAPI()

    @api.post("/files")
    @api.post("/v1/files")
    @api.post("/reviewAlert")
    async def measure(request: Request) -> int:
        return len(await request.body())

    @api.exception_handler(BodyTooLarge)
    async def refuse(request: Request, error: Exception) -> Response:
        del request
        return Response(str(error), 413)

    limited = BodyLimit(api, 100, upload_limits(1000))
    bodies = {"/files": 1000, "/v1/files": 1000 + FORM_BYTES + 1, "/reviewAlert": 101}
    answers = [await _post(limited, path, b"x" * size) for path, size in bodies.items()]

    assert [200, 413, 413] == [status for status, _ in answers]
    assert b"SIDECAR_MEDIA__MAX_BYTES" in answers[1][1]
    assert b"SIDECAR_HTTP__MAX_BODY_BYTES" in answers[2][1]


async def _post(app: Callable[..., Awaitable[None]], path: str, body: bytes) -> tuple[int, bytes]:
    """Send a request through an ASGI application alone."""
    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": path, "headers": headers}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({**scope, "query_string": b"", "asgi": {}, "http_version": "1.1"}, receive, send)
    return sent[0]["status"], b"".join(it.get("body", b"") for it in sent[1:])
