"""A search server that answers like Elasticsearch, on a real socket, with failures on demand."""

import asyncio
import base64
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any, Self

import orjson
from aiohttp import web


@dataclass(frozen=True, slots=True)
class Stored:
    """A document and its version."""

    source: Mapping[str, Any]
    version: int


@dataclass(slots=True)
class FakeElastic:
    """Makes indices, takes `_bulk` requests with external versions, and finds documents.

    It maps fields as the first document has them and refuses documents that do not fit: an object
    where a value is, a `timestamp` or `end` that is no time.

    Attributes:
        documents: by index and id.
        indices: body of the request that made each index; None for those made by writing.
        status: of every answer; 0 answers normally.
        item_errors: what to answer about a document instead of storing it: status and type, by id.
        authorization: the header that requests need; "" needs none.
        delay_s: wait before each answer.
        max_body_bytes: larger requests are refused with 413.
        tls: certificate and key to serve HTTPS with; None serves HTTP.
        bulk_sizes: how many documents each `_bulk` request held.
    """

    documents: dict[tuple[str, str], Stored] = field(default_factory=dict)
    indices: dict[str, Any] = field(default_factory=dict)
    status: int = 0
    item_errors: dict[str, tuple[int, str]] = field(default_factory=dict)
    authorization: str = ""
    delay_s: float = 0.0
    max_body_bytes: int = 104_857_600
    tls: ssl.SSLContext | None = None
    bulk_sizes: list[int] = field(default_factory=list)
    url: str = ""
    _mapped: dict[tuple[str, str], bool] = field(default_factory=dict)
    _runner: web.AppRunner | None = None

    async def start(self, port: int = 0) -> None:
        """Listen on 127.0.0.1; `url` is the base URL from then on."""
        app = web.Application(middlewares=[self._guard], client_max_size=self.max_body_bytes)
        app.router.add_get("/", self._greet)
        app.router.add_post("/_bulk", self._bulk)
        app.router.add_put("/{index}", self._create)
        app.router.add_delete("/{index}", self._delete)
        app.router.add_post("/{index}/_refresh", self._greet)
        app.router.add_get("/{index}/_doc/{id}", self._get)
        app.router.add_post("/{index}/_search", self._search)
        self._runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", port, ssl_context=self.tls)
        await site.start()
        scheme = "https" if self.tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening; the documents stay."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        await self.stop()

    def find(self, identity: str) -> list[Mapping[str, Any]]:
        """Return the documents under an id, from all indices."""
        return [stored.source for (_, key), stored in self.documents.items() if key == identity]

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        await asyncio.sleep(self.delay_s)
        if self.status:
            return _problem(self.status, "scripted_exception", "as the test wants it")
        if self.authorization and request.headers.get("Authorization") != self.authorization:
            return _problem(401, "security_exception", "missing authentication credentials")
        wanted = "application/x-ndjson" if request.path == "/_bulk" else "application/json"
        if request.body_exists and request.content_type != wanted:
            return _problem(406, "media_type_header_exception", f"give {wanted}")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _greet(self, _: web.Request) -> web.Response:
        return web.json_response(
            {"version": {"number": "9.9.9"}, "tagline": "You Know, for Search"}
        )

    async def _create(self, request: web.Request) -> web.Response:
        index = request.match_info["index"]
        if index in self.indices:
            return _problem(400, "resource_already_exists_exception", f"index [{index}] exists")
        self.indices[index] = orjson.loads(await request.read())
        return web.json_response({"acknowledged": True, "index": index})

    async def _delete(self, request: web.Request) -> web.Response:
        index = request.match_info["index"]
        self.indices.pop(index, None)
        self._mapped = {key: kind for key, kind in self._mapped.items() if key[0] != index}
        self.documents = {key: doc for key, doc in self.documents.items() if key[0] != index}
        return web.json_response({"acknowledged": True})

    async def _get(self, request: web.Request) -> web.Response:
        index, identity = request.match_info["index"], request.match_info["id"]
        stored = self.documents.get((index, identity))
        if stored is None:
            return web.json_response({"_id": identity, "found": False}, status=404)
        facts = {"_index": index, "_id": identity, "_version": stored.version, "found": True}
        return web.json_response({**facts, "_source": stored.source})

    async def _bulk(self, request: web.Request) -> web.Response:
        if (request.content_length or 0) > self.max_body_bytes:
            return web.Response(status=413, text="request entity too large")
        lines = (await request.read()).split(b"\n")
        if lines[-1]:
            return _problem(
                400, "illegal_argument_exception", "the request must be terminated by a newline"
            )
        results = [self._index(*pair) for pair in zip(lines[:-1:2], lines[1:-1:2], strict=True)]
        self.bulk_sizes.append(len(results))
        failed = any("error" in result["index"] for result in results)
        return web.json_response({"took": 1, "errors": failed, "items": results})

    def _index(self, action: bytes, source: bytes) -> dict[str, Any]:
        asked = orjson.loads(action)["index"]
        key = (asked["_index"], asked["_id"])
        if asked["_id"] in self.item_errors:
            return _item(key, *self.item_errors[asked["_id"]])
        present = self.documents.get(key)
        if present is not None and asked["version"] < present.version:
            return _item(key, 409, "version_conflict_engine_exception")
        document = orjson.loads(source)
        if not self._fits(key[0], document):
            return _item(key, 400, "document_parsing_exception")
        self.indices.setdefault(key[0], None)
        self.documents[key] = Stored(document, asked["version"])
        return {"index": {"_index": key[0], "_id": key[1], "status": 201 if not present else 200}}

    def _fits(self, index: str, document: Mapping[str, Any]) -> bool:
        if not all(_is_time(document.get(name)) for name in ("timestamp", "end")):
            return False
        fields = dict(_fields(document))
        if any(self._mapped.get((index, path), kind) != kind for path, kind in fields.items()):
            return False
        self._mapped.update({(index, path): kind for path, kind in fields.items()})
        return True

    async def _search(self, request: web.Request) -> web.Response:
        """Answer a `bool` query of filters, the latest `timestamp` first; keywords are exact."""
        body = orjson.loads(await request.read())
        query = body["query"]["bool"]["filter"]
        pattern = request.match_info["index"]
        hits: list[dict[str, Any]] = [
            {"_index": index, "_id": identity, "_source": stored.source}
            for (index, identity), stored in self.documents.items()
            if fnmatchcase(index, pattern) and all(_matches(stored.source, one) for one in query)
        ]
        hits.sort(key=lambda hit: str(hit["_source"].get("timestamp")), reverse=True)
        first = body.get("from", 0)
        page = hits[first : first + body.get("size", 10)]
        return web.json_response({"hits": {"total": {"value": len(hits)}, "hits": page}})


def basic(username: str, password: str) -> str:
    """Write the header of basic authentication."""
    return "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()


def _problem(status: int, kind: str, reason: str) -> web.Response:
    error = {"type": kind, "reason": reason}
    return web.json_response({"error": error, "status": status}, status=status)


def _item(key: tuple[str, str], status: int, kind: str) -> dict[str, Any]:
    error = {"type": kind, "reason": f"[{key[1]}]: {kind}"}
    return {"index": {"_index": key[0], "_id": key[1], "status": status, "error": error}}


def _is_time(value: object) -> bool:
    try:
        return value is None or bool(datetime.fromisoformat(str(value)))
    except ValueError:
        return False


def _fields(document: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, bool]]:
    """List the paths of a document and whether an object is there."""
    for name, value in document.items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, Mapping):
                yield path + name, True
                yield from _fields(item, f"{path}{name}.")
            elif item is not None:
                yield path + name, False


def _matches(source: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    ((kind, condition),) = wanted.items()
    if kind == "exists":
        condition = {condition["field"]: None}
    ((path, expected),) = condition.items()
    found: Any = source
    for name in path.removesuffix(".keyword").split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    values = found if isinstance(found, list) else [found]
    if kind == "exists":
        return found is not None
    if kind == "term":
        return expected in values
    if kind == "terms":
        return any(value in expected for value in values)
    least, most = expected.get("gte", ""), expected.get("lte", "\uffff")
    return found is not None and least <= found <= most
