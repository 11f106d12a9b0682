"""One event as doors offer it."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

NAME_FIELD: Final = "densityEvent"
"""Key of `info` that carries an event's name to every sink."""


@dataclass(frozen=True, slots=True)
class Attached:
    """The clip of an event: at most one of these is there.

    Attributes:
        url: where it can be fetched.
        path: file on a disk that the model's server or the sidecar shares.
        data: the MP4 file itself.
    """

    url: str = ""
    path: str = ""
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Event:
    """What happened.

    Attributes:
        name: its id.
        sensor: its camera.
        category: its alert type.
        born: its timestamp.
        seconds: length of the clip.
        clip: the clip.
    """

    name: str
    sensor: str
    category: str
    born: datetime
    seconds: int
    clip: Attached

    def as_incident(self) -> dict[str, Any]:
        """Write it as VSS's nv.Incident, in JSON."""
        info: dict[str, Any] = {NAME_FIELD: self.name, "primaryObjectId": self.name}
        if self.clip.url:
            info |= {"media_urls": [self.clip.url], "media_type": "video"}
        if self.clip.path:
            info["video_path"] = self.clip.path
        return {
            "id": self.name,
            "sensorId": self.sensor,
            "timestamp": _stamp(self.born),
            "end": _stamp(self.born + timedelta(seconds=self.seconds)),
            "category": self.category,
            "objectIds": [self.name],
            "info": info,
        }


def _stamp(moment: datetime) -> str:
    text = moment.astimezone(UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"
