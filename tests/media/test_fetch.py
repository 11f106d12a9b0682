import asyncio
import gzip
import logging
import socket
import traceback
import tracemalloc
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from sidecar.errors import (
    MediaEmpty,
    MediaError,
    MediaForbidden,
    MediaNotVideo,
    MediaTimeout,
    MediaTooLarge,
    MediaUnreachable,
)
from sidecar.outside.fetch import GuardedFetcher, _shown
from sidecar.outside.guard import AddressPolicy
from sidecar.settings import MediaSettings

Serve = Callable[..., Awaitable[str]]


class ScriptedNames(AbstractResolver):
    """Resolves each name to the next of its scripted answers and counts the lookups."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.lookups: list[str] = []

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        del family
        self.lookups.append(host)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if not answer:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=0,
            )
            for address in answer
        ]

    async def close(self) -> None:
        self.lookups.append("closed")


def answering(
    body: bytes = b"clip", content_type: str | None = "video/mp4", status: int = 200
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        del request
        headers = {} if content_type is None else {"Content-Type": content_type}
        return web.Response(body=body, headers=headers, status=status)

    return handler


def redirecting(
    location: str, status: int = 302
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        del request
        return web.Response(status=status, headers={"Location": location})

    return handler


async def raw_server(answer: bytes) -> tuple[asyncio.Server, str]:
    """Serve bytes as they are, for answers that no HTTP library would write."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    return server, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/clip.mp4"


async def test_a_download_lands_in_the_folder_under_the_name_in_the_url(
    serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """The file behind an allowed URL is stored whole, named after the URL's path."""
    url = await serve({"/a/door 1.mp4": answering(b"0123456789" * 100_000)})
    fetcher = GuardedFetcher(local_network)

    path = await fetcher.download(f"{url}/a/door%201.mp4?token=x", tmp_path)

    await fetcher.close()
    assert path == tmp_path / "door_1.mp4"
    assert path.read_bytes() == b"0123456789" * 100_000


async def test_equal_names_do_not_overwrite_each_other(
    serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """Two URLs with the same last part give two files."""
    url = await serve({"/a/x.jpg": answering(b"a"), "/b/x.jpg": answering(b"b")})
    fetcher = GuardedFetcher(local_network)

    paths = [await fetcher.download(f"{url}/{folder}/x.jpg", tmp_path) for folder in "ab"]

    await fetcher.close()
    assert [path.read_bytes() for path in paths] == [b"a", b"b"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "0",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "224.0.0.251",
        "255.255.255.255",
        "[::1]",
        "[::]",
        "[fe80::1]",
        "[fc00::1]",
        "[fec0::1]",
        "[ff02::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:a00:1]",
        "[::127.0.0.1]",
        "[2002:7f00:1::]",
        "[2002:c0a8:101::1]",
        "[64:ff9b::10.0.0.1]",
        "localhost",
    ],
)
async def test_addresses_that_are_not_public_are_refused_in_every_spelling(
    host: str, tmp_path: Path
) -> None:
    """Private, loopback, link-local, multicast and tunnelled addresses are never dialled."""
    fetcher = GuardedFetcher(MediaSettings())

    with pytest.raises(MediaForbidden, match="not public"):
        await fetcher.download(f"http://{host}/x", tmp_path)
    with pytest.raises(MediaForbidden, match="not public"):
        await fetcher.check(f"http://{host}/x")
    await fetcher.close()


@pytest.mark.parametrize(
    "address",
    ["93.184.215.14", "2606:2800:21f::1", "::ffff:93.184.215.14", "64:ff9b::5db8:d70e"],
)
def test_public_addresses_are_allowed(address: str) -> None:
    """The guard lets the public internet pass, tunnelled or not."""
    assert AddressPolicy().allows(ip_address(address))


@pytest.mark.parametrize("address", ["10.0.0.5", "::ffff:10.0.0.5", "64:ff9b::10.0.0.5", "fd00::9"])
def test_a_listed_network_is_allowed_in_every_spelling(address: str) -> None:
    """An address inside an allowed network passes, also when IPv6 wraps it."""
    policy = AddressPolicy((ip_network("10.0.0.0/8"), ip_network("fd00::/8")))

    assert policy.allows(ip_address(address))


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/x", "gopher://h", "http://", "x.mp4", "http://h:0/", ""]
)
async def test_only_http_urls_with_a_host_are_fetched(url: str, tmp_path: Path) -> None:
    """Other schemes and incomplete URLs are forbidden."""
    fetcher = GuardedFetcher(MediaSettings())

    with pytest.raises(MediaForbidden):
        await fetcher.download(url, tmp_path)
    with pytest.raises(MediaForbidden):
        await fetcher.check(url)


async def test_one_private_answer_among_public_ones_is_refused(tmp_path: Path) -> None:
    """A name that resolves to a good and a bad address is refused as a whole."""
    fetcher = GuardedFetcher(MediaSettings(), ScriptedNames(["93.184.215.14", "10.0.0.1"]))

    with pytest.raises(MediaForbidden, match=r"media\.example"):
        await fetcher.download("http://media.example/x", tmp_path)
    with pytest.raises(MediaForbidden):
        await fetcher.check("http://media.example/x")
    await fetcher.close()


async def test_the_checked_answer_is_the_one_dialled(
    serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """A name is looked up once a hop, so a second, different answer cannot be used (rebinding)."""
    port = (await serve({"/x": answering()})).rpartition(":")[2]
    names = ScriptedNames(["127.0.0.1"], ["169.254.169.254"])
    fetcher = GuardedFetcher(local_network, names)

    path = await fetcher.download(f"http://media.example:{port}/x", tmp_path)

    await fetcher.close()
    assert path.read_bytes() == b"clip"
    assert names.lookups == ["media.example", "closed"]


async def test_a_redirect_is_checked_like_the_first_url(
    serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """A public-looking start cannot lead into a private network."""
    reached: list[str] = []

    async def secret(request: web.Request) -> web.Response:
        reached.append(request.path)
        return web.Response(body=b"secret", content_type="video/mp4")

    inside = await serve({"/secret": secret}, "127.9.9.9")
    url = await serve({"/x": redirecting(f"{inside}/secret")})
    only_first = local_network.model_copy(
        update={"allowed_networks": (ip_network("127.0.0.1/32"),)}
    )
    fetcher = GuardedFetcher(only_first)

    with pytest.raises(MediaForbidden, match=r"127\.9\.9\.9"):
        await fetcher.download(f"{url}/x", tmp_path)
    await fetcher.close()
    assert reached == []


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/x", "http://[::1"])
async def test_a_redirect_out_of_http_is_refused(
    location: str, serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """A redirect to another scheme or to nonsense ends the download."""
    url = await serve({"/x": redirecting(location)})
    fetcher = GuardedFetcher(local_network)

    with pytest.raises((MediaForbidden, MediaUnreachable)):
        await fetcher.download(f"{url}/x", tmp_path)
    await fetcher.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_relative_redirects_are_followed(
    status: int, serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """A redirect within the host leads to the file."""
    url = await serve({"/a/x": redirecting("../b/y.mp4", status), "/b/y.mp4": answering()})
    fetcher = GuardedFetcher(local_network)

    path = await fetcher.download(f"{url}/a/x", tmp_path)

    await fetcher.close()
    assert path.read_bytes() == b"clip"


async def test_five_redirects_are_followed_and_six_are_not(
    serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """Redirect chains and loops end."""
    routes = {f"/{i}": redirecting(f"/{i + 1}") for i in range(7)}
    url = await serve({**routes, "/7": answering()})
    fetcher = GuardedFetcher(local_network)

    path = await fetcher.download(f"{url}/2", tmp_path)
    with pytest.raises(MediaUnreachable, match="more than 5 times"):
        await fetcher.download(f"{url}/1", tmp_path)

    await fetcher.close()
    assert path.read_bytes() == b"clip"


async def test_a_trusted_url_skips_only_the_address_check(serve: Serve, tmp_path: Path) -> None:
    """What the operator's recorder names may be private, but limits and types still hold."""
    url = await serve({"/x": answering(), "/html": answering(b"<p>", "text/html")})
    fetcher = GuardedFetcher(MediaSettings())

    path = await fetcher.download(f"{url}/x", tmp_path, trusted=True)
    with pytest.raises(MediaNotVideo):
        await fetcher.download(f"{url}/html", tmp_path, trusted=True)
    with pytest.raises(MediaForbidden):
        await fetcher.download(f"{url}/x", tmp_path)
    with pytest.raises(MediaForbidden):
        await fetcher.download("file:///etc/passwd", tmp_path, trusted=True)

    await fetcher.close()
    assert path.read_bytes() == b"clip"


async def test_a_declared_length_above_the_limit_is_refused_before_the_body(
    local_network: MediaSettings, tmp_path: Path
) -> None:
    """Content-Length alone is enough to refuse."""
    server, url = await raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nx")
    fetcher = GuardedFetcher(local_network)

    with pytest.raises(MediaTooLarge, match="52428800"):
        await fetcher.download(url, tmp_path)
    await fetcher.close()
    server.close()
    assert not any(tmp_path.iterdir())


async def test_bytes_are_counted_when_no_length_is_declared(
    serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """An endless answer is cut at the limit."""

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    url = await serve({"/x": endless})
    fetcher = GuardedFetcher(local_network.model_copy(update={"max_bytes": 1_000_000}))

    with pytest.raises(MediaTooLarge):
        await fetcher.download(f"{url}/x", tmp_path)
    await fetcher.close()
    assert (tmp_path / "x").stat().st_size <= 1_000_000


async def test_an_answer_that_ends_before_its_declared_length_is_refused(
    local_network: MediaSettings, tmp_path: Path
) -> None:
    """Half a file is not a file."""
    server, url = await raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nshort")
    fetcher = GuardedFetcher(local_network)

    with pytest.raises(MediaUnreachable, match="broke off"):
        await fetcher.download(url, tmp_path)
    await fetcher.close()
    server.close()


async def test_a_gzip_bomb_is_refused_within_bounded_memory(
    local_network: MediaSettings, tmp_path: Path
) -> None:
    """Compressed answers count as what they unpack to, and are not unpacked beyond the limit."""
    bomb = gzip.compress(bytes(200_000_000), compresslevel=1)
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Encoding: gzip\r\n"
        f"Content-Length: {len(bomb)}\r\n\r\n"
    )
    server, url = await raw_server(head.encode() + bomb)
    fetcher = GuardedFetcher(local_network.model_copy(update={"max_bytes": 2_000_000}))

    tracemalloc.start()
    with pytest.raises(MediaTooLarge):
        await fetcher.download(url, tmp_path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    await fetcher.close()
    server.close()
    assert peak < 20_000_000


async def test_a_slow_answer_ends_at_the_timeout(
    serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """The limit holds for the whole download, however steadily it drips."""

    async def drip(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "video/mp4"})
        await response.prepare(request)
        while True:
            await response.write(b"x")
            await asyncio.sleep(0.02)

    url = await serve({"/x": drip})
    fetcher = GuardedFetcher(local_network.model_copy(update={"fetch_timeout_s": 0.2}))

    with pytest.raises(MediaTimeout, match=r"0\.2 s"):
        await fetcher.download(f"{url}/x", tmp_path)
    await fetcher.close()


@pytest.mark.parametrize(
    "content_type",
    ["text/html; charset=utf-8", "text/plain", "application/json", "application/xml"],
)
async def test_types_that_are_no_media_are_refused(
    content_type: str, serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """A login page is not mistaken for a clip."""
    url = await serve({"/x": answering(b"{}", content_type)})
    fetcher = GuardedFetcher(local_network)

    with pytest.raises(MediaNotVideo, match=content_type.partition(";")[0]):
        await fetcher.download(f"{url}/x", tmp_path)
    await fetcher.close()


@pytest.mark.parametrize(
    "content_type",
    ["video/mp4", "VIDEO/MP4", "image/jpeg", "application/octet-stream", "binary/octet-stream"],
)
async def test_media_types_are_accepted(
    content_type: str, serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """Video, image and unspecific binary types pass."""
    url = await serve({"/x": answering(b"clip", content_type)})
    fetcher = GuardedFetcher(local_network)

    path = await fetcher.download(f"{url}/x", tmp_path)

    await fetcher.close()
    assert path.read_bytes() == b"clip"


async def test_a_missing_type_is_accepted(local_network: MediaSettings, tmp_path: Path) -> None:
    """A server that states no type may serve a clip."""
    server, url = await raw_server(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nclip")
    fetcher = GuardedFetcher(local_network)

    path = await fetcher.download(url, tmp_path)

    await fetcher.close()
    server.close()
    assert path.read_bytes() == b"clip"


@pytest.mark.parametrize("status", [204, 401, 404, 500, 503])
async def test_other_statuses_are_named(
    status: int, serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """Anything but 200 means that there is no clip, and the error says the status."""
    url = await serve({"/x": answering(b"", None, status)})
    fetcher = GuardedFetcher(local_network)

    with pytest.raises(MediaUnreachable, match=f"HTTP {status}"):
        await fetcher.download(f"{url}/x", tmp_path)
    await fetcher.close()


async def test_an_empty_file_is_refused(
    serve: Serve, local_network: MediaSettings, tmp_path: Path
) -> None:
    """Zero bytes are not a clip."""
    url = await serve({"/x": answering(b"")})
    fetcher = GuardedFetcher(local_network)

    with pytest.raises(MediaEmpty):
        await fetcher.download(f"{url}/x", tmp_path)
    await fetcher.close()


async def test_a_closed_port_and_an_unknown_name_are_unreachable(
    local_network: MediaSettings, closed_port: int, tmp_path: Path
) -> None:
    """Connection and name failures are told as such."""
    fetcher = GuardedFetcher(local_network, ScriptedNames([]))

    with pytest.raises(MediaUnreachable):
        await fetcher.download(f"http://127.0.0.1:{closed_port}/x", tmp_path)
    with pytest.raises(MediaUnreachable):
        await fetcher.download("http://media.example/x", tmp_path)
    with pytest.raises(MediaUnreachable, match="cannot be resolved"):
        await fetcher.check("http://media.example/x")
    await fetcher.close()


async def test_check_allows_a_public_host_without_connecting() -> None:
    """A URL for the model's server is looked up, not fetched."""
    names = ScriptedNames(["93.184.215.14"])
    fetcher = GuardedFetcher(MediaSettings(), names)

    await fetcher.check("https://media.example/x.mp4")

    assert names.lookups == ["media.example"]


async def test_probe_asks_for_the_first_byte_only(
    serve: Serve, local_network: MediaSettings
) -> None:
    """A reachable URL passes; one that answers 404 does not."""
    ranges: list[str | None] = []

    async def partial(request: web.Request) -> web.Response:
        ranges.append(request.headers.get("Range"))
        return web.Response(status=206, body=b"c", content_type="video/mp4")

    url = await serve({"/x": partial, "/gone": answering(b"", None, 404)})
    fetcher = GuardedFetcher(local_network)

    await fetcher.probe(f"{url}/x")
    with pytest.raises(MediaUnreachable, match="404"):
        await fetcher.probe(f"{url}/gone")

    await fetcher.close()
    assert ranges == ["bytes=0-0"]


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://user:pw@h:8443/a/b.mp4?token=s#frag", "https://***@h:8443/a/b.mp4?..."),
        ("https://user:p w@h/a", "https://***@h/a"),
        ("http://h/a", "http://h/a"),
        ("not a url?token=s", "the given URL"),
        ("http://user:pw@h:99999/?token=s", "http://***@h:99999/?..."),
    ],
)
def test_errors_show_no_credentials_and_no_query(url: str, shown: str) -> None:
    """What is shown of a URL cannot be used to fetch it."""
    assert _shown(url) == shown


@pytest.mark.parametrize(
    "path",
    ["/missing", "/html", "/empty", "/loop", "/drip", "/away", "/big", "/odd", "/broken-location"],
)
async def test_no_error_or_log_line_shows_credentials_or_query(
    path: str,
    serve: Serve,
    local_network: MediaSettings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever goes wrong, neither texts nor tracebacks carry the secrets of a URL."""

    async def drip(request: web.Request) -> web.Response:
        del request
        await asyncio.sleep(5)
        return web.Response()

    base = await serve(
        {
            "/html": answering(b"x", "text/html"),
            "/empty": answering(b""),
            "/loop": redirecting("/loop?token=s3cret"),
            "/drip": drip,
            "/away": redirecting("http://user:s3cret@10.0.0.1/?token=s3cret"),
            "/big": answering(b"x" * 5000),
            "/odd": redirecting("http://user:s3cret@127.1:99/?token=s3cret"),
            "/broken-location": redirecting("http://user:s3cret@[::1/?token=s3cret"),
        }
    )
    url = base.replace("http://", "http://user:s3cret@") + path + "?token=s3cret#s3cret"
    limits = local_network.model_copy(update={"max_bytes": 2000, "fetch_timeout_s": 0.3})
    fetcher = GuardedFetcher(limits)
    caplog.set_level(logging.DEBUG)

    with pytest.raises(MediaError) as caught:
        await fetcher.download(url, tmp_path)

    await fetcher.close()
    assert "s3cret" not in "".join(traceback.format_exception(caught.value)) + caplog.text


@pytest.mark.parametrize(
    "url", ["http://user:s3cret@h:99999/?s3cret", "s3cret://h", "http://[s3cret"]
)
async def test_unreadable_urls_are_not_repeated(url: str, tmp_path: Path) -> None:
    """A URL that cannot be taken apart is not shown at all."""
    fetcher = GuardedFetcher(MediaSettings())

    with pytest.raises(MediaForbidden) as caught:
        await fetcher.download(url, tmp_path)

    assert "user:s3cret" not in "".join(traceback.format_exception(caught.value))
    assert "?s3cret" not in caught.value.detail
