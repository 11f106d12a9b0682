"""What goes over the WebSocket `/ws/alerts` of VSS 2.4's Alert Bridge: JSON texts.

Source: services/alert, the web application's websocket routes and Redis consumer.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal

import orjson
from pydantic import BaseModel

from sidecar.contract.verdict import stamp

TRY_LATER: Final = 1013
"""Close code of RFC 6455's registry for a server that cannot serve now."""


class ListenersResponse(BaseModel):
    """Body of `GET /ws/health`.

    There is no consumer group behind it as in VSS; `redis_consumer` tells what is shown.
    """

    status: Literal["healthy", "degraded"]
    service: Literal["websocket"] = "websocket"
    active_connections: int
    redis_consumer: dict[str, Any]
    timestamp: str


def write_alert(
    alert_type: Literal["original", "enhanced"],
    stream_name: str,
    message_id: str,
    entry: Mapping[str, str],
    now: datetime,
) -> str:
    """Write the frame about an entry of a stream.

    Args:
        alert_type: whether the alert comes in, or goes out with its review.
        stream_name: of the stream that has it, or would.
        message_id: in the form of a Redis id.
        entry: the fields of the entry.
        now: when the frame is written.
    """
    return _dump(
        {
            "type": "alert",
            "alert_type": alert_type,
            "stream_name": stream_name,
            "message_id": message_id,
            "timestamp": stamp(now),
            "data": entry,
        }
    )


def write_answer(message: bytes | str, connections: int, now: datetime) -> str:
    """Write the answer to a client's message; "" where there is none to give."""
    try:
        asked = orjson.loads(message)
    except orjson.JSONDecodeError:
        return ""
    match asked:
        case {"type": "ping"}:
            return _dump({"type": "pong", "timestamp": stamp(now)})
        case {"type": "get_status"}:
            status = {"type": "status", "total_connections": connections}
            return _dump({**status, "timestamp": stamp(now)})
    return ""


def write_disabled(now: datetime) -> str:
    """Write the only frame of a server whose WebSocket is switched off."""
    return _dump(
        {
            "type": "service_disabled",
            "error": "WebSocket service is currently disabled",
            "message": "Alerts are not sent over WebSocket; set SIDECAR_WEBSOCKET__ENABLED=true.",
            "timestamp": stamp(now),
        }
    )


def _dump(frame: Mapping[str, Any]) -> str:
    return orjson.dumps(frame).decode()
