"""Finding the dialect of a server."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields, replace

import pytest
from aiohttp import web

from sidecar.core.dialect_text import describe_dialect
from sidecar.dialect import FrameControl, ReasoningField, ServerDialect, StructuredForm
from sidecar.errors import VlmBusy, VlmError, VlmServerError, VlmTimeout
from sidecar.outside.probe import probe_dialect
from sidecar.outside.probe_media import Ruler, Tokens, images_seen, named_limit
from sidecar.testing.stub_media import Body
from sidecar.testing.stub_servers import FLAVOURS, Flavour, StubServer

REASON2, NANO = "nvidia/Cosmos-Reason2-8B", "nvidia/Cosmos3-Nano"
OLD_VLLM = ServerDialect(
    server="vllm",
    version="0.11.0",
    models=(REASON2,),
    ready_path="/health",
    takes_video=True,
    max_images=32,
    loader_fps=2.0,
    frames=FrameControl.NONE,
    media_options=True,
    structured=StructuredForm.RESPONSE_FORMAT,
    thinking_switch=True,
    reasoning=ReasoningField.REASONING_CONTENT,
    content_is_null=False,
    logprobs=True,
)
DEFAULT_VLLM = replace(
    OLD_VLLM,
    version="0.32.0",
    models=(NANO,),
    media_options=False,
    structured=StructuredForm.STRUCTURED_OUTPUTS,
    reasoning=ReasoningField.REASONING,
)
TRUSTING_VLLM = replace(DEFAULT_VLLM, media_options=True, frames=FrameControl.MEDIA_IO_KWARGS)
EXPECTED = {
    "vllm-0.11": OLD_VLLM,
    "vllm-0.13": replace(DEFAULT_VLLM, version="0.13.0", models=(REASON2,), media_options=True),
    "vllm-0.26": replace(TRUSTING_VLLM, version="0.26.0"),
    "vllm-0.32": DEFAULT_VLLM,
    "vllm-0.32-parser": replace(DEFAULT_VLLM, models=(REASON2,), content_is_null=True),
    "vllm-0.32-trusted": TRUSTING_VLLM,
    "nim": replace(
        OLD_VLLM,
        server="nim",
        version="",
        models=("nvidia/cosmos3-nano-reasoner",),
        ready_path="/v1/health/ready",
        max_images=5,
        loader_fps=4.0,
        frames=FrameControl.MEDIA_IO_KWARGS,
        reasoning=ReasoningField.INLINE,
    ),
    "rt-vlm": ServerDialect(
        server="rt-vlm",
        version="",
        models=("nim_nvidia_cosmos3-nano-reasoner_bf16-final",),
        ready_path="/v1/ready",
        takes_video=True,
        max_images=1,
        loader_fps=0.0,
        frames=FrameControl.FRAME_FIELDS,
        media_options=True,
        structured=StructuredForm.CHOICE_FORMAT,
        thinking_switch=False,
        reasoning=ReasoningField.INLINE,
        content_is_null=False,
        logprobs=False,
    ),
    "sglang": replace(OLD_VLLM, server="sglang", version="", models=(NANO,)),
}
VLLM = FLAVOURS["vllm-0.32-trusted"]


class StrangeServer(StubServer):
    """A stub server that treats some requests differently.

    Args:
        flavour: how it behaves otherwise.
        answer: gives a response in place of the stub's, or None.
    """

    def __init__(
        self, flavour: Flavour, answer: Callable[["StrangeServer", Body], web.Response | None]
    ) -> None:
        super().__init__(flavour)
        self._strange_answer = answer

    async def _complete(self, request: web.Request) -> web.Response:
        response = self._strange_answer(self, await request.json())
        return await super()._complete(request) if response is None else response


async def probe(server: StubServer, timeout_s: float = 5) -> ServerDialect:
    try:
        return await probe_dialect(await server.start(), "", timeout_s)
    finally:
        await server.close()


def error_500() -> web.Response:
    return web.json_response({"error": {"message": "out of range", "type": "X"}}, status=500)


def has(body: Body, kind: str) -> int:
    content = body["messages"][0]["content"]
    return sum(part["type"] == kind for part in content)


@pytest.mark.parametrize("name", FLAVOURS)
async def test_each_kind_of_server_is_told_by_its_behaviour(name: str) -> None:
    """Every fact of the dialect, for every server that people run these models on."""
    dialect = await probe(StubServer(FLAVOURS[name]))

    assert EXPECTED[name] == dialect


@pytest.mark.parametrize("name", FLAVOURS)
async def test_a_probe_is_cheap(name: str) -> None:
    """Two dozen requests of at most 16 answer tokens, and no option known to be dangerous."""
    server = StubServer(FLAVOURS[name])
    await probe(server)

    assert 24 > len(server.requests)
    assert {1, 16} >= {body["max_tokens"] for body in server.requests}
    assert not any("guided" in str(body)[:200] for body in server.requests)
    assert "True" not in {
        str(body.get("mm_processor_kwargs", {}).get("do_sample_frames")) for body in server.requests
    }


@pytest.mark.parametrize(
    ("loader_fps", "expected"), [(1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (5.0, 5.0), (30.0, 8.0)]
)
async def test_the_rate_of_the_loader_is_measured(loader_fps: float, expected: float) -> None:
    """Whole rates come out exactly; a loader faster than the probe's clip counts as its rate."""
    dialect = await probe(StubServer(replace(VLLM, loader_fps=loader_fps)))

    assert expected == dialect.loader_fps


def test_frames_of_the_edge_model_are_counted() -> None:
    """Where each frame has its own grid, the same frames cost twice the tokens."""
    nano = Ruler(text=27, short=Tokens(27 + 2 * 12, 27 + 2 * 16))
    edge = Ruler(text=27, short=Tokens(27 + 4 * 12, 27 + 4 * 16))

    assert 2.0 == nano.loader_fps(Tokens(27 + 3 * 12, 27 + 3 * 16))
    assert 2.0 == edge.loader_fps(Tokens(27 + 6 * 12, 27 + 6 * 16))


@pytest.mark.parametrize(
    ("short", "clip", "expected"),
    [(225, 225, 0.0), (423, 621, 2.0), (27, 27, None)],
    ids=["first-frame", "two-fps", "not-counted"],
)
def test_a_server_that_resizes_is_measured_by_a_short_clip(
    short: int, clip: int, expected: float | None
) -> None:
    """Where both widths cost the same, four frames are the measure of twenty-four."""
    ruler = Ruler(text=27, short=Tokens(short, short))

    assert expected == ruler.loader_fps(Tokens(clip, clip))


async def test_a_server_without_counts_leaves_the_frames_open() -> None:
    """Without `usage` nothing is said about frames, and all accepted pictures count as seen."""

    class Uncounted(StubServer):
        async def _complete(self, request: web.Request) -> web.Response:
            response = await super()._complete(request)
            answer = json.loads(response.text or "")
            answer.pop("usage", None)
            return web.json_response(answer, status=response.status)

    dialect = await probe(Uncounted(FLAVOURS["nim"]))

    assert (True, None, FrameControl.NONE, True, 5) == (
        dialect.takes_video,
        dialect.loader_fps,
        dialect.frames,
        dialect.media_options,
        dialect.max_images,
    )


@pytest.mark.parametrize(("limit", "expected"), [(0, 0), (1, 1), (12, 10), (20, 16), (40, 32)])
async def test_the_image_limit_is_found_by_trying(limit: int, expected: int) -> None:
    """A refusal that names no number leads down a ladder of counts."""

    def refuse(_: StrangeServer, body: Body) -> web.Response | None:
        too_many = has(body, "image_url") > limit
        return web.json_response({"detail": "too much"}, status=422) if too_many else None

    dialect = await probe(StrangeServer(VLLM, refuse))

    assert expected == dialect.max_images


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("At most 5 image(s) may be provided in one prompt.", 5),
        ("You set more than 10 images", 10),
        ("At most 0 image(s) may be provided in one prompt.", 0),
        ("At most 64 images", None),
        ("This model's maximum context length is 16 tokens", None),
        ("", None),
    ],
)
def test_the_limit_is_read_from_the_refusal(text: str, expected: int | None) -> None:
    """A number counts when it is said of images and lies below what was sent."""
    assert expected == named_limit(text, 32)


def test_pictures_that_are_not_looked_at_do_not_count() -> None:
    """RT-VLM accepts many pictures and looks at the first."""
    assert (1, 32, 32) == (
        images_seen(32, tokens=225, one=225, text=27),
        images_seen(32, tokens=27 + 32 * 66, one=93, text=27),
        images_seen(32, tokens=0, one=0, text=0),
    )


async def test_a_server_without_video_is_asked_no_more_about_it() -> None:
    """A refused clip means no video, whatever the options."""

    def refuse(_: StrangeServer, body: Body) -> web.Response | None:
        is_video = has(body, "video_url")
        return web.json_response({"detail": "no video"}, status=400) if is_video else None

    dialect = await probe(StrangeServer(VLLM, refuse))

    assert (False, None, FrameControl.NONE, False) == (
        dialect.takes_video,
        dialect.loader_fps,
        dialect.frames,
        dialect.media_options,
    )


async def test_a_request_that_breaks_the_server_counts_as_refused() -> None:
    """An error 500 about an option is survived when the server goes on answering."""

    def fail(_: StrangeServer, body: Body) -> web.Response | None:
        return error_500() if {"logprobs", "structured_outputs"} & body.keys() else None

    dialect = await probe(StrangeServer(VLLM, fail))

    assert (False, StructuredForm.RESPONSE_FORMAT) == (dialect.logprobs, dialect.structured)


async def test_a_server_that_a_request_kills_has_no_dialect() -> None:
    """After an engine died nothing that it answered can be believed."""
    dead = []

    def die(_: StrangeServer, body: Body) -> web.Response | None:
        if "logprobs" in body:
            dead.append(True)
        return error_500() if dead else None

    with pytest.raises(VlmServerError, match="X: HTTP 500, out of range"):
        await probe(StrangeServer(VLLM, die))


async def test_a_busy_server_is_asked_again() -> None:
    """A refusal for lack of room says nothing about the dialect."""
    seen = set()

    def be_busy(_: StrangeServer, body: Body) -> web.Response | None:
        key = json.dumps(body)
        is_new = key not in seen
        seen.add(key)
        return web.json_response({"detail": "busy"}, status=429) if is_new else None

    dialect = await probe(StrangeServer(replace(VLLM, loader_fps=2.0), be_busy))

    assert TRUSTING_VLLM == dialect


async def test_a_server_that_stays_busy_has_no_dialect() -> None:
    """It is not taken for one that refuses clips."""

    def be_busy(_: StrangeServer, body: Body) -> web.Response | None:
        return web.json_response({}, status=429) if has(body, "video_url") else None

    with pytest.raises(VlmBusy):
        await probe(StrangeServer(VLLM, be_busy))


async def test_a_server_that_hangs_on_clips_has_no_dialect() -> None:
    """No answer in time may be mere load, so nothing is concluded from it."""

    class Hanging(StubServer):
        async def _complete(self, request: web.Request) -> web.Response:
            if has(await request.json(), "video_url"):
                await asyncio.sleep(2)
            return await super()._complete(request)

    with pytest.raises(VlmTimeout):
        await probe(Hanging(VLLM), timeout_s=0.3)


@pytest.mark.parametrize(
    "body", [[], {"choices": {}}, {"choices": [None]}, {"choices": []}, {"usage": 3}]
)
async def test_nonsense_is_no_answer(body: object) -> None:
    """A body that is no completion is the server's failure, not ours."""

    def babble(_: StrangeServer, _body: Body) -> web.Response:
        return web.json_response(body)

    with pytest.raises(VlmServerError):
        await probe(StrangeServer(VLLM, babble))


async def test_the_model_that_the_arm_names_is_probed() -> None:
    """On a server with several models the first one listed is not asked."""
    server = StubServer(VLLM)
    url = await server.start()
    with pytest.raises(VlmError, match="The model `mine` does not exist"):
        await probe_dialect(url, "", 5, model="mine")
    await server.close()


async def test_a_server_that_is_not_there_is_an_error() -> None:
    """The probe never makes up a dialect."""
    with pytest.raises(VlmError, match="ClientConnector"):
        await probe_dialect("http://127.0.0.1:9/v1", "", 5)


@pytest.mark.parametrize("name", FLAVOURS)
def test_every_fact_has_a_sentence(name: str) -> None:
    """The table explains each field of each dialect."""
    described = describe_dialect(EXPECTED[name])

    assert [field.name for field in fields(ServerDialect)] == [fact.name for fact in described]
    assert all(fact.meaning.endswith(".") and fact.value is not None for fact in described)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (
            "vllm-0.32",
            "Clips of more than 2 frames per second are thinned: the sidecar slows them down.",
        ),
        (
            "nim",
            (
                "Without options, clips of more than 4 frames per second are thinned: "
                "the sidecar sends options."
            ),
        ),
        (
            "rt-vlm",
            "Without options, only the first frame of a clip is seen: the sidecar sends options.",
        ),
    ],
)
def test_the_sentence_about_frames_says_what_the_sidecar_does(name: str, expected: str) -> None:
    """It depends on the loader and on whether a request can change it."""
    meanings = {fact.name: fact.meaning for fact in describe_dialect(EXPECTED[name])}

    assert expected == meanings["loader_fps"]


async def test_the_command_prints_the_dialect() -> None:
    """As JSON for programs; as a table for people."""
    server = StubServer(FLAVOURS["vllm-0.32"])
    url = await server.start()
    command = (sys.executable, "-m", "sidecar", "probe", url)
    shown = [await _run(*command, "--json"), await _run(*command)]
    await server.close()

    found = json.loads(shown[0])

    assert ("vllm", 2.0, False, "structured_outputs") == (
        found["server"],
        found["loader_fps"],
        found["media_options"],
        found["structured"],
    )
    assert "slows them down" in found["meaning"]["loader_fps"]
    assert "media_options" in shown[1]
    assert "structured_outputs" in shown[1]


async def _run(*command: str) -> str:
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    output, _ = await process.communicate()
    assert process.returncode == 0
    return output.decode()
