"""The WebSocket of VSS 2.4's Alert Bridge: alerts as they come in, and what became of them."""

import asyncio
import os
import socket
from collections.abc import Coroutine
from contextlib import aclosing, suppress
from itertools import count
from typing import Any, Final

import structlog
from fastapi import APIRouter
from starlette.websockets import WebSocket, WebSocketDisconnect

from sidecar.contract.bridge import write_entry
from sidecar.contract.frames import (
    TRY_LATER,
    ListenersResponse,
    write_alert,
    write_answer,
    write_disabled,
)
from sidecar.contract.verdict import stamp
from sidecar.core.audience import Audience, Seat
from sidecar.core.identity import iso_ms
from sidecar.core.service import Service
from sidecar.errors import StoreUnavailable
from sidecar.model import EventKind, Origin, VerdictFilter, VerdictRecord, VerifyEvent
from sidecar.ports import AudienceMeter
from sidecar.settings import BridgeSettings, WebSocketSettings

PATHS: Final = ("/ws/alerts", "/ws")
RETRY_S: Final = 1.0
READY_S: Final = 2.0
"""How long a connection may wait for the ledger to say where the verdicts stand."""
CLOSE_S: Final = 1.0
"""How long a client that is dropped has to take the news."""

_log = structlog.get_logger()


class WebSocketDoor:
    """Shows every verdict to all clients, and alerts of VSS 2.4 when they are accepted.

    Verdicts come from the ledger, those of other replicas too; it is asked only while somebody
    listens. An alert is shown by the replica that accepted it.

    Args:
        service: tells of verdicts.
        settings: limits.
        streams: what the streams are called that would have the alerts.
        meter: is told about the clients.
    """

    def __init__(
        self,
        service: Service,
        settings: WebSocketSettings,
        streams: BridgeSettings,
        meter: AudienceMeter,
    ) -> None:
        self._service = service
        self._settings = settings
        self._streams = streams
        self._audience = Audience(settings.max_clients, settings.max_behind, meter)
        self._somebody = asyncio.Event()
        self._follows = asyncio.Event()
        self._numbers = count(1)
        self._trouble = ""
        self.is_running = False

    async def run(self) -> None:
        """Tell of verdicts until cancelled; a ledger that is away for a while loses none."""
        self.is_running = True
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._audience.run())
                group.create_task(self._keep_following())
        finally:
            self.is_running = False

    async def ping(self) -> str:
        """Return "" when verdicts can be told, else what is wrong."""
        return self._trouble

    async def close(self) -> None:
        """Do nothing: connections are the server's."""

    def announce(self, event: VerifyEvent) -> None:
        """Show an alert of VSS 2.4 that was accepted, if somebody listens."""
        if event.origin is not Origin.REVIEW or not len(self._audience):
            return
        now = self._service.clock.now()
        facts = {"message_type": event.kind.value, "verdictKey": event.key}
        entry = write_entry(event.raw, iso_ms(event.timestamp), facts)
        identity = f"{int(now.timestamp() * 1000)}-{next(self._numbers)}"
        frame = write_alert("original", self._streams.input_stream, identity, entry, now)
        if not self._audience.mention(frame):
            _log.warning("websocket_busy", detail="An alert was accepted and not shown.")

    def health(self) -> ListenersResponse:
        """Tell how many listen, and to what."""
        is_well = self.is_running and not self._trouble
        streams = (self._streams.input_stream, self._streams.enhanced_stream)
        return ListenersResponse(
            status="healthy" if is_well else "degraded",
            active_connections=len(self._audience),
            redis_consumer={
                "instance_id": f"{socket.gethostname()}_{os.getpid()}",
                "is_running": self.is_running,
                "streams": list(streams),
            },
            timestamp=stamp(self._service.clock.now()),
        )

    async def serve(self, websocket: WebSocket) -> None:
        """Serve one connection to its end."""
        if not self._settings.enabled:
            await websocket.accept()
            await websocket.send_text(write_disabled(self._service.clock.now()))
            await websocket.close(TRY_LATER, "WebSocket service disabled")
            return
        seat = self._audience.join()
        if seat is None:
            await websocket.accept()
            await websocket.close(TRY_LATER, "too many connections")
            return
        try:
            await self._welcome(websocket)
            await _first(self._hear(websocket, seat), _speak(websocket, seat), seat.late.wait())
            if seat.late.is_set():
                await _dismiss(websocket)
        finally:
            self._audience.leave(seat)

    async def _welcome(self, websocket: WebSocket) -> None:
        """Accept a connection when it will miss no verdict from then on."""
        self._somebody.set()
        with suppress(TimeoutError):
            async with asyncio.timeout(READY_S):
                await self._follows.wait()
        await websocket.accept()

    async def _hear(self, websocket: WebSocket, seat: Seat) -> None:
        """Answer a client's messages until it goes away."""
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            asked = message.get("text") or message.get("bytes") or b""
            answer = write_answer(asked, len(self._audience), self._service.clock.now())
            if answer:
                seat.say(answer)

    async def _keep_following(self) -> None:
        seq: int | None = None
        while True:
            await self._somebody.wait()
            try:
                seq = await self._service.ledger.last_seq() if seq is None else seq
                self._trouble = ""
                self._follows.set()
                async with aclosing(self._service.follow(VerdictFilter(), seq)) as records:
                    async for record in records:
                        if not len(self._audience):
                            self._rest()
                            seq = None
                            break
                        if record is not None:
                            seq = record.seq
                            await self._audience.tell(self._frame(record))
            except StoreUnavailable as error:
                self._trouble = f"Verdicts cannot be told over WebSocket: {error.detail}"
                _log.error("verdicts_not_followed", detail=error.detail)
                await asyncio.sleep(RETRY_S)

    def _rest(self) -> None:
        """Ask the ledger no more until somebody comes, who will then miss nothing."""
        self._follows.clear()
        self._somebody.clear()

    def _frame(self, record: VerdictRecord) -> str:
        is_incident = record.kind is EventKind.INCIDENT and self._streams.incidents_stream
        stream = self._streams.incidents_stream if is_incident else self._streams.enhanced_stream
        facts = {"message_type": record.kind.value, "verdictKey": record.key}
        entry = write_entry(record.document, iso_ms(record.decided_at), facts)
        identity = f"{int(record.decided_at.timestamp() * 1000)}-{record.seq}"
        return write_alert("enhanced", stream, identity, entry, self._service.clock.now())


def websocket_router(door: WebSocketDoor) -> APIRouter:
    """Build the routes."""
    router = APIRouter()
    for path in PATHS:
        router.add_api_websocket_route(path, door.serve)

    @router.get("/ws/health", tags=["health"])
    async def websocket_health() -> ListenersResponse:
        """Tell how many clients listen."""
        return door.health()

    return router


async def _speak(websocket: WebSocket, seat: Seat) -> None:
    """Send what waits for a client."""
    with suppress(WebSocketDisconnect):
        while True:
            await websocket.send_text(await seat.next())


async def _first(*works: Coroutine[Any, Any, Any]) -> None:
    """Run until one of these has ended, and end the others."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _dismiss(websocket: WebSocket) -> None:
    """Close a connection that is too slow; one that takes nothing at all is cut off."""
    _log.warning("websocket_client_dropped", client=str(websocket.client))
    with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
        async with asyncio.timeout(CLOSE_S):
            await websocket.close(TRY_LATER, "too slow")
