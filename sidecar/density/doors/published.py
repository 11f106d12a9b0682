"""Reads a published verdict, JSON or NvSchema protobuf, as brokers carry it."""

import orjson

from sidecar.contract.nvschema import from_protobuf
from sidecar.density.account import End
from sidecar.density.doors.http import end_of
from sidecar.density.events import NAME_FIELD
from sidecar.errors import RequestError
from sidecar.model import EventKind


def read_published(value: bytes, *, knows_answers: bool) -> tuple[str, End] | None:
    """Return an event's name and end; None when it is not one of a density run.

    Args:
        value: the message as it came.
        knows_answers: whether the verdict can be compared with a known one.
    """
    try:
        is_json = value.lstrip()[:1] == b"{"
        found = orjson.loads(value) if is_json else from_protobuf(value, EventKind.INCIDENT)
    except (RequestError, orjson.JSONDecodeError):
        return None
    info = found.get("info") if isinstance(found, dict) else None
    if not isinstance(info, dict) or NAME_FIELD not in info:
        return None
    verdict, reason = info.get("verdict") or "", info.get("sidecarReason") or ""
    return str(info[NAME_FIELD]), end_of(verdict, reason, knows_answers=knows_answers)
