"""The client of RT-VLM, where its builds and its failures differ."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from sidecar.errors import RtviInvalidResponse, RtviUnavailable
from sidecar.outside.rtvi import RtviClient
from sidecar.settings import RealtimeSettings
from sidecar.testing.fake_rtvi import FakeRtvi


@asynccontextmanager
async def client_of(url: str, timeout_s: float = 2.0) -> AsyncGenerator[RtviClient]:
    client = RtviClient(RealtimeSettings(base_url=url, timeout_s=timeout_s))
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def answering(body: Any, status: int = 200) -> AsyncGenerator[RtviClient]:
    """Give a client of a server that answers everything alike."""

    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    async with TestServer(app) as server, client_of(f"{server.make_url('/v1')}") as client:
        yield client


STREAM = {"id": "a", "liveStreamUrl": "rtsp://camera/1"}


@pytest.mark.parametrize(
    "listing",
    [[STREAM], {"results": [STREAM]}, {"streams": [STREAM]}, {"items": [STREAM]}],
)
async def test_streams_are_listed_in_every_wrapping(listing: Any) -> None:
    """Builds of RT-VLM differ in it."""
    async with answering(listing) as client:
        assert {"a": "rtsp://camera/1"} == await client.streams()


@pytest.mark.parametrize("listing", [{}, "none", [None, {"id": ""}]])
async def test_what_is_no_list_of_streams_is_an_empty_one(listing: Any) -> None:
    """As in VSS."""
    async with answering(listing) as client:
        assert {} == await client.streams()


@pytest.mark.parametrize(
    "answer", [{"results": [{"id": "a"}]}, {"stream_id": "a"}, {"id": "a", "results": []}]
)
async def test_the_id_of_a_stream_is_found(answer: Any) -> None:
    """Wherever a build puts it."""
    async with answering(answer) as client:
        assert "a" == await client.add_stream(STREAM)


async def test_an_answer_without_an_id_is_an_error() -> None:
    """What RT-VLM says about it is passed on, if it says anything."""
    async with answering({"results": [], "errors": ["no memory"]}) as client:
        with pytest.raises(RtviUnavailable, match="no memory"):
            await client.add_stream(STREAM)
    async with answering({"results": []}) as client:
        with pytest.raises(RtviInvalidResponse):
            await client.add_stream(STREAM)


async def test_a_refusal_is_passed_on() -> None:
    """Status and message of RT-VLM stand in the error."""
    async with answering({"code": "Busy", "message": "GPU memory is full"}, 503) as client:
        with pytest.raises(RtviUnavailable, match="answered 503: GPU memory is full"):
            await client.add_stream(STREAM)
        assert "answered 503" in await client.ping()


async def test_deleting_what_is_gone_is_fine() -> None:
    """Status 404 is what was asked for."""
    async with answering({"message": "no such stream"}, 404) as client:
        await client.delete_stream("a")
        await client.stop_captions("a", "r/1")


async def test_a_server_that_is_away_is_told_with_what_to_do(rtvi: FakeRtvi) -> None:
    """The sentence names the setting."""
    async with client_of(rtvi.url) as client:
        assert "" == await client.ping()
        await rtvi.stop()

        assert (await client.ping()).endswith("or correct SIDECAR_REALTIME__BASE_URL.")


async def test_captions_last_longer_than_a_request_may(rtvi: FakeRtvi) -> None:
    """The time limit is for answers, not for the stream; RT-VLM ends it."""
    async with client_of(rtvi.url, timeout_s=0.05) as client:
        stream_id = await client.add_stream(STREAM)
        told: list[str] = []
        body = {"id": stream_id}

        async def end_later() -> None:
            await asyncio.sleep(0.2)
            await client.stop_captions(stream_id, told[0])

        await asyncio.gather(client.caption(body, told.append), end_later())
        assert {} == rtvi.captions
