"""The sinks against real streams and a real HTTP receiver."""

import asyncio
import io
import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from ledger_samples import T0, a_record

from sidecar.errors import DeliveryError, DeliveryRefused, SettingsError
from sidecar.model import OutboxEntry
from sidecar.outside.sinks.console import ConsoleSink
from sidecar.outside.sinks.webhook import WebhookSink, verify_signature
from sidecar.settings import WebhookSinkSettings
from sidecar.testing.fakes import FrozenClock

NOW_S = T0.timestamp()


def an_entry(key: str = "key-1", **changes: Any) -> OutboxEntry:
    return OutboxEntry(1, "sink", a_record(key, **changes))


@dataclass
class Receiver:
    """Answers with `status`, after `delay_s`, and keeps what it got."""

    status: int = 200
    delay_s: float = 0.0
    bodies: list[bytes] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)

    async def take(self, request: web.Request) -> web.Response:
        self.bodies.append(await request.read())
        self.headers.append(request.headers)
        await asyncio.sleep(self.delay_s)
        return web.Response(status=self.status, headers={"Location": "/elsewhere"})


@asynccontextmanager
async def webhook(
    receiver: Receiver, *, userinfo: str = "", **settings: Any
) -> AsyncGenerator[WebhookSink]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", receiver.take)
    async with TestServer(app) as server:
        url = f"http://{userinfo}{server.host}:{server.port}/hook?token=query-secret"
        sink = WebhookSink(WebhookSinkSettings(url=url, **settings), FrozenClock())
        yield sink
        await sink.close()


async def test_webhook_posts_the_document() -> None:
    """Body, content type, time and delivery id arrive; without a secret nothing is signed."""
    receiver = Receiver(status=204)
    entry = an_entry("vlm:камера:1%3A2")
    async with webhook(receiver) as sink:
        await sink.publish(entry)
    (headers,) = receiver.headers

    assert json.loads(receiver.bodies[0]) == entry.record.document
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Sidecar-Timestamp"] == str(int(NOW_S))
    assert headers["X-Sidecar-Delivery"].startswith("vlm:%D0%BA")
    assert headers["X-Sidecar-Delivery"].endswith(":1%3A2")
    assert "X-Sidecar-Signature" not in headers


async def test_receiver_can_verify_the_signature() -> None:
    """The documented check accepts what was sent, and nothing that differs from it."""
    receiver = Receiver()
    async with webhook(receiver, secret="s3cret") as sink:
        await sink.publish(an_entry())
    (body,), (headers,) = receiver.bodies, receiver.headers
    stamp, signature = headers["X-Sidecar-Timestamp"], headers["X-Sidecar-Signature"]

    assert verify_signature("s3cret", stamp, body, signature, now_s=NOW_S)
    assert not verify_signature("other", stamp, body, signature, now_s=NOW_S)
    assert not verify_signature("s3cret", stamp, body + b" ", signature, now_s=NOW_S)
    assert not verify_signature("s3cret", f"{stamp}0", body, signature, now_s=NOW_S)
    assert not verify_signature("s3cret", stamp, body, signature, now_s=NOW_S + 301)
    assert not verify_signature("s3cret", "²", body, signature, now_s=NOW_S)
    assert not verify_signature("s3cret", stamp, body, "sha256=é", now_s=NOW_S)


def test_signature_follows_the_documented_formula() -> None:
    """A receiver in any language gets the same: HMAC-SHA256 of `timestamp.body` in hex."""
    # printf '1769846400.{}' | openssl dgst -sha256 -hmac s3cret
    signature = "sha256=81d958dad7467c7caf0ec1ca045c858a877d20f3d867429de738e392fc578a47"

    assert verify_signature("s3cret", "1769846400", b"{}", signature, now_s=1769846400.0)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503])
async def test_receiver_in_trouble_is_asked_again(status: int) -> None:
    """Statuses that pass are errors of the moment, and the sink is unwell until it succeeds."""
    receiver = Receiver(status=status)
    async with webhook(receiver) as sink:
        with pytest.raises(DeliveryError, match=f"answered {status}") as caught:
            await sink.publish(an_entry())
        while_down = await sink.ping()
        receiver.status = 200
        await sink.publish(an_entry())

        assert type(caught.value) is DeliveryError
        assert f"answered {status}" in while_down
        assert await sink.ping() == ""


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
async def test_refusal_is_final(status: int) -> None:
    """A status that will not change makes the entry a dead letter."""
    async with webhook(Receiver(status=status)) as sink:
        with pytest.raises(DeliveryRefused, match=f"refused the verdict with {status}"):
            await sink.publish(an_entry())


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_redirects_are_not_followed(status: int) -> None:
    """A signed body goes to the configured place only."""
    receiver = Receiver(status=status)
    async with webhook(receiver) as sink:
        with pytest.raises(DeliveryRefused, match=f"{status}"):
            await sink.publish(an_entry())

    assert len(receiver.bodies) == 1


async def test_slow_receiver_times_out() -> None:
    """The configured time is kept, and the delivery is tried again."""
    async with webhook(Receiver(delay_s=5), timeout_s=0.05) as sink:
        with pytest.raises(DeliveryError, match="did not answer in time"):
            await sink.publish(an_entry())


async def test_errors_show_no_secrets() -> None:
    """Credentials, path and query of the URL stay out of texts that are logged and stored."""
    receiver = Receiver(status=503)
    async with webhook(receiver, userinfo="user:pass-secret@") as sink:
        with pytest.raises(DeliveryError) as answered:
            await sink.publish(an_entry())
    unreachable = WebhookSink(
        WebhookSinkSettings(url="http://user:pass-secret@127.0.0.1:9/hook-secret?token=secret"),
        FrozenClock(),
    )
    with pytest.raises(DeliveryError, match=r"127\.0\.0\.1:9 cannot be reached") as refused:
        await unreachable.publish(an_entry())
    await unreachable.close()

    assert receiver.headers[0]["Authorization"].startswith("Basic ")
    assert "secret" not in answered.value.detail + refused.value.detail


@pytest.mark.parametrize("url", ["", "ftp://host/x", "http://", "http://[secret", "host/path"])
def test_wrong_url_stops_the_start(url: str) -> None:
    """A webhook that can never work is a wrong setting."""
    with pytest.raises(SettingsError, match="SIDECAR_SINKS__WEBHOOK__URL") as caught:
        WebhookSink(WebhookSinkSettings(url=url), FrozenClock())

    assert "secret" not in caught.value.detail


async def test_webhook_closes_twice_and_unused() -> None:
    """Closing is safe before the first delivery and after the last."""
    sink = WebhookSink(WebhookSinkSettings(url="http://127.0.0.1:9/"), FrozenClock())
    await sink.close()
    await sink.close()

    assert await sink.ping() == ""


async def test_console_writes_one_line_for_each_verdict() -> None:
    """Concurrent deliveries do not mix, and the keys keep their order."""
    stream = io.StringIO()
    sink = ConsoleSink(stream)
    document = MappingProxyType({"z": 1, "a": {"text": "line\nbreak"}})
    await asyncio.gather(*(sink.publish(an_entry(document=document)) for _ in range(20)))

    assert stream.getvalue() == '{"z":1,"a":{"text":"line\\nbreak"}}\n' * 20


async def test_console_without_a_reader_fails_the_delivery() -> None:
    """A broken pipe is an error of the moment, and a closed stream is reported by ping."""

    class BrokenPipe(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(DeliveryError, match="Broken pipe"):
        await ConsoleSink(BrokenPipe()).publish(an_entry())
    stream = io.StringIO()
    sink = ConsoleSink(stream)
    well = await sink.ping()
    stream.close()

    assert (well, await sink.ping()) == ("", "The console's stream is closed.")
