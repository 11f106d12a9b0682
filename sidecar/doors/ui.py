"""The operator's page: files of this package, for anybody; what they show comes by the API.

Every page is one shell, which finds its files and the API relative to its own address, so that it
works behind any prefix that a proxy put before it.
"""

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Final

from fastapi import APIRouter, Request, Response

_PAGES: Final = frozenset({"", "verdicts", "compare", "disagreements", "ab", "prompts", "system"})
_ASSETS: Final = "assets/"
_SHELL: Final = "index.html"
_TYPES: Final[Mapping[str, str]] = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "media-src 'self'; connect-src 'self'; base-uri 'self'; form-action 'none'; "
    "frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
"""Nothing but our own files runs, and nothing that looks like markup is ever read as markup."""
_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": _POLICY,
    "Cache-Control": "no-cache",
    "Vary": "Accept-Encoding",
}


@dataclass(frozen=True, slots=True)
class Asset:
    """A file as it is sent."""

    body: bytes
    packed: bytes
    tag: str
    type: str


def ui_router() -> APIRouter:
    """Build `GET /ui` and everything below it."""
    router = APIRouter(include_in_schema=False)
    shell, assets = _load()

    async def page(request: Request, page: str = "") -> Response:
        if page.startswith(_ASSETS):
            asset = assets.get(page.removeprefix(_ASSETS))
            return Response(status_code=404) if asset is None else _send(request, asset)
        status = 200 if page.partition("/")[0] in _PAGES else 404
        body = shell.replace(b"{{base}}", _way_up(request).encode())
        return Response(body, status, dict(_HEADERS), media_type="text/html; charset=utf-8")

    router.add_api_route("/ui", page, methods=["GET"])
    router.add_api_route("/ui/{page:path}", page, methods=["GET"])
    return router


def _load() -> tuple[bytes, Mapping[str, Asset]]:
    assets = {}
    for file in files("sidecar.ui").iterdir():
        kind = _TYPES.get(file.name.rpartition(".")[2])
        if kind:
            body = file.read_bytes()
            tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            assets[file.name] = Asset(body, gzip.compress(body, mtime=0), tag, kind)
    return (files("sidecar.ui") / _SHELL).read_bytes(), assets


def _send(request: Request, asset: Asset) -> Response:
    headers = {**_HEADERS, "ETag": asset.tag}
    if request.headers.get("if-none-match") == asset.tag:
        return Response(status_code=304, headers=headers)
    is_packed = "gzip" in request.headers.get("accept-encoding", "")
    if is_packed:
        headers["Content-Encoding"] = "gzip"
    return Response(
        asset.packed if is_packed else asset.body, headers=headers, media_type=asset.type
    )


def _way_up(request: Request) -> str:
    """Return the relative way from a page to the root of the service, as its browser sees both."""
    path: Any = request.scope.get("raw_path") or request.url.path.encode()
    below = path.partition(b"/ui")[2].partition(b"?")[0]
    return "../" * below.count(b"/") or "./"
