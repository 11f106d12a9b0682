"""Lets callers of HTTP and WebSockets in, before anything of a request is read but its head."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from re import Pattern
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from sidecar.access import Principal, Scope
from sidecar.core.gate import Gate, Visitor
from sidecar.core.sessions import Sessions
from sidecar.doors.browsers import SafeHeaders, allow_pages, check_page
from sidecar.doors.callers import PRINCIPAL
from sidecar.doors.cookies import check_session, session_of
from sidecar.doors.scopes import scope_of_route
from sidecar.errors import Overloaded, RequestError, Unauthenticated, row_of

Refuse = Callable[[RequestError], Response]

WEBSOCKET: Final = "WEBSOCKET"
_CHALLENGE: Final = 'Bearer realm="sidecar"'
_BEARER: Final = "bearer "


@dataclass(frozen=True, slots=True)
class HttpAccess:
    """Who may call by HTTP.

    Attributes:
        gate: lets callers in.
        origins: of web pages that may call from browsers.
        max_requests: at the same time, those for everybody excepted.
        sessions: of those who signed in to the page; None where nobody can.
    """

    gate: Gate
    origins: tuple[str, ...] = ()
    max_requests: int = 2048
    sessions: Sessions | None = None


@dataclass(frozen=True, slots=True)
class Guarded:
    """A route, and what it needs.

    Attributes:
        methods: which ones it answers; None answers any.
        scopes: by method.
        refuse: writes a refusal as the other answers of the route are written.
    """

    path: str
    pattern: Pattern[str]
    methods: frozenset[str] | None
    scopes: Mapping[str, Scope | None]
    refuse: Refuse | None

    def answers(self, method: str, path: str) -> bool:
        """Tell whether a request is for this route."""
        is_asked = self.methods is None or method in self.methods
        return is_asked and self.pattern.match(path) is not None


class Guards:
    """Finds the route that will answer a request, as the router does."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._guarded = list(_guard_all(routes))
        # Most requests are for paths without parameters.
        self._exact = {
            (method, it.path): self._search(method, it.path)
            for it in self._guarded
            if "{" not in it.path
            for method in it.methods or ()
        }

    def __iter__(self) -> Iterator[Guarded]:
        return iter(self._guarded)

    def find(self, method: str, path: str) -> Guarded | None:
        """Return the route; None when there is none, which the router will say."""
        known = self._exact.get((method, path))
        return known or self._search(method, path)

    def _search(self, method: str, path: str) -> Guarded | None:
        return next((it for it in self._guarded if it.answers(method, path)), None)


class AccessControl:
    """ASGI middleware.

    Args:
        app: what is guarded.
        routes: of the application, read at the first request.
        access: who may call.
        refuse: writes a refusal where a route has no manner of its own.
    """

    def __init__(
        self, app: ASGIApp, routes: Sequence[BaseRoute], access: HttpAccess, refuse: Refuse
    ) -> None:
        self._app = app
        self._routes = routes
        self._access = access
        self._refuse = refuse
        self._guards: Guards | None = None
        self._requests = 0

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        self._guards = self._guards or Guards(self._routes)
        method = WEBSOCKET if scope["type"] == "websocket" else scope["method"]
        guarded = self._guards.find(method, scope["path"])
        if guarded is None:
            await self._app(scope, receive, send)
            return
        needed = guarded.scopes.get(method, Scope.ADMIN)
        if needed is None:
            scope[PRINCIPAL] = self._access.gate.recognise(visitor_of(scope, self._access.sessions))
            await self._app(scope, receive, send)
            return
        try:
            scope[PRINCIPAL] = self._admit(scope, needed)
        except RequestError as error:
            await _respond((guarded.refuse or self._refuse)(error), error, scope, receive, send)
            return
        await self._counted(scope, receive, send)

    def _admit(self, scope: AsgiScope, needed: Scope) -> Principal:
        visitor = visitor_of(scope, self._access.sessions)
        principal = self._access.gate.admit(visitor, needed)
        if visitor.digest:
            with self._access.gate.counting():
                check_session(scope, self._access.sessions)
        if not principal.is_proven:
            gate = self._access.gate
            with gate.counting():
                check_page(scope["headers"], self._access.origins, is_local=gate.is_open)
        if self._requests >= self._access.max_requests:
            raise Overloaded(
                f"{self._requests} requests are under way, and no more are taken "
                "(SIDECAR_HTTP__MAX_REQUESTS). Send again in a moment."
            )
        return principal

    async def _counted(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        self._requests += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._requests -= 1


def protect(app: FastAPI, access: HttpAccess, refuse: Refuse) -> None:
    """Put what guards an application round it; its routes may still be added."""
    app.add_middleware(AccessControl, routes=app.routes, access=access, refuse=refuse)
    if access.origins:  # outside, so that pages can read refusals
        allow_pages(app, access.origins)
    app.add_middleware(SafeHeaders)


def visitor_of(scope: AsgiScope, sessions: Sessions | None = None) -> Visitor:
    """Read who calls. Headers such as X-Forwarded-For, which anybody can write, do not count."""
    headers = dict(scope["headers"])
    key = headers.get(b"x-api-key", b"").decode("latin-1").strip()
    if not key:
        key = read_bearer(headers.get(b"authorization", b"").decode("latin-1"))
    client = scope.get("client")
    address = client[0] if client else ""
    session = None if key else session_of(scope, sessions)
    return Visitor(key, address, digest=session.digest if session else b"")


def read_bearer(header: str) -> str:
    """Return the token of an `Authorization` header; "" when it holds something else."""
    return header[len(_BEARER) :].strip() if header.lower().startswith(_BEARER) else ""


def describe_access(document: dict[str, Any], access: HttpAccess) -> None:
    """Add to an OpenAPI document how a key is shown, and where one is needed."""
    document.setdefault("components", {})["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, item in document["paths"].items():
        for method, operation in item.items():
            needed = scope_of_route(method.upper(), path)
            if needed is None:
                continue
            operation["x-scope"] = needed.value
            if not access.gate.is_open:
                operation["security"] = [{"bearer": []}, {"key": []}]


def _guard_all(routes: Sequence[BaseRoute]) -> Iterator[Guarded]:
    for context in iter_route_contexts(routes):
        path, route = context.path_format, context.original_route
        if path is None:
            raise TypeError(f"{route} has no path, so nobody can say what it needs")
        is_socket = isinstance(route, WebSocketRoute)
        methods = {WEBSOCKET} if is_socket else context.methods
        yield Guarded(
            path,
            context.path_regex,
            None if methods is None else frozenset(methods),
            {method: scope_of_route(method, path) for method in methods or ()},
            getattr(type(route), "refuse", None),
        )


async def _respond(
    response: Response, error: RequestError, scope: AsgiScope, receive: Receive, send: Send
) -> None:
    if isinstance(error, Unauthenticated):
        response.headers["WWW-Authenticate"] = _CHALLENGE
    if row_of(error).retryable:
        response.headers["Retry-After"] = str(error.retry_after_s)
    await response(scope, receive, send)
