"""The client of a model's server, against a mock server over real sockets."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

import pytest

from sidecar.errors import (
    VlmBusy,
    VlmInvalidPayload,
    VlmRefused,
    VlmServerError,
    VlmTimeout,
    VlmUnreachable,
)
from sidecar.model import ChatReply, ChatRequest, Evidence, EvidenceForm, MediaType
from sidecar.outside.vlm_http import HttpVlm
from sidecar.settings import ArmSettings
from sidecar.testing.mock_vlm import MockVlm, MockVlmOptions, ScriptedAnswer
from sidecar.testing.stub_servers import FLAVOURS, StubServer

BODY = {"model": "m", "messages": [{"role": "user", "content": "Is it? はい"}]}
REQUEST = ChatRequest(BODY, Evidence(EvidenceForm.URL, MediaType.VIDEO))
DATA_URI = "data:video/mp4;base64," + "AAAA" * 1000


@asynccontextmanager
async def serve(*answers: ScriptedAnswer, **arm: object) -> AsyncIterator[tuple[MockVlm, HttpVlm]]:
    mock = MockVlm(MockVlmOptions(model_id="nvidia/Cosmos3-Nano", answers=answers or MOCK_ANSWERS))
    vlm = HttpVlm("cosmos3-nano", ArmSettings(url=await mock.start(), **arm))
    try:
        yield mock, vlm
    finally:
        await vlm.close()
        await mock.close()


MOCK_ANSWERS = (ScriptedAnswer(),)
NONE = REQUEST.evidence
OPTION = {"media_io_kwargs": {"video": {"fps": 4}}}


class CountingStub(StubServer):
    """A stub server that counts how often its models are listed: once in each probe."""

    listed = 0
    port = 0

    async def start(self, port=0):
        url = await super().start(port)
        self.port = int(url.split(":")[2].split("/")[0])
        return url

    async def restart(self, name):
        await self.close()
        self._flavour = FLAVOURS[name]
        await self.start(self.port)

    async def _models(self, request):
        self.listed += 1
        return await super()._models(request)


@asynccontextmanager
async def serve_stub(name: str) -> AsyncIterator[tuple[CountingStub, HttpVlm]]:
    stub = CountingStub(FLAVOURS[name])
    vlm = HttpVlm("arm", ArmSettings(url=await stub.start()))
    try:
        yield stub, vlm
    finally:
        await vlm.close()
        await stub.close()


async def test_completion_is_read():
    """The request goes out as it is, and the reply comes back with all that the server told."""
    async with serve(ScriptedAnswer("yes", reasoning="He falls.", prompt_tokens=100)) as (
        mock,
        vlm,
    ):
        reply = await vlm.complete(REQUEST, 5)

    assert mock.requests == [BODY]
    assert reply == ChatReply(
        "yes",
        reasoning="He falls.",
        model="nvidia/Cosmos3-Nano",
        prompt_tokens=100,
        completion_tokens=3,
    )


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ('{"content": null, "reasoning_content": "r"}', (None, "r")),
        (
            '{"content": [{"type": "text", "text": "y"}, {"type": "text", "text": "es"}]}',
            ("yes", None),
        ),
        ('{"content": ""}', ("", None)),
        ("{}", (None, None)),
    ],
    ids=["old-reasoning-field", "parts", "empty", "nothing"],
)
async def test_message_shapes(message, expected):
    """Every shape of a message that servers send is read."""
    raw = f'{{"choices": [{{"message": {message}, "finish_reason": null}}], "usage": null}}'
    async with serve(ScriptedAnswer(raw=raw)) as (_, vlm):
        reply = await vlm.complete(REQUEST, 5)

    assert (reply.content, reply.reasoning) == expected
    assert (reply.finish_reason, reply.model, reply.prompt_tokens) == ("", "", None)


@pytest.mark.parametrize(
    ("answer", "error", "detail"),
    [
        (ScriptedAnswer("no", status=500), VlmServerError, "MockError: HTTP 500, no"),
        (ScriptedAnswer("busy", status=503), VlmServerError, "MockError: HTTP 503, busy"),
        (ScriptedAnswer("bad", status=422), VlmInvalidPayload, "MockError: HTTP 422, bad"),
        (ScriptedAnswer("bad", status=400), VlmRefused, "MockError: HTTP 400, bad"),
        (ScriptedAnswer("key", status=401), VlmRefused, "MockError: HTTP 401, key"),
        (ScriptedAnswer("slow", status=429), VlmBusy, "MockError: HTTP 429, slow"),
        (
            ScriptedAnswer(raw="<html>", status=502),
            VlmServerError,
            "HTTPError: HTTP 502, <html>",
        ),
        (
            ScriptedAnswer(raw='{"detail": "Not Found"}', status=404),
            VlmRefused,
            "HTTPError: HTTP 404, Not Found",
        ),
        (ScriptedAnswer(raw="", status=302), VlmRefused, "HTTPError: HTTP 302, no message"),
        (ScriptedAnswer(raw="ok"), VlmServerError, "HTTPError: HTTP 200, ok"),
        (ScriptedAnswer(raw="[]"), VlmServerError, "HTTPError: HTTP 200, no message"),
        (
            ScriptedAnswer(raw='{"error": {"message": "died", "type": "EngineDead"}}'),
            VlmServerError,
            "EngineDead: HTTP 200, died",
        ),
        (
            ScriptedAnswer(raw='{"object": "error", "message": "old", "type": "T"}', status=400),
            VlmRefused,
            "T: HTTP 400, old",
        ),
        (
            ScriptedAnswer(raw='{"choices": []}'),
            VlmServerError,
            "InvalidCompletion: the body has no choices",
        ),
        (
            ScriptedAnswer(raw='{"choices": [{"text": "yes"}]}'),
            VlmServerError,
            "InvalidCompletion: choices[0] has no message",
        ),
    ],
    ids=lambda value: (
        f"{value.status}-{(value.raw or value.content)[:12]}"
        if isinstance(value, ScriptedAnswer)
        else ""
    ),
)
async def test_answers_that_are_no_completion(answer, error, detail):
    """Each kind of bad answer becomes the error that says whether to try again."""
    async with serve(answer) as (_, vlm):
        with pytest.raises(error) as caught:
            await vlm.complete(REQUEST, 5)

    assert type(caught.value) is error
    assert caught.value.detail == detail


async def test_timeout():
    """A server that does not answer in time is a timeout."""
    async with serve(ScriptedAnswer(hang=True)) as (_, vlm):
        with pytest.raises(VlmTimeout, match=r"no answer within 0\.1 s"):
            await vlm.complete(REQUEST, 0.1)


async def test_own_limit_of_the_arm():
    """The arm's timeout holds where the event would leave more time."""
    async with serve(ScriptedAnswer(hang=True), timeout_s=0.1) as (_, vlm):
        with pytest.raises(VlmTimeout, match=r"no answer within 0\.1 s"):
            await vlm.complete(REQUEST, 60)


async def test_no_time_left():
    """Without time left a request times out instead of waiting without limit."""
    async with serve(ScriptedAnswer(hang=True)) as (_, vlm):
        with pytest.raises(VlmTimeout):
            await vlm.complete(REQUEST, 0)


async def test_connection_breaks_in_the_body():
    """A connection that breaks in the middle of the answer is unreachable, so it is tried again."""
    async with serve(ScriptedAnswer(disconnect=True)) as (_, vlm):
        with pytest.raises(VlmUnreachable, match=r"^ClientPayloadError: "):
            await vlm.complete(REQUEST, 5)


async def test_nobody_listens():
    """A port without a listener is unreachable, and the ping says what to do."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    vlm = HttpVlm("reason2", ArmSettings(url=f"http://127.0.0.1:{port}/v1"))
    try:
        with pytest.raises(VlmUnreachable, match=r"^ClientConnectorError: "):
            await vlm.complete(REQUEST, 5)
        ping = await vlm.ping()
    finally:
        await vlm.close()

    assert "Start it, or correct arms.reason2.url." in ping


async def test_too_large_answer():
    """An answer without end does not fill the memory."""
    async with serve(ScriptedAnswer(raw="x" * (17 * 2**20))) as (_, vlm):
        with pytest.raises(VlmServerError, match="ReplyTooLarge"):
            await vlm.complete(REQUEST, 10)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (f"cannot load {DATA_URI} here", "cannot load data:... here"),
        ("fetch http://user:secret@host/a.mp4", "fetch http://***@host/a.mp4"),
        ("fetch https://host/a.mp4?X-Signature=secret now", "fetch https://host/a.mp4?... now"),
    ],
    ids=["media", "credentials", "signature"],
)
async def test_secrets_stay_out_of_errors(message, expected):
    """What a server repeats of the request does not reach the error's text."""
    async with serve(ScriptedAnswer(message, status=400)) as (_, vlm):
        with pytest.raises(VlmRefused) as caught:
            await vlm.complete(REQUEST, 5)

    assert caught.value.detail == f"MockError: HTTP 400, {expected}"


async def test_long_messages_are_cut():
    """The root cause keeps 150 characters, as in VSS's status texts."""
    async with serve(ScriptedAnswer("x" * 1000, status=500)) as (_, vlm):
        with pytest.raises(VlmServerError) as caught:
            await vlm.complete(REQUEST, 5)

    assert len(caught.value.detail) == len("MockError: ") + 150


async def test_model_is_discovered_once():
    """Without a configured id the first listed one is used, and asked for once."""
    async with serve() as (mock, vlm):
        first = await vlm.model()
        await mock.close()
        second = await vlm.model()

    assert (first, second) == ("nvidia/Cosmos3-Nano", "nvidia/Cosmos3-Nano")


async def test_model_is_forgotten_after_404():
    """After "the model does not exist" the id is asked for again."""
    async with serve(ScriptedAnswer("gone", status=404)) as (mock, vlm):
        await vlm.model()
        with pytest.raises(VlmRefused):
            await vlm.complete(REQUEST, 5)
        await mock.close()
        with pytest.raises(VlmUnreachable):
            await vlm.model()


async def test_model_is_asked_for_once_by_many():
    """Events that arrive together share one request for the list of models."""
    async with serve_stub("vllm-0.32") as (stub, vlm):
        found = await asyncio.gather(*(vlm.model() for _ in range(20)))

    assert {"nvidia/Cosmos3-Nano"} == set(found)
    assert stub.listed == 1


async def test_another_model_after_a_restart_is_noticed():
    """After the connection broke the id is asked for again."""
    async with serve_stub("vllm-0.32") as (stub, vlm):
        first = await vlm.model()
        await stub.close()
        with pytest.raises(VlmUnreachable):
            await vlm.complete(REQUEST, 5)
        await stub.restart("vllm-0.11")
        second = await vlm.model()

    assert (first, second) == ("nvidia/Cosmos3-Nano", "nvidia/Cosmos-Reason2-8B")


async def test_many_callers_share_one_probe():
    """Fifty events at the start cost as many requests as one."""
    async with serve_stub("vllm-0.32") as (stub, vlm):
        found = await asyncio.gather(*(vlm.dialect() for _ in range(50)))

    assert len({id(dialect) for dialect in found}) == 1
    assert stub.listed == 1


async def test_many_failed_events_cause_one_probe():
    """All of them name the same stale dialect, and all get the one that was found instead."""
    async with serve_stub("vllm-0.26") as (stub, vlm):
        stale = await vlm.dialect()
        await stub.restart("vllm-0.32")
        found = await asyncio.gather(*(vlm.dialect(stale=stale) for _ in range(50)))
        late = await vlm.dialect(stale=stale)

    assert (stale.media_options, found[0].media_options) == (True, False)
    assert len({id(dialect) for dialect in (*found, late)}) == 1
    assert stub.listed == 2


async def test_a_dialect_that_has_not_changed_is_not_asked_for_again_and_again():
    """A request that the server refuses for another reason costs one probe, not one each."""
    async with serve_stub("vllm-0.32") as (stub, vlm):
        first = await vlm.dialect()
        second = await vlm.dialect(stale=first)
        third = await vlm.dialect(stale=second)

    assert first == second == third
    assert stub.listed == 2


async def test_an_old_stale_dialect_causes_no_probe():
    """What somebody used before the last probe is known to be stale already."""
    async with serve_stub("vllm-0.32") as (stub, vlm):
        current = await vlm.dialect()
        found = await vlm.dialect(stale=replace(current, logprobs=False))

    assert found is current
    assert stub.listed == 1


async def test_a_failed_probe_leaves_nothing():
    """All who wait get the error; the next caller asks again."""
    async with serve_stub("vllm-0.32") as (stub, vlm):
        await stub.close()
        failed = await asyncio.gather(*(vlm.dialect() for _ in range(5)), return_exceptions=True)
        await stub.restart("vllm-0.32")
        found = await vlm.dialect()

    assert {VlmUnreachable} == {type(error) for error in failed}
    assert found.version == "0.32.0"


async def test_a_cancelled_caller_does_not_stop_the_probe():
    """An event whose time is over leaves the search to the others."""
    async with serve_stub("vllm-0.32") as (stub, vlm):
        with suppress(TimeoutError):
            await asyncio.wait_for(vlm.dialect(), 0.001)
        found = await vlm.dialect()

    assert found.version == "0.32.0"
    assert stub.listed == 1


async def test_the_dialect_is_forgotten_when_the_connection_breaks():
    """The server may come back as another; refusals are the caller's to judge."""
    async with serve_stub("vllm-0.32") as (stub, vlm):
        before = await vlm.dialect()
        with pytest.raises(VlmRefused):
            await vlm.complete(ChatRequest({**BODY, "model": before.models[0], **OPTION}, NONE), 5)
        after_refusal = await vlm.dialect()
        await stub.close()
        with pytest.raises(VlmUnreachable):
            await vlm.complete(REQUEST, 5)
        await stub.restart("nim")
        after_restart = await vlm.dialect()

    assert after_refusal is before
    assert after_restart.server == "nim"


async def test_close_ends_a_probe():
    """Closing while a server does not answer leaves no task behind."""
    async with serve_stub("vllm-0.32") as (_, vlm):
        caller = asyncio.ensure_future(vlm.dialect())
        await asyncio.sleep(0.001)
        await vlm.close()
        outcome = await asyncio.gather(caller, return_exceptions=True)

    assert [asyncio.CancelledError] == [type(error) for error in outcome]


async def test_configured_model_needs_no_server():
    """A configured id is taken as it is."""
    vlm = HttpVlm("reason2", ArmSettings(url="http://127.0.0.1:1/v1", model="mine"))

    assert await vlm.model() == "mine"


async def test_ping_finds_a_working_server():
    """A server that lists its model works."""
    async with serve() as (_, vlm):
        ping = await vlm.ping()

    assert ping == ""


async def test_ping_finds_a_wrong_model_id():
    """A configured model that is not served is reported with the ones that are."""
    async with serve(model="nvidia/Cosmos-Reason2-8B") as (_, vlm):
        ping = await vlm.ping()

    assert ping == (
        "The model server of arm cosmos3-nano serves nvidia/Cosmos3-Nano, not "
        "nvidia/Cosmos-Reason2-8B. Correct arms.cosmos3-nano.model."
    )


async def test_close_twice():
    """Closing is safe before the first request and twice."""
    vlm = HttpVlm("reason2", ArmSettings(url="http://127.0.0.1:1/v1"))
    await vlm.close()

    assert await vlm.close() is None
