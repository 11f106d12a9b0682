"""From what a pipeline has at hand to the event that goes over the wire."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from sidecar.pb.nv.ext_pb2 import Behavior, Incident
from sidecar.pb.v1 import verifier_pb2 as pb

AnyEvent = pb.Event | Incident | Behavior | Mapping[str, Any]
"""An event as the wire has it, an NvSchema message, or a JSON object as the HTTP API takes it."""


def write_event(
    event: AnyEvent,
    *,
    url: str = "",
    clip: bytes = b"",
    frames: Iterable[tuple[float, bytes]] = (),
) -> pb.Event:
    """Write an event, and at most one kind of media beside it.

    Args:
        event: what happened.
        url: of a video or picture.
        clip: a video file.
        frames: JPEG pictures with their times in seconds from the first.
    """
    written = _content(event)
    pictures = write_frames(frames)
    if url:
        written.url = url
    if clip:
        written.clip = clip
    if pictures.frames:
        written.frames.CopyFrom(pictures)
    return written


def write_frames(frames: Iterable[tuple[float, bytes]]) -> pb.Frames:
    """Write JPEG pictures with their times in seconds from the first."""
    written = pb.Frames()
    for time_s, jpeg in frames:
        frame = written.frames.add(jpeg=jpeg)
        frame.offset.FromNanoseconds(round(time_s * 1e9))
    return written


def _content(event: AnyEvent) -> pb.Event:
    if isinstance(event, pb.Event):
        copy = pb.Event()
        copy.CopyFrom(event)
        return copy
    if isinstance(event, Incident):
        return pb.Event(incident=event)
    if isinstance(event, Behavior):
        return pb.Event(behavior=event)
    return pb.Event(json=json.dumps(event).encode())
