"""The OpenAI face with the clients that people use: the openai package, and curl."""

import asyncio
import base64
import json
import subprocess
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, NoReturn, cast

import aiohttp
import openai
import pytest
import pytest_asyncio
import yarl
from aiohttp import web
from fastapi import FastAPI

from sidecar.core.chat import Chats
from sidecar.doors.openai import openai_router
from sidecar.outside.clock import SystemClock
from sidecar.testing.media import write_image, write_motion

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = "nvidia/cosmos-reason2-8b"
QUESTION = "Is somebody falling?"


def user(*parts: Any) -> list[Any]:
    return [{"role": "user", "content": [*parts, {"type": "text", "text": QUESTION}]}]


def data_uri(path: Path, mime: str) -> str:
    return f"data:{mime};base64,{base64.b64encode(path.read_bytes()).decode()}"


def media_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    return [part for part in body["messages"][-1]["content"] if part["type"] != "text"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_motion(tmp_path / "fall 1.mp4", seconds=2, fps=10, width=64, height=64)


@pytest.fixture
def picture(tmp_path: Path) -> str:
    return data_uri(write_image(tmp_path / "still.png", 64, 64), "image/png")


@pytest_asyncio.fixture(loop_scope="module")
async def web_root(tmp_path: Path) -> AsyncGenerator[str]:
    app = web.Application()
    app.router.add_static("/", tmp_path)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def ask(face: Any, *parts: Any, model: str = MODEL, **options: Any) -> Any:
    return await face.client.chat.completions.create(model=model, messages=user(*parts), **options)


async def test_a_chat_gets_the_text_of_the_arm_in_force(face: Any, picture: str) -> None:
    """Content, reasoning under both names, finish reason and usage are those of the model."""
    reply = await ask(face, {"type": "image_url", "image_url": {"url": picture}})
    choice = reply.choices[0]

    assert ("chat.completion", MODEL, "stop") == (reply.object, reply.model, choice.finish_reason)
    assert "Yes." == choice.message.content
    assert ["A person falls."] * 2 == [choice.message.reasoning, choice.message.reasoning_content]
    assert (90, 10, 100) == (
        reply.usage.prompt_tokens,
        reply.usage.completion_tokens,
        reply.usage.total_tokens,
    )


@pytest.mark.parametrize(
    "named", [f"{MODEL}:verdict", "reason2:verdict", "sidecar-cosmos3:verdict"]
)
async def test_mode_verdict_by_the_name_of_the_model(face: Any, picture: str, named: str) -> None:
    """Each name that is known takes the suffix."""
    part = {"type": "image_url", "image_url": {"url": picture}}
    reply = await ask(face, part, model=named)

    assert "<think>A person falls.</think>YES" == reply.choices[0].message.content


async def test_mode_by_header_and_the_suffix_wins(face: Any, picture: str) -> None:
    """The header sets the mode of requests whose model names none."""
    part = {"type": "image_url", "image_url": {"url": picture}}
    header = {"X-Sidecar-Mode": "verdict"}
    by_header = await ask(face, part, model="", extra_headers=header)
    by_suffix = await ask(face, part, model=f"{MODEL}:pass", extra_headers=header)
    with pytest.raises(openai.BadRequestError) as wrong:
        await ask(face, part, extra_headers={"X-Sidecar-Mode": "maybe"})

    assert "<think>A person falls.</think>YES" == by_header.choices[0].message.content
    assert "Yes." == by_suffix.choices[0].message.content
    assert "X-Sidecar-Mode" == wrong.value.param


async def test_null_content_is_filled_from_the_reasoning(
    run_face: Any, model_server: Any, tmp_path: Path
) -> None:
    """A server with a reasoning parser leaves a plain answer's content null; clients read it."""
    said = {"message": {"content": None, "reasoning_content": "No, he sits."}}
    server = model_server(lambda text: said if text == QUESTION else None)
    async with run_face(tmp_path, server) as face:
        message = (await ask(face)).choices[0].message
        verdict = (await ask(face, model=":verdict")).choices[0].message.content

    assert ("No, he sits.", False) == (message.content, hasattr(message, "reasoning"))
    assert "<think>he sits.</think>NO" == verdict


async def test_a_bare_verdict_without_reasoning_is_the_bare_word(
    run_face: Any, model_server: Any, tmp_path: Path
) -> None:
    """No empty block: the word alone is read by every version of VSS's parser."""
    server = model_server(
        lambda text: {"message": {"content": "no."}} if text == QUESTION else None
    )
    async with run_face(tmp_path, server, openai={"mode": "verdict"}) as face:
        content = (await ask(face)).choices[0].message.content

    assert "NO" == content


async def test_streaming_gives_role_content_finish_and_usage(face: Any) -> None:
    """The openai package puts the chunks together to the same answer."""
    stream = await ask(face, stream=True, stream_options={"include_usage": True})
    chunks = [chunk async for chunk in stream]
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]

    assert "assistant" == deltas[0].role
    assert ("Yes.", "A person falls.") == (
        "".join(delta.content or "" for delta in deltas),
        deltas[1].reasoning_content,
    )
    assert "stop" == chunks[-2].choices[0].finish_reason
    assert (100, []) == (chunks[-1].usage.total_tokens, chunks[-1].choices)
    assert 1 == len({chunk.id for chunk in chunks})


async def test_the_legacy_way_of_streaming_needs_no_options(face: Any) -> None:
    """Without `stream_options` no chunk carries usage."""
    chunks = [chunk async for chunk in await ask(face, stream=True)]

    assert [None] * 3 == [chunk.usage for chunk in chunks]


async def test_curl_gets_an_answer_and_a_stream(face: Any) -> None:
    """Without any package, and with the end mark of the stream."""
    body = {"messages": [{"role": "user", "content": QUESTION}]}
    answer = json.loads(await curl(face.url, body))
    stream = await curl(face.url, body | {"stream": True})

    assert "Yes." == answer["choices"][0]["message"]["content"]
    assert stream.endswith("data: [DONE]\n\n")
    assert all(line.startswith("data: ") for line in stream.split("\n") if line)


async def curl(url: str, body: Any) -> str:
    command = ["curl", "-sS", f"{url}/chat/completions", "-H", "Content-Type: application/json"]
    done = await asyncio.to_thread(
        subprocess.run,
        [*command, "-d", json.dumps(body)],
        capture_output=True,
        text=True,
        check=True,
        timeout=20,
    )
    return done.stdout


@pytest.mark.parametrize("form", ["inline", "file", "web", "bare"])
async def test_a_video_is_shown_however_it_is_named(
    face: Any, clip: Path, web_root: str, form: str
) -> None:
    """The server gets a prepared MP4: inline, below an allowed folder, by URL, or a bare URL."""
    urls = {
        "inline": data_uri(clip, "video/mp4"),
        "file": clip.as_uri(),
        "web": f"{web_root}/{clip.name}",
    }
    named = urls["web"] if form == "bare" else {"url": urls[form]}
    reply = await ask(face, {"type": "video_url", "video_url": named})
    sent = media_of(face.server.requests[-1])

    assert "Yes." == reply.choices[0].message.content
    assert ["video_url"] == [part["type"] for part in sent]
    assert sent[0]["video_url"]["url"].startswith("data:video/mp4;base64,")


FRAME_OPTIONS: list[tuple[dict[str, Any], int]] = [
    ({"media_io_kwargs": {"video": {"num_frames": 5}}}, 5),
    ({"media_io_kwargs": {"video": {"fps": 4}}}, 8),
    ({"mm_processor_kwargs": {"fps": 3.0, "do_sample_frames": True}}, 6),
    ({"num_frames": 7}, 7),
    ({"fps": 5}, 10),
    ({"num_frames_per_second_or_fixed_frames_chunk": 6, "use_fps_for_chunking": False}, 6),
    ({"num_frames_per_second_or_fixed_frames_chunk": 5, "use_fps_for_chunking": True}, 10),
    ({"media_io_kwargs": {"video": {"num_frames": -1}}}, 4),
]


async def test_options_about_frames_become_a_prepared_clip(face: Any, clip: Path) -> None:
    """Whatever dialect asks for frames, the server is sent that many and no such option."""
    part = {"type": "video_url", "video_url": {"url": clip.as_uri()}}
    for options, _ in FRAME_OPTIONS:
        await ask(face, part, extra_body=options)
    sent = face.server.requests

    assert [frames for _, frames in FRAME_OPTIONS] == [
        frames_in(media_of(body)[0]["video_url"]["url"]) for body in sent
    ]
    assert not {name for options, _ in FRAME_OPTIONS for name in options} & {
        name for body in sent for name in body
    }


def frames_in(uri: str) -> int:
    import io

    import av

    with av.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as container:
        return sum(1 for _ in container.decode(video=0))


async def test_inline_pictures_go_on_untouched(face: Any, picture: str) -> None:
    """They are not decoded, unless the client wants them smaller."""
    parts = [{"type": "image_url", "image_url": {"url": picture}}] * 8
    await ask(face, *parts)
    untouched = media_of(face.server.requests[-1])
    size = {"mm_processor_kwargs": {"size": {"longest_edge": 8 * 32 * 32}}}
    await ask(face, *parts, extra_body=size)
    smaller = media_of(face.server.requests[-1])

    assert [{"type": "image_url", "image_url": {"url": picture}}] * 8 == untouched
    assert ["data:image/jpeg;base64"] * 8 == [
        part["image_url"]["url"].partition(",")[0] for part in smaller
    ]


async def test_decoding_options_are_passed_on_and_untranslatable_ones_are_named(face: Any) -> None:
    """What no server is sent stands in X-Sidecar-Dropped; unknown fields go on."""
    raw = await face.client.chat.completions.with_raw_response.create(
        model=MODEL,
        messages=user(),
        temperature=0.5,
        top_p=0.9,
        max_completion_tokens=77,
        seed=5,
        stop=["\n"],
        logprobs=True,
        extra_body={
            "top_k": 3,
            "guided_choice": ["yes"],
            "mm_processor_kwargs": {"do_resize": False},
        },
    )
    sent = face.server.requests[-1]
    dropped = raw.headers["X-Sidecar-Dropped"].split(", ")

    assert {"temperature": 0.5, "top_p": 0.9, "max_tokens": 77, "seed": 5, "top_k": 3} == {
        name: sent[name] for name in ("temperature", "top_p", "max_tokens", "seed", "top_k")
    }
    assert ["\n"] == sent["stop"]
    assert {"logprobs", "guided_choice", "mm_processor_kwargs.do_resize"} == set(dropped)
    assert not {"logprobs", "guided_choice", "mm_processor_kwargs"} & sent.keys()
    assert ("reason2", "pass") == (raw.headers["X-Sidecar-Arm"], raw.headers["X-Sidecar-Mode"])


async def test_several_answers_are_several_questions(face: Any) -> None:
    """`n` works on servers that know it or not, each answer by a seed of its own."""
    reply = await ask(face, n=3, seed=10)

    assert [(0, "Yes."), (1, "Yes."), (2, "Yes.")] == [
        (choice.index, choice.message.content) for choice in reply.choices
    ]
    assert [10, 11, 12] == sorted(body["seed"] for body in face.server.requests)
    assert 300 == reply.usage.total_tokens


async def test_several_turns_become_one_prompt_as_in_rt_vlm(face: Any) -> None:
    """Each line begins with its speaker; system messages are joined."""
    face.server.reply = lambda text: {"message": {"content": "there"}} if "User:" in text else None
    await face.client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "developer", "content": "Be right."},
            {"role": "user", "content": "Is he there?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "Where?"},
        ],
    )
    sent = face.server.requests[-1]["messages"]

    assert "Be brief.\nBe right." == sent[0]["content"]
    assert "User: Is he there?\nAssistant: Yes.\nUser: Where?" == sent[1]["content"][0]["text"]


async def test_unknown_models_are_refused_as_openai_does(face: Any) -> None:
    """404 with the code that clients look for; the ids that exist are shown one by one."""
    with pytest.raises(openai.NotFoundError) as refused:
        await ask(face, model="gpt-5")
    shown = await face.client.models.retrieve(f"{MODEL}:verdict")
    with pytest.raises(openai.NotFoundError):
        await face.client.models.retrieve("gpt-5")

    assert ("model_not_found", "invalid_request_error") == (
        refused.value.code,
        refused.value.type,
    )
    assert f"{MODEL}:verdict" == shown.id


async def test_an_answer_without_a_verdict_is_an_error_that_is_not_repeated(
    run_face: Any, model_server: Any, tmp_path: Path
) -> None:
    """422, which the openai package does not retry, with our reason as its code."""
    said = {"message": {"content": "The hall is empty and quiet."}}
    server = model_server(lambda text: said if text == QUESTION else None)
    async with run_face(tmp_path, server) as face:
        client = face.client.with_options(max_retries=2)
        with pytest.raises(openai.UnprocessableEntityError) as refused:
            await client.chat.completions.create(model=":verdict", messages=user())

    assert ("no_verdict", "unparsable_answer") == (refused.value.type, refused.value.code)
    assert 1 == len(server.requests)


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (400, openai.BadRequestError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
    ],
)
async def test_failures_of_the_server_are_passed_on(
    run_face: Any, model_server: Any, tmp_path: Path, status: int, raised: type[Exception]
) -> None:
    """With the status that makes the client do the right thing, and the cause."""

    def refuse(text: str) -> web.Response | None:
        body = {"error": {"message": "too long", "type": "BadRequestError"}}
        return web.json_response(body, status=status) if text == QUESTION else None

    async with run_face(tmp_path, model_server(refuse)) as face:
        with pytest.raises(raised, match="too long"):
            await ask(face)


MIXED = b"""{"messages": [{"role": "user", "content": [
  {"type": "image_url", "image_url": "data:,"}, {"type": "video_url", "video_url": "data:,"}]}]}"""
BAD_BODIES = [
    (b"{", "body"),
    (b"[]", "body"),
    (b"{}", "messages"),
    (b'{"messages": []}', "messages"),
    (b'{"messages": ["hi"]}', "messages.0"),
    (b'{"messages": [{"role": "robot", "content": "hi"}]}', "messages.0.role"),
    (b'{"messages": [{"role": ["user"], "content": "hi"}]}', "messages.0.role"),
    (b'{"messages": [{"role": "system", "content": "hi"}]}', "messages"),
    (b'{"messages": [{"role": "user", "content": 7}]}', "messages.0.content"),
    (b'{"messages": [{"role": "user", "content": [{"type": "x"}]}]}', "messages.0.content.0"),
    (b'{"messages": [{"role": "user", "content": [{"type": []}]}]}', "messages.0.content.0"),
    (
        b'{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}',
        "messages.0.content.0.image_url",
    ),
    (MIXED, "messages"),
    (b'{"messages": [{"role": "user", "content": "hi"}], "n": 99}', "n"),
    (b'{"messages": [{"role": "user", "content": "hi"}], "temperature": 9}', "temperature"),
]


async def test_bad_bodies_are_refused_with_the_name_of_the_field(face: Any) -> None:
    """400 in OpenAI's shape, whatever is wrong."""
    found = []
    async with aiohttp.ClientSession() as session:
        for body, _ in BAD_BODIES:
            async with session.post(f"{face.url}/chat/completions", data=body) as answer:
                error = (await answer.json())["error"]
                found.append((answer.status, error["type"], error["param"]))

    assert [(400, "invalid_request_error", field) for _, field in BAD_BODIES] == found


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/chat/completions", 405, "method_not_supported"),
        ("DELETE", "/models/x", 405, "method_not_supported"),
        ("POST", "/chat/complete", 404, "unknown_url"),
        ("GET", "/models/a%0Ab", 404, "unknown_url"),
    ],
)
async def test_what_is_not_offered_is_told_in_the_shape_of_the_api(
    face: Any, method: str, path: str, status: int, code: str
) -> None:
    """A wrong path or method, as a client that has mistyped it asks for."""
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, yarl.URL(face.url + path, encoded=True)) as answer,
    ):
        error = (await answer.json())["error"]

    assert (status, code, "invalid_request_error") == (answer.status, error["code"], error["type"])


class _Broken:
    """Stands for a defect of ours."""

    clock = SystemClock()

    async def models(self) -> NoReturn:
        raise ZeroDivisionError("the inside")


async def test_a_defect_has_the_shape_of_the_api_and_shows_nothing_of_its_inside(
    serve_face: Any,
) -> None:
    """500, with a body that the openai package understands."""
    app = FastAPI()
    app.include_router(openai_router(cast("Chats", _Broken())))
    async with (
        serve_face(app) as url,
        openai.AsyncOpenAI(base_url=url, api_key="not-used", max_retries=0) as client,
    ):
        with pytest.raises(openai.InternalServerError) as defect:
            await client.models.list()

    assert "server_error" == defect.value.type
    assert "inside" not in str(defect.value)


BAD_MEDIA = [
    ("http://169.254.169.254/clip.mp4", 403, "media_forbidden"),
    ("file:///etc/passwd", 403, "media_forbidden"),
    ("file://host/clip.mp4", 403, "media_forbidden"),
    ("ftp://host/clip.mp4", 403, "media_forbidden"),
    ("clip.mp4", 403, "media_forbidden"),
    ("data:video/mp4,abc", 415, "media_not_video"),
    ("data:video/jpeg;base64,aaaa,bbbb", 415, "media_not_video"),
    ("data:video/mp4;base64,aGVsbG8=", 415, "media_not_video"),
    ("data:video/mp4;base64,", 422, "media_empty"),
]


async def test_media_are_guarded_as_those_of_events(face: Any) -> None:
    """No address inside, no file outside, and nothing that is not a video."""
    found = []
    for url, _, _ in BAD_MEDIA:
        with pytest.raises(openai.APIStatusError) as refused:
            await ask(face, {"type": "video_url", "video_url": {"url": url}})
        found.append((url, refused.value.status_code, refused.value.code))

    assert BAD_MEDIA == found
    assert [] == face.server.requests


async def test_a_body_that_is_too_large_is_refused_with_the_setting_to_raise(
    run_face: Any, model_server: Any, tmp_path: Path
) -> None:
    """The face has a limit of its own, above that of events."""
    async with run_face(tmp_path, model_server(), openai={"max_body_bytes": 2_000_000}) as face:
        text = {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64," + "A" * 2_000_000},
        }
        with pytest.raises(
            openai.APIStatusError, match="SIDECAR_OPENAI__MAX_BODY_BYTES"
        ) as refused:
            await ask(face, text)

    assert 413 == refused.value.status_code


async def test_chats_beyond_the_limit_are_told_to_come_back(
    run_face: Any, model_server: Any, tmp_path: Path
) -> None:
    """429 with Retry-After, while the others go on."""
    said = {"message": {"content": "Yes."}}
    server = model_server(lambda text: said if text == QUESTION else None)
    server.waiting = asyncio.Event()
    async with run_face(tmp_path, server, openai={"max_in_flight": 1}) as face:
        first = asyncio.create_task(ask(face))
        await server.arrived.wait()
        with pytest.raises(openai.RateLimitError) as refused:
            await ask(face)
        server.waiting.set()
        done = await first

    assert ("1", "rate_limit_exceeded") == (
        refused.value.response.headers["Retry-After"],
        refused.value.code,
    )
    assert "Yes." == done.choices[0].message.content


async def test_a_client_that_goes_away_cancels_the_call_to_the_model(
    run_face: Any, model_server: Any, tmp_path: Path
) -> None:
    """The server sees its request end, and the place is free for the next chat."""
    said = {"message": {"content": "Yes."}}
    server = model_server(lambda text: said if text == QUESTION else None)
    server.waiting = asyncio.Event()
    async with run_face(tmp_path, server, openai={"max_in_flight": 1}) as face:
        asking = asyncio.create_task(ask(face))
        await server.arrived.wait()
        asking.cancel()
        async with asyncio.timeout(20):
            while not server.cancelled:
                await asyncio.sleep(0.01)
        server.waiting = None
        again = await ask(face)

    assert (1, "Yes.") == (server.cancelled, again.choices[0].message.content)


async def test_a_chat_has_a_deadline(run_face: Any, model_server: Any, tmp_path: Path) -> None:
    """504, though the model's server never answers."""
    server = model_server(lambda text: {} if text == QUESTION else None)
    server.waiting = asyncio.Event()
    async with run_face(tmp_path, server, verify={"deadline_s": 1.0}) as face:
        with pytest.raises(openai.InternalServerError) as late:
            await ask(face)

    assert (504, "deadline_expired") == (late.value.status_code, late.value.code)


async def test_a_server_that_is_away_is_told_by_readiness_and_errors(
    run_face: Any, model_server: Any, tmp_path: Path
) -> None:
    """Live, not ready, the alias alone is listed, and a chat fails with 503."""
    away = {"url": "http://127.0.0.1:9/v1"}
    async with run_face(tmp_path, model_server(), arm_settings=away) as face:
        ids = [model.id async for model in face.client.models.list()]
        live = await face.client.get("/health/live", cast_to=object)
        metadata = await face.client.get("/metadata", cast_to=object)
        with pytest.raises(openai.InternalServerError) as ready:
            await face.client.get("/health/ready", cast_to=object)
        with pytest.raises(openai.InternalServerError) as refused:
            await ask(face)

    assert ["sidecar-cosmos3", "sidecar-cosmos3:pass", "sidecar-cosmos3:verdict"] == ids
    assert ("live", "reasoner") == (live["status"], metadata["model_type"])
    assert (503, 503) == (ready.value.status_code, refused.value.status_code)


async def test_any_model_is_advertised_under_a_name_that_vss_reads(
    run_face: Any, model_server: Any, tmp_path: Path
) -> None:
    """A served id without the magic words gets them in front, and may be asked for either way."""
    said = {"message": {"content": "Yes."}}
    server = model_server(
        lambda text: said if text == QUESTION else None, "models/cosmos_reason2_ft"
    )
    async with run_face(tmp_path, server) as face:
        ids = [model.id async for model in face.client.models.list()]
        answers = [await ask(face, model=name) for name in (ids[0], "models/cosmos_reason2_ft")]

    assert "cosmos-reason2/models/cosmos_reason2_ft" == ids[0]
    assert ["models/cosmos_reason2_ft"] * 2 == [answer.model for answer in answers]
