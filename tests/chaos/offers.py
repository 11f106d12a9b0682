"""What the driver sends, and its book of what was accepted."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sidecar.contract.nvschema import to_protobuf
from sidecar.model import EventKind

MARK = "chaosId"
"""Key of `info` that carries an event's mark to every sink, whatever form it travels in."""
CAMERAS = 7
JSON, PROTOBUF = "application/json", "application/x-protobuf"


@dataclass(frozen=True, slots=True)
class Offer:
    """One event, or one record that can never be one.

    Attributes:
        mark: names it wherever it turns up.
        media_type: form of the payload; "" for poison.
    """

    mark: str
    kind: EventKind
    payload: bytes
    media_type: str

    @property
    def is_poison(self) -> bool:
        return not self.media_type


@dataclass(slots=True)
class Entry:
    """An offer and its fate at a door.

    Attributes:
        tries: how often it was sent.
        accepted: how often the door said that it has it.
        evidence: what the door said first, such as an entry's id.
    """

    offer: Offer
    door: str
    tries: int = 0
    accepted: int = 0
    evidence: str = ""


@dataclass(slots=True)
class Book:
    """Everything that was offered."""

    entries: dict[str, Entry] = field(default_factory=dict)

    def open(self, offer: Offer, door: str) -> Entry:
        """Note an offer before it is sent."""
        entry = self.entries[offer.mark] = Entry(offer, door)
        return entry

    def accepted(self, *, poison: bool = False) -> list[Entry]:
        """List what doors have said to have."""
        return [it for it in self.entries.values() if it.accepted and it.offer.is_poison == poison]


class OfferMaker:
    """Makes offers that are all different: in kind, form and where their clip is.

    Args:
        chance: decides.
        clip: a file that the sidecar may read.
        clip_url: the same over HTTP.
    """

    def __init__(self, prefix: str, chance: random.Random, clip: Path, clip_url: str) -> None:
        self._prefix = prefix
        self._chance = chance
        self._media: Sequence[Mapping[str, str]] = (
            {"video_path": str(clip)},
            {"video_path": clip_url},
            {"media_urls": json.dumps([clip_url]), "media_type": "video"},
            {},  # the recorder has it
        )
        self._count = 0

    def event(self) -> Offer:
        """Make one that can be verified."""
        mark = self._next_mark("e")
        end = datetime.now(UTC) - timedelta(seconds=1)
        info = {MARK: mark, "primaryObjectId": mark, **self._chance.choice(self._media)}
        raw: dict[str, Any] = {
            "timestamp": (end - timedelta(seconds=3)).isoformat(timespec="milliseconds"),
            "end": end.isoformat(timespec="milliseconds"),
            "info": info,
        }
        camera = f"camera-{self._count % CAMERAS}"
        kind = self._chance.choice([EventKind.INCIDENT, EventKind.INCIDENT, EventKind.ALERT])
        raw |= _incident(camera, mark) if kind is EventKind.INCIDENT else _alert(camera, mark)
        if self._chance.random() < 0.5:
            return Offer(mark, kind, to_protobuf(raw, kind), PROTOBUF)
        return Offer(mark, kind, json.dumps({**raw, "id": mark}).encode(), JSON)

    def poison(self) -> Offer:
        """Make one that can never be verified."""
        mark = self._next_mark("p")
        payload = self._chance.choice(
            [
                b"\x0a\xff\xffnonsense " + mark.encode(),
                json.dumps({"id": mark, "info": {MARK: mark}}).encode(),
                b'{"id": "' + mark.encode(),
                b'{"a":' * 99 + b"1" + b"}" * 99,
                b"",
            ]
        )
        return Offer(mark, EventKind.INCIDENT, payload, "")

    def _next_mark(self, letter: str) -> str:
        self._count += 1
        return f"{self._prefix}-{letter}{self._count:06}"


def _incident(camera: str, mark: str) -> dict[str, Any]:
    return {"sensorId": camera, "category": "collision", "objectIds": [mark]}


def _alert(camera: str, mark: str) -> dict[str, Any]:
    return {
        "sensor": {"id": camera},
        "object": {"id": mark},
        "analyticsModule": {"id": "collision"},
        "event": {"id": mark, "type": "collision"},
    }
