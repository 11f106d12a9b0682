"""Downloads of media that events name, with a guard against server-side request forgery."""

import asyncio
import errno
import re
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver
from yarl import URL

from sidecar.errors import (
    MediaEmpty,
    MediaForbidden,
    MediaNotStored,
    MediaNotVideo,
    MediaTimeout,
    MediaTooLarge,
    MediaUnreachable,
)
from sidecar.outside.guard import AddressPolicy, GuardedResolver
from sidecar.redaction import redact
from sidecar.settings import MediaSettings

MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_SHOWN_CHARS: Final = 200
_BLANKS: Final = re.compile(r"[\s'\"<>]")
_CHUNK_BYTES: Final = 262_144
_BINARY_TYPES: Final = frozenset(
    {"application/octet-stream", "binary/octet-stream", "application/mp4"}
)
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS})
_IDENTITY: Final[Mapping[str, str]] = MappingProxyType({"Accept-Encoding": "identity"})
_FIRST_BYTE: Final[Mapping[str, str]] = MappingProxyType({**_IDENTITY, "Range": "bytes=0-0"})


class GuardedFetcher:
    """Fetches media by HTTP without reaching into private networks.

    Every hop is checked before it is dialled: scheme, address literals in any spelling, and every
    address that a name resolves to; the checked address is the one dialled. Limits hold for the
    bytes after decompression, whatever the headers say.

    Args:
        settings: limits and allowed networks.
        resolver: looks up names; None uses the system's. Closed together with the fetcher.
    """

    def __init__(self, settings: MediaSettings, resolver: AbstractResolver | None = None) -> None:
        self._settings = settings
        self._policy = AddressPolicy(settings.allowed_networks)
        self._resolver = resolver
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def check(self, url: str) -> None:
        """Check a URL that somebody else will fetch, without connecting to it.

        Raises:
            MediaForbidden: wrong scheme, or an address that is not allowed.
            MediaUnreachable: the host name does not resolve.
            MediaTimeout: the lookup took too long.
        """
        target = _parse(url)
        host = target.host or ""
        if self._policy.check_literal(host):
            return
        async with self._bounded(url):
            guarded = GuardedResolver(self._names(), self._policy)
            try:
                await guarded.resolve(host, target.port or 0, socket.AF_UNSPEC)
            except OSError as error:
                raise MediaUnreachable(f"The media host {host} cannot be resolved.") from error

    async def probe(self, url: str, *, trusted: bool = False) -> None:
        """Check that a URL answers, by asking for its first byte.

        Raises:
            MediaError: as `download`, except for the size limit.
        """
        async with self._bounded(url), self._open(url, _FIRST_BYTE, trusted=trusted) as response:
            _check_status(url, response)

    async def download(self, url: str, folder: Path, *, trusted: bool = False) -> Path:
        """Stream the file behind a URL into `folder`.

        Args:
            url: http or https.
            folder: where the file is made, under the last part of the URL's path. On failure a
                part of it may be left there.
            trusted: the operator's own recorder gave the URL; its address is not checked.

        Raises:
            MediaForbidden: wrong scheme, or an address that is not allowed, on any hop.
            MediaUnreachable: name, connection, status other than 200, or a broken transfer.
            MediaTimeout: not complete within `fetch_timeout_s`.
            MediaTooLarge: more than `max_bytes`.
            MediaNotVideo: the content type is neither video nor image.
            MediaEmpty: no bytes.
            MediaNotStored: there is no room for it in `folder`.
        """
        async with self._bounded(url), self._open(url, _IDENTITY, trusted=trusted) as response:
            _check_status(url, response)
            self._check_size(url, response.content_length or 0)
            return await self._save(response, url, folder)

    async def close(self) -> None:
        """Close connections and the resolver."""
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        if self._resolver is not None:
            await self._resolver.close()
            self._resolver = None

    @asynccontextmanager
    async def _bounded(self, url: str) -> AsyncIterator[None]:
        with _translated(url, self._settings.fetch_timeout_s):
            async with asyncio.timeout(self._settings.fetch_timeout_s):
                yield

    @asynccontextmanager
    async def _open(
        self, url: str, headers: Mapping[str, str], *, trusted: bool
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Follow redirects by hand, so that each hop is checked like the first."""
        target = _parse(url)
        for _ in range(MAX_REDIRECTS + 1):
            if not trusted:
                self._policy.check_literal(target.host or "")
            async with self._session(trusted=trusted).get(
                target, headers=headers, allow_redirects=False
            ) as response:
                if response.status not in _REDIRECTS:
                    yield response
                    return
                target = _next_hop(target, response)
        raise MediaUnreachable(f"{_shown(url)} redirects more than {MAX_REDIRECTS} times.")

    async def _save(self, response: aiohttp.ClientResponse, url: str, folder: Path) -> Path:
        path = _free_path(folder, url)
        size = 0
        with _room_for(path), await asyncio.to_thread(path.open, "xb") as file:
            async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
                size += len(chunk)
                self._check_size(url, size)
                await asyncio.to_thread(file.write, chunk)
        if size == 0:
            raise MediaEmpty(f"{_shown(url)} answered with an empty file.")
        return path

    def _check_size(self, url: str, size: int) -> None:
        if size > self._settings.max_bytes:
            raise MediaTooLarge(
                f"{_shown(url)} is larger than {self._settings.max_bytes} bytes "
                "(SIDECAR_MEDIA__MAX_BYTES)."
            )

    def _names(self) -> AbstractResolver:
        if self._resolver is None:
            self._resolver = aiohttp.ThreadedResolver()
        return self._resolver

    def _session(self, *, trusted: bool) -> aiohttp.ClientSession:
        """Return the session; trusted connections are never reused for unchecked URLs."""
        if trusted not in self._sessions:
            names = self._names()
            resolver = names if trusted else GuardedResolver(names, self._policy)
            self._sessions[trusted] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(resolver=resolver, use_dns_cache=False),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
            )
        return self._sessions[trusted]


def _shown(url: str) -> str:
    """Return what may be shown of a URL: nothing that it could be fetched with."""
    shown = redact(_BLANKS.sub("%20", url))[:_SHOWN_CHARS]
    return shown if "://" in shown else "the given URL"


def _parse(url: str) -> URL:
    try:
        parsed = URL(url)
        dialable = parsed.scheme in {"http", "https"} and bool(parsed.host and parsed.port)
    except (ValueError, TypeError):
        # yarl repeats the whole URL, password included, so its error is not chained.
        raise MediaForbidden("A media URL cannot be read as a URL.") from None
    if not dialable:
        raise MediaForbidden(
            f"{_shown(url)} is not an http or https URL with a host. "
            "Local files belong in info.video_path."
        )
    return parsed


def _next_hop(source: URL, response: aiohttp.ClientResponse) -> URL:
    location = response.headers.get("Location", "")
    try:
        return _parse(str(source.join(URL(location))))
    except ValueError:
        raise MediaUnreachable(f"{_shown(str(source))} redirects to no readable URL.") from None


def _check_status(url: str, response: aiohttp.ClientResponse) -> None:
    if response.status not in {200, 206}:
        raise MediaUnreachable(f"{_shown(url)} answered with HTTP {response.status}.")
    declared = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if declared and not declared.startswith(("video/", "image/")) and declared not in _BINARY_TYPES:
        raise MediaNotVideo(f"{_shown(url)} is {declared[:60]}, not a video or an image.")


def _free_path(folder: Path, url: str) -> Path:
    """Choose a new file in `folder`, named after the URL so that later errors can name it."""
    name = re.sub(r"[^\w.-]", "_", URL(url).name, flags=re.ASCII).lstrip(".")[-80:] or "media"
    candidates = (folder / (f"{n}-{name}" if n else name) for n in count())
    return next(path for path in candidates if not path.exists())


@contextmanager
def _room_for(path: Path) -> Iterator[None]:
    """Tell a full disk from everything that the network does."""
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        raise not_stored(path.parent, error) from error


def not_stored(folder: Path, error: OSError) -> MediaNotStored:
    """Word what keeps a clip from being stored."""
    return MediaNotStored(
        f"the clip cannot be stored below {folder.parent} ({error.strerror}). Make room there, or "
        "name another folder in TMPDIR."
    )


@contextmanager
def _translated(url: str, timeout_s: float) -> Iterator[None]:
    """Turn errors of aiohttp and the system into ours."""
    try:
        yield
    except TimeoutError as error:
        raise MediaTimeout(f"{_shown(url)} was not fetched within {timeout_s:g} s.") from error
    except aiohttp.InvalidURL:
        # Its text repeats the whole URL, password included.
        raise MediaForbidden(f"{_shown(url)} is not a usable URL.") from None
    except aiohttp.ClientPayloadError as error:
        raise MediaUnreachable(f"The transfer of {_shown(url)} broke off.") from error
    except (aiohttp.ClientError, UnicodeError) as error:
        raise MediaUnreachable(
            f"{_shown(url)} cannot be reached ({type(error).__name__})."
        ) from error
