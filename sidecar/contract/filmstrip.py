"""The pictures that a model saw, on the wire."""

from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Literal
from urllib.parse import quote

from pydantic import BaseModel

from sidecar.contract.verdict import stamp
from sidecar.model import KeptFrames, VerdictRecord


class FrameResponse(BaseModel):
    """One picture. `timeS`: seconds from the start of the clip. `href`: below the API's root.

    `timestamp` is null when nobody knows when the clip begins.
    """

    index: int
    timeS: float
    timestamp: str | None
    href: str


class FramesResponse(BaseModel):
    """Pictures of what the model saw, evenly chosen.

    `source`: `kept` from the time of the verdict or since, decoded from the `clip` now, or `gone`;
    then `reason` says why. `exact`: these are frames that the model saw; otherwise the clip was
    decoded again in the same way. `asked`, `sent`, `seen`: frames that it should see, was sent, and
    is known to have seen; null when unknown.
    """

    status: Literal["success"] = "success"
    verdictKey: str
    source: Literal["kept", "clip", "gone"]
    exact: bool
    asked: int | None
    sent: int | None
    seen: int | None
    reason: str
    frames: list[FrameResponse]


def write_frames(
    record: VerdictRecord,
    kept: KeptFrames | None,
    is_stored: bool,
    asked: int | None,
    seen: int | None,
    reason: str,
) -> FramesResponse:
    """Build the public form of what there is to see of a verdict.

    Args:
        record: the verdict.
        kept: its pictures, if there are any.
        is_stored: whether they were there before somebody asked.
        asked: frames that the model should see.
        seen: frames that it is known to have seen.
        reason: why there are none.
    """
    there = "kept" if is_stored else "clip"
    return FramesResponse(
        verdictKey=record.key,
        source="gone" if kept is None else there,
        exact=kept is not None and kept.exact,
        asked=asked,
        sent=None if kept is None else kept.sent,
        seen=seen,
        reason=reason,
        frames=[] if kept is None else list(_frames(record, kept)),
    )


def _frames(record: VerdictRecord, kept: KeptFrames) -> Iterator[FrameResponse]:
    place = f"/api/v1/verdicts/{quote(record.key, safe='')}/frames"
    for index, frame in enumerate(kept.frames):
        timestamp = None
        if kept.start is not None:
            with suppress(OverflowError):
                timestamp = stamp(kept.start + timedelta(seconds=frame.timestamp_s))
        yield FrameResponse(
            index=index,
            timeS=round(frame.timestamp_s, 3),
            timestamp=timestamp,
            href=f"{place}/{index}",
        )
